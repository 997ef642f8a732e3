// Private channels and broadcasts from the database, between real clients on the server a newcomer starts.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { Database } from './support/database.mjs'
import { Gateway } from './support/gateway.mjs'
import { LIBRARIES, listen, open, subscribe, watch } from './support/libraries.mjs'
import { freshTopic } from './support/topics.mjs'

let gateway
let database
before(async () => {
  gateway = await Gateway.dev()
  database = new Database(gateway.databaseUrl)
  await database.run(`
    create policy members_read on realtime.messages for select to anon, authenticated
      using (realtime.topic() like 'open:%');
    create policy members_write on realtime.messages for insert to anon, authenticated
      with check (realtime.topic() like 'open:%' and realtime.topic() not like '%:read-only')`)
})
after(async () => {
  await database?.close()
  await gateway?.stop()
})

const openTopic = () => `open:${freshTopic()}`

async function member(t, library, topic, config = {}) {
  const channel = open(t, gateway, library).channel(topic, { private: true, ...config })
  const heard = listen(channel, 'broadcast', { event: '*' })
  await subscribe(channel)
  return { channel, heard, send: (event, payload) => channel.send({ type: 'broadcast', event, payload }) }
}

for (const library of LIBRARIES) {
  describe(library.name, () => {
    test('members of a private topic hear each other', async t => {
      const topic = openTopic()
      const [ann, ben] = [await member(t, library, topic), await member(t, library, topic)]
      await ann.send('greeting', { from: 'ann' })
      assert.equal((await ben.heard.next()).payload.from, 'ann')
    })

    test('whoever may not read is refused with the reason', async t => {
      const channel = open(t, gateway, library).channel('closed', { private: true })
      const refused = await watch(channel).next(({ status }) => status === 'CHANNEL_ERROR', 'a refusal')
      assert.match(String(refused.message), /Unauthorized/)
    })

    test('what SQL sends arrives, in the order of the commits', async t => {
      const topic = openTopic()
      const { heard } = await member(t, library, topic)
      for (let n = 1; n <= 3; n++) {
        await database.run(`select realtime.send('{"n": ${n}}', 'news', '${topic}', true)`)
      }
      for (let n = 1; n <= 3; n++) {
        const { event, payload } = await heard.next()
        assert.equal(event, 'news')
        assert.equal(payload.n, n)
      }
    })
  })
}

test('a write that is not allowed is silent, and a public topic of the same name is another', async t => {
  const [library] = LIBRARIES
  const topic = `${openTopic()}:read-only`
  const [ann, ben] = [await member(t, library, topic), await member(t, library, topic)]
  await ann.send('never', {})
  const stranger = open(t, gateway, library).channel(topic)
  const overheard = listen(stranger, 'broadcast', { event: '*' })
  await subscribe(stranger)
  await stranger.send({ type: 'broadcast', event: 'from outside', payload: {} })
  await database.run(`select realtime.send('{}', 'mark', '${topic}', true)`)
  assert.equal((await ben.heard.next()).event, 'mark', 'nothing came before')
  assert.equal(overheard.all.length, 0)
})
