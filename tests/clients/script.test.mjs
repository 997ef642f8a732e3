// The server's side of files, played for real clients: what was recorded with one client serves another.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { Database } from './support/database.mjs'
import { within } from './support/deadline.mjs'
import { Gateway } from './support/gateway.mjs'
import { Inbox } from './support/inbox.mjs'
import { CURRENT, CURRENT_ON_1_0_0, LIBRARIES, listen, open, subscribe, subscribed, watch } from './support/libraries.mjs'
import { bindToThisProcess } from './support/lifetime.mjs'

const here = path => fileURLToPath(new URL(path, import.meta.url))
const BINARY = process.env.ROOST_BIN ?? here('../../target/debug/roost')
const recorded = name => here(`../../protocol-spec/transcripts/${name}.jsonl`)
const example = here('../../examples/ci-node')

const ALL = [...LIBRARIES, CURRENT_ON_1_0_0]
const HEADER =
  '{"transcript":2,"name":"n","area":"a","title":"t","shows":"s","reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5}'

let directory
before(async () => (directory = await mkdtemp(join(tmpdir(), 'roost-scripts-'))))
after(() => rm(directory, { recursive: true }))

/** Plays these files until the test `t` is over. */
async function play(t, files, ...flags) {
  const gateway = await new Gateway('serve', ['--script', ...files, ...flags]).start()
  t.after(() => gateway.stop())
  return gateway
}

/** A recorder in front of a gateway; clients take it for one. */
async function record(t, gateway, file) {
  const args = ['record', '--listen', '127.0.0.1:0', '--upstream', `${gateway.webSocketUrl}/realtime/v1`, '--out', file]
  const child = bindToThisProcess(spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'inherit'] }))
  t.after(() => child.kill('SIGKILL'))
  const lines = new Inbox('lines of roost record')
  createInterface({ input: child.stdout }).on('line', lines.add)
  const line = await lines.next(line => line.includes('createClient('), 'an address')
  const [, address] = line.match(/createClient\('http:\/\/([^']+)'/)
  return {
    url: `http://${address}`,
    webSocketUrl: `ws://${address}`,
    anonKey: gateway.anonKey,
    stop: () => {
      const end = once(child, 'exit')
      child.kill('SIGINT')
      return within(end, () => 'roost record to end')
    }
  }
}

/** A file of that name with these steps. */
async function written(name, ...steps) {
  const file = join(directory, `${name}.jsonl`)
  await writeFile(file, [HEADER, ...steps].join('\n'))
  return file
}

/** The steps of a join of `realtime:room` and its reply. */
const JOIN = [
  '{"send":"a","text":["1","1","realtime:room","phx_join",{"config":{}}]}',
  '{"recv":"a","text":["1","1","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]}'
]

describe('recordings of the reference', () => {
  const files = ['broadcast-ack', 'broadcast-self-ack', 'presence-track', 'pg-insert-update-delete', 'private-denied']
  let gateway
  before(async () => {
    gateway = await new Gateway('serve', ['--script-no-pauses', '--script', ...files.map(recorded)]).start()
  })
  after(() => gateway?.stop())

  for (const library of ALL) {
    describe(library.name, () => {
      test('a join, and broadcasts with their acknowledgements', async t => {
        const channel = open(t, gateway, library).channel('ack', { broadcast: { ack: true } })
        await subscribe(channel)
        for (const n of [1, 2]) assert.equal(await channel.send({ type: 'broadcast', event: 'e', payload: { n } }), 'ok')
      })

      test('one hears oneself', async t => {
        const channel = open(t, gateway, library).channel('selfack', { broadcast: { ack: true, self: true } })
        const heard = listen(channel, 'broadcast', { event: 'e' })
        await subscribe(channel)
        for (const n of [1, 2]) {
          assert.equal(await channel.send({ type: 'broadcast', event: 'e', payload: { n } }), 'ok')
          assert.deepEqual((await heard.next()).payload, { n })
        }
      })

      test('changes of a table', async t => {
        const channel = open(t, gateway, library).channel('pg1')
        const changes = listen(channel, 'postgres_changes', { event: '*', schema: 'public', table: 'notes' })
        await subscribe(channel)
        const seen = []
        for (let count = 0; count < 4; count += 1) seen.push(await changes.next())
        assert.deepEqual(
          seen.map(change => [change.eventType, change.new.body, change.old.id]),
          [
            ['INSERT', 'one', undefined],
            ['UPDATE', 'two', 1],
            ['UPDATE', 'two', 1],
            ['DELETE', undefined, 2]
          ]
        )
      })

      test('a private channel is denied', async t => {
        const client = open(t, gateway, library)
        await subscribe(client.channel('open-room'))
        const denied = await watch(client.channel('closed:1', { private: true })).next()
        assert.equal(denied.status, 'CHANNEL_ERROR')
        assert.match(JSON.stringify(denied.message), /Unauthorized/)
      })
    })
  }

  for (const library of [CURRENT, CURRENT_ON_1_0_0]) {
    test(`presence, ${library.name}`, async t => {
      const channel = open(t, gateway, library).channel('p-tr', { presence: { key: 'ka' } })
      const synced = new Inbox('syncs')
      channel.on('presence', { event: 'sync' }, () => synced.push(Object.keys(channel.presenceState())))
      await subscribe(channel)
      assert.deepEqual(await synced.next(), [])
      assert.equal(await channel.track({ name: 'A', n: 1.5, list: [null] }), 'ok')
      assert.deepEqual(await synced.next(), ['ka'])
      assert.equal(channel.presenceState().ka[0].name, 'A')
    })
  }

  test('channels of several files on one connection', async t => {
    const client = open(t, gateway, CURRENT)
    const changes = client.channel('pg1')
    const heard = listen(changes, 'postgres_changes', { event: '*', schema: 'public', table: 'notes' })
    await subscribe(changes)
    const room = client.channel('ack', { broadcast: { ack: true } })
    await subscribe(room)
    assert.equal(await room.send({ type: 'broadcast', event: 'e', payload: { n: 1 } }), 'ok')
    assert.equal((await heard.next()).eventType, 'INSERT')
    await client.removeChannel(room)
    const again = client.channel('ack', { broadcast: { ack: true } })
    await subscribe(again)
    assert.equal(await again.send({ type: 'broadcast', event: 'e', payload: { n: 1 } }), 'ok')
  })
})

describe('a recording of one\'s own', () => {
  /** Ann enters a room in which ben is, says where she is, and hears him; a row is written. What she was told, in order. */
  async function visit(t, server, library, { others } = {}) {
    const ann = open(t, server, library).channel('hall', { broadcast: { ack: true }, presence: { key: 'ann' } })
    const members = new Inbox('members')
    ann.on('presence', { event: 'sync' }, () => members.push(Object.keys(ann.presenceState()).sort().join()))
    const heard = listen(ann, 'broadcast', { event: 'hello' })
    const rows = listen(ann, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'room_messages' })
    await subscribe(ann)
    await members.next(present => present === 'ben')
    assert.equal(await ann.track({ place: 'door' }), 'ok')
    await members.next(present => present === 'ann,ben')
    assert.equal(await ann.send({ type: 'broadcast', event: 'hello', payload: { from: 'ann' } }), 'ok')
    await others?.({ says: 'hi ann', writes: 'a row' })
    const told = [(await heard.next()).payload, (await rows.next()).new.body]
    assert.equal(await ann.unsubscribe(), 'ok')
    return told
  }

  test('serves what was recorded to whoever does the same', async t => {
    const gateway = await Gateway.dev()
    t.after(() => gateway.stop())
    const file = join(directory, 'hall.jsonl')
    const recorder = await record(t, gateway, file)
    const database = new Database(gateway.databaseUrl)
    t.after(() => database.close())
    // He is recorded too, as another connection of the file.
    const ben = open(t, recorder, CURRENT).channel('hall', { broadcast: { ack: true }, presence: { key: 'ben' } })
    await subscribe(ben)
    await ben.track({ place: 'sofa' })
    const others = async ({ says, writes }) => {
      await ben.send({ type: 'broadcast', event: 'hello', payload: { says } })
      await database.run(`insert into room_messages (author, body) values ('ben', '${writes}')`)
    }
    const told = await visit(t, recorder, CURRENT, { others })
    assert.deepEqual(told, [{ says: 'hi ann' }, 'a row'])
    await recorder.stop()

    for (const flags of [[], ['--script-no-pauses'], ['--script-strict']]) {
      const player = await play(t, [file], ...flags)
      for (const library of [CURRENT, CURRENT_ON_1_0_0]) assert.deepEqual(await visit(t, player, library), told)
    }
  })
})

describe('faults', () => {
  for (const library of ALL) {
    test(`${library.name} comes back after its connection was dropped`, async t => {
      const gateway = await play(t, [join(example, 'fixtures/lost-connection.jsonl')])
      const client = open(t, gateway, library, { reconnectAfterMs: () => 10 })
      const channel = client.channel('todos')
      const changes = listen(channel, 'postgres_changes', { event: '*', schema: 'public', table: 'todos' })
      const statuses = watch(channel)
      await subscribed(statuses)
      assert.equal((await changes.next()).new.title, 'before')
      await client.closings.next(code => code === 1006, 'a connection without a close frame')
      await subscribed(statuses)
      assert.equal((await changes.next()).new.title, 'after')
    })
  }

  test('a close arrives with its code', async t => {
    const close = '{"fault":"close","code":4321,"reason":"on purpose"}'
    const gateway = await play(t, [await written('close', '{"open":"a"}', ...JOIN, close)])
    const client = open(t, gateway, CURRENT, { reconnectAfterMs: () => 60_000 })
    await subscribe(client.channel('room'))
    assert.equal(await client.closings.next(), 4321)
  })

  test('a heartbeat without an answer makes the client come back', async t => {
    const mute = '{"fault":"mute","heartbeats":1}'
    const file = await written('mute', '{"open":"a"}', ...JOIN, mute, '{"close":"a"}', '{"open":"a"}', ...JOIN)
    const gateway = await play(t, [file])
    const client = open(t, gateway, CURRENT, { heartbeatIntervalMs: 100, reconnectAfterMs: () => 10 })
    const statuses = await subscribe(client.channel('room'))
    await client.closings.next()
    await subscribed(statuses)
  })

  test('a join that is refused once is accepted when the library tries again', async t => {
    const error = '{"fault":"error","response":{"reason":"not yet"}}'
    const gateway = await play(t, [await written('error', '{"open":"a"}', error, ...JOIN)])
    const client = open(t, gateway, CURRENT, { reconnectAfterMs: () => 10 })
    const statuses = watch(client.channel('room'))
    assert.match((await statuses.next()).message, /not yet/)
    await subscribed(statuses)
  })
})

test('a strict server disconnects who says something else', async t => {
  const gateway = await play(t, [await written('strict', '{"open":"a"}', ...JOIN)], '--script-strict')
  const client = open(t, gateway, CURRENT, { reconnectAfterMs: () => 60_000 })
  const channel = client.channel('room')
  await subscribe(channel)
  channel.send({ type: 'broadcast', event: 'e', payload: {} })
  assert.equal(await client.closings.next(), 1008)
})

test('a channel that no file has is refused with what there is', async t => {
  const gateway = await play(t, [await written('other', '{"open":"a"}', ...JOIN)])
  const { status, message } = await watch(open(t, gateway, CURRENT).channel('elsewhere')).next()
  assert.equal(status, 'CHANNEL_ERROR')
  assert.match(message, /no file joins realtime:elsewhere: .*other\.jsonl joins realtime:room/)
})

test('broadcasts over HTTP are accepted', async t => {
  const gateway = await play(t, [await written('http', '{"open":"a"}', ...JOIN)])
  const channel = open(t, gateway, CURRENT).channel('room')
  assert.deepEqual(await channel.httpSend('e', { n: 1 }), { success: true })
})

test('the file in the README is played as it says', async t => {
  const [, lines] = (await readFile(here('../../README.md'), 'utf8')).match(/```jsonl\n([^`]+)```/)
  const file = join(directory, 'readme.jsonl')
  await writeFile(file, lines)
  const client = open(t, await play(t, [file]), CURRENT, { reconnectAfterMs: () => 10 })
  const channel = client.channel('todos')
  const rows = listen(channel, 'postgres_changes', { event: '*', schema: 'public', table: 'todos' })
  const statuses = watch(channel)
  await subscribed(statuses)
  assert.deepEqual((await rows.next()).new, { id: 1 })
  await subscribed(statuses)
})

test('the example project passes its tests', async t => {
  // Below our node_modules, so that it finds the libraries that are installed here.
  const cache = here('./node_modules/.cache')
  await mkdir(cache, { recursive: true })
  const copy = await mkdtemp(join(cache, 'ci-node-'))
  t.after(() => rm(copy, { recursive: true }))
  const isOfProject = path => !path.slice(example.length).includes('node_modules')
  await cp(example, copy, { recursive: true, filter: isOfProject })
  const { NODE_TEST_CONTEXT, ...env } = { ...process.env, ROOST_BIN: BINARY }
  const run = bindToThisProcess(
    spawn(process.execPath, ['--test', '--test-force-exit'], { cwd: copy, env, stdio: ['ignore', 'pipe', 'pipe'] })
  )
  const ended = new Promise(resolve => run.once('exit', resolve))
  const output = await Promise.all([text(run.stdout), text(run.stderr)])
  assert.equal(await ended, 0, output.join('\n'))
  assert.match(output[0], /^# pass 5$/m)
})
