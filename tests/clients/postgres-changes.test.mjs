// Changes of tables, as real clients are told of them.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { Database } from './support/database.mjs'
import { Gateway } from './support/gateway.mjs'
import { Inbox } from './support/inbox.mjs'
import {
  CURRENT,
  LIBRARIES,
  joinPhoenix,
  listen,
  open,
  openPhoenix,
  subscribe,
  subscribed,
  watch
} from './support/libraries.mjs'
import { freshTopic } from './support/topics.mjs'

let gateway
let database

before(async () => {
  gateway = await Gateway.dev()
  database = new Database(gateway.databaseUrl)
  await database.run(`
    create table public.todos (id bigint primary key, title text, done boolean default false);
    create table public.notes (id int primary key, body text);
    alter table public.notes replica identity full;
    create table public.unpublished (id int primary key);
    create schema other;
    grant usage on schema other to anon, authenticated;
    create table other.things (id int primary key);
    create table public.kinds (
      id bigint primary key, small int2, amount numeric, ratio float8, truth boolean, doc json, bin jsonb, words text,
      at timestamp, atz timestamptz, day date, list int4[], who uuid, nothing text);
    grant select on all tables in schema public, other to anon, authenticated;
    alter publication supabase_realtime add table
      public.todos, public.notes, public.kinds, other.things`)
})

after(async () => {
  await database?.close()
  await gateway?.stop()
})

/** A channel with one inbox per binding, subscribed. */
async function watchers(t, library, ...bindings) {
  const channel = open(t, gateway, library).channel(freshTopic())
  const system = listen(channel, 'system', {})
  const inboxes = bindings.map(binding => listen(channel, 'postgres_changes', binding))
  await subscribe(channel)
  return { channel, system, inboxes }
}

let lastId = 0
const freshId = () => ++lastId

const todo = (id, title) => database.run(`insert into public.todos values (${id}, '${title}')`)

for (const library of LIBRARIES) {
  describe(library.name, () => {
    test('an INSERT arrives with its row', async t => {
      const { inboxes } = await watchers(t, library, { event: 'INSERT', schema: 'public', table: 'todos' })
      const id = freshId()
      await todo(id, 'write tests')
      const { commit_timestamp, ...change } = await inboxes[0].next()
      assert.deepEqual(change, {
        schema: 'public',
        table: 'todos',
        eventType: 'INSERT',
        new: { id, title: 'write tests', done: false },
        old: {},
        errors: null
      })
      assert.match(commit_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
    })

    test('an UPDATE arrives with the new row and the old key', async t => {
      const id = freshId()
      await todo(id, 'draft')
      const { inboxes } = await watchers(t, library, { event: 'UPDATE', schema: 'public', table: 'todos' })
      await database.run(`update public.todos set done = true where id = ${id}`)
      const change = await inboxes[0].next()
      assert.equal(change.eventType, 'UPDATE')
      assert.deepEqual(change.new, { id, title: 'draft', done: true })
      assert.deepEqual(change.old, { id })
    })

    test('an UPDATE arrives with the whole old row if the table records it', async t => {
      const id = freshId()
      await database.run(`insert into public.notes values (${id}, 'before')`)
      const { inboxes } = await watchers(t, library, { event: 'UPDATE', schema: 'public', table: 'notes' })
      await database.run(`update public.notes set body = 'after' where id = ${id}`)
      const change = await inboxes[0].next()
      assert.deepEqual(change.new, { id, body: 'after' })
      assert.deepEqual(change.old, { id, body: 'before' })
    })

    test('a DELETE arrives with the old key', async t => {
      const id = freshId()
      await todo(id, 'short-lived')
      const { inboxes } = await watchers(t, library, { event: 'DELETE', schema: 'public', table: 'todos' })
      await database.run(`delete from public.todos where id = ${id}`)
      const change = await inboxes[0].next()
      assert.equal(change.eventType, 'DELETE')
      assert.deepEqual(change.new, {})
      assert.deepEqual(change.old, { id })
    })

    test('values have the types that applications know', async t => {
      const { inboxes } = await watchers(t, library, { event: 'INSERT', schema: 'public', table: 'kinds' })
      const id = freshId()
      await database.run(`insert into public.kinds values (
        ${id}, -7, 12.50, 0.25, true, '{"a": [1, null]}', '{"b": "c"}', '[1,2]',
        '2026-02-28 12:34:56.123456', '2026-02-28 12:34:56.5+02', '2026-02-28', '{1,2,3}',
        '6f1f3f1e-0d4c-4b0e-9a51-0d6f1d9b2a11', null)`)
      assert.deepEqual((await inboxes[0].next()).new, {
        id,
        small: -7,
        amount: 12.5,
        ratio: 0.25,
        truth: true,
        doc: { a: [1, null] },
        bin: { b: 'c' },
        words: '[1,2]',
        at: '2026-02-28T12:34:56.123456',
        atz: '2026-02-28T10:34:56.5+00:00',
        day: '2026-02-28',
        list: [1, 2, 3],
        who: '6f1f3f1e-0d4c-4b0e-9a51-0d6f1d9b2a11',
        nothing: null
      })
    })

    test('a binding on every event hears all three, in the order of the commits', async t => {
      const { inboxes } = await watchers(t, library, { event: '*', schema: 'public', table: 'todos' })
      const id = freshId()
      await todo(id, 'whole life')
      await database.run(`update public.todos set title = 'middle' where id = ${id}`)
      await database.run(`delete from public.todos where id = ${id}`)
      for (const eventType of ['INSERT', 'UPDATE', 'DELETE']) {
        assert.equal((await inboxes[0].next()).eventType, eventType)
      }
    })

    test('two bindings on one channel each hear their own', async t => {
      const { inboxes } = await watchers(
        t,
        library,
        { event: 'INSERT', schema: 'public', table: 'todos' },
        { event: 'INSERT', schema: 'public', table: 'notes' }
      )
      const id = freshId()
      await todo(id, 'one')
      await database.run(`insert into public.notes values (${id}, 'two')`)
      assert.equal((await inboxes[0].next()).table, 'todos')
      assert.equal((await inboxes[1].next()).table, 'notes')
      assert.deepEqual(
        inboxes.map(({ all }) => all.length),
        [1, 1]
      )
    })

    test('a change that two bindings match is told once to each', async t => {
      const { inboxes } = await watchers(
        t,
        library,
        { event: '*', schema: 'public', table: 'todos' },
        { event: 'INSERT', schema: 'public', table: 'todos' },
        { event: 'INSERT', schema: 'public', table: 'notes' }
      )
      const id = freshId()
      await todo(id, 'once')
      await database.run(`insert into public.notes values (${id}, 'the end')`)
      await inboxes[2].next()
      assert.deepEqual(
        inboxes.map(({ all }) => all.length),
        [1, 1, 1]
      )
    })

    test('a binding on a schema hears its tables and no others', async t => {
      const { inboxes } = await watchers(
        t,
        library,
        { event: 'INSERT', schema: 'other' },
        { event: 'INSERT', schema: 'public', table: 'todos' }
      )
      const id = freshId()
      await database.run(`insert into other.things values (${id})`)
      await todo(id, 'not yours')
      assert.deepEqual((await inboxes[0].next()).new, { id })
      await inboxes[1].next()
      assert.equal(inboxes[0].all.length, 1)
    })

    test('a binding on every schema hears published tables of all of them', async t => {
      const { inboxes } = await watchers(t, library, { event: '*', schema: '*' })
      const id = freshId()
      await database.run(`insert into other.things values (${id})`)
      await todo(id, 'also')
      assert.equal((await inboxes[0].next()).schema, 'other')
      assert.equal((await inboxes[0].next()).schema, 'public')
    })

    test('a filter lets through what it matches', async t => {
      const [first, second] = [freshId(), freshId()]
      const on = filter => ({ event: '*', schema: 'public', table: 'todos', filter })
      const { inboxes } = await watchers(
        t,
        library,
        on(`id=eq.${second}`),
        on(`id=in.(${first},${second})`),
        on('title=neq.first'),
        { event: 'INSERT', schema: 'public', table: 'notes' }
      )
      await todo(first, 'first')
      await todo(second, 'second')
      await database.run(`insert into public.notes values (${first}, 'the end')`)
      await inboxes[3].next()
      const heard = inboxes.slice(0, 3).map(({ all }) => all.map(change => change.new.title))
      assert.deepEqual(heard, [['second'], ['first', 'second'], ['second']])
    })

    test('a filter that cannot be read is a system error', async t => {
      const { system } = await watchers(t, library, {
        event: '*',
        schema: 'public',
        table: 'todos',
        filter: 'nonsense'
      })
      const { status, message } = await system.next()
      assert.equal(status, 'error')
      assert.match(message, /^Error parsing `filter` params: \["nonsense"\]/)
    })

    test('SUBSCRIBED is true: an INSERT issued right after it arrives, a hundred times', async t => {
      const client = open(t, gateway, library)
      for (let round = 0; round < 100; round++) {
        const id = freshId()
        const channel = client.channel(freshTopic())
        const inserts = listen(channel, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'todos' })
        const inserted = new Promise((resolve, reject) => {
          channel.subscribe((status, error) => {
            if (status === 'SUBSCRIBED') todo(id, `round ${round}`).then(resolve, reject)
            if (status === 'CHANNEL_ERROR') reject(error ?? new Error(status))
          })
        })
        await inserted
        await inserts.next(change => change.new.id === id, `the row of round ${round}`)
        assert.equal(await client.removeChannel(channel), 'ok')
      }
    })

    test('an unpublished table is a system error, and the channel goes on', async t => {
      const topic = freshTopic()
      const channel = open(t, gateway, library).channel(topic, { broadcast: { self: true } })
      const system = listen(channel, 'system', {})
      const heard = listen(channel, 'broadcast', { event: '*' })
      listen(channel, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'unpublished' })
      await subscribe(channel)
      const { message, ...notice } = await system.next()
      assert.deepEqual(notice, { extension: 'postgres_changes', status: 'error', channel: topic })
      assert.match(message, /^Unable to subscribe to changes with given parameters\. Please check Realtime is enabled/)
      assert.match(message, /table: unpublished/)
      await channel.send({ type: 'broadcast', event: 'still here', payload: {} })
      assert.equal((await heard.next()).event, 'still here')
    })

    test('the message that the subscription is live comes after SUBSCRIBED', async t => {
      const { channel, system } = await watchers(t, library, { event: '*', schema: 'public', table: 'todos' })
      assert.deepEqual(await system.next(), {
        extension: 'postgres_changes',
        status: 'ok',
        message: 'Subscribed to PostgreSQL',
        channel: channel.subTopic
      })
    })
  })
}

test('a binding that selects columns is told of those', async t => {
  const binding = { event: 'INSERT', schema: 'public', table: 'todos', select: ['id', 'title'] }
  const { inboxes } = await watchers(t, CURRENT, binding)
  const id = freshId()
  await todo(id, 'two columns')
  assert.deepEqual((await inboxes[0].next()).new, { id, title: 'two columns' })
})

test('clients of both protocols on one topic are told of one change, each in its framing', async t => {
  const topic = freshTopic()
  const inboxes = []
  for (const library of LIBRARIES) {
    const channel = open(t, gateway, library).channel(topic)
    inboxes.push(listen(channel, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'todos' }))
    await subscribe(channel)
  }
  const id = freshId()
  await todo(id, 'for everybody')
  for (const inbox of inboxes) assert.equal((await inbox.next()).new.id, id)
})

test('what was committed before SUBSCRIBED is not told', async t => {
  const client = open(t, gateway, CURRENT)
  for (let round = 0; round < 50; round++) {
    const [before, after] = [freshId(), freshId()]
    await todo(before, 'before')
    const channel = client.channel(freshTopic())
    const inserts = listen(channel, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'todos' })
    await subscribe(channel)
    await todo(after, 'after')
    assert.equal((await inserts.next()).new.id, after)
    assert.equal(await client.removeChannel(channel), 'ok')
  }
})

test('a client that leaves is told of no more changes', async t => {
  const client = open(t, gateway, CURRENT)
  const [leaving, staying] = [client.channel(freshTopic()), client.channel(freshTopic())]
  const binding = { event: 'INSERT', schema: 'public', table: 'todos' }
  const [left, stayed] = [leaving, staying].map(channel => listen(channel, 'postgres_changes', binding))
  await subscribe(leaving)
  await subscribe(staying)
  assert.equal(await leaving.unsubscribe(), 'ok')
  await todo(freshId(), 'unheard')
  await stayed.next()
  assert.deepEqual(left.all, [])
})

test('changes go on after the gateway was killed and started again', async t => {
  const channel = open(t, gateway, CURRENT).channel(freshTopic())
  const inserts = listen(channel, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'todos' })
  const statuses = watch(channel)
  await subscribed(statuses)
  await database.close()
  await gateway.signal('SIGTERM')
  await gateway.start()
  await subscribed(statuses)
  database = new Database(gateway.databaseUrl)
  const id = freshId()
  await todo(id, 'after the restart')
  assert.equal((await inserts.next()).new.id, id)
})

for (const vsn of ['1.0.0', '2.0.0']) {
  test(`the stock Phoenix client on ${vsn} is told of changes`, async t => {
    const binding = { event: 'INSERT', schema: 'public', table: 'todos' }
    const config = { postgres_changes: [binding] }
    const channel = openPhoenix(t, gateway, vsn).channel(`realtime:${freshTopic()}`, { config })
    const changes = new Inbox('phoenix changes')
    channel.on('postgres_changes', changes.add)
    const {
      postgres_changes: [{ id: bindingId, ...echoed }]
    } = await joinPhoenix(channel)
    assert.deepEqual(echoed, binding)
    const id = freshId()
    await todo(id, 'plain')
    const { ids, data } = await changes.next()
    assert.deepEqual(ids, [bindingId])
    assert.deepEqual(data.record, { id, title: 'plain', done: false })
  })

  test(`a join without config on ${vsn} names its table in the topic`, async t => {
    const channel = openPhoenix(t, gateway, vsn).channel('realtime:public:todos', {})
    const inserts = new Inbox('inserts')
    channel.on('INSERT', inserts.add)
    await joinPhoenix(channel)
    const id = freshId()
    await todo(id, 'in the old way')
    const change = await inserts.next()
    assert.equal(change.type, 'INSERT')
    assert.deepEqual(change.record, { id, title: 'in the old way', done: false })
    assert.equal('ids' in change, false)
  })
}
