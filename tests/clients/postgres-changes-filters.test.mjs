// Which changes a binding matches: names, events, filters, selected columns. What a filter lets through is compared with what
// a query of the database finds.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { postgresChangesFilter } from '@supabase/supabase-js'

import { Database } from './support/database.mjs'
import { FENCE, Follower, brief, heardBy, raiseFence } from './support/follow.mjs'
import { Gateway } from './support/gateway.mjs'
import { CURRENT, LIBRARIES, OLD, open } from './support/libraries.mjs'

let gateway
let database

before(async () => {
  gateway = await Gateway.dev()
  database = new Database(gateway.databaseUrl)
  await script(`${FENCE}
    create type public.mood as enum ('sad', 'ok', 'happy');
    create domain public.positive as int check (value > 0);
    create table public.samples (
      id int primary key, n int, big bigint, small smallint, num numeric, f float8, r real, t text, v varchar(20), c char(4),
      nm name, b boolean, u uuid, d date, ts timestamp, tz timestamptz, e public.mood, dom public.positive, arr int[],
      texts text[], j jsonb, bytes bytea, tm time, iv interval, ip inet, "odd name" int);
    alter table public.samples replica identity full;
    create table public.keyed (id int primary key, t text);
    create table public.my_table (id int primary key);
    create table public.myxtable (id int primary key);
    create table public."Capital" (id int primary key);
    create schema other; grant usage on schema other to anon;
    create table other.keyed (id int primary key);
    create table other.my_table (id int primary key);
    create table public.unpublished (id int primary key);
    create table public.toasted (id int primary key, kind text, body text);
    grant select on all tables in schema public, other to anon;
    alter publication supabase_realtime add table public.samples, public.keyed, public.my_table, public.myxtable,
      public."Capital", public.toasted, other.keyed, other.my_table`)
})

after(async () => {
  await database?.close()
  await gateway?.stop()
})

const script = sql => Database.script(gateway.databaseUrl, sql)

/** A channel that follows `bindings`, which are accepted. */
async function follow(t, ...bindings) {
  const follower = await Follower.open(t, gateway, bindings)
  assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
  return follower
}

const on = (table, more) => ({ event: '*', schema: 'public', table, ...more })

const finite = column => `(case when ${column} in ('NaN', 'Infinity', '-Infinity') then null else ${column} end)`

/** Filters, and the condition of SQL that says the same. What is neither true nor false lets nothing through. */
const FILTERS = {
  'n=eq.5': 'n = 5',
  'n=not.eq.5': 'not (n = 5)',
  'n=neq.5': 'n <> 5',
  'n=not.neq.5': 'not (n <> 5)',
  'n=lt.5': 'n < 5',
  'n=lte.5': 'n <= 5',
  'n=gt.5': 'n > 5',
  'n=gte.5': 'n >= 5',
  'n=not.gte.5': 'not (n >= 5)',
  'n=eq. 5 ': 'n = 5',
  'n=in.(1,5,7)': "n = any ('{1,5,7}')",
  'n=not.in.(1,5,7)': "not (n = any ('{1,5,7}'))",
  'n=in.(1,null)': "n = any ('{1,null}')",
  'n=not.in.(1,null)': "not (n = any ('{1,null}'))",
  'n=in.()': "n = any ('{}')",
  'n=not.in.()': "not (n = any ('{}'))",
  'n=in.( 1 , "5" )': "n = any ('{1,5}')",
  'n=is.null': 'n is null',
  'n=not.is.null': 'n is not null',
  'n=isdistinct.5': 'n is distinct from 5',
  'n=not.isdistinct.5': 'n is not distinct from 5',
  'big=gt.9007199254740992': 'big > 9007199254740992',
  'big=eq.9007199254740993': 'big = 9007199254740993',
  'small=in.(-1,1)': "small = any ('{-1,1}')",
  'num=eq.1.50': 'num = 1.50',
  'num=gt.1.49999999999999999999': `${finite('num')} > 1.49999999999999999999`,
  'num=lte.1e2': `${finite('num')} <= 1e2`,
  'num=in.(1.5,100.000)': "num = any ('{1.5,100.000}')",
  'f=gt.0.1': `${finite('f')} > 0.1`,
  'f=lt.1e300': `${finite('f')} < 1e300`,
  'f=eq.0.30000000000000004': 'f = 0.30000000000000004',
  'f=is.null': `${finite('f')} is null`,
  'f=not.eq.0': `not (${finite('f')} = 0)`,
  'r=eq.0.1': 'r = 0.1::real',
  't=eq.abc': "t = 'abc'",
  't=neq.abc': "t <> 'abc'",
  't=eq.': "t = ''",
  't=eq."a,b"': "t = 'a,b'",
  't=eq.(a,b)': "t = '(a,b)'",
  't=eq."say \\"hi\\""': `t = 'say "hi"'`,
  't=eq."C:\\new"': "t = 'C:new'",
  't=eq.C:\\new': "t = 'C:\\new'",
  't=eq.a.b.c': "t = 'a.b.c'",
  't=eq.x=y': "t = 'x=y'",
  't=eq.not.eq.5': "t = 'not.eq.5'",
  't=eq.null': "t = 'null'",
  't=eq."quoted" and more': `t = '"quoted" and more'`,
  "t=eq.it's": "t = 'it''s'",
  't=in.("a,b",abc,"null")': `t = any ('{"a,b",abc,"null"}')`,
  't=not.in.(abc,"a,b")': `not (t = any ('{abc,"a,b"}'))`,
  't=isdistinct.null': "t is distinct from 'null'",
  't=not.isdistinct.abc': "t is not distinct from 'abc'",
  't=is.null': 't is null',
  't=lt.b': "t < 'b'",
  't=gte.Z': "t >= 'Z'",
  't=like.a%': "t like 'a%'",
  't=like.a_c': "t like 'a_c'",
  't=like.a\\%%': "t like 'a\\%%'",
  't=like.*': "t like '*'",
  't=not.like.a%': "not (t like 'a%')",
  't=ilike.A%': "t ilike 'A%'",
  't=ilike.%É%': "t ilike '%É%'",
  't=not.ilike.%B%': "not (t ilike '%B%')",
  't=match.^a': "t ~ '^a'",
  't=match.^a.c$': "t ~ '^a.c$'",
  't=match.\\d{2}': "t ~ '\\d{2}'",
  't=match."^(a,b|abc)$"': "t ~ '^(a,b|abc)$'",
  't=not.match.^a': "not (t ~ '^a')",
  't=imatch.^A.C$': "t ~* '^A.C$'",
  't=not.imatch.^A': "not (t ~* '^A')",
  'v=eq.abc': "v = 'abc'",
  'v=in.(abc,x)': "v = any ('{abc,x}')",
  'v=gt.abc': "v > 'abc'",
  'c=eq.ab': "c = 'ab'::char(4)",
  'c=like.ab%': "c like 'ab%'",
  'c=in.(ab,"abcd")': "c = any ('{ab,abcd}'::char(4)[])",
  'nm=eq.abc': "nm = 'abc'",
  'nm=like.%b%': "nm like '%b%'",
  'b=eq.true': 'b = true',
  'b=eq.f': 'b = false',
  'b=is.true': 'b is true',
  'b=is.false': 'b is false',
  'b=is.unknown': 'b is unknown',
  'b=not.is.true': 'b is not true',
  'b=isdistinct.true': 'b is distinct from true',
  'u=eq.A0000000-0000-4000-8000-000000000001': "u = 'a0000000-0000-4000-8000-000000000001'",
  'u=in.("{b0000000-0000-4000-8000-000000000002}",a0000000000040008000000000000001)':
    "u in ('b0000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000001')",
  'u=gt.a0000000-0000-4000-8000-000000000001': "u > 'a0000000-0000-4000-8000-000000000001'",
  'd=eq.2026-01-31': "d = '2026-01-31'",
  'd=lt.2026-01-31': "d < '2026-01-31'",
  'd=eq.Jan 31 2026': "d = 'Jan 31 2026'",
  'd=eq.infinity': "d = 'infinity'",
  'ts=gte.2026-01-31T12:00:00': "ts >= '2026-01-31T12:00:00'",
  'ts=lt.2026-01-31 12:00:00.000001': "ts < '2026-01-31 12:00:00.000001'",
  'tz=gte.2026-01-31T12:00:00+02:00': "tz >= '2026-01-31T12:00:00+02:00'",
  'tz=eq.2026-01-31T10:00:00Z': "tz = '2026-01-31T10:00:00Z'",
  'e=eq.happy': "e = 'happy'",
  'e=lt.happy': "e < 'happy'",
  'e=in.(sad,happy)': "e = any ('{sad,happy}')",
  'e=not.eq.sad': "not (e = 'sad')",
  'dom=gt.3': 'dom > 3',
  'dom=in.(1,5)': "dom = any ('{1,5}'::int[])",
  'arr=eq."{1,2}"': "arr = '{1,2}'",
  'arr=gt.{1}': "arr > '{1}'",
  'texts=eq."{\\"a,b\\",c}"': `texts = '{"a,b",c}'`,
  'j=eq.{"a": 1}': `j = '{"a": 1}'`,
  'j=neq.{"a": 1}': `j <> '{"a": 1}'`,
  'tm=gt.12:00': "tm > '12:00'",
  'iv=gte.1 day': "iv >= '1 day'",
  'iv=eq.24:00:00': "iv = '24:00:00'",
  'ip=eq.10.0.0.1': "ip = '10.0.0.1'",
  'ip=lt.10.0.0.2': "ip < '10.0.0.2'",
  'odd name=eq.5': '"odd name" = 5',
  'id=in.(1,3,5)': 'id in (1, 3, 5)',
  'n=gt.1,n=lt.9': 'n > 1 and n < 9',
  ' n=gt.1 , t=like.a% ,b=is.true ': "n > 1 and t like 'a%' and b is true",
  't=eq.x),n=eq.5': "t = 'x)' and n = 5",
  't=in.("a,b",abc),n=gte.1': `t = any ('{"a,b",abc}') and n >= 1`,
  't=match.^a,t=not.eq.abc,n=not.is.null': "t ~ '^a' and not (t = 'abc') and n is not null",
  'n=is.null,t=is.null': 'n is null and t is null'
}

const SAMPLES = `
  insert into public.samples (id) values (1);
  insert into public.samples values
    (2, 5, 9007199254740993, 1, 1.5, 0.1, 0.1, 'abc', 'abc', 'ab', 'abc', true, 'a0000000-0000-4000-8000-000000000001',
      '2026-01-31', '2026-01-31 12:00', '2026-01-31 10:00+00', 'happy', 5, '{1,2}', '{"a,b",c}', '{"a": 1}', '\\x0102',
      '12:00:01', '1 day', '10.0.0.1', 5),
    (3, 1, 9007199254740992, -1, 'NaN', 'NaN', 'NaN', 'a,b', 'x', 'abcd', 'b', false,
      'b0000000-0000-4000-8000-000000000002', '2025-12-31', '2026-01-31 11:59:59.999999', '2026-01-31 09:59:59+00', 'sad', 1,
      '{2}', '{}', '{"a": 2}', '\\x', '11:00', '23:00', '10.0.0.0/8', 1),
    (4, 7, 0, 0, 100, 'Infinity', 1e10, 'x)', 'abcd', '', '', null, null, 'infinity', 'infinity', '-infinity', 'ok', 3,
      '{}', null, 'null', null, null, '-1 day', '::1', null),
    (5, 5, -1, null, 1.49999999999999999999, 0.30000000000000004, 0, 'x)', '', 'zz', 'ABC', true, null, null, null, null, null,
      null, '{1,null}', '{a}', '[]', '\\xff', '00:00', '1 mon', '10.0.0.2', 6);
  insert into public.samples (id, n, t, b) select 6 + row_number() over (), 3 + row_number() over (), t, row_number() over () % 3 = 0
    from unnest(array['ABC', '', 'null', 'a%c', 'C:new', 'C:\\new', 'say "hi"', '(a,b)', 'a.b.c', 'x=y', 'not.eq.5', '"quoted" and more',
      'it''s', '*', 'Émile', 'émile', 'zebra', 'b12', 'ab,c', ' abc', e'a\\nc', 'axc', '${'x'.repeat(300)}']) as t`

describe('a filter lets through what a query finds', () => {
  test('of inserted, updated and deleted rows', async t => {
    const filters = Object.keys(FILTERS)
    const follower = await follow(t, ...filters.map(filter => on('samples', { filter })))
    const steps = {
      INSERT: SAMPLES,
      // New values, which are what counts.
      UPDATE: `update public.samples s set n = s.n + 1, t = coalesce(o.t, s.t), b = not s.b, f = s.f + 0.2, e = 'ok', v = s.t::varchar(20)
        from public.samples o where o.id = (s.id * 7) % 28 + 1`,
      DELETE: 'delete from public.samples'
    }
    for (const [eventType, sql] of Object.entries(steps)) {
      const found = async () =>
        Promise.all(
          filters.map(filter => database.run(`select id from public.samples where ${FILTERS[filter]} order by id`))
        )
      const before = eventType === 'DELETE' ? await found() : undefined
      await script(sql)
      const expected = before ?? (await found())
      const heard = await follower.upTo(await raiseFence(database))
      const wrong = filters.flatMap((filter, index) => {
        const changes = heard[index]
        assert.ok(changes.every(change => change.eventType === eventType))
        const ids = changes.map(change => change.new.id ?? change.old.id).sort((a, b) => a - b)
        const right = expected[index].map(Number)
        return ids.join() === right.join() ? [] : [{ filter, ids, right }]
      })
      assert.deepEqual(wrong, [], eventType)
    }
  })

  test('of a row updated into and out of it: the new row decides', async t => {
    const follower = await follow(t, on('keyed', { filter: 't=eq.in' }), on('keyed', { filter: 't=neq.in' }))
    await script(`insert into public.keyed values (100, 'out'); update public.keyed set t = 'in' where id = 100;
      update public.keyed set t = 'out again' where id = 100`)
    const [inside, outside] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(inside.map(brief), ['UPDATE 100'])
    assert.deepEqual(outside.map(brief), ['INSERT 100', 'UPDATE 100'])
  })

  test('of deleted rows only by the key, if the log has only the key', async t => {
    const follower = await follow(
      t,
      on('keyed', { event: 'DELETE', filter: 'id=eq.200' }),
      on('keyed', { event: 'DELETE', filter: 't=eq.a' }),
      on('keyed', { event: 'DELETE', filter: 't=is.null' }),
      on('keyed', { event: 'DELETE' })
    )
    await script(
      `insert into public.keyed values (200, 'a'), (201, 'a'); delete from public.keyed where id in (200, 201)`
    )
    const heard = await follower.upTo(await raiseFence(database))
    const expected = [['DELETE 200'], [], [], ['DELETE 200', 'DELETE 201']]
    assert.deepEqual(
      heard.map(changes => changes.map(brief)),
      expected
    )
  })

  test('of a column that was stored out of line and left alone nothing is known', async t => {
    const follower = await follow(t, on('toasted', { filter: 'body=neq.x' }), on('toasted', { filter: 'kind=eq.b' }))
    await script(`alter table public.toasted alter body set storage external;
      insert into public.toasted values (1, 'a', repeat('y', 10000)); update public.toasted set kind = 'b'`)
    const [body, kind] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(body.map(brief), ['INSERT 1'])
    assert.deepEqual(kind.map(brief), ['UPDATE 1'])
    assert.deepEqual(kind[0].new, { id: 1, kind: 'b' })
  })

  test('built with the builder of the library', async t => {
    const filters = {
      [postgresChangesFilter().eq('t', 'a,b').gt('id', 0).build()]: "t = 'a,b'",
      [postgresChangesFilter().in('t', ['a,b', 'say "hi"', 'C:\\new']).build()]: `t in ('a,b', 'say "hi"', 'C:\\new')`,
      [postgresChangesFilter().not('t', 'like', 'a%').is('t', null).build()]: 'false',
      [postgresChangesFilter().eq('t', 'say "hi"').build()]: `t = 'say "hi"'`,
      [postgresChangesFilter().eq('t', ' padded ').build()]: `t = ' padded '`,
      [postgresChangesFilter().eq('t', 'C:\\new').build()]: "t = 'C:\\new'",
      [postgresChangesFilter().match('t', '^(a|b),').build()]: "t ~ '^(a|b),'",
      [postgresChangesFilter().is('t', null).build()]: 't is null',
      [postgresChangesFilter().isDistinct('t', 'a,b').build()]: "t is distinct from 'a,b'",
      [postgresChangesFilter().not('t', 'in', ['a,b']).build()]: "t not in ('a,b')"
    }
    const follower = await follow(t, ...Object.keys(filters).map(filter => on('keyed', { filter })))
    await script(
      `insert into public.keyed values (300, 'a,b'), (301, 'say "hi"'), (302, ' padded '), (303, 'C:\\new'), (304, null)`
    )
    const heard = await follower.upTo(await raiseFence(database))
    for (const [index, [filter, condition]] of Object.entries(filters).entries()) {
      const found = await database.run(
        `select id from public.keyed where id between 300 and 304 and ${condition} order by id`
      )
      assert.deepEqual(
        heard[index].map(change => String(change.new.id)),
        found,
        filter
      )
    }
  })

  test('with a list of a hundred values, and no more', async t => {
    const list = length => `id=in.(${Array.from({ length }, (_, index) => 400 + index).join()})`
    const follower = await follow(t, on('keyed', { filter: list(100) }))
    await script('insert into public.keyed select generate_series(395, 505)')
    const [changes] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      changes.map(change => change.new.id),
      Array.from({ length: 100 }, (_, index) => 400 + index)
    )
    const refused = await Follower.open(t, gateway, [on('keyed', { filter: list(101) })])
    assert.match(await refused.notice(), /too many values for `in` filter\. Maximum 100$/)
  })
})

describe('names', () => {
  /** Bindings, and the tables they cover of those below. */
  const NAMES = [
    [{ event: '*', schema: 'public', table: 'keyed' }, ['public.keyed']],
    [{ event: '*', schema: 'other' }, ['other.keyed', 'other.my_table']],
    [{ event: '*', schema: 'other', table: '*' }, ['other.keyed', 'other.my_table']],
    [{ event: '*', table: 'keyed' }, ['public.keyed']],
    [{ event: '*', schema: '*', table: 'keyed' }, ['public.keyed', 'other.keyed']],
    [{ event: '*', schema: 'public', table: 'my_table' }, ['public.my_table', 'public.myxtable']],
    [{ event: '*', schema: '*', table: 'my%' }, ['public.my_table', 'public.myxtable', 'other.my_table']],
    [{ event: '*', schema: 'oth__' }, ['other.keyed', 'other.my_table']],
    [{ event: '*', schema: 'public', table: 'Capital' }, ['public.Capital']],
    [
      { event: '*', schema: '*' },
      ['public.keyed', 'public.my_table', 'public.myxtable', 'public.Capital', 'other.keyed', 'other.my_table']
    ]
  ]
  const TABLES = [
    'public.keyed',
    'public.my_table',
    'public.myxtable',
    'public.Capital',
    'other.keyed',
    'other.my_table'
  ]

  for (const library of LIBRARIES) {
    test(`${library.name}: bindings cover the tables that their patterns match`, async t => {
      const bindings = NAMES.map(([binding]) => binding)
      const follower = await Follower.open(t, gateway, bindings, { library })
      const id = library === OLD ? 1001 : 1000
      await script(
        TABLES.map(table => `insert into ${table.replace('Capital', '"Capital"')} values (${id});`).join('\n')
      )
      const heard = await follower.upTo(await raiseFence(database))
      NAMES.forEach(([binding, tables], index) => {
        const found = heard[index]
          .map(change => `${change.schema}.${change.table}`)
          .filter(name => name !== 'public.fence')
        assert.deepEqual(found, tables, JSON.stringify(binding))
      })
    })
  }

  test('events in any case, and anything else as all of them', async t => {
    const follower = await follow(
      t,
      ...['INSERT', 'update', 'Delete', '*'].map(event => ({ event, schema: 'public', table: 'keyed' })),
      { event: '*', schema: 'public', table: 'my_table' }
    )
    await script(`insert into public.keyed values (600, 'a'); update public.keyed set t = 'b' where id = 600;
      delete from public.keyed where id = 600`)
    const heard = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      heard.map(changes => changes.map(change => change.eventType)),
      [['INSERT'], ['UPDATE'], ['DELETE'], ['INSERT', 'UPDATE', 'DELETE'], []]
    )
  })
})

describe('several bindings', () => {
  /** The `ids` of every change, with the ids of the bindings replaced by their index. */
  const idsOf = follower => {
    const reply = follower.client.messages.all.find(({ payload }) => payload?.response?.postgres_changes?.length > 0)
    const ids = reply.payload.response.postgres_changes.map(({ id }) => id)
    return follower.client.messages.all
      .filter(({ event, payload }) => event === 'postgres_changes' && payload.data.table !== 'fence')
      .map(({ payload }) => payload.ids.map(id => ids.indexOf(id)))
  }

  test('that match are named in one frame, the last one first', async t => {
    const follower = await follow(
      t,
      on('keyed'),
      on('keyed', { event: 'INSERT', filter: 'id=gte.700' }),
      on('keyed', { filter: 't=eq.never' }),
      { event: 'INSERT', schema: 'public', table: 'key%' },
      on('keyed', { event: 'DELETE' })
    )
    await script('insert into public.keyed values (700); delete from public.keyed where id = 700')
    const heard = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      heard.map(changes => changes.map(brief)),
      [['INSERT 700', 'DELETE 700'], ['INSERT 700'], [], ['INSERT 700'], ['DELETE 700']]
    )
    assert.deepEqual(idsOf(follower), [
      [3, 1, 0],
      [4, 0]
    ])
  })

  test('with different columns come in a frame for each list', async t => {
    const follower = await follow(
      t,
      on('keyed'),
      on('keyed', { select: ['id'] }),
      on('keyed', { filter: 'id=gt.0', select: ['t'] })
    )
    await script(`insert into public.keyed values (710, 'a')`)
    const heard = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      heard.map(changes => changes.map(change => change.new)),
      [[{ id: 710, t: 'a' }], [{ id: 710 }], [{ id: 710, t: 'a' }]]
    )
  })

  test('on several channels of several clients each hear their own', async t => {
    const [first, second] = [await follow(t, on('keyed', { filter: 'id=eq.720' })), await follow(t, on('keyed'))]
    const third = await Follower.open(t, gateway, [on('keyed', { filter: 'id=eq.721' })], { client: first.client })
    const old = await Follower.open(t, gateway, [on('keyed', { event: 'INSERT' })], { library: OLD })
    await script('insert into public.keyed values (720), (721); delete from public.keyed where id = 720')
    const heard = await heardBy(database, first, second, third, old)
    assert.deepEqual(
      heard.map(changes => changes.map(brief)),
      [
        ['INSERT 720', 'DELETE 720'],
        ['INSERT 720', 'INSERT 721', 'DELETE 720'],
        ['INSERT 721'],
        ['INSERT 720', 'INSERT 721']
      ]
    )
  })

  test('stand or fall together', async t => {
    const refused = await Follower.open(t, gateway, [on('keyed'), on('keyed', { filter: 'missing=eq.1' })])
    assert.match(await refused.notice(), /invalid column for filter missing$/)
    const witness = await follow(t, on('keyed'))
    await script('insert into public.keyed values (730)')
    assert.deepEqual((await heardBy(database, witness))[0].map(brief), ['INSERT 730'])
    assert.deepEqual([refused.inboxes[0].all, refused.fence.all], [[], []])
    // The channel itself is joined.
    assert.equal(refused.channel.state, 'joined')
  })
})

describe('selected columns', () => {
  test('cut rows and columns, and keep the primary key', async t => {
    await script('alter table public.keyed replica identity full')
    t.after(() => script('alter table public.keyed replica identity default'))
    const follower = await follow(t, on('keyed', { select: ['id'], filter: 't=neq.hidden' }))
    await script(`insert into public.keyed values (800, 'a'); insert into public.keyed values (801, 'hidden');
      update public.keyed set t = 'b' where id = 800; delete from public.keyed where id = 800`)
    const [changes] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      changes.map(change => [change.new, change.old]),
      [
        [{ id: 800 }, {}],
        [{ id: 800 }, { id: 800 }],
        [{}, { id: 800 }]
      ]
    )
    const frames = follower.client.messages.all.filter(({ payload }) => payload?.data?.table === 'keyed')
    for (const { payload } of frames) assert.deepEqual(payload.data.columns, [{ name: 'id', type: 'int4' }])
  })

  test('that are no strings do not count, and none are all', async t => {
    const follower = await follow(t, on('keyed', { select: [] }), on('keyed', { select: [1, null, 't'] }))
    await script(`insert into public.keyed values (810, 'a')`)
    const heard = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      heard.map(([change]) => change.new),
      [
        { id: 810, t: 'a' },
        { id: 810, t: 'a' }
      ]
    )
  })
})

const parameters = ({ event = '*', schema = 'public', table = 'samples', filters = '[]', select = 'nil' }) =>
  `[event: ${event}, schema: ${schema}, table: ${table}, filters: ${filters}, select: ${select}]`
const unable = (binding, exception) =>
  `Unable to subscribe to changes with given parameters. An exception happened so please check your connect parameters: ${parameters(binding)}. Exception: ${exception}`
const raised = text => `ERROR P0001 (raise_exception) ${text}`
const failed = (filter, column, operator, value, exception) => [
  on('samples', { filter }),
  unable({ filters: `[{"${column}", "${operator}", "${value}", false}]` }, exception)
]

/** Bindings that cannot be served, and what is told about them. */
const REFUSALS = [
  [on('samples', { filter: 'wrong' }), 'Error parsing `filter` params: ["wrong"]'],
  [on('samples', { filter: 'n=5' }), 'Error parsing `filter` params: ["5"]'],
  [on('samples', { filter: 'n=unknown.5' }), /^Error parsing `filter` params: \[/],
  [on('samples', { filter: 'n=in.1,2' }), /^Error parsing `filter` params: /],
  [
    on('samples', { filter: 'n=in.5' }),
    'Error parsing `filter` params: `in` filter value must be wrapped by parentheses'
  ],
  [
    on('samples', { filter: 'n=eq.1,,t=eq.a' }),
    'Error parsing `filter` params: filter must not contain empty segments (check for extra commas)'
  ],
  [
    on('samples', { select: 'id' }),
    'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]'
  ],
  [
    { event: '*', schema: 'public', select: ['id'] },
    'Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.'
  ],
  [
    { event: '*' },
    /^No subscription params provided\. Please provide at least a `schema` or `table` to subscribe to: %\{/
  ],
  [{ event: '*', schema: 'public', filter: 'id=eq.1' }, /^No subscription params provided/],
  [{ event: '*', table: 'samples', filter: 'id=eq.1' }, /^No subscription params provided/],
  [
    on('unpublished'),
    `Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: ${parameters({ table: 'unpublished' })}`
  ],
  [
    on('capital'),
    `Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: ${parameters({ table: 'capital' })}`
  ],
  failed('missing=eq.1', 'missing', 'eq', '1', raised('invalid column for filter missing')),
  [
    on('samples', { select: ['missing'] }),
    unable({ select: '["missing"]' }, raised('invalid column for select missing'))
  ],
  failed(
    'n=eq.abc',
    'n',
    'eq',
    'abc',
    'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: \\"abc\\"'
  ),
  failed(
    'n=eq.99999999999',
    'n',
    'eq',
    '99999999999',
    'ERROR 22003 (numeric_value_out_of_range) value \\"99999999999\\" is out of range for type integer'
  ),
  failed('d=eq.x', 'd', 'eq', 'x', 'ERROR 22007 (invalid_datetime_format) invalid input syntax for type date: \\"x\\"'),
  failed(
    'e=eq.angry',
    'e',
    'eq',
    'angry',
    'ERROR 22P02 (invalid_text_representation) invalid input value for enum mood: \\"angry\\"'
  ),
  failed(
    'n=in.(1,)',
    'n',
    'in',
    '{1,}',
    'ERROR 22P02 (invalid_text_representation) malformed array literal: \\"{1,}\\"'
  ),
  failed(
    'n=in.(1,x)',
    'n',
    'in',
    '{1,x}',
    'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: \\"x\\"'
  ),
  failed('n=is.true', 'n', 'is', 'true', raised('is true filter requires a boolean column, got integer')),
  failed('n=is.NULL', 'n', 'is', 'NULL', raised('invalid value for is filter: must be null, true, false, or unknown')),
  failed(
    'v=like.a%',
    'v',
    'like',
    'a%',
    raised('operator like requires a text-compatible column type, got character varying')
  ),
  failed('n=match.a', 'n', 'match', 'a', raised('operator match requires a text-compatible column type, got integer')),
  failed(
    't=match.(',
    't',
    'match',
    '(',
    raised('invalid regular expression for match filter: invalid regular expression: parentheses () not balanced')
  ),
  failed(
    'ip=eq.nowhere',
    'ip',
    'eq',
    'nowhere',
    'ERROR 22P02 (invalid_text_representation) invalid input syntax for type inet: \\"nowhere\\"'
  ),
  failed('j=eq.{', 'j', 'eq', '{', 'ERROR 22P02 (invalid_text_representation) invalid input syntax for type json')
]

describe('what cannot be served is told with its reason', () => {
  // The newer library takes nothing but lists.
  const isForOld = ([binding]) => typeof binding.select === 'string'
  for (const [library, refusals] of [
    [CURRENT, REFUSALS.filter(refusal => !isForOld(refusal))],
    [OLD, REFUSALS]
  ]) {
    test(library.name, async t => {
      const client = open(t, gateway, library)
      for (const [binding, expected] of refusals) {
        const refused = await Follower.open(t, gateway, [binding], { client })
        const { status, message } = await refused.system.next()
        assert.equal(status, 'error', message)
        if (expected instanceof RegExp) assert.match(message, expected)
        else assert.equal(message, expected.replaceAll(String.raw`\"`, '"'))
      }
    })
  }
})
