// The database, the connection to it or the gateway goes away while rows are written; the clients come back by themselves.
// What they hear is compared with what was committed.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { Database } from './support/database.mjs'
import { FENCE, Follower, raiseFence } from './support/follow.mjs'
import { Gateway } from './support/gateway.mjs'
import { CURRENT, OLD, subscribed } from './support/libraries.mjs'
import { Postgres } from './support/postgres.mjs'

const ANN = 'a0000000-0000-4000-8000-000000000001'
const BOB = 'b0000000-0000-4000-8000-000000000002'
const LOST = 'Changes may have been lost: the connection to the database was interrupted and is back'

let postgres

before(async () => {
  postgres = await Postgres.create()
  await Database.script(
    postgres.url,
    `${FENCE}
     create table public.ledger (id bigint primary key, version int not null default 1);
     alter table public.ledger replica identity full;
     create table public.audit (number bigint generated always as identity, line text);
     create function public.note() returns trigger language plpgsql as $$ begin
       insert into public.audit (line) values (tg_op || ' ' || coalesce(new.id, old.id) || ' ' || coalesce(new.version, old.version));
       return null;
     end $$;
     create trigger note after insert or update or delete on public.ledger for each row execute function public.note();
     create table public.members (team text, person uuid, primary key (team, person));
     insert into public.members values ('red', '${ANN}'), ('blue', '${BOB}');
     create table public.guarded (id bigint primary key, team text);
     alter table public.guarded enable row level security;
     create policy of_team on public.guarded for select to authenticated using
       (exists (select from public.members m where m.team = guarded.team and m.person = (select auth.uid())));
     create sequence public.ids;
     grant select on public.ledger, public.members, public.guarded to anon, authenticated;
     alter publication supabase_realtime add table public.ledger, public.guarded`
  )
})

after(() => postgres?.stop())

/** One transaction: rows that are inserted, changed and deleted again. */
const TRANSACTION = `begin;
  insert into public.ledger (id) select nextval('public.ids') from generate_series(1, 3);
  update public.ledger set version = version + 1 where id in (select id from public.ledger order by id desc limit 4);
  delete from public.ledger where id = (select min(id) from public.ledger) and (select count(*) from public.ledger) > 20;
  insert into public.guarded select id, (array['red', 'blue'])[1 + id % 2] from public.ledger order by id desc limit 1;
  commit`

/** Commits transactions one after the other, with a new connection whenever it loses its own. */
class Writer {
  #isStopped = false
  #end
  #written = 0
  #waiting = []

  constructor() {
    this.#end = this.#write()
  }

  /** Resolves when that many more transactions are committed. */
  async wrote(count) {
    const target = this.#written + count
    while (this.#written < target) await new Promise(resolve => this.#waiting.push(resolve))
  }

  async stop() {
    this.#isStopped = true
    await this.#end
  }

  async #write() {
    let database
    while (!this.#isStopped) {
      database = database?.isOpen ? database : new Database(postgres.url)
      try {
        await database.run(TRANSACTION)
      } catch {
        // Whether it was committed is seen in the tables.
        continue
      }
      this.#written++
      this.#waiting.splice(0).forEach(resolve => resolve())
    }
    await database.close()
  }
}

/** Rows, as lines, that this test is about: all since it began. */
class Truth {
  #database
  #audit
  #guarded

  async begin() {
    this.#database = new Database(postgres.url)
    const last = async (column, table) =>
      (await this.#database.run(`select coalesce(max(${column}), 0) from ${table}`))[0]
    this.#audit = await last('number', 'public.audit')
    this.#guarded = await last('id', 'public.guarded')
    await this.#database.close()
    return this
  }

  async end() {
    this.#database = new Database(postgres.url)
    const fence = await raiseFence(this.#database)
    const ledger = await this.#database.run(
      `select line from public.audit where number > ${this.#audit} order by number`
    )
    const guarded = await this.#database.run(
      `select 'INSERT ' || id from public.guarded where id > ${this.#guarded} and team = 'red' order by id`
    )
    await this.#database.close()
    return { fence, ledger, guarded }
  }
}

const line = ({ eventType, new: now, old }) =>
  [eventType, now.id ?? old.id, ...(now.version || old.version ? [now.version ?? old.version] : [])].join(' ')

/** Both libraries on the ledger, and Ann on what her team owns. */
async function followers(t, gateway) {
  const ledger = { event: '*', schema: 'public', table: 'ledger' }
  const guarded = { event: '*', schema: 'public', table: 'guarded' }
  const open = (binding, options) => Follower.open(t, gateway, [binding], options)
  return [
    // The older library joins anew at the same interval, and gives up a join that takes longer.
    await open(ledger, { library: CURRENT, reconnectAfterMs: () => 200 }),
    await open(ledger, { library: OLD, reconnectAfterMs: () => 1000 }),
    await open(guarded, { token: gateway.token('authenticated', { sub: ANN }), reconnectAfterMs: () => 200 })
  ]
}

/** Waits until each of `all` is subscribed again. */
const backAgain = all => Promise.all(all.map(({ statuses }) => subscribed(statuses)))

/** Runs `disturb` while rows are written; what each follower has heard, and what is true. */
async function disturbed(all, disturb) {
  const truth = await new Truth().begin()
  const writer = new Writer()
  let heard
  try {
    await writer.wrote(10)
    await disturb(writer)
    await writer.wrote(10)
  } finally {
    await writer.stop()
  }
  const { fence, ledger, guarded } = await truth.end()
  heard = await Promise.all(all.map(async follower => (await follower.upTo(fence))[0].map(line)))
  const expected = [ledger, ledger, guarded]
  return { heard, expected }
}

/** What is in `expected` and not in `heard`, in a few words, and what was heard more than once. */
function compare(heard, expected) {
  const [counts, known] = [new Map(heard.map(item => [item, 0])), new Set(expected)]
  heard.forEach(item => counts.set(item, counts.get(item) + 1))
  return {
    lost: expected.filter(item => !counts.has(item)).slice(0, 5),
    invented: heard.filter(item => !known.has(item)).slice(0, 5),
    repeated: [...counts].filter(([, count]) => count > 1).map(([item]) => item)
  }
}

const NOTHING_WRONG = { lost: [], invented: [], repeated: [] }

function assertExact({ heard, expected }) {
  heard.forEach((lines, index) => {
    assert.deepEqual(compare(lines, expected[index]), NOTHING_WRONG, `follower ${index}`)
    assert.ok(
      lines.every((item, at) => item === expected[index][at]),
      `follower ${index}: the order is that of the commits`
    )
  })
}

/** What a channel was told, but for that its subscription stands. */
const complaints = follower =>
  follower.system.all.map(({ message }) => message).filter(message => message !== 'Subscribed to PostgreSQL')

const cutConnection = async () => {
  const database = new Database(postgres.url)
  const [pid] = await database.until(
    'select active_pid from pg_replication_slots where active',
    rows => rows.length === 1
  )
  await database.run(`select pg_terminate_backend(${pid})`)
  await database.until(
    'select active_pid from pg_replication_slots where active',
    ([active]) => active !== undefined && active !== pid
  )
  await database.close()
}

const crash = async () => {
  await postgres.signal('SIGKILL')
  await postgres.start()
}

describe('with a durable slot', () => {
  let gateway

  before(async () => {
    gateway = await Gateway.on(postgres.url, '--slot', 'durable', '--slot-name', 'kept', '--slot-resume-ms', '4000')
  })

  after(async () => {
    await gateway?.stop()
    await Database.script(postgres.url, `select pg_drop_replication_slot('kept')`)
  })

  const unnoticed = {
    'the connection is terminated, three times': async () => {
      for (let round = 0; round < 3; round++) await cutConnection()
    },
    'the database is killed and started again, twice': async writer => {
      await crash()
      await writer.wrote(5)
      await crash()
    },
    // An orderly stop waits for those who stream: they must not wait for the database at that moment.
    'the database is stopped and started again': async () => {
      try {
        await postgres.signal('SIGINT')
      } finally {
        await crash()
      }
    }
  }
  for (const [what, disturb] of Object.entries(unnoticed)) {
    test(`${what}: every change arrives, once and in order, and nobody is told anything`, async t => {
      const all = await followers(t, gateway)
      assertExact(await disturbed(all, disturb))
      for (const follower of all) assert.deepEqual(complaints(follower), [])
      for (const { statuses } of all)
        assert.deepEqual(
          statuses.all.map(({ status }) => status),
          ['SUBSCRIBED']
        )
    })
  }

  test('the gateway is stopped and started again: every change arrives, once and in order', async t => {
    const all = await followers(t, gateway)
    const outcome = await disturbed(all, async writer => {
      await gateway.signal('SIGTERM')
      await writer.wrote(10)
      await gateway.start()
      await backAgain(all)
    })
    assertExact(outcome)
    for (const follower of all) assert.deepEqual(complaints(follower), [])
  })

  test('the gateway is killed and started again: nothing is lost, and only the last changes before that come twice', async t => {
    const all = await followers(t, gateway)
    let before
    const { heard, expected } = await disturbed(all, async writer => {
      await gateway.signal('SIGKILL')
      await writer.wrote(10)
      before = all.map(({ inboxes: [{ all: changes }] }) => changes.length)
      await gateway.start()
      await backAgain(all)
    })
    heard.forEach((lines, index) => {
      const { repeated, ...rest } = compare(lines, expected[index])
      assert.deepEqual(rest, { lost: [], invented: [] }, `follower ${index}`)
      const [early, late] = [lines.slice(0, before[index]), lines.slice(before[index])]
      assert.deepEqual(
        early.slice(early.length - repeated.length),
        repeated,
        'what is repeated is the end of what came before'
      )
      assert.deepEqual(late.slice(0, repeated.length), repeated)
      assert.ok(
        [...early.slice(0, early.length - repeated.length), ...late].every((item, at) => item === expected[index][at])
      )
    })
  })

  // What a slot has acknowledged is on disk since the last checkpoint only: all that came after it may come again.
  test('both are killed and started again: nothing is lost', async t => {
    const all = await followers(t, gateway)
    const { heard, expected } = await disturbed(all, async () => {
      await Promise.all([gateway.signal('SIGKILL'), postgres.signal('SIGKILL')])
      await postgres.start()
      await gateway.start()
      await backAgain(all)
    })
    heard.forEach((lines, index) => {
      assert.deepEqual(compare(lines, expected[index]).lost, [], `follower ${index}`)
      assert.equal(lines.at(-1), expected[index].at(-1))
    })
  })
})

describe('with a temporary slot', () => {
  let gateway

  before(async () => {
    gateway = await Gateway.on(postgres.url)
  })

  after(() => gateway?.stop())

  const interruptions = {
    'the connection is terminated': cutConnection,
    'the database is killed and started again': crash
  }
  for (const [what, interrupt] of Object.entries(interruptions)) {
    test(`${what}: channels are told that changes may be missing, and go on`, async t => {
      const all = await followers(t, gateway)
      for (const { system } of all) await system.next()
      const counts = []
      const { heard, expected } = await disturbed(all, async () => {
        await interrupt()
        const told = all.map(async ({ system, inboxes: [changes] }, index) => {
          const { status, message } = await system.next(({ extension }) => extension === 'postgres_changes')
          assert.deepEqual([status, message], ['ok', LOST])
          counts[index] = changes.all.length
        })
        await Promise.all(told)
      })
      heard.forEach((lines, index) => {
        const { invented, repeated } = compare(lines, expected[index])
        assert.deepEqual({ invented, repeated }, { invented: [], repeated: [] }, `follower ${index}`)
        // Before the notice, and again from the first change behind it on, there are no gaps.
        const [early, late] = [lines.slice(0, counts[index]), lines.slice(counts[index])]
        assert.ok(late.length > 0)
        assert.deepEqual(late, expected[index].slice(expected[index].length - late.length))
        assert.deepEqual(early, expected[index].slice(0, early.length))
      })
      for (const follower of all) assert.deepEqual(complaints(follower), [LOST])
    })
  }

  test('the gateway is killed and started again: clients come back, and changes go on', async t => {
    const all = await followers(t, gateway)
    const { heard, expected } = await disturbed(all, async () => {
      await gateway.signal('SIGKILL')
      await gateway.start()
      await backAgain(all)
    })
    heard.forEach((lines, index) => {
      const { invented, repeated } = compare(lines, expected[index])
      assert.deepEqual({ invented, repeated }, { invented: [], repeated: [] }, `follower ${index}`)
      assert.equal(lines.at(-1), expected[index].at(-1))
    })
  })
})
