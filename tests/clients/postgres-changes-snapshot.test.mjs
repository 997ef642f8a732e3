// Bindings with `snapshot: true`: the rows that are there, then the changes, as one story.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { Database } from './support/database.mjs'
import { FENCE, Follower, brief, heardBriefly, raiseFence } from './support/follow.mjs'
import { Gateway } from './support/gateway.mjs'
import { LIBRARIES, open, subscribed } from './support/libraries.mjs'

const ANN = 'a0000000-0000-4000-8000-000000000001'
const BOB = 'b0000000-0000-4000-8000-000000000002'
const ROWS_MAX = 100

let gateway
let database

before(async () => {
  gateway = await Gateway.dev('--snapshot-rows-max', String(ROWS_MAX))
  database = new Database(gateway.databaseUrl)
  await script(`${FENCE}
    create table public.busy (id bigint primary key, version int not null default 1);
    create sequence public.ids;
    grant select on public.busy to anon;
    alter publication supabase_realtime add table public.busy`)
})

after(async () => {
  await database?.close()
  await gateway?.stop()
})

const script = sql => Database.script(gateway.databaseUrl, sql)

let lastTable = 0

/** A new table, published; `sql` may name it `$`. */
async function table(columns, sql) {
  const name = `listed_${++lastTable}`
  const run = sql => script(sql.replaceAll('$', `public.${name}`))
  await run(`create table $ (${columns}); grant select on $ to anon, authenticated;
    alter publication supabase_realtime add table $; ${sql}`)
  return { name, run, binding: { event: '*', schema: 'public', table: name, snapshot: true } }
}

/** Changes of the first binding that came in the snapshot, and those after it, as the gateway sent them. */
function parts(follower, name) {
  const all = follower.client.messages.all
    .filter(({ event, payload }) => event === 'postgres_changes' && payload.data.table === name)
    .map(({ payload }) => payload.data)
  const count = all.findIndex(({ snapshot }) => !snapshot)
  const rows = count < 0 ? all : all.slice(0, count)
  const changes = all.slice(rows.length)
  assert.ok(
    changes.every(({ snapshot }) => snapshot === undefined),
    'the rows come before any change'
  )
  return { rows, changes }
}

for (const library of LIBRARIES) {
  test(`${library.name}: rows come first, in the order of the key and shaped like an INSERT, then changes`, async t => {
    const { name, run, binding } = await table(
      'id bigint primary key, body text',
      `insert into $ values (3, 'c'), (1, 'a'), (2, null); update $ set body = 'b' where id = 2`
    )
    const follower = await Follower.open(t, gateway, [binding], { library })
    assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
    await run(`insert into $ values (4, 'd'); update $ set body = 'aa' where id = 1; delete from $ where id = 3`)
    assert.deepEqual(await heardBriefly(database, follower), [
      ['INSERT 1', 'INSERT 2', 'INSERT 3', 'INSERT 4', 'UPDATE 1', 'DELETE 3']
    ])
    const [first] = follower.inboxes[0].all
    assert.deepEqual(first, {
      schema: 'public',
      table: name,
      eventType: 'INSERT',
      commit_timestamp: null,
      new: { id: 1, body: 'a' },
      old: {},
      errors: null
    })
    const { rows, changes } = parts(follower, name)
    assert.deepEqual([rows.length, changes.length], [3, 3])
    assert.deepEqual(rows[0].columns, [
      { name: 'id', type: 'int8' },
      { name: 'body', type: 'text' }
    ])
  })
}

test('none is missing and none comes twice while others write: rows and changes together are the table', async t => {
  const transaction = `begin;
    insert into public.busy (id) select nextval('public.ids') from generate_series(1, 2);
    update public.busy set version = version + 1 where id in (select id from public.busy order by random() limit 3);
    delete from public.busy where id in (select id from public.busy order by id limit 3) and (select count(*) from public.busy) > 40;
    commit`
  let isStopped = false
  const write = async () => {
    const writer = new Database(gateway.databaseUrl)
    while (!isStopped) await writer.run(transaction).catch(() => writer.run('rollback'))
    await writer.close()
  }
  const writing = [write(), write()]
  const followers = []
  const client = open(t, gateway, LIBRARIES[0])
  try {
    await database.until('select count(*) from public.busy', ([count]) => Number(count) > 30)
    const binding = { event: '*', schema: 'public', table: 'busy', snapshot: true }
    for (let round = 0; round < 15; round++) followers.push(await Follower.open(t, gateway, [binding], { client }))
    const more = Array.from({ length: 10 }, () => Follower.open(t, gateway, [binding], { client }))
    followers.push(...(await Promise.all(more)))
  } finally {
    isStopped = true
    await Promise.all(writing)
  }
  const fence = await raiseFence(database)
  const rows = await database.run('select id || $$ $$ || version from public.busy order by id')
  for (const follower of followers) {
    const known = new Map()
    const [changes] = await follower.upTo(fence)
    for (const change of changes) {
      const { eventType, new: row, old } = change
      const { id, version } = row
      if (eventType === 'INSERT') {
        assert.equal(known.has(id), false, `${brief(change)} came twice`)
        known.set(id, version)
      } else if (eventType === 'UPDATE') {
        assert.equal(known.get(id) + 1, version, `${brief(change)} follows on what was known`)
        known.set(id, version)
      } else {
        assert.ok(known.delete(old.id), `${brief(change)} of a row that was known`)
      }
    }
    const result = [...known].sort(([a], [b]) => a - b).map(([id, version]) => `${id} ${version}`)
    assert.deepEqual(result, rows)
  }
})

test('a filter and a list of columns are those of the changes', async t => {
  const { run, binding } = await table(
    'id bigint primary key, kind text, body text',
    `insert into $ select id, (array['a', 'b'])[1 + id % 2], 'text' from generate_series(1, 6) as id`
  )
  const followers = []
  for (const more of [
    { filter: 'kind=eq.b' },
    { filter: 'kind=match.^B$', select: ['kind'] },
    { filter: 'kind=imatch.^B$', select: ['kind'] },
    { event: 'DELETE' },
    { event: 'INSERT', filter: 'id=gt.4' }
  ]) {
    followers.push(await Follower.open(t, gateway, [{ ...binding, ...more }]))
  }
  await run(`insert into $ values (7, 'a', 'new'), (8, 'b', 'new'); delete from $ where id = 1`)
  const [filtered, none, selected, deletes, inserts] = await heardBriefly(database, ...followers)
  assert.deepEqual(filtered, ['INSERT 1', 'INSERT 3', 'INSERT 5', 'INSERT 8'])
  assert.deepEqual(none, [])
  assert.deepEqual(selected, filtered)
  assert.deepEqual(followers[2].inboxes[0].all[0].new, { id: 1, kind: 'b' })
  assert.deepEqual(deletes, ['DELETE 1'])
  assert.deepEqual(inserts, ['INSERT 5', 'INSERT 6', 'INSERT 7', 'INSERT 8'])
})

test('of several bindings each gets its own rows, and those without the key only changes', async t => {
  const { run, binding } = await table('id bigint primary key, kind text', `insert into $ values (1, 'a'), (2, 'b')`)
  const { snapshot: _, ...plain } = binding
  const follower = await Follower.open(t, gateway, [
    binding,
    { ...binding, filter: 'kind=eq.b' },
    { ...plain, filter: 'id=gt.0' }
  ])
  await run(`insert into $ values (3, 'b')`)
  const heard = await follower.upTo(await raiseFence(database))
  assert.deepEqual(
    heard.map(changes => changes.map(brief)),
    [['INSERT 1', 'INSERT 2', 'INSERT 3'], ['INSERT 2', 'INSERT 3'], ['INSERT 3']]
  )
})

test('under row level security users get the rows that they see, and columns that they may select', async t => {
  const rows = `(1, '${ANN}', 'x'), (2, '${BOB}', 'x'), (3, '${ANN}', 'x'), (4, null, 'x')`
  const policies = [
    'create policy own on $ for select to authenticated using (owner = auth.uid())',
    `create policy own on $ for select to authenticated using
       (exists (select from auth.uid() as me where me = owner))`
  ]
  for (const policy of policies) {
    const { run, binding } = await table(
      'id bigint primary key, owner uuid, secret text',
      `alter table $ enable row level security; ${policy}; revoke select on $ from anon, authenticated;
       grant select (id, owner) on $ to anon, authenticated; insert into $ values ${rows}`
    )
    const tokens = [ANN, BOB].map(sub => gateway.token('authenticated', { sub }))
    const followers = []
    for (const token of [...tokens, undefined]) followers.push(await Follower.open(t, gateway, [binding], { token }))
    await run(`insert into $ values (5, '${BOB}', 'x'), (6, '${ANN}', 'x')`)
    assert.deepEqual(await heardBriefly(database, ...followers), [
      ['INSERT 1', 'INSERT 3', 'INSERT 6'],
      ['INSERT 2', 'INSERT 5'],
      []
    ])
    assert.deepEqual(followers[0].inboxes[0].all[0].new, { id: 1, owner: ANN })
  }
})

test('a new token does not bring the rows again, a new connection does', async t => {
  const { run, binding } = await table(
    'id bigint primary key, owner uuid',
    `alter table $ enable row level security;
     create policy own on $ for select to authenticated using (owner = auth.uid());
     insert into $ values (1, '${ANN}'), (2, '${BOB}')`
  )
  const [ann, bob] = [ANN, BOB].map(sub => gateway.token('authenticated', { sub }))
  const follower = await Follower.open(t, gateway, [binding], { token: ann, reconnectAfterMs: () => 100 })
  assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
  await follower.client.setToken(bob)
  assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
  await run(`insert into $ values (3, '${BOB}')`)
  assert.deepEqual(await heardBriefly(database, follower), [['INSERT 1', 'INSERT 3']])
  follower.client.drop()
  await subscribed(follower.statuses)
  await run(`insert into $ values (4, '${BOB}')`)
  assert.deepEqual(await heardBriefly(database, follower), [['INSERT 2', 'INSERT 3', 'INSERT 4']])
})

test('a snapshot has an end, and says so', async t => {
  const { name, run, binding } = await table(
    'id bigint primary key',
    `insert into $ select generate_series(1, ${ROWS_MAX + 20})`
  )
  const follower = await Follower.open(t, gateway, [binding])
  const notice = `The snapshot of public.${name} ends after ${ROWS_MAX} rows: there are more`
  const { status } = await follower.system.next(({ message }) => message === notice, notice)
  assert.equal(status, 'error')
  await run('insert into $ values (1000)')
  const [changes] = await heardBriefly(database, follower)
  assert.equal(changes.length, ROWS_MAX + 1)
  assert.deepEqual(changes.slice(-2), [`INSERT ${ROWS_MAX}`, 'INSERT 1000'])

  const exact = await table('id bigint primary key', `insert into $ select generate_series(1, ${ROWS_MAX})`)
  const whole = await Follower.open(t, gateway, [exact.binding])
  assert.equal((await heardBriefly(database, whole))[0].length, ROWS_MAX)
  assert.deepEqual(
    whole.system.all.map(({ message }) => message),
    ['Subscribed to PostgreSQL']
  )
})

test('a snapshot needs a table', async t => {
  for (const names of [
    { schema: 'public' },
    { schema: 'public', table: '*' },
    { table: 'busy' },
    { schema: '*', table: 'busy' }
  ]) {
    const follower = await Follower.open(t, gateway, [{ event: '*', snapshot: true, ...names }])
    const { status, message } = await follower.system.next()
    assert.equal(status, 'error', message)
    assert.match(message, /snapshot/i)
  }
})

test('SUBSCRIBED is true with a snapshot: a row inserted right after it comes once, fifty times', async t => {
  const { binding, name } = await table('id bigint primary key', '')
  const client = open(t, gateway, LIBRARIES[0])
  for (let round = 0; round < 50; round++) {
    const follower = await Follower.open(t, gateway, [binding], { client })
    await database.run(`insert into public.${name} values (${round})`)
    const [changes] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      changes.map(brief),
      Array.from({ length: round + 1 }, (_, id) => `INSERT ${id}`)
    )
    assert.equal(await client.removeChannel(follower.channel), 'ok')
  }
})
