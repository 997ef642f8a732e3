// `roost record` between real clients and a gateway, and `roost replay` of what it wrote.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

import { Gateway } from './support/gateway.mjs'
import { Inbox } from './support/inbox.mjs'
import { CURRENT, LIBRARIES, listen, open, subscribe } from './support/libraries.mjs'
import { record, replay } from './support/recorder.mjs'

/** How often a recording has to replay. */
const TIMES = 10

let gateway, folder
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'roost-record-'))
  gateway = await Gateway.serve()
})
after(async () => {
  await gateway?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** What two people do in a room: come, track, talk with and without a connection, renew a token, beat, go. */
async function meet(t, library, gatewayOrRecorder) {
  const beats = new Inbox('heartbeats')
  const [ann, ben] = [
    open(t, gatewayOrRecorder, library, { heartbeatIntervalMs: 100, onHeartbeat: beats.add }),
    open(t, gatewayOrRecorder, library)
  ]
  await ann.setToken(gateway.token('authenticated', { sub: 'ann', email: 'ann@example.com' }))
  const config = key => ({ broadcast: { self: true, ack: true }, presence: { key, enabled: true } })
  const [annsRoom, bensRoom] = [ann.channel('room', config('ann')), ben.channel('room', config(''))]
  const [annHears, benHears] = [annsRoom, bensRoom].map(room => listen(room, 'broadcast', { event: 'say' }))
  const [joins, leaves] = ['join', 'leave'].map(event => listen(bensRoom, 'presence', { event }))
  await subscribe(annsRoom)
  await subscribe(bensRoom)

  await annsRoom.track({ email: 'ann@example.com', mood: 'fine' })
  await joins.next(({ key }) => key === 'ann', 'ann')
  for (const text of ['hello', 'costs ${5}']) {
    await annsRoom.send({ type: 'broadcast', event: 'say', payload: { text, email: 'ann@example.com' } })
    await benHears.next(({ payload }) => payload.text === text, text)
    await annHears.next(({ payload }) => payload.text === text, text)
  }
  await bensRoom.track({ mood: 'better' })
  // Not subscribed, so by HTTP.
  await ben.channel('elsewhere').send({ type: 'broadcast', event: 'say', payload: { nobody: 'hears' } })
  await ann.setToken(gateway.token('authenticated', { sub: 'ann', email: 'ann@example.com', again: true }))
  for (let beat = 1; beat <= 2; beat++) await beats.next(status => status === 'ok', 'a heartbeat')
  await annsRoom.untrack()
  await leaves.next(({ key }) => key === 'ann', 'ann to go')
  await ann.close()
  await ben.close()
}

/** People of one room who all talk at once and wait for nobody. */
async function talkAtOnce(t, gatewayOrRecorder) {
  const rooms = []
  for (const name of ['ann', 'ben', 'cid']) {
    const config = { broadcast: { self: true, ack: name === 'ann' } }
    const [one, other] = ['one', 'other'].map(topic => open(t, gatewayOrRecorder, CURRENT).channel(topic, config))
    const heard = listen(one, 'broadcast', { event: 'say' })
    await subscribe(one)
    await subscribe(other)
    rooms.push({ name, one, other, heard })
  }
  for (let n = 0; n < 20; n++) {
    for (const { name, one, other } of rooms) {
      for (const room of [one, other]) room.send({ type: 'broadcast', event: 'say', payload: { name, n } })
    }
    if (n % 3 === 0) await rooms[0].heard.next()
  }
  for (const { heard } of rooms) await heard.until(() => heard.all.length === 60, 'everything')
}

test('what several clients say at the same time replays as well', async t => {
  const file = join(folder, 'at-once.jsonl')
  const recorder = await record(t, gateway, file)
  await talkAtOnce(t, recorder)
  const text = await recorder.stop()
  for (let time = 1; time <= TIMES; time++) {
    const { code, output } = await replay(gateway, file)
    assert.equal(code, 0, `replay ${time}: ${output}\n${text}`)
  }
})

for (const library of LIBRARIES) {
  describe(library.name, () => {
    test('a recorded session replays ten times out of ten, and a byte that is changed shows', async t => {
      const file = join(folder, `${library.name.replaceAll(/[^a-z0-9]+/g, '-')}.jsonl`)
      const recorder = await record(t, gateway, file, '--redact', '$..email')
      await meet(t, library, recorder)
      const text = await recorder.stop()
      assert.ok(!text.includes(gateway.anonKey) && !text.includes('eyJ') && !text.includes('ann@example.com'), text)
      assert.ok(text.includes('"presence_diff"') && text.includes('"heartbeat"'), text)

      for (let time = 1; time <= TIMES; time++) {
        const { code, output } = await replay(gateway, file)
        assert.equal(code, 0, `replay ${time}: ${output}\n${text}`)
      }

      const heard = text.split('\n').find(line => /^\{"recv".*hello/.test(line))
      await writeFile(file, text.replace(heard, heard.replace('hello', 'hellp')))
      const { code, output } = await replay(gateway, file)
      assert.equal(code, 1, output)
      const line = text.split('\n').indexOf(heard) + 1
      for (const told of [`:${line}`, 'payload.text', '"hellp"', '"hello"']) {
        assert.ok(output.includes(told), `${told} in ${output}`)
      }
    })
  })
}
