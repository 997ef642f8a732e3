// Broadcasts between real clients, over the socket and over HTTP.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { Gateway } from './support/gateway.mjs'
import { Inbox } from './support/inbox.mjs'
import {
  CURRENT,
  CURRENT_ON_1_0_0,
  LIBRARIES,
  OLD,
  joinPhoenix,
  listen,
  open,
  openPhoenix,
  settle,
  subscribe
} from './support/libraries.mjs'
import { freshTopic } from './support/topics.mjs'

let gateway
before(async () => (gateway = await Gateway.serve()))
after(() => gateway?.stop())

/** A joined channel that hears everything; `heard` gets what its handlers get. */
async function member(t, library, topic, { broadcast } = {}) {
  const channel = open(t, gateway, library).channel(topic, broadcast ? { broadcast } : undefined)
  const heard = listen(channel, 'broadcast', { event: '*' })
  await subscribe(channel)
  return { channel, heard, send: (event, payload) => channel.send({ type: 'broadcast', event, payload }) }
}

const envelope = ({ event, payload }) => ({ event, payload })

for (const library of LIBRARIES) {
  describe(library.name, () => {
    test('two clients on a topic hear each other', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic), await member(t, library, topic)]
      await ann.send('greeting', { from: 'ann' })
      assert.deepEqual(envelope(await ben.heard.next()), { event: 'greeting', payload: { from: 'ann' } })
      await ben.send('greeting', { from: 'ben' })
      assert.deepEqual(envelope(await ann.heard.next()), { event: 'greeting', payload: { from: 'ben' } })
    })

    test('a sender does not hear itself', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic), await member(t, library, topic)]
      await ann.send('mine', {})
      await ben.heard.next()
      await ben.send('theirs', {})
      assert.equal((await ann.heard.next()).event, 'theirs')
      assert.equal(ann.heard.all.length, 1)
    })

    test('a sender that asks for it hears itself', async t => {
      const { heard, send } = await member(t, library, freshTopic(), { broadcast: { self: true } })
      await send('echo', { n: 1 })
      assert.deepEqual(envelope(await heard.next()), { event: 'echo', payload: { n: 1 } })
    })

    test('an acknowledged broadcast is ok', async t => {
      const { send } = await member(t, library, freshTopic(), { broadcast: { ack: true } })
      assert.equal(await send('important', { n: 1 }), 'ok')
    })

    test('the echo of a broadcast comes before its acknowledgement', async t => {
      const { heard, send } = await member(t, library, freshTopic(), { broadcast: { ack: true, self: true } })
      assert.equal(await send('echo', {}), 'ok')
      assert.equal(heard.all.length, 1)
    })

    test('a handler for an event hears that event in any case and no other', async t => {
      const topic = freshTopic()
      const channel = open(t, gateway, library).channel(topic)
      const cursor = listen(channel, 'broadcast', { event: 'Cursor' })
      await subscribe(channel)
      const { send } = await member(t, library, topic)
      await send('scroll', {})
      await send('cursor', {})
      await send('CURSOR', {})
      assert.equal((await cursor.next()).event, 'cursor')
      assert.equal((await cursor.next()).event, 'CURSOR')
      assert.equal(cursor.all.length, 2)
    })

    test('topics and events may be any Unicode', async t => {
      const topic = 'räume/中文:🙂 ?#%'
      const [ann, ben] = [await member(t, library, topic), await member(t, library, topic)]
      await ann.send('événement 🎉', { text: 'žluťoučký kůň\u0000🐎' })
      const expected = { event: 'événement 🎉', payload: { text: 'žluťoučký kůň\u0000🐎' } }
      assert.deepEqual(envelope(await ben.heard.next()), expected)
    })

    test('topics keep to themselves', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic), await member(t, library, `${topic}:more`)]
      const eve = await member(t, library, topic)
      await ben.send('elsewhere', {})
      await ann.send('here', {})
      assert.equal((await eve.heard.next()).event, 'here')
    })

    test('a thousand messages arrive once and in order', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic), await member(t, library, topic)]
      const sent = Array.from({ length: 1000 }, (_, n) => n)
      for (const n of sent) ann.send('count', { n })
      await ben.heard.until(() => ben.heard.all.length === sent.length, 'a thousand messages')
      assert.deepEqual(
        ben.heard.all.map(({ payload }) => payload.n),
        sent
      )
    })

    test('a message sent before joining goes over HTTP', async t => {
      const topic = freshTopic()
      const { heard } = await member(t, library, topic)
      const outsider = open(t, gateway, library).channel(topic)
      assert.equal(await outsider.send({ type: 'broadcast', event: 'knock', payload: { who: 'there' } }), 'ok')
      assert.deepEqual(envelope(await heard.next()), { event: 'knock', payload: { who: 'there' } })
    })
  })
}

describe('across serializers', () => {
  for (const [speaker, listener] of [
    [OLD, CURRENT],
    [CURRENT, OLD],
    [CURRENT, CURRENT_ON_1_0_0],
    [CURRENT_ON_1_0_0, CURRENT]
  ]) {
    test(`${listener.name} hears ${speaker.name}`, async t => {
      const topic = freshTopic()
      const { heard } = await member(t, listener, topic)
      const { send } = await member(t, speaker, topic)
      const payload = { text: '“quoted” \\ \n 🙂', list: [1, 2.5, null, true], nested: { deep: {} } }
      await send('state', payload)
      assert.deepEqual(envelope(await heard.next()), { event: 'state', payload })
    })
  }

  test('bytes reach clients of protocol 2.0.0 as bytes and others not at all', async t => {
    const topic = freshTopic()
    const current = await member(t, CURRENT, topic)
    const old = await member(t, OLD, topic)
    const { send } = await member(t, CURRENT, topic)
    await send('picture', Uint8Array.from([0, 255, 10, 13, 34]).buffer)
    await send('caption', { text: 'five bytes' })
    const { event, payload } = await current.heard.next()
    assert.equal(event, 'picture')
    assert.deepEqual([...new Uint8Array(payload)], [0, 255, 10, 13, 34])
    assert.equal((await old.heard.next()).event, 'caption')
  })

  for (const vsn of ['1.0.0', '2.0.0']) {
    test(`the stock Phoenix client on ${vsn} hears its own kind, with acknowledgement`, async t => {
      const topic = `realtime:${freshTopic()}`
      const config = { broadcast: { ack: true } }
      const heard = new Inbox('phoenix broadcasts')
      const listener = openPhoenix(t, gateway, vsn).channel(topic, { config })
      listener.on('broadcast', heard.add)
      assert.deepEqual(await joinPhoenix(listener), { postgres_changes: [] })
      const sender = openPhoenix(t, gateway, vsn).channel(topic, { config })
      await joinPhoenix(sender)
      const message = { type: 'broadcast', event: 'hello', payload: { n: 1 } }
      assert.deepEqual(await settle(sender.push('broadcast', message)), {})
      assert.deepEqual(await heard.next(), message)
    })
  }

  test('the stock Phoenix client on 1.0.0 hears supabase-js and is heard by it', async t => {
    const topic = freshTopic()
    const { heard, send } = await member(t, CURRENT, topic)
    const phoenixHeard = new Inbox('phoenix broadcasts')
    const channel = openPhoenix(t, gateway, '1.0.0').channel(`realtime:${topic}`, { config: {} })
    channel.on('broadcast', phoenixHeard.add)
    await joinPhoenix(channel)
    await send('ping', { n: 1 })
    assert.deepEqual(await phoenixHeard.next(), { type: 'broadcast', event: 'ping', payload: { n: 1 } })
    channel.push('broadcast', { type: 'broadcast', event: 'pong', payload: { n: 2 } })
    assert.deepEqual(envelope(await heard.next()), { event: 'pong', payload: { n: 2 } })
  })
})

describe('over HTTP', () => {
  test('httpSend of an object reaches everybody', async t => {
    const topic = freshTopic()
    const [current, old] = [await member(t, CURRENT, topic), await member(t, OLD, topic)]
    const outsider = open(t, gateway, CURRENT).channel(topic)
    assert.deepEqual(await outsider.httpSend('news', { n: 1 }), { success: true })
    for (const { heard } of [current, old]) {
      assert.deepEqual(envelope(await heard.next()), { event: 'news', payload: { n: 1 } })
    }
  })

  test('httpSend of bytes reaches clients of protocol 2.0.0', async t => {
    const topic = freshTopic()
    const { heard } = await member(t, CURRENT, topic)
    const outsider = open(t, gateway, CURRENT).channel(topic)
    assert.deepEqual(await outsider.httpSend('picture', Uint8Array.from([1, 2, 3])), { success: true })
    const { event, payload } = await heard.next()
    assert.equal(event, 'picture')
    assert.deepEqual([...new Uint8Array(payload)], [1, 2, 3])
  })

  test('httpSend to topics and events that need escaping', async t => {
    const topic = 'a/b:c d?e#f%41 ü🙂'
    const { heard } = await member(t, CURRENT, topic)
    const outsider = open(t, gateway, CURRENT).channel(topic)
    await outsider.httpSend('x/y z&ž', { n: 1 })
    assert.deepEqual(envelope(await heard.next()), { event: 'x/y z&ž', payload: { n: 1 } })
  })

  test('httpSend with a token that is not ours says why it failed', async t => {
    const stranger = CURRENT.open({ ...pick(gateway), anonKey: 'not.a.token' })
    t.after(() => stranger.close())
    await assert.rejects(stranger.channel('any').httpSend('e', {}), { message: 'Unauthorized' })
  })
})

const pick = ({ url, webSocketUrl }) => ({ url, webSocketUrl })
