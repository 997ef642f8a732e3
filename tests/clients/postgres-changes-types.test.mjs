// Values of every type, and tables of every shape: what clients are given, compared with what the database makes of the same row.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { Database } from './support/database.mjs'
import { FENCE, Follower, brief, heardBriefly, heardBy, raiseFence } from './support/follow.mjs'
import { Gateway } from './support/gateway.mjs'
import { LIBRARIES } from './support/libraries.mjs'
import { freshTopic } from './support/topics.mjs'
import { WireSocket } from './support/wire.mjs'

let gateway
let database

before(async () => {
  gateway = await Gateway.dev()
  database = new Database(gateway.databaseUrl)
  await script(`${FENCE}
    create type public.mood as enum ('sad', 'so so', 'happy, very');
    create domain public.email as text check (value like '%@%');
    create domain public.emails as public.email[];
    create type public.inner_pair as (n numeric, b bytea, f float8);
    create type public.pair as (a int, b text, c public.inner_pair, d timestamptz[]);
    create domain public.checked_pair as public.pair;
    create type public.float_range as range (subtype = float8);
    create schema "Odd, schema.";
    grant usage on schema "Odd, schema." to anon`)
})

after(async () => {
  await database?.close()
  await gateway?.stop()
})

const script = sql => Database.script(gateway.databaseUrl, sql)

let lastTable = 0

/** A new table, published, that `anon` may select from. `sql` and `run` may name it `$`. */
async function table(columns, sql = 'select', { published = 'add table $' } = {}) {
  const name = `shape_${++lastTable}`
  const run = sql => script(sql.replaceAll('$', `public.${name}`))
  await run(
    `create table $ ${columns}; grant select on $ to anon; ${sql}; alter publication supabase_realtime ${published}`
  )
  return { name, run, binding: { event: '*', schema: 'public', table: name } }
}

const follow = async (t, ...bindings) => {
  const follower = await Follower.open(t, gateway, bindings)
  assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
  return follower
}

/** Types, and expressions of SQL for values of them; a value of its own for every array of them is made as well. */
const TYPES = {
  boolean: ['true', 'false'],
  smallint: ['-32768', '0'],
  integer: ['2147483647', '-1'],
  bigint: ['9223372036854775807', '-9007199254740993'],
  numeric: [
    '1.50',
    '100000000000000000000',
    '-0.000000000000000000001',
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    '0',
    '1e30'
  ],
  'numeric(10,2)': ['1.5', '0'],
  real: ['0.1', '1e30', "'NaN'", "'-Infinity'", '-0.0', '1e-30'],
  'double precision': ['0.1', '1e300', "'NaN'", "'Infinity'", '1e-300', '5e-324', '123456789012345680', '-0.0'],
  money: ["'1234.5'", "'-0.01'"],
  text: [
    "'plain'",
    "''",
    `'"quoted", back\\slash'`,
    "e'line\\nbreak\\ttab\\u0001'",
    "'snow ☃ and 😀'",
    "'null'",
    "'{1,2}'",
    `'[1,2]'`
  ],
  'varchar(5)': ["'abc'", "'12345'"],
  'char(5)': ["'abc'", "'12345'"],
  name: ["'name'"],
  '"char"': ["'x'", "''"],
  bytea: ["'\\x0102ff'", "'\\x'", "'text'"],
  date: ["'2026-02-28'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'12026-01-01'"],
  time: ["'12:34:56.123456'", "'24:00'"],
  timetz: ["'12:34:56.5+02'", "'00:00-11:30'"],
  timestamp: ["'2026-02-28 12:34:56.123456'", "'2026-02-28'", "'infinity'", "'0044-03-15 12:00 BC'", "'12026-01-01'"],
  timestamptz: ["'2026-02-28 12:34:56.5+02'", "'-infinity'", "'0044-03-15 12:00+00 BC'", "'1900-01-01 00:00+05:21:10'"],
  'timestamp(0)': ["'2026-02-28 12:34:56.7'"],
  interval: ["'1 year 2 mons 3 days 04:05:06.789'", "'-1 day'", "'0'", "'-00:00:01'"],
  uuid: ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
  json: [
    `'{"a": [1, null, {"b": "c"}], "a": 2}'`,
    `'"text"'`,
    `'null'`,
    `'2e3'`,
    `'1.0'`,
    `'[1.50, 1e2, -0, true]'`,
    `'{"long name": 1, "b": 2, "": 3}'`,
    `'"\\u00e9 \\ud83d\\ude00 \\n"'`,
    `'[]'`,
    `'100000000000000000000.1'`
  ],
  jsonb: [`'{"a": [1, null, {"b": "c"}], "a": 2}'`, `'"text"'`, `'null'`, `'2e3'`, `'1.0'`, `'"[1]"'`, `'[[], {}]'`],
  jsonpath: [`'$.a[*] ? (@ > 1)'`],
  inet: ["'10.0.0.1'", "'10.0.0.0/8'", "'2001:db8::1'"],
  cidr: ["'10.0.0.0/8'", "'::1/128'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  macaddr8: ["'08:00:2b:01:02:03:04:05'"],
  'bit(5)': ["B'10101'"],
  'bit varying': ["B'101'", "B''"],
  oid: ['4294967295', '0'],
  regclass: ["'pg_catalog.pg_class'"],
  regtype: ["'integer'"],
  xid: ["'7'"],
  xid8: ["'18446744073709551615'"],
  cid: ["'7'"],
  tid: ["'(1,2)'"],
  pg_lsn: ["'16/B374D848'"],
  pg_snapshot: ["'10:20:10,14'"],
  int2vector: ["'1 2 3'"],
  oidvector: ["'1 2'"],
  point: ["'(1,2.5)'", "'(1e300,-0)'"],
  line: ["'{1,2,3}'"],
  lseg: ["'[(0,0),(1,1)]'"],
  box: ["'(1,1),(0,0)'"],
  path: ["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"],
  polygon: ["'((0,0),(1,1),(1,0))'"],
  circle: ["'<(0,0),1>'"],
  tsvector: ["'a fat cat'::tsvector"],
  tsquery: ["'fat & rat'::tsquery"],
  int4range: ["'[1,5)'", "'empty'", "'(,)'"],
  int8range: ["'[1,5]'"],
  numrange: ["'(1.5,2.50]'"],
  tsrange: ["'[2026-01-01 00:00, 2026-01-02 00:00)'"],
  tstzrange: ["'[2026-01-01 00:00+02,)'"],
  daterange: ["'[2026-01-01,2026-01-31]'"],
  int4multirange: ["'{[1,3), [5,7)}'", "'{}'"],
  datemultirange: ["'{[2026-01-01,2026-01-02)}'"],
  'public.float_range': ["'[1.5,2.5]'"],
  'public.mood': ["'sad'", "'happy, very'"],
  'public.email': ["'a@b.c'"],
  'public.emails': [`'{a@b.c,"d,e@f.g"}'`],
  'public.pair': [
    `row(1, 'text, "quoted"', row(1.50, '\\x01', 'NaN'), array['2026-02-28 12:00+02'::timestamptz])`,
    'row(null, null, null, null)',
    `row(-1, '', row('Infinity', null, 1e300), '{}')`
  ],
  'public.checked_pair': [`row(1, 'a', null, null)`]
}

/** Expressions for arrays. */
const ARRAYS = {
  'integer[]': [
    "'{1,2,null}'",
    "'{}'",
    "'{{1,2},{3,4}}'",
    "'[0:1]={5,6}'",
    "'{{{1},{2}},{{3},{4}}}'",
    "'[2:3][-1:0]={{1,2},{3,4}}'"
  ],
  'text[]': [`'{a,"b,c","say \\"hi\\"",null,"null","","back\\\\slash","{x}"," "}'`],
  'box[]': ["'{(1,1),(0,0);(2,2),(1,1)}'"],
  'char(3)[]': ["'{a,abc}'"]
}

/** Types that are arrays themselves: `array[…]` adds a dimension to them. */
const WITHOUT_ARRAYS = ['int2vector', 'oidvector', 'public.emails']

/** Columns `c0`, `c1`, …: their type and the values to try, all of them expressions of SQL. */
async function columns() {
  const types = { ...TYPES, ...ARRAYS }
  const [hasXml] = await database.run(
    `select exists (select from pg_catalog.pg_config where name = 'CONFIGURE' and setting like '%--with-libxml%')`
  )
  if (hasXml === 't') types.xml = ['\'<a b="c">d</a>\'']
  const arrays = Object.entries(TYPES)
    .filter(([type]) => !WITHOUT_ARRAYS.includes(type))
    .map(([type, values]) => [
      `${type}[]`,
      [`array[${values.map(value => `(${value})::${type}`).join()}, null]::${type}[]`]
    ])
  return [...Object.entries(types), ...arrays].map(([type, values], index) => ({ name: `c${index}`, type, values }))
}

/** What the JSON of a row is to be, as a query: `to_jsonb`, but for what section 7 of the specification says. */
function expectedRow(all) {
  const exceptions = all.map(({ name, type }) => {
    if (type === 'bytea') return `'${name}', substr(${name}::text, 3)`
    if (['real', 'double precision', 'numeric'].includes(type)) {
      return `'${name}', case when ${name}::text in ('NaN', 'Infinity', '-Infinity') then null else ${name} end`
    }
  })
  const changed = exceptions.filter(Boolean)
  return `to_jsonb(r) || jsonb_build_object(${changed.join()})`
}

describe('values of every type', () => {
  let all
  let name
  /** Ids of the rows of which each has a value for as many columns as there are. */
  let ids

  before(async () => {
    all = await columns()
    const definitions = all.map(({ name, type }) => `${name} ${type}`).join()
    // Nothing is stored out of line, for that would be no member of an update.
    const made = await table(`(id bigint primary key, ${definitions}) with (toast_tuple_target = 8160)`)
    name = made.name
    ids = Array.from({ length: Math.max(...all.map(({ values }) => values.length)) + 1 }, (_, id) => id)
  })

  /** Row `id` has the values of that index; the last row is all NULL. */
  const insert = () =>
    script(
      ids
        .map(id => {
          const given = all.filter(({ values }) => id < values.length)
          return `insert into public.${name} (${['id', ...given.map(({ name }) => name)].join()})
            values (${[id, ...given.map(({ type, values }) => `(${values[id]})::${type}`)].join()});`
        })
        .join('\n')
    )

  test('are what to_jsonb makes of them, character by character', async t => {
    const socket = await WireSocket.open(gateway, { vsn: '2.0.0' })
    t.after(() => socket.close())
    const channel = await socket.join(freshTopic(), {
      postgres_changes: [{ event: '*', schema: 'public', table: name }]
    })
    await insert()
    for (const id of ids) {
      const frame = await channel.next('postgres_changes')
      const { data } = frame.payload
      assert.equal(data.record.id, id)
      const quoted = `$json$${recordIn(frame.text)}$json$`
      const query = `select e.key, e.value, g.value
        from public.${name} r, lateral (select ${expectedRow(all)} as row) x,
          lateral (select * from jsonb_each(x.row)) e full join jsonb_each(${quoted}::jsonb) g using (key)
        where r.id = ${id} and e.value::text is distinct from g.value::text`
      assert.deepEqual(await wrong(query), [], `row ${id}`)
      const [order] = await database.run(
        `select string_agg(key, ',' order by number) from public.${name} r, jsonb_each(to_jsonb(r)) with ordinality as e (key, value, number)
          where id = ${id}`
      )
      assert.equal(Object.keys(data.record).join(), order)
    }
  })

  /** Lines of `query`, with the type of their column. */
  const wrong = async query =>
    (await database.run(query)).map(line => {
      const [column] = line.split('|')
      return `${all.find(({ name }) => name === column)?.type}: ${line}`
    })

  for (const library of LIBRARIES) {
    test(`${library.name}: rows are what the library makes of these`, async t => {
      await script(`delete from public.${name}`)
      const follower = await Follower.open(t, gateway, [{ event: '*', schema: 'public', table: name }], { library })
      await insert()
      await script(`update public.${name} set id = -1 - id`)
      const [changes] = await heardBy(database, follower)
      const inserts = changes.slice(0, ids.length)
      for (const id of ids) {
        const [expected] = await database.run(`select ${expectedRow(all)} from public.${name} r where id = ${-1 - id}`)
        const row = { ...JSON.parse(expected), id }
        for (const { name, type } of all) row[name] = converted(type, row[name])
        assert.deepEqual(inserts[id].new, row)
      }
      for (const [id, change] of changes.slice(ids.length).entries()) {
        assert.deepEqual(change.new, { ...inserts[id].new, id: -1 - id })
        assert.deepEqual(change.old, { id })
      }
    })
  }

  /** What the libraries do with a value: numbers of `oid`, JSON in strings is read once more, `BC` is not expected. */
  function converted(type, value) {
    if (type.startsWith('timestamp') && type !== 'timestamptz') return value?.replace?.(' ', 'T') ?? value
    if (type === 'oid' && value !== null) return Number(value)
    if (['json', 'jsonb'].includes(type) && typeof value === 'string') {
      try {
        return JSON.parse(value)
      } catch {
        return value
      }
    }
    return value
  }

  test('columns are named with their types, in the order of the table', async t => {
    const follower = await Follower.open(t, gateway, [{ event: '*', schema: 'public', table: name }])
    await script(`insert into public.${name} (id) values (1000)`)
    await heardBy(database, follower)
    const { payload } = follower.client.messages.all.find(({ payload }) => payload?.data?.table === name)
    const expected =
      await database.run(`select a.attname || ' ' || t.typname from pg_attribute a join pg_type t on t.oid = a.atttypid
      where attrelid = 'public.${name}'::regclass and attnum > 0 order by attnum`)
    assert.deepEqual(
      payload.data.columns.map(({ name, type }) => `${name} ${type}`),
      expected
    )
  })

  test('json that is no jsonb is a string', async t => {
    const { run, binding } = await table('(id int primary key, doc json)')
    const follower = await follow(t, binding)
    const nested = `${'['.repeat(300)}${']'.repeat(300)}`
    await run(`insert into $ values (1, '"half \\ud83d"'), (2, '${nested}')`)
    const [[half, deep]] = await heardBy(database, follower)
    assert.equal(typeof half.new.doc, 'string')
    // The library reads JSON in strings.
    assert.deepEqual(deep.new.doc, JSON.parse(nested))
  })
})

/** The text of the record in the text of a frame. */
function recordIn(text) {
  const start = text.indexOf('"record":{') + '"record":'.length
  let depth = 0
  for (let at = start, quoted = false; at < text.length; at++) {
    if (quoted && text[at] === '\\') at++
    else if (text[at] === '"') quoted = !quoted
    else if (!quoted && text[at] === '{') depth++
    else if (!quoted && text[at] === '}' && --depth === 0) return text.slice(start, at + 1)
  }
  throw new Error(`no record in ${text}`)
}

const rowsOf = changes => changes.map(({ eventType, new: now, old }) => [eventType, now, old])

describe('replica identity', () => {
  const LIFE = `insert into $ values (1, 'a', 10); update $ set body = 'b'; update $ set id = 2, n = 20; delete from $`

  test('default: old rows have the key', async t => {
    const { run, binding } = await table('(id int primary key, body text, n int)')
    const follower = await follow(t, binding)
    await run(LIFE)
    assert.deepEqual(rowsOf((await heardBy(database, follower))[0]), [
      ['INSERT', { id: 1, body: 'a', n: 10 }, {}],
      ['UPDATE', { id: 1, body: 'b', n: 10 }, { id: 1 }],
      ['UPDATE', { id: 2, body: 'b', n: 20 }, { id: 1 }],
      ['DELETE', {}, { id: 2 }]
    ])
  })

  test('full: old rows have every column', async t => {
    const { run, binding } = await table(
      '(id int primary key, body text, n int)',
      'alter table $ replica identity full'
    )
    const follower = await follow(t, binding)
    await run(LIFE)
    assert.deepEqual(rowsOf((await heardBy(database, follower))[0]), [
      ['INSERT', { id: 1, body: 'a', n: 10 }, {}],
      ['UPDATE', { id: 1, body: 'b', n: 10 }, { id: 1, body: 'a', n: 10 }],
      ['UPDATE', { id: 2, body: 'b', n: 20 }, { id: 1, body: 'b', n: 10 }],
      ['DELETE', {}, { id: 2, body: 'b', n: 20 }]
    ])
  })

  test('an index: old rows have its columns', async t => {
    const { run, binding } = await table(
      '(id int primary key, body text, n int not null constraint unique_n unique)',
      'alter table $ replica identity using index unique_n'
    )
    const follower = await follow(t, binding)
    await run(LIFE)
    assert.deepEqual(rowsOf((await heardBy(database, follower))[0]), [
      ['INSERT', { id: 1, body: 'a', n: 10 }, {}],
      ['UPDATE', { id: 1, body: 'b', n: 10 }, { n: 10 }],
      ['UPDATE', { id: 2, body: 'b', n: 20 }, { n: 10 }],
      ['DELETE', {}, { n: 20 }]
    ])
  })

  test('nothing: rows are inserted, and the database refuses the rest', async t => {
    const { run, binding } = await table(
      '(id int primary key, body text, n int)',
      'alter table $ replica identity nothing'
    )
    const follower = await follow(t, binding)
    await run(`insert into $ values (1, 'a', 10)`)
    await assert.rejects(run('delete from $'), /replica identity/)
    assert.deepEqual(await heardBriefly(database, follower), [['INSERT 1']])
  })

  test('full and no primary key: rows are errors, and deleted rows are told', async t => {
    const { run, binding } = await table('(id int, body text, n int)', 'alter table $ replica identity full')
    const follower = await follow(t, binding)
    await run(`insert into $ values (1, 'a', 10); update $ set n = 11; delete from $`)
    const [[inserted, updated, deleted]] = await heardBy(database, follower)
    for (const change of [inserted, updated]) {
      assert.deepEqual(change.errors, ['Error 400: Bad Request, no primary key'])
      assert.deepEqual([change.new, change.old], [{}, {}])
    }
    assert.deepEqual(deleted.old, { id: 1, body: 'a', n: 11 })
  })
})

describe('tables', () => {
  test('a value that was stored out of line and left alone comes from the old row, or is no member', async t => {
    const columns = '(id int primary key, body text, n int)'
    const external = 'alter table $ alter body set storage external'
    const [plain, full] = [
      await table(columns, external),
      await table(columns, `${external}; alter table $ replica identity full`)
    ]
    const follower = await follow(t, plain.binding, full.binding)
    const body = 'x'.repeat(10_000)
    for (const { run } of [plain, full]) {
      await run(`insert into $ values (1, '${body}', 1); update $ set n = 2; update $ set body = 'short'`)
    }
    const [known, all] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      known.map(({ new: row }) => row),
      [
        { id: 1, body, n: 1 },
        { id: 1, n: 2 },
        { id: 1, body: 'short', n: 2 }
      ]
    )
    assert.deepEqual(
      all.map(({ new: row }) => row),
      [
        { id: 1, body, n: 1 },
        { id: 1, body, n: 2 },
        { id: 1, body: 'short', n: 2 }
      ]
    )
  })

  test('a key of several columns', async t => {
    const { run, binding } = await table('(b text, n int, a int, body text, primary key (a, b))')
    const follower = await follow(
      t,
      binding,
      { ...binding, event: 'DELETE', filter: 'b=eq.y' },
      { ...binding, select: ['n'] }
    )
    await run(
      `insert into $ values ('x', 1, 1, 'one'), ('y', 2, 1, 'two'); update $ set b = 'z' where b = 'x'; delete from $`
    )
    const [every, deleted, selected] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(rowsOf(every), [
      ['INSERT', { a: 1, b: 'x', n: 1, body: 'one' }, {}],
      ['INSERT', { a: 1, b: 'y', n: 2, body: 'two' }, {}],
      ['UPDATE', { a: 1, b: 'z', n: 1, body: 'one' }, { a: 1, b: 'x' }],
      ['DELETE', {}, { a: 1, b: 'y' }],
      ['DELETE', {}, { a: 1, b: 'z' }]
    ])
    assert.deepEqual(
      deleted.map(({ old }) => old),
      [{ a: 1, b: 'y' }]
    )
    assert.deepEqual(
      selected.slice(0, 2).map(({ new: row }) => row),
      [
        { a: 1, b: 'x', n: 1 },
        { a: 1, b: 'y', n: 2 }
      ]
    )
  })

  test('that are emptied by TRUNCATE say nothing, and go on', async t => {
    const { run, binding } = await table('(id int primary key)')
    const follower = await follow(t, binding)
    await run('insert into $ values (1); truncate $; insert into $ values (1)')
    assert.deepEqual(await heardBriefly(database, follower), [['INSERT 1', 'INSERT 1']])
  })

  test('transactions that are rolled back, in part or whole, say nothing of that', async t => {
    const { run, binding } = await table('(id int primary key)')
    const follower = await follow(t, binding)
    await run(`begin; insert into $ values (1); savepoint s; insert into $ values (2); rollback to s; insert into $ values (3); commit;
      begin; insert into $ values (4); rollback; insert into $ values (5)`)
    assert.deepEqual(await heardBriefly(database, follower), [['INSERT 1', 'INSERT 3', 'INSERT 5']])
  })

  test('ten thousand rows of one transaction come in their order', async t => {
    const { run, binding } = await table('(id int primary key, body text)')
    const follower = await follow(t, { ...binding, event: 'INSERT' })
    await run(`insert into $ select id, repeat('x', 100) from generate_series(1, 10000) as id`)
    const [changes] = await heardBy(database, follower)
    assert.equal(changes.length, 10_000)
    assert.ok(changes.every(({ new: row }, index) => row.id === index + 1))
  })

  test('generated columns and identities', async t => {
    const { run, binding } = await table(
      '(id int generated always as identity primary key, n int, double int generated always as (n * 2) stored)'
    )
    const follower = await follow(t, binding)
    await run('insert into $ (n) values (4); update $ set n = 5')
    // What is generated is not in the log of every server.
    assert.deepEqual(
      (await heardBy(database, follower))[0].map(({ new: row }) => row),
      [
        { id: 1, n: 4, double: 8 },
        { id: 1, n: 5, double: 10 }
      ]
    )
  })

  test('names with anything in them', async t => {
    const names = [
      'Two words',
      'com,ma',
      'do.t',
      'quo"te',
      "apo'strophe",
      'back\\slash',
      'tab\there',
      '😀',
      '100%_x',
      'select'
    ]
    const quote = name => `"${name.replaceAll('"', '""')}"`
    const odd = name => `"Odd, schema.".${quote(name)}`
    const columns = ['id', ...names]
    for (const name of names) {
      await script(`create table ${odd(name)} (${columns.map(column => `${quote(column)} int`).join()}, primary key (id));
        grant select on ${odd(name)} to anon; alter publication supabase_realtime add table ${odd(name)}`)
    }
    // A comma ends a condition, in the name of a column too.
    const filterable = names.filter(name => !name.includes(','))
    const bound = await follow(
      t,
      ...names.map(table => ({ event: '*', schema: 'Odd, schema.', table })),
      ...filterable.map(column => ({ event: '*', schema: 'Odd, schema.', table: 'select', filter: `${column}=eq.7` }))
    )
    for (const [index, name] of names.entries()) {
      await script(`insert into ${odd(name)} values (${[index, ...names.map(() => 7)].join()})`)
    }
    const heard = await bound.upTo(await raiseFence(database))
    names.forEach((name, index) => {
      const row = Object.fromEntries([['id', index], ...names.map(column => [column, 7])])
      // `%` and `_` are patterns, and this one covers itself alone.
      assert.deepEqual(
        heard[index].map(change => [change.schema, change.table, change.new]),
        [['Odd, schema.', name, row]]
      )
    })
    filterable.forEach((column, index) => assert.equal(heard[names.length + index].length, 1, column))
  })
})

describe('partitions', () => {
  const PARTITIONED = `(id int, region text, body text, primary key (id, region)) partition by list (region)`

  /** A partitioned table with two partitions, the second of which has its columns in another order. */
  const partitioned = () =>
    table(
      PARTITIONED,
      `create table $_eu partition of $ for values in ('eu');
       create table $_us (body text, region text not null, id int not null, primary key (id, region));
       alter table $ attach partition $_us for values in ('us');
       grant select on $_eu, $_us to anon`
    )

  const LIFE = `insert into $ values (1, 'eu', 'a'), (2, 'us', 'b'); update $ set body = 'c' where id = 2;
    update $ set region = 'us' where id = 1; delete from $ where id = 2`

  test('are told of by their own names', async t => {
    const { name, run, binding } = await partitioned()
    const follower = await follow(t, { ...binding, table: `${name}%` })
    await run(LIFE)
    const [changes] = await heardBy(database, follower)
    assert.deepEqual(
      changes.map(change => `${brief(change)} ${change.table}`),
      [
        `INSERT 1 ${name}_eu`,
        `INSERT 2 ${name}_us`,
        `UPDATE 2 ${name}_us`,
        `DELETE 1 ${name}_eu`,
        `INSERT 1 ${name}_us`,
        `DELETE 2 ${name}_us`
      ]
    )
    assert.deepEqual(changes[2].new, { id: 2, region: 'us', body: 'c' })
  })

  test('are told of by the name of the table, if the publication says so', async t => {
    await script('alter publication supabase_realtime set (publish_via_partition_root = true)')
    t.after(() => script('alter publication supabase_realtime set (publish_via_partition_root = false)'))
    const { name, run, binding } = await partitioned()
    const follower = await follow(t, binding, { ...binding, filter: 'region=eq.us' })
    await run(LIFE)
    const [changes, filtered] = await follower.upTo(await raiseFence(database))
    assert.deepEqual(
      changes.map(change => `${brief(change)} ${change.table}`),
      [
        `INSERT 1 ${name}`,
        `INSERT 2 ${name}`,
        `UPDATE 2 ${name}`,
        `DELETE 1 ${name}`,
        `INSERT 1 ${name}`,
        `DELETE 2 ${name}`
      ]
    )
    assert.deepEqual(filtered.map(brief), ['INSERT 2', 'UPDATE 2', 'INSERT 1', 'DELETE 2'])
  })

  test('added in mid-stream are told of with their first row', async t => {
    const { name, run, binding } = await partitioned()
    const follower = await follow(t, { ...binding, table: `${name}%` })
    await run(`create table $_asia partition of $ for values in ('asia'); grant select on $_asia to anon;
      insert into $ values (1, 'asia', 'a'), (2, 'eu', 'b')`)
    const [changes] = await heardBy(database, follower)
    assert.deepEqual(
      changes.map(change => `${brief(change)} ${change.table}`),
      [`INSERT 1 ${name}_asia`, `INSERT 2 ${name}_eu`]
    )
  })
})

describe('the publication', () => {
  test('hides rows and columns', async t => {
    const { run, binding } = await table('(id int primary key, body text, secret text)', 'select', {
      published: `add table $ (id, body) where (id > 10)`
    })
    const follower = await follow(t, binding)
    await run(`insert into $ values (1, 'a', 's'), (11, 'b', 's'); update $ set id = 12 where id = 1; update $ set body = 'c';
      update $ set id = 2 where id = 11; delete from $`)
    const [changes] = await heardBy(database, follower)
    // The database makes an INSERT of what comes into the filter, and a DELETE of what goes.
    assert.deepEqual(rowsOf(changes).sort(byText), [
      ['DELETE', {}, { id: 11 }],
      ['DELETE', {}, { id: 12 }],
      ['INSERT', { id: 11, body: 'b' }, {}],
      ['INSERT', { id: 12, body: 'a' }, {}],
      ['UPDATE', { id: 11, body: 'c' }, { id: 11 }],
      ['UPDATE', { id: 12, body: 'c' }, { id: 12 }]
    ])
  })

  const byText = (a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

  test('leaves out actions', async t => {
    const { run, binding } = await table('(id int primary key)')
    await script(`alter publication supabase_realtime set (publish = 'insert')`)
    t.after(() => script(`alter publication supabase_realtime set (publish = 'insert, update, delete, truncate')`))
    const follower = await follow(t, binding)
    await run('insert into $ values (1); update $ set id = 2; delete from $')
    assert.deepEqual(await heardBriefly(database, follower), [['INSERT 1']])
  })

  test('is left by a table in mid-stream, and joined again', async t => {
    const { name, run } = await table('(id int primary key)')
    const follower = await follow(t, { event: '*', schema: 'public' })
    const heard = async () => (await heardBy(database, follower))[0].filter(({ table }) => table === name).map(brief)
    await run('insert into $ values (1)')
    assert.deepEqual(await heard(), ['INSERT 1'])
    await run('alter publication supabase_realtime drop table $; insert into $ values (2)')
    assert.deepEqual(await heard(), [])
    await run('alter publication supabase_realtime add table $; insert into $ values (3)')
    assert.deepEqual(await heard(), ['INSERT 3'])
  })
})
