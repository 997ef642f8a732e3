// Who hears of a change: row level security, privileges, tokens, as real clients live with them.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { Database } from './support/database.mjs'
import { FENCE, Follower, brief, heardBriefly, heardBy, raiseFence } from './support/follow.mjs'
import { Gateway } from './support/gateway.mjs'
import { CURRENT, LIBRARIES, listen, open, watch } from './support/libraries.mjs'
import { freshTopic } from './support/topics.mjs'

const ANN = 'a0000000-0000-4000-8000-000000000001'
const BOB = 'b0000000-0000-4000-8000-000000000002'

let gateway
let database

before(async () => {
  gateway = await Gateway.dev()
  database = new Database(gateway.databaseUrl)
  await script(FENCE)
})

after(async () => {
  await database?.close()
  await gateway?.stop()
})

const script = sql => Database.script(gateway.databaseUrl, sql)

let lastTable = 0

/** A new table with row level security, published, that all roles may select from; `sql` may name it `$`. */
async function guarded(columns, sql = '') {
  const table = `guarded_${++lastTable}`
  await script(
    `create table $ (${columns});
     grant select on $ to anon, authenticated, service_role;
     alter table $ enable row level security;
     ${sql};
     alter publication supabase_realtime add table $`.replaceAll('$', `public.${table}`)
  )
  return {
    name: table,
    binding: { event: '*', schema: 'public', table },
    /** Runs statements that may name the table `$`, each by itself. */
    run: sql => script(sql.replaceAll('$', `public.${table}`))
  }
}

const tokenOf = (sub, claims) => gateway.token('authenticated', { sub, ...claims })

/** A user who follows bindings; `user` is a token, or the id of somebody who is signed in. */
async function follow(t, user, ...bindings) {
  const token = user.startsWith('ey') ? user : tokenOf(user)
  const follower = await Follower.open(t, gateway, bindings, { token })
  assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
  return follower
}

const heard = (...followers) => heardBriefly(database, ...followers)

const OWN_ROWS = `create policy own on $ for select to authenticated using ((select auth.uid()) = owner)`

for (const library of LIBRARIES) {
  test(`${library.name}: owners hear of their own rows, others of none, service_role of all`, async t => {
    const table = await guarded('id bigint primary key, owner uuid, body text', OWN_ROWS)
    const users = [tokenOf(ANN), tokenOf(BOB), undefined, gateway.token('service_role')]
    const followers = []
    for (const token of users) {
      const follower = await Follower.open(t, gateway, [table.binding], { token, library })
      assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
      followers.push(follower)
    }
    await table.run(
      `insert into $ values (1, '${ANN}', 'hers'), (2, '${BOB}', 'his'); insert into $ values (3, null, 'nobody''s')`
    )
    const [ann, bob, anonymous, service] = await heardBy(database, ...followers)
    assert.deepEqual(ann.map(brief), ['INSERT 1'])
    assert.deepEqual(ann[0].new, { id: 1, owner: ANN, body: 'hers' })
    assert.deepEqual(bob.map(brief), ['INSERT 2'])
    assert.deepEqual(anonymous, [])
    assert.deepEqual(service.map(brief), ['INSERT 1', 'INSERT 2', 'INSERT 3'])

    await table.run(`update $ set body = 'edited' where id = 1; update $ set owner = '${BOB}' where id = 1`)
    const updates = await heard(...followers)
    assert.deepEqual(updates, [['UPDATE 1'], ['UPDATE 1'], [], ['UPDATE 1', 'UPDATE 1']])

    // There is no row any more that could be asked about: everybody hears of its key.
    await table.run('delete from $ where id = 2')
    for (const changes of await heardBy(database, ...followers)) {
      assert.deepEqual(changes.map(brief), ['DELETE 2'])
      assert.deepEqual(changes[0].old, { id: 2 })
    }
  })
}

describe('policies', () => {
  test('that ask another table are judged with what is in it now', async t => {
    await script(`create table public.members (team text, person uuid, primary key (team, person));
      grant select on public.members to authenticated;
      insert into public.members values ('red', '${ANN}'), ('blue', '${BOB}')`)
    const table = await guarded(
      'id bigint primary key, team text',
      `create policy of_team on $ for select to authenticated
         using (team in (select m.team from public.members m where m.person = (select auth.uid())))`
    )
    const [ann, bob] = [await follow(t, ANN, table.binding), await follow(t, BOB, table.binding)]
    await table.run(`insert into $ values (1, 'red'), (2, 'blue'), (3, 'green'), (4, 'red')`)
    assert.deepEqual(await heard(ann, bob), [['INSERT 1', 'INSERT 4'], ['INSERT 2']])
    await table.run(`insert into public.members values ('green', '${ANN}'); delete from public.members where team = 'red';
      insert into $ values (5, 'green'), (6, 'red'), (7, 'blue')`)
    assert.deepEqual(await heard(ann, bob), [['INSERT 5'], ['INSERT 7']])
    await table.run(`update $ set team = 'green' where id = 2; update $ set team = 'red' where id = 5`)
    assert.deepEqual(await heard(ann, bob), [['UPDATE 2'], []])
  })

  test('that call a function with rights of its own', async t => {
    await script(`create table public.admins (person uuid primary key);
      insert into public.admins values ('${ANN}');
      create function public.is_admin() returns boolean language sql stable security definer set search_path = ''
        as 'select exists (select from public.admins where person = auth.uid())'`)
    const table = await guarded(
      'id bigint primary key',
      'create policy of_admins on $ for select using (public.is_admin())'
    )
    const [ann, bob] = [await follow(t, ANN, table.binding), await follow(t, BOB, table.binding)]
    await table.run(`insert into $ values (1); update public.admins set person = '${BOB}'; insert into $ values (2)`)
    // Both rows may be judged after the update: it is certain only of the second that he sees it and she does not.
    const [hers, his] = await heard(ann, bob)
    assert.equal(hers.includes('INSERT 2'), false)
    assert.equal(his.at(-1), 'INSERT 2')
  })

  test('that restrict, permit and name roles are combined as the database combines them', async t => {
    const table = await guarded(
      'id bigint primary key, kind text, archived boolean not null default false',
      `create policy everybody on $ for select using (kind = 'public');
       create policy signed_in on $ for select to authenticated using (kind in ('public', 'members'));
       create policy not_archived on $ as restrictive for select using (not archived);
       create policy no_drafts on $ as restrictive for select to anon using (kind <> 'draft');
       create policy writers on $ for insert to anon with check (true)`
    )
    const anonymous = await follow(t, gateway.anonKey, table.binding)
    const ann = await follow(t, ANN, table.binding)
    const service = await follow(t, gateway.token('service_role'), table.binding)
    await table.run(`insert into $ values
      (1, 'public', false), (2, 'members', false), (3, 'draft', false), (4, 'public', true), (5, null, false)`)
    assert.deepEqual(await heard(anonymous, ann, service), [
      ['INSERT 1'],
      ['INSERT 1', 'INSERT 2'],
      ['INSERT 1', 'INSERT 2', 'INSERT 3', 'INSERT 4', 'INSERT 5']
    ])
    await table.run(`update $ set archived = true where id = 1; update $ set archived = false where id = 4`)
    assert.deepEqual(await heard(anonymous, ann, service), [['UPDATE 4'], ['UPDATE 4'], ['UPDATE 1', 'UPDATE 4']])
  })

  test('without any, nobody but service_role hears of anything', async t => {
    const table = await guarded('id bigint primary key')
    const [ann, service] = [
      await follow(t, ANN, table.binding),
      await follow(t, gateway.token('service_role'), table.binding)
    ]
    await table.run('insert into $ values (1)')
    assert.deepEqual(await heard(ann, service), [[], ['INSERT 1']])
  })

  /** Conditions, and the rows that Ann and Bob see under them. */
  const CLAIMS = {
    "org = auth.jwt() ->> 'org'": [[1, 3], []],
    "org = (select auth.jwt() ->> 'org')": [[1, 3], []],
    "org = auth.jwt() -> 'app_metadata' ->> 'org'": [[2], []],
    "org = auth.jwt() #>> '{app_metadata,org}'": [[2], []],
    "owner::text = current_setting('request.jwt.claims', true)::json ->> 'sub'": [[1], [2]],
    "auth.role() = 'authenticated' and org is not null": [
      [1, 2, 3],
      [1, 2, 3]
    ],
    "coalesce((auth.jwt() ->> 'level')::int, 0) >= 3 or owner = auth.uid()": [[1, 2, 3, 4], [2]],
    "(auth.jwt() ->> 'level')::int > 3": [[], []],
    "org = any (array(select jsonb_array_elements_text(auth.jwt() -> 'orgs')))": [[2], []],
    "org = 'acme' and not (owner is distinct from auth.uid())": [[1], []],
    "org <> auth.jwt() ->> 'org' and id > 0": [[2], []],
    true: [
      [1, 2, 3, 4],
      [1, 2, 3, 4]
    ]
  }

  test('that look at claims', async t => {
    const tables = []
    for (const condition of Object.keys(CLAIMS)) {
      const policy = `create policy p on $ for select to authenticated using (${condition})`
      tables.push(await guarded('id bigint primary key, owner uuid, org text', policy))
    }
    const bindings = tables.map(({ binding }) => binding)
    const claims = { org: 'acme', app_metadata: { org: 'globex' }, level: 3, orgs: ['globex', 'initech'] }
    const [ann, bob] = [await follow(t, tokenOf(ANN, claims), ...bindings), await follow(t, BOB, ...bindings)]
    const rows = `(1, '${ANN}', 'acme'), (2, '${BOB}', 'globex'), (3, null, 'acme'), (4, null, null)`
    await script(tables.map(({ name }) => `insert into public.${name} values ${rows};`).join('\n'))
    const id = await raiseFence(database)
    const [hers, his] = await Promise.all([ann.upTo(id), bob.upTo(id)])
    const ids = changes => changes.map(change => change.new.id)
    Object.entries(CLAIMS).forEach(([condition, expected], index) =>
      assert.deepEqual([ids(hers[index]), ids(his[index])], expected, condition)
    )
  })

  test('that fail for one viewer hide nothing from others, and that is told once', async t => {
    const table = await guarded(
      'id bigint primary key, level int',
      `create policy p on $ for select to authenticated using (level <= (auth.jwt() ->> 'level')::int)`
    )
    const [ann, broken] = [
      await follow(t, tokenOf(ANN, { level: 3 }), table.binding),
      await follow(t, tokenOf(BOB, { level: 'high' }), table.binding)
    ]
    await table.run('insert into $ values (1, 1), (2, 2); insert into $ values (3, 3)')
    assert.deepEqual(await heard(ann, broken), [['INSERT 1', 'INSERT 2', 'INSERT 3'], []])
    const notice = `Changes of public.${table.name} are not delivered: its row level security policies fail for the claims of this channel`
    assert.equal(await broken.notice(), notice)
    await table.run('insert into $ values (4, 1); delete from $ where id = 1')
    assert.deepEqual(await heard(ann, broken), [['INSERT 4', 'DELETE 1'], ['DELETE 1']])
    assert.deepEqual(
      broken.system.all.map(({ status }) => status),
      ['ok', 'error']
    )
  })

  test('count from the next change on when they are altered', async t => {
    const table = await guarded('id bigint primary key, owner uuid, team text', OWN_ROWS)
    const ann = await follow(t, ANN, table.binding)
    let id = 0
    /** Whether she hears of a row, once `sql` is done. */
    const hears = async (sql, owner = ANN) => {
      await table.run(`${sql}; insert into $ values (${++id}, '${owner}', 'red')`)
      const [changes] = await heard(ann)
      if (changes.length > 0) assert.deepEqual(changes, [`INSERT ${id}`])
      return changes.length > 0
    }
    assert.equal(await hears('select'), true)
    assert.equal(await hears(`create policy blue on $ as restrictive for select using (team = 'blue')`), false)
    assert.equal(await hears(`alter policy blue on $ using (team = 'red')`), true)
    assert.equal(await hears('drop policy own on $'), false)
    assert.equal(await hears('alter table $ disable row level security', BOB), true)
    assert.equal(await hears('alter table $ enable row level security', BOB), false)
    assert.equal(await hears(`create policy of_bob on $ for select using (owner = '${BOB}')`, BOB), true)
    assert.equal(await hears('alter policy of_bob on $ to anon', BOB), false)
    // A role that does not inherit is a member, but not of those a policy is for.
    assert.equal(await hears('grant anon to authenticated', BOB), false)
    assert.equal(await hears('alter role authenticated inherit', BOB), true)
    assert.equal(await hears('revoke anon from authenticated', BOB), false)
    assert.equal(await hears('alter role authenticated noinherit', BOB), false)
    assert.equal(await hears('alter role authenticated bypassrls', BOB), true)
    assert.equal(await hears('alter role authenticated nobypassrls', BOB), false)
    assert.equal(await hears(OWN_ROWS), true)
    assert.equal(await hears('select', BOB), false)
  })

  test('on a table that is published later', async t => {
    const everything = { event: '*', schema: 'later' }
    await script(`create schema later; grant usage on schema later to authenticated;
      create table later.first (id bigint primary key, owner uuid); grant select on later.first to authenticated;
      alter publication supabase_realtime add table later.first`)
    const ann = await follow(t, ANN, everything)
    await script(`create table later.second (id bigint primary key, owner uuid); grant select on later.second to authenticated;
      alter table later.second enable row level security; ${OWN_ROWS.replace('$', 'later.second')};
      alter publication supabase_realtime add table later.second;
      insert into later.second values (1, '${ANN}'), (2, '${BOB}'); insert into later.first values (3, null)`)
    assert.deepEqual(await heard(ann), [['INSERT 1', 'INSERT 3']])
    assert.equal(await ann.notice(), 'Subscribed to PostgreSQL')
    await script(`alter publication supabase_realtime drop table later.first;
      insert into later.first values (4, null); insert into later.second values (5, '${ANN}')`)
    assert.deepEqual(await heard(ann), [['INSERT 5']])
  })
})

describe('privileges', () => {
  const OPEN = 'alter table $ disable row level security; revoke all on $ from anon, authenticated'

  test('a role hears of the columns it may select, and cannot look at others by a filter', async t => {
    const table = await guarded(
      'id bigint primary key, title text, secret text',
      `${OPEN};
      grant select (id, title) on $ to anon; grant select on $ to authenticated`
    )
    const [anonymous, ann] = [await follow(t, gateway.anonKey, table.binding), await follow(t, ANN, table.binding)]
    await table.run(`insert into $ values (1, 'a', 'x'); update $ set secret = 'y'; alter table $ replica identity full;
      update $ set title = 'b'; delete from $`)
    const [public_, all] = await heardBy(database, anonymous, ann)
    const rows = changes => changes.map(change => [change.new, change.old])
    assert.deepEqual(rows(public_), [
      [{ id: 1, title: 'a' }, {}],
      [{ id: 1, title: 'a' }, { id: 1 }],
      [
        { id: 1, title: 'b' },
        { id: 1, title: 'a' }
      ],
      [{}, { id: 1, title: 'b' }]
    ])
    assert.deepEqual(rows(all), [
      [{ id: 1, title: 'a', secret: 'x' }, {}],
      [{ id: 1, title: 'a', secret: 'y' }, { id: 1 }],
      [
        { id: 1, title: 'b', secret: 'y' },
        { id: 1, title: 'a', secret: 'y' }
      ],
      [{}, { id: 1, title: 'b', secret: 'y' }]
    ])
    for (const hidden of [{ filter: 'secret=eq.x' }, { select: ['id', 'secret'] }]) {
      const refused = await Follower.open(t, gateway, [{ ...table.binding, ...hidden }])
      assert.match(
        await refused.notice(),
        / Exception: ERROR P0001 \(raise_exception\) invalid column for (filter|select) secret$/
      )
    }
    await table.run(
      'revoke select (title) on $ from anon; insert into $ values (2, $$c$$, $$z$$)'.replaceAll('$$', "'")
    )
    const [[narrower], [same]] = await heardBy(database, anonymous, ann)
    assert.deepEqual([narrower.new, same.new], [{ id: 2 }, { id: 2, title: 'c', secret: 'z' }])
  })

  test('a role that may not select the primary key is told so, a table without one as well', async t => {
    const hidden = await guarded(
      'id bigint primary key, title text',
      `${OPEN}; grant select (title) on $ to authenticated`
    )
    const keyless = await guarded('id bigint, title text', 'create policy p on $ for select using (false)')
    const ann = await follow(t, ANN, { ...hidden.binding, filter: 'title=eq.other' }, keyless.binding)
    await hidden.run(`insert into $ values (1, 'a'); update $ set title = 'b'; delete from $`)
    await keyless.run(`insert into $ values (1, 'a')`)
    const [first, second] = await ann.upTo(await raiseFence(database))
    const error = (table, eventType, text) => ({
      schema: 'public',
      table: table.name,
      eventType,
      commit_timestamp: null,
      new: {},
      old: {},
      errors: [text]
    })
    assert.deepEqual(first, [
      error(hidden, 'INSERT', 'Error 401: Unauthorized'),
      error(hidden, 'UPDATE', 'Error 401: Unauthorized')
    ])
    assert.deepEqual(second, [error(keyless, 'INSERT', 'Error 400: Bad Request, no primary key')])
  })

  test('a row that is too large is cut, and only for those who see it', async t => {
    const table = await guarded('id bigint primary key, owner uuid, body text, note text, gone text', OWN_ROWS)
    const [ann, bob] = [await follow(t, ANN, table.binding), await follow(t, BOB, table.binding)]
    await table.run(`insert into $ values (1, '${ANN}', repeat('x', 1100000), 'short', null)`)
    const [[change], his] = await heardBy(database, ann, bob)
    assert.deepEqual(his, [])
    assert.deepEqual(change.errors, ['Error 413: Payload Too Large'])
    assert.deepEqual(change.new, { id: 1, owner: ANN, note: 'short' })
  })

  test('a role that does not exist is a system error', async t => {
    const table = await guarded('id bigint primary key')
    const token = gateway.token('no such role', {})
    const stranger = await Follower.open(t, gateway, [table.binding], { token })
    assert.match(
      await stranger.notice(),
      / Exception: ERROR 42704 \(undefined_object\) role "no such role" does not exist$/
    )
  })
})

describe('keys of a binding', () => {
  const COLUMNS = 'id bigint primary key, owner uuid, body text'

  test('deletes: visible tells of a deleted row those who could see it', async t => {
    const table = await guarded(COLUMNS, `${OWN_ROWS}; alter table $ replica identity full`)
    const binding = { ...table.binding, deletes: 'visible' }
    const [ann, bob, standard] = [
      await follow(t, ANN, binding),
      await follow(t, BOB, binding),
      await follow(t, BOB, table.binding)
    ]
    await table.run(`insert into $ values (1, '${ANN}', 'hers'), (2, '${BOB}', 'his'); delete from $ where id = 1`)
    const [hers, his, all] = await heardBy(database, ann, bob, standard)
    assert.deepEqual(hers.map(brief), ['INSERT 1', 'DELETE 1'])
    assert.deepEqual(hers[1].old, { id: 1, owner: ANN, body: 'hers' })
    assert.deepEqual(his.map(brief), ['INSERT 2'])
    assert.deepEqual(all.map(brief), ['INSERT 2', 'DELETE 1'])
    assert.deepEqual(all[1].old, { id: 1 })
  })

  test('deletes: visible asks the database about the row as it was', async t => {
    await script(`create table public.teams (team text, person uuid, primary key (team, person));
      grant select on public.teams to authenticated; insert into public.teams values ('red', '${ANN}')`)
    const table = await guarded(
      'id bigint primary key, team text',
      `create policy p on $ for select to authenticated using
         (exists (select from public.teams x where x.team = $.team and x.person = auth.uid()));
       alter table $ replica identity full`
    )
    const binding = { ...table.binding, deletes: 'visible' }
    const [ann, bob] = [await follow(t, ANN, binding), await follow(t, BOB, binding)]
    await table.run(`insert into $ values (1, 'red'), (2, 'blue')`)
    await table.run('delete from $')
    const [hers, his] = await heardBy(database, ann, bob)
    assert.deepEqual(hers.map(brief), ['INSERT 1', 'DELETE 1'])
    assert.deepEqual(hers[1].old, { id: 1, team: 'red' })
    assert.deepEqual(his, [])
  })

  test('left tells of a row that leaves the filter, under row level security to those who saw it', async t => {
    const table = await guarded(COLUMNS, `${OWN_ROWS}; alter table $ replica identity full`)
    const [ann, bob] = [ANN, BOB].map(owner => ({ ...table.binding, filter: `owner=eq.${owner}`, left: true }))
    const followers = [await follow(t, ANN, ann), await follow(t, BOB, bob), await follow(t, BOB, ann)]
    await table.run(`insert into $ values (1, '${ANN}', 'hers'); update $ set owner = '${BOB}'`)
    const [hers, his, curious] = await heardBy(database, ...followers)
    assert.deepEqual(hers.map(brief), ['INSERT 1', 'DELETE 1'])
    assert.deepEqual(his.map(brief), ['UPDATE 1'])
    assert.deepEqual(curious, [])
    const marked = followers[0].client.messages.all.filter(({ payload }) => payload?.data?.type === 'DELETE')
    assert.deepEqual(
      marked.map(({ payload }) => payload.data.left),
      [true]
    )
  })

  test('that need old rows are refused without them', async t => {
    const table = await guarded(COLUMNS, OWN_ROWS)
    for (const key of [{ deletes: 'visible' }, { left: true, filter: 'body=eq.x' }]) {
      const refused = await Follower.open(t, gateway, [{ ...table.binding, ...key }], { token: tokenOf(ANN) })
      const message = await refused.notice()
      const hint = `alter table "public"."${table.name}" replica identity full`
      assert.match(
        message,
        / Exception: ERROR 55000 \(object_not_in_prerequisite_state\) (deletes|left) needs the old rows/
      )
      assert.ok(message.endsWith(hint), message)
    }
  })

  test('with values they do not take are refused', async t => {
    const table = await guarded(COLUMNS, OWN_ROWS)
    for (const [key, value] of [
      ['left', 'yes'],
      ['snapshot', 1],
      ['deletes', 'all']
    ]) {
      const refused = await Follower.open(t, gateway, [{ ...table.binding, [key]: value }], { token: tokenOf(ANN) })
      assert.match(await refused.notice(), new RegExp(`^Error parsing \`${key}\` params: expected `))
    }
  })
})

describe('tokens', () => {
  test('a user who signs in hears as that user, and a renewed token changes nothing', async t => {
    const table = await guarded('id bigint primary key, owner uuid', OWN_ROWS)
    const follower = await follow(t, gateway.anonKey, table.binding)
    await table.run(`insert into $ values (1, '${ANN}')`)
    assert.deepEqual(await heard(follower), [[]])
    await follower.client.setToken(tokenOf(ANN))
    assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
    await table.run(`insert into $ values (2, '${ANN}'), (3, '${BOB}')`)
    assert.deepEqual(await heard(follower), [['INSERT 2']])
    await follower.client.setToken(tokenOf(ANN, { renewed: true }))
    await table.run(`insert into $ values (4, '${ANN}'), (5, '${BOB}')`)
    assert.deepEqual(await heard(follower), [['INSERT 4']])
    assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
    await follower.client.setToken(gateway.anonKey)
    assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
    await table.run(`insert into $ values (6, '${ANN}')`)
    assert.deepEqual(await heard(follower), [[]])
  })

  const POLICIES = {
    'in memory': `create policy p on $ for select to authenticated using (owner = auth.uid() or owner is null)`,
    'in the database': `create policy p on $ for select to authenticated
      using (owner is null or exists (select from auth.uid() as me where me = owner))`
  }
  for (const [where, policy] of Object.entries(POLICIES)) {
    test(`another user in mid-stream, with policies judged ${where}: no gap, nothing twice, never the wrong rows`, async t => {
      const table = await guarded('id bigint generated always as identity primary key, owner uuid', policy)
      const follower = await follow(t, ANN, table.binding)
      const [changes] = follower.inboxes
      let isWriting = true
      const writing = (async () => {
        const writer = new Database(gateway.databaseUrl)
        while (isWriting) {
          await writer.run(`insert into public.${table.name} (owner) values (null), ('${ANN}'), ('${BOB}')`)
        }
        await writer.close()
      })()
      const tokens = Array.from({ length: 6 }, (_, index) => [index % 2 ? ANN : BOB, index])
      /** Ids above which a user is the only one. */
      const since = []
      for (const [user, turn] of tokens) {
        await changes.next(change => change.new.owner !== null, 'a row of its own')
        await follower.client.setToken(tokenOf(user, { turn }))
        assert.equal(await follower.notice(), 'Subscribed to PostgreSQL')
        const [last] = await database.run(`select coalesce(max(id), 0) from public.${table.name}`)
        since.push({ user, id: Number(last) })
      }
      isWriting = false
      await writing
      const [[seen]] = [await follower.upTo(await raiseFence(database))]
      const ids = seen.map(change => change.new.id)
      assert.equal(new Set(ids).size, ids.length, 'nothing comes twice')
      const everybodys = await database.run(`select id from public.${table.name} where owner is null order by id`)
      const heard = seen.filter(change => change.new.owner === null).map(change => String(change.new.id))
      assert.deepEqual(heard, everybodys, 'what both see is all there')
      // Behind the last turn there is one user only.
      const { user, id } = since.at(-1)
      const own = await database.run(
        `select id from public.${table.name} where owner = '${user}' and id > ${id} order by id`
      )
      const late = seen.filter(change => change.new.id > id && change.new.owner !== null)
      assert.deepEqual(
        late.map(change => String(change.new.id)),
        own
      )
    })
  }

  test('SUBSCRIBED is true under row level security: a row inserted right after it arrives, fifty times', async t => {
    const table = await guarded('id bigint primary key, owner uuid', OWN_ROWS)
    const client = open(t, gateway, CURRENT)
    await client.setToken(tokenOf(ANN))
    for (let round = 0; round < 50; round++) {
      await database.run(`insert into public.${table.name} values (${2 * round}, '${ANN}')`)
      const channel = client.channel(freshTopic())
      const inserts = listen(channel, 'postgres_changes', table.binding)
      const inserted = new Promise((resolve, reject) => {
        channel.subscribe((status, error) => {
          const insert = `insert into public.${table.name} values (${2 * round + 1}, '${ANN}')`
          if (status === 'SUBSCRIBED') database.run(insert).then(resolve, reject)
          if (status === 'CHANNEL_ERROR') reject(error ?? new Error(status))
        })
      })
      await inserted
      // The first that is heard of is the one after, and not the one before.
      assert.equal((await inserts.next()).new.id, 2 * round + 1)
      assert.equal(await client.removeChannel(channel), 'ok')
    }
  })
})

describe('a table that is altered in mid-stream', () => {
  test('is told of as it is now, and judged by the policies as they are now', async t => {
    const table = await guarded('id bigint primary key, owner uuid, body text, extra text', OWN_ROWS)
    const [ann, bob] = [await follow(t, ANN, table.binding), await follow(t, BOB, table.binding)]
    const rows = async () => (await heardBy(database, ann, bob)).map(changes => changes.map(change => change.new))
    await table.run(
      `alter table $ add column tags text[] default '{}'; insert into $ values (1, '${ANN}', 'a', 'x', '{b}')`
    )
    assert.deepEqual(await rows(), [[{ id: 1, owner: ANN, body: 'a', extra: 'x', tags: ['b'] }], []])
    await table.run(`alter table $ rename column owner to person; insert into $ values (2, '${BOB}', 'a', 'x', '{}')`)
    assert.deepEqual(await rows(), [[], [{ id: 2, person: BOB, body: 'a', extra: 'x', tags: [] }]])
    await table.run(`alter table $ drop column extra; insert into $ values (3, '${ANN}', 'a', '{}')`)
    assert.deepEqual(await rows(), [[{ id: 3, person: ANN, body: 'a', tags: [] }], []])
    await table.run(`alter table $ alter column body type int using 7; insert into $ values (4, '${ANN}', 8, '{}')`)
    assert.deepEqual(await rows(), [[{ id: 4, person: ANN, body: 8, tags: [] }], []])
  })

  test('is renamed: a binding by name is told that it covers nothing any more, one on the schema goes on', async t => {
    await script(`create schema renaming; grant usage on schema renaming to anon;
      create table renaming.before (id bigint primary key); grant select on renaming.before to anon;
      alter publication supabase_realtime add table renaming.before`)
    const byName = await follow(t, gateway.anonKey, { event: '*', schema: 'renaming', table: 'before' })
    const bySchema = await follow(t, gateway.anonKey, { event: '*', schema: 'renaming' })
    await script(`insert into renaming.before values (1); alter table renaming.before rename to after;
      insert into renaming.after values (2)`)
    const [changes] = await heardBy(database, bySchema)
    assert.deepEqual(
      changes.map(({ new: row }) => row.id),
      [1, 2]
    )
    assert.equal(changes[1].table, 'after')
    assert.match(
      await byName.notice(),
      /^Unable to subscribe to changes with given parameters\. Please check Realtime is enabled/
    )
    assert.equal(await bySchema.notice(), 'Subscribed to PostgreSQL')
  })

  test('loses a column that a filter names: its binding hears nothing, others go on', async t => {
    const table = await guarded('id bigint primary key, owner uuid, kind text', OWN_ROWS)
    const filtered = { ...table.binding, filter: 'kind=eq.a' }
    const ann = await follow(t, ANN, filtered, table.binding)
    const inboxes = async () => (await ann.upTo(await raiseFence(database))).map(changes => changes.map(brief))
    await table.run(`insert into $ values (1, '${ANN}', 'a'), (2, '${ANN}', 'b')`)
    assert.deepEqual(await inboxes(), [['INSERT 1'], ['INSERT 1', 'INSERT 2']])
    await table.run(`alter table $ drop column kind; insert into $ values (3, '${ANN}')`)
    assert.deepEqual(await inboxes(), [[], ['INSERT 3']])
  })
})
