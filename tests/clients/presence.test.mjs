// Who is there, as real clients see it.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { Presence } from 'phoenix'

import { Gateway } from './support/gateway.mjs'
import { Inbox } from './support/inbox.mjs'
import { CURRENT, LIBRARIES, joinPhoenix, listen, open, openPhoenix, settle, subscribe } from './support/libraries.mjs'
import { freshTopic } from './support/topics.mjs'

let gateway
before(async () => (gateway = await Gateway.serve()))
after(() => gateway?.stop())

/** A joined channel with presence, under `key` or one the gateway makes up. */
async function member(t, library, topic, key = '') {
  const client = open(t, gateway, library)
  const channel = client.channel(topic, { presence: { key, enabled: true } })
  const [syncs, joins, leaves] = ['sync', 'join', 'leave'].map(event => listen(channel, 'presence', { event }))
  await subscribe(channel)
  return {
    client,
    channel,
    joins,
    leaves,
    /** Waits until the members and what they track, without their refs, are these. */
    sees: async expected => {
      const same = () => isDeepEqual(present(channel), expected)
      await syncs.until(same, `${JSON.stringify(expected)}, not ${JSON.stringify(present(channel))}`)
    }
  }
}

const isDeepEqual = (actual, expected) => {
  try {
    assert.deepEqual(actual, expected)
    return true
  } catch {
    return false
  }
}

const present = channel =>
  Object.fromEntries(
    Object.entries(channel.presenceState()).map(([key, metas]) => [key, metas.map(({ presence_ref, ...meta }) => meta)])
  )

for (const library of LIBRARIES) {
  describe(library.name, () => {
    test('who tracks is seen by everybody and by itself', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic, 'ann'), await member(t, library, topic, 'ben')]
      assert.equal(await ann.channel.track({ mood: 'fine' }), 'ok')
      await ann.sees({ ann: [{ mood: 'fine' }] })
      await ben.sees({ ann: [{ mood: 'fine' }] })
      const { key, newPresences } = await ben.joins.next()
      assert.deepEqual([key, newPresences.map(({ mood }) => mood)], ['ann', ['fine']])
    })

    test('an update replaces what was tracked', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic, 'ann'), await member(t, library, topic, 'ben')]
      await ann.channel.track({ typing: false })
      await ben.sees({ ann: [{ typing: false }] })
      await ann.channel.track({ typing: true })
      await ben.sees({ ann: [{ typing: true }] })
      await ann.sees({ ann: [{ typing: true }] })
    })

    test('who untracks is gone and still hears of others', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic, 'ann'), await member(t, library, topic, 'ben')]
      await ann.channel.track({})
      await ben.sees({ ann: [{}] })
      assert.equal(await ann.channel.untrack(), 'ok')
      await ben.sees({})
      assert.equal((await ben.leaves.next()).key, 'ann')
      await ben.channel.track({})
      await ann.sees({ ben: [{}] })
    })

    test('who comes late gets the state', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic, 'ann'), await member(t, library, topic, 'ben')]
      await ann.channel.track({ seat: 1 })
      await ben.channel.track({ seat: 2 })
      const cid = await member(t, library, topic, 'cid')
      await cid.sees({ ann: [{ seat: 1 }], ben: [{ seat: 2 }] })
    })

    test('two tabs with one key are two presences, and one is left when the other closes', async t => {
      const topic = freshTopic()
      const [left, right] = [await member(t, library, topic, 'ann'), await member(t, library, topic, 'ann')]
      const ben = await member(t, library, topic, 'ben')
      await left.channel.track({ tab: 'left' })
      await ben.sees({ ann: [{ tab: 'left' }] })
      await right.channel.track({ tab: 'right' })
      await ben.sees({ ann: [{ tab: 'left' }, { tab: 'right' }] })
      await left.client.close()
      await ben.sees({ ann: [{ tab: 'right' }] })
    })

    test('a member without a key gets one of its own', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic), await member(t, library, topic)]
      await ann.channel.track({ who: 'ann' })
      await ben.joins.next()
      await ben.channel.track({ who: 'ben' })
      await ben.joins.next()
      const keys = Object.keys(ben.channel.presenceState())
      assert.equal(new Set(keys).size, 2)
      assert.ok(keys.every(key => key.length > 0))
    })

    test('a connection that breaks shows as a leave', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic, 'ann'), await member(t, library, topic, 'ben')]
      await ann.channel.track({})
      await ben.sees({ ann: [{}] })
      breakConnection(ann.client)
      assert.equal((await ben.leaves.next()).key, 'ann')
      await ben.sees({})
    })

    test('leaving the channel shows as a leave', async t => {
      const topic = freshTopic()
      const [ann, ben] = [await member(t, library, topic, 'ann'), await member(t, library, topic, 'ben')]
      await ann.channel.track({})
      await ben.sees({ ann: [{}] })
      assert.equal(await ann.channel.unsubscribe(), 'ok')
      await ben.sees({})
    })
  })
}

/** Drops the TCP connection, without a close frame. */
function breakConnection({ realtime }) {
  const connection = realtime.conn ?? realtime.socketAdapter.getSocket().conn
  connection.terminate()
}

test('without presence a member sees nobody and is seen by others once it tracks', async t => {
  const topic = freshTopic()
  const ben = await member(t, CURRENT, topic, 'ben')
  await ben.channel.track({})
  const blind = open(t, gateway, CURRENT).channel(topic, { presence: { key: 'blind', enabled: false } })
  await subscribe(blind)
  assert.equal(await blind.track({ seen: true }), 'ok')
  await ben.sees({ ben: [{}], blind: [{ seen: true }] })
  assert.deepEqual(blind.presenceState(), {})
})

test('members that speak different protocols see each other', async t => {
  const topic = freshTopic()
  const [current, old] = [await member(t, LIBRARIES[0], topic, 'new'), await member(t, LIBRARIES[1], topic, 'old')]
  await current.channel.track({ n: 2 })
  await old.channel.track({ n: 1 })
  await current.sees({ new: [{ n: 2 }], old: [{ n: 1 }] })
  await old.sees({ new: [{ n: 2 }], old: [{ n: 1 }] })
})

for (const vsn of ['1.0.0', '2.0.0']) {
  test(`the presence of the stock Phoenix client on ${vsn} follows`, async t => {
    const topic = freshTopic()
    const config = { presence: { key: 'phoenix', enabled: true } }
    const channel = openPhoenix(t, gateway, vsn).channel(`realtime:${topic}`, { config })
    const presence = new Presence(channel)
    const syncs = new Inbox('phoenix syncs')
    presence.onSync(syncs.add)
    await joinPhoenix(channel)
    await settle(channel.push('presence', { type: 'presence', event: 'track', payload: { n: 1 } }))
    const ben = await member(t, CURRENT, topic, 'ben')
    await ben.channel.track({})
    await ben.sees({ phoenix: [{ n: 1 }], ben: [{}] })
    await syncs.until(() => presence.list().length === 2, 'two members')
    assert.deepEqual(presence.list(key => key).sort(), ['ben', 'phoenix'])
    await ben.channel.untrack()
    await syncs.until(() => presence.list().length === 1, 'one member')
  })
}
