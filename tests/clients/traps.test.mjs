// The deviations that break clients without a message: protocol-spec/clients.md, section 1, row by row. Most of them
// concern clients that do not run here, so the frames themselves are looked at.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'

import { Database } from './support/database.mjs'
import { Gateway, SECRET } from './support/gateway.mjs'
import { Inbox } from './support/inbox.mjs'
import { LIBRARIES, joinPhoenix, listen, open, openPhoenix, settle, subscribe } from './support/libraries.mjs'
import { tokenFor } from './support/token.mjs'
import { freshTopic } from './support/topics.mjs'
import { WireSocket, encodeBroadcast } from './support/wire.mjs'

const VERSIONS = ['1.0.0', '2.0.0']
const TABLE = { schema: 'public', table: 'traps' }

let gateway
let database

const conversations = {}
/** Every frame of a conversation in which nothing goes wrong. */
const healthy = vsn => (conversations[vsn] ??= converse(vsn))

before(async () => {
  gateway = await Gateway.dev()
  database = new Database(gateway.databaseUrl)
  await database.run(`
    create table public.traps (id bigint primary key, amount numeric, words text);
    create table public.other_traps (id bigint primary key);
    grant select on public.traps, public.other_traps to anon;
    alter publication supabase_realtime add table public.traps, public.other_traps`)
})

after(async () => {
  await database?.close()
  await gateway?.stop()
})

let lastId = 0

/** Inserts a row and returns its id. */
async function insert(amount = '1', words = 'x') {
  const id = ++lastId
  await database.run(`insert into public.traps values (${id}, ${amount}, '${words}')`)
  return id
}

/** A connection that ends with the test. */
async function connect(t, vsn, options) {
  const socket = await WireSocket.open(gateway, { vsn, ...options })
  t.after(() => socket.close())
  return socket
}

const post = (path, body, query = '') =>
  fetch(`${gateway.url}/api/broadcast${path}${query}`, {
    method: 'POST',
    headers: { apikey: gateway.anonKey, 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })

/** Everything that a channel can be told, except errors. */
async function converse(vsn) {
  const socket = await WireSocket.open(gateway, { vsn })
  const name = `converse-${vsn}`
  const channel = await socket.join(name, {
    broadcast: { ack: true, self: true },
    presence: { key: 'status', enabled: true },
    postgres_changes: [{ event: '*', ...TABLE }]
  })
  await channel.next('system')
  await channel.next('presence_state')
  for (const payload of [{ status: 'busy' }, { status: 'free' }]) {
    await channel.ask('presence', { type: 'presence', event: 'track', payload })
    await channel.next('presence_diff')
  }
  await channel.ask('presence', { type: 'presence', event: 'untrack' })
  await channel.next('presence_diff')
  await channel.ask('broadcast', { type: 'broadcast', event: 'text', payload: { n: 1 } })
  await channel.next('broadcast')
  await post('', { messages: [{ topic: name, event: 'batch', payload: {} }] })
  await channel.next('broadcast')
  await post(`/${name}/events/single`, {})
  await channel.next('broadcast')
  const id = await insert()
  await database.run(`update public.traps set amount = 2 where id = ${id}; delete from public.traps where id = ${id}`)
  for (let change = 0; change < 3; change++) await channel.next('postgres_changes')
  await socket.fence()
  await channel.ask('phx_leave', {})
  await channel.next('phx_close')
  socket.close()
  return socket.frames.all
}

const FANNED_OUT = ['broadcast', 'presence_diff', 'postgres_changes']

test('trap 1: frames of 1.0.0 have ref, null if there is none, and no join_ref', async () => {
  for (const { raw, event } of await healthy('1.0.0')) {
    assert.deepEqual(Object.keys(raw).sort(), ['event', 'payload', 'ref', 'topic'])
    if ([...FANNED_OUT, 'system', 'presence_state'].includes(event)) assert.equal(raw.ref, null)
  }
})

for (const vsn of VERSIONS) {
  describe(`protocol ${vsn}`, () => {
    test('trap 2: phx_close has the ref of the join, also when the gateway closes the channel', async t => {
      const socket = await connect(t, vsn)
      const left = await socket.join(freshTopic())
      await left.ask('phx_leave', {})
      assert.equal((await left.next('phx_close')).ref, left.joinRef)
      const expelled = await socket.join(freshTopic())
      expelled.push('access_token', { access_token: 'not.a.token' })
      await expelled.next('system')
      assert.equal((await expelled.next('phx_close')).ref, expelled.joinRef)
    })

    test('trap 3: no payload is null', async () => {
      for (const { payload } of await healthy(vsn)) assert.ok(payload !== null && typeof payload === 'object')
    })

    test('trap 4: bindings are echoed as they came, in their order', async t => {
      const bindings = [
        { event: 'INSERT', schema: 'public', table: 'traps' },
        { table: 'traps', event: '*' },
        { event: 'delete', schema: 'public' },
        { event: 'INSERT', schema: 'public', table: 'traps' },
        { event: 'UPDATE', schema: 'public', table: 'traps', filter: '' },
        { schema: '*', event: '*', unknown: { nested: [1, null] } }
      ]
      const { reply } = await (await connect(t, vsn)).join(freshTopic(), { postgres_changes: bindings })
      const { postgres_changes } = reply.payload.response
      assert.deepEqual(
        postgres_changes.map(({ id, ...binding }) => binding),
        bindings
      )
    })

    test('trap 5: ids of bindings are integers from 1 to 2^31 - 1', async t => {
      const postgres_changes = Array.from({ length: 100 }, (_, n) => ({ event: '*', schema: 'public', table: `t${n}` }))
      const { reply } = await (await connect(t, vsn)).join(freshTopic(), { postgres_changes })
      for (const { id } of reply.payload.response.postgres_changes) {
        assert.ok(Number.isInteger(id) && id > 0 && id < 2 ** 31, `${id}`)
      }
    })

    test('trap 6: a join without bindings is answered with an empty list of them', async t => {
      const { reply } = await (await connect(t, vsn)).join(freshTopic())
      assert.deepEqual(reply.payload, { status: 'ok', response: { postgres_changes: [] } })
    })

    test('trap 7: a join with bindings is followed by the message that they are live', async t => {
      const topic = freshTopic()
      const socket = await connect(t, vsn)
      const channel = await socket.join(topic, { postgres_changes: [{ event: '*', ...TABLE }] })
      assert.deepEqual((await channel.next('system')).payload, {
        message: 'Subscribed to PostgreSQL',
        status: 'ok',
        extension: 'postgres_changes',
        channel: topic
      })
    })

    /** The bindings of a channel, and the ids that were named with the changes of two rows in two tables. */
    const hear = async (t, ...bindings) => {
      const socket = await connect(t, vsn)
      const last = { event: 'INSERT', schema: 'public', table: 'other_traps' }
      const channel = await socket.join(freshTopic(), { postgres_changes: [...bindings, last] })
      await insert()
      await database.run(`insert into public.other_traps values (${++lastId})`)
      await channel.next('postgres_changes', ({ payload }) => payload.data.table === 'other_traps')
      return {
        ids: channel.reply.payload.response.postgres_changes.map(({ id }) => id),
        named: channel.all('postgres_changes').map(({ payload }) => payload.ids)
      }
    }

    test('trap 8: a change is one frame, however many bindings match', async t => {
      const { ids, named } = await hear(t, { event: '*', ...TABLE }, { event: 'INSERT', ...TABLE })
      assert.deepEqual(
        named.map(list => list.length),
        [2, 1]
      )
      assert.deepEqual(new Set(named[0]), new Set(ids.slice(0, 2)))
    })

    test('trap 9: a change names no binding that does not match', async t => {
      const { ids, named } = await hear(
        t,
        { event: 'DELETE', ...TABLE },
        { event: 'INSERT', ...TABLE, filter: 'words=eq.y' },
        { event: 'INSERT', ...TABLE, filter: 'words=eq.x' }
      )
      assert.deepEqual(named, [[ids[2]], [ids[3]]])
    })

    /** The `data` of an INSERT, an UPDATE and a DELETE. */
    const changes = async () =>
      (await healthy(vsn)).filter(({ event }) => event === 'postgres_changes').map(({ payload }) => payload.data)

    test('trap 10: a change has its columns, and errors of null', async () => {
      const columns = [
        { name: 'id', type: 'int8' },
        { name: 'amount', type: 'numeric' },
        { name: 'words', type: 'text' }
      ]
      for (const data of await changes()) assert.deepEqual([data.errors, data.columns], [null, columns])
    })

    test('trap 11: the instant of a change is ISO 8601 with Z', async () => {
      for (const { commit_timestamp } of await changes()) {
        assert.match(commit_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
      }
    })

    test('trap 12: a change has its old row and its new one, as far as there are any', async () => {
      assert.deepEqual(
        (await changes()).map(data => [data.type, 'record' in data, 'old_record' in data]),
        [
          ['INSERT', true, false],
          ['UPDATE', true, true],
          ['DELETE', false, true]
        ]
      )
    })

    test('trap 17: a leave is answered', async t => {
      const channel = await (await connect(t, vsn)).join(freshTopic())
      assert.deepEqual((await channel.ask('phx_leave', {})).payload, { status: 'ok', response: {} })
    })

    test('trap 18: phx_close follows the answer to a leave', async t => {
      const socket = await connect(t, vsn)
      const channel = await socket.join(freshTopic())
      channel.push('phx_leave', {}, socket.ref())
      await channel.next('phx_close')
      const order = socket.frames.all.map(({ event }) => event)
      assert.deepEqual(order, ['phx_reply', 'phx_reply', 'phx_close'])
    })

    test('trap 19: broadcasts without ack, and tokens, are not answered', async t => {
      const socket = await connect(t, vsn)
      const channel = await socket.join(freshTopic())
      channel.broadcast('quiet', {}, socket.ref())
      channel.push('access_token', { access_token: tokenFor(SECRET, 'anon', 600) }, socket.ref())
      await socket.fence()
      assert.equal(socket.frames.all.length, 2, 'the replies to the join and to the heartbeat')
    })

    test('trap 20: a heartbeat is answered with its ref, also if that is null', async t => {
      const socket = await connect(t, vsn)
      for (const ref of ['1', 'a ref', '', null]) {
        socket.push({ topic: 'phoenix', event: 'heartbeat', ref })
        const { raw } = await socket.frames.next()
        const payload = { status: 'ok', response: {} }
        const expected = { ref, event: 'phx_reply', payload, topic: 'phoenix' }
        assert.deepEqual(raw, vsn === '2.0.0' ? [null, ref, 'phoenix', 'phx_reply', payload] : expected)
      }
    })

    test('trap 21: nothing says status error at its top when nothing is wrong', async () => {
      for (const { payload } of await healthy(vsn)) assert.notEqual(payload.status, 'error')
    })

    test('trap 22: a replication connection that breaks is nothing a client is told', async t => {
      const socket = await connect(t, vsn)
      const channel = await socket.join(freshTopic(), { postgres_changes: [{ event: 'INSERT', ...TABLE }] })
      await channel.next('system')
      // A slot that is being made is active already, and misses what commits meanwhile.
      const streaming = 'select active_pid from pg_replication_slots where active and confirmed_flush_lsn is not null'
      const [broken] = await database.run(streaming)
      await database.run(`select pg_terminate_backend(${broken})`)
      await database.until(streaming, ([pid]) => pid && pid !== broken)
      const id = await insert()
      await channel.next('postgres_changes', ({ payload }) => payload.data.record.id === id)
      assert.ok(channel.all('system').every(({ payload }) => payload.status === 'ok'))
    })

    test('trap 24: metas have a phx_ref, each its own, the same in state and diff', async t => {
      const topic = freshTopic()
      const socket = await connect(t, vsn)
      const config = key => ({ presence: { key, enabled: true } })
      const channel = await socket.join(topic, config('ann'))
      const track = payload => channel.ask('presence', { type: 'presence', event: 'track', payload })
      const announced = []
      for (const n of [1, 2, 3]) {
        await track({ n })
        announced.push((await channel.next('presence_diff')).payload.joins.ann.metas[0].phx_ref)
      }
      assert.ok(announced.every(ref => typeof ref === 'string' && ref.length > 0))
      assert.equal(new Set(announced).size, 3)
      const late = await (await connect(t, vsn)).join(topic, config('ben'))
      assert.equal((await late.next('presence_state')).payload.ann.metas[0].phx_ref, announced[2])
    })

    test('trap 25: an update is one diff with the new meta and the old', async () => {
      const [first, update, end] = (await healthy(vsn))
        .filter(({ event }) => event === 'presence_diff')
        .map(({ payload }) => payload)
      const [before, now] = [first.joins.status.metas[0], update.joins.status.metas[0]]
      assert.deepEqual(before, { phx_ref: before.phx_ref, status: 'busy' })
      assert.deepEqual(now, { phx_ref: now.phx_ref, phx_ref_prev: before.phx_ref, status: 'free' })
      assert.deepEqual(first.leaves, {})
      assert.deepEqual(update.leaves, { status: { metas: [before] } })
      assert.deepEqual(end, { joins: {}, leaves: { status: { metas: [now] } } })
    })

    test('trap 26: who asks for presence gets a state, once for each join, also of an empty topic', async t => {
      const socket = await connect(t, vsn)
      const topic = freshTopic()
      for (let time = 0; time < 2; time++) {
        const channel = await socket.join(topic, { presence: { enabled: true } })
        const { payload, joinRef } = await channel.next('presence_state')
        assert.deepEqual(payload, {})
        if (vsn === '2.0.0') assert.equal(joinRef, channel.joinRef)
      }
      await socket.fence()
      assert.equal(socket.frames.all.filter(({ event }) => event === 'presence_state').length, 2)
    })

    test('trap 27: diffs are presence_diff, with metas below their keys', async () => {
      const events = new Set((await healthy(vsn)).map(({ event }) => event))
      assert.equal(events.has('presence'), false)
      for (const { payload } of (await healthy(vsn)).filter(({ event }) => event === 'presence_diff')) {
        assert.deepEqual(Object.keys(payload).sort(), ['joins', 'leaves'])
        for (const side of Object.values(payload)) {
          for (const entry of Object.values(side)) assert.deepEqual(Object.keys(entry), ['metas'])
        }
      }
    })

    test('trap 28: broadcasts have type, event and an object as payload, wherever they come from', async () => {
      const broadcasts = (await healthy(vsn)).filter(({ event }) => event === 'broadcast').map(({ payload }) => payload)
      assert.deepEqual(broadcasts, [
        { type: 'broadcast', event: 'text', payload: { n: 1 } },
        { type: 'broadcast', event: 'batch', payload: {} },
        { type: 'broadcast', event: 'single', payload: {} }
      ])
    })

    test('trap 32: join_ref may be left out', async t => {
      const socket = await connect(t, vsn)
      const topic = `realtime:${freshTopic()}`
      const reply = await socket.ask({ topic, event: 'phx_join', payload: { config: { broadcast: { ack: true } } } })
      assert.equal(reply.payload.status, 'ok')
      const ack = await socket.ask({
        topic,
        event: 'broadcast',
        payload: { type: 'broadcast', event: 'e', payload: {} }
      })
      assert.equal(ack.payload.status, 'ok')
      const left = await socket.ask({ topic, event: 'phx_leave' })
      assert.equal(left.payload.status, 'ok')
      await socket.frames.next(({ event }) => event === 'phx_close', 'phx_close')
    })

    test('trap 33: join_ref and ref of a join may differ', async t => {
      const socket = await connect(t, vsn)
      const topic = `realtime:${freshTopic()}`
      const reply = await socket.ask({ topic, event: 'phx_join', joinRef: '0', ref: '1', payload: { config: {} } })
      assert.equal(reply.payload.status, 'ok')
      if (vsn === '2.0.0') assert.equal(reply.joinRef, '0')
      // Kotlin leaves without a join_ref.
      const left = await socket.ask({ topic, event: 'phx_leave', ref: '2' })
      assert.equal(left.payload.status, 'ok')
      await socket.frames.next(({ event }) => event === 'phx_close', 'phx_close')
    })

    test('trap 34: refs are any text', async t => {
      const socket = await connect(t, vsn)
      for (const ref of [randomUUID(), '0', 'ünïcode 🙂', '-1']) {
        const topic = `realtime:${freshTopic()}`
        const reply = await socket.ask({ topic, event: 'phx_join', joinRef: ref, ref, payload: { config: {} } })
        assert.deepEqual([reply.ref, reply.payload.status], [ref, 'ok'])
      }
    })

    test('trap 35: the same token again, or null, changes nothing', async t => {
      const token = tokenFor(SECRET, 'authenticated')
      const socket = await connect(t, vsn)
      const channel = await socket.join(freshTopic(), { broadcast: { self: true } }, { access_token: token })
      for (const access_token of [token, null, token]) channel.push('access_token', { access_token })
      channel.broadcast('still here', {})
      await channel.next('broadcast')
      assert.deepEqual(channel.all('phx_close'), [])
    })

    test('trap 36: a token that is an opaque key stands for the key of the connection', async t => {
      const socket = await connect(t, vsn)
      const opaque = { access_token: 'sb_publishable_something' }
      const channel = await socket.join(freshTopic(), { broadcast: { self: true } }, opaque)
      channel.push('access_token', opaque)
      channel.broadcast('still here', {})
      await channel.next('broadcast')
      assert.deepEqual(channel.all('phx_close'), [])
    })

    test('trap 37: unknown members of a join are passed over', async t => {
      const socket = await connect(t, vsn)
      const channel = await socket.join(
        freshTopic(),
        {
          broadcast: { self: true, unknown: 1 },
          presence: { key: '', enabled: false, unknown: [] },
          postgres_changes: [{ event: '*', ...TABLE, type: 'unknown' }],
          postgres_changes_options: { wait: true, timeout: 1000 },
          unknown: { deep: null }
        },
        { version: 'realtime-js/2.119.1', unknown: true }
      )
      assert.equal((await channel.next('system')).payload.status, 'ok')
    })

    test('trap 38: numbers of a record are numbers', async t => {
      const socket = await connect(t, vsn)
      const channel = await socket.join(freshTopic(), { postgres_changes: [{ event: 'INSERT', ...TABLE }] })
      const id = await insert('12345.50')
      const { record } = (await channel.next('postgres_changes')).payload.data
      assert.deepEqual(record, { id, amount: 12345.5, words: 'x' })
    })

    test('trap 39: text stays text, whatever it looks like', async t => {
      const socket = await connect(t, vsn)
      const channel = await socket.join(freshTopic(), { postgres_changes: [{ event: 'INSERT', ...TABLE }] })
      for (const words of ['[1, 2]', '{"a": 1}', 'null', 'true', '12', '{1,2}']) {
        await insert('1', words)
        assert.equal((await channel.next('postgres_changes')).payload.data.record.words, words)
      }
    })

    test('trap 40: topics keep their prefix', async () => {
      for (const { topic } of await healthy(vsn)) assert.match(topic, /^(realtime:converse-.*|phoenix)$/)
    })
  })
}

for (const library of LIBRARIES) {
  test(`trap 4: ${library.name} is content with the echo of its bindings`, async t => {
    const channel = open(t, gateway, library).channel(freshTopic())
    listen(channel, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'traps' })
    listen(channel, 'postgres_changes', { event: '*', schema: 'public' })
    listen(channel, 'postgres_changes', { event: 'UPDATE', table: 'traps' })
    const statuses = await subscribe(channel)
    assert.deepEqual(statuses.all, [{ status: 'SUBSCRIBED', message: undefined }])
  })
}

test('trap 13: text frames of 2.0.0 are arrays of five, with topic and event as text', async () => {
  for (const { raw } of (await healthy('2.0.0')).filter(({ binary }) => !binary)) {
    assert.equal(raw.length, 5)
    const [joinRef, ref, topic, event] = raw
    assert.ok([joinRef, ref].every(part => part === null || typeof part === 'string'))
    assert.deepEqual([typeof topic, typeof event], ['string', 'string'])
  }
})

test('frames that are fanned out on 2.0.0 have no join_ref', async () => {
  for (const { event, joinRef } of await healthy('2.0.0')) {
    if (FANNED_OUT.includes(event)) assert.equal(joinRef, null)
  }
})

test('trap 14: a connection on 1.0.0 gets no binary frames', async t => {
  const topic = freshTopic()
  const old = await (await connect(t, '1.0.0')).join(topic)
  const socket = await connect(t, '2.0.0')
  const { joinRef, topic: fullTopic } = await socket.join(topic)
  const send = (event, payload) => socket.send(encodeBroadcast({ joinRef, ref: '9', topic: fullTopic, event, payload }))
  send('bytes', Uint8Array.from([0, 1, 2]))
  send('json', { n: 1 })
  const { payload } = await old.next('broadcast')
  assert.deepEqual(payload, { type: 'broadcast', event: 'json', payload: { n: 1 } })
  assert.ok([...old.socket.frames.all, ...(await healthy('1.0.0'))].every(({ binary }) => !binary))
})

test('trap 15: the only binary frames on 2.0.0 are broadcasts of kind 4, and acknowledgements are text', async t => {
  const topic = freshTopic()
  const listener = await (await connect(t, '2.0.0')).join(topic)
  const socket = await connect(t, '2.0.0')
  const { joinRef, topic: fullTopic } = await socket.join(topic, { broadcast: { ack: true } })
  for (const payload of [{ n: 1 }, Uint8Array.from([1, 2, 3])]) {
    const ref = socket.ref()
    socket.send(encodeBroadcast({ joinRef, ref, topic: fullTopic, event: 'e', payload }))
    const reply = await socket.reply(ref)
    assert.equal(reply.binary, false)
    const frame = await listener.next('broadcast')
    assert.deepEqual([frame.binary, frame.kind], [true, 4])
    assert.deepEqual(frame.payload.payload, payload instanceof Uint8Array ? Buffer.from(payload) : payload)
  }
})

test('trap 16: what the stock Phoenix client sends on 2.0.0 reaches its own kind as text', async t => {
  const topic = freshTopic()
  const wire = await (await connect(t, '2.0.0')).join(topic)
  const heard = new Inbox('phoenix broadcasts')
  const listener = openPhoenix(t, gateway, '2.0.0').channel(`realtime:${topic}`, { config: {} })
  listener.on('broadcast', heard.add)
  await joinPhoenix(listener)
  const sender = openPhoenix(t, gateway, '2.0.0').channel(`realtime:${topic}`, { config: { broadcast: { ack: true } } })
  await joinPhoenix(sender)
  await settle(sender.push('broadcast', { type: 'broadcast', event: 'e', payload: { n: 1 } }))
  assert.deepEqual(await heard.next(), { type: 'broadcast', event: 'e', payload: { n: 1 } })
  assert.equal((await wire.next('broadcast')).binary, false)
})

test('trap 23: a gateway that stops closes with 1012', async t => {
  const stopping = await Gateway.serve()
  t.after(() => stopping.stop())
  const sockets = await Promise.all(VERSIONS.map(vsn => WireSocket.open(stopping, { vsn })))
  await sockets[0].join(freshTopic())
  await stopping.signal('SIGTERM')
  assert.deepEqual(await Promise.all(sockets.map(({ closed }) => closed)), [1012, 1012])
})

const BATCH = ['', { messages: [{ topic: 'somewhere', event: 'e', payload: {}, private: false }] }]
const SINGLE = ['/somewhere/events/e', { n: 1 }]

test('trap 29: broadcasts over HTTP are answered with 202 and nothing else', async () => {
  for (const [path, body] of [BATCH, SINGLE]) {
    const response = await post(path, body)
    assert.deepEqual([response.status, await response.text()], [202, ''])
  }
})

test('trap 30: unknown query parameters are passed over', async () => {
  for (const [path, body] of [BATCH, SINGLE]) {
    assert.equal((await post(path, body, `?apikey=${gateway.anonKey}&vsn=2.0.0&unknown=1`)).status, 202)
  }
})

test('trap 31: a connection that names no version speaks 1.0.0', async t => {
  for (const path of ['/socket/websocket', '/realtime/v1/websocket']) {
    const socket = await connect(t, undefined, { path })
    const { reply } = await socket.join(freshTopic())
    assert.deepEqual(Object.keys(reply.raw).sort(), ['event', 'payload', 'ref', 'topic'])
  }
})
