// A recorded session with changes of tables: what changed them is not on the wire, and is written in afterwards.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { Database } from './support/database.mjs'
import { Gateway } from './support/gateway.mjs'
import { LIBRARIES, listen, open, subscribe } from './support/libraries.mjs'
import { record, replay, roost } from './support/recorder.mjs'

/** How often a recording has to replay. */
const TIMES = 5

let gateway, database, folder
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'roost-record-changes-'))
  gateway = await Gateway.dev()
  database = new Database(gateway.databaseUrl)
  await database.run(`
    create table public.lists (id uuid primary key default gen_random_uuid(), name text not null);
    create table public.items (
      id bigint generated always as identity primary key,
      list uuid references public.lists, title text not null, price numeric, tags text[], doc jsonb,
      "order" int, at timestamptz default now(), day date);
    grant select on public.lists, public.items to anon, authenticated;
    alter publication supabase_realtime add table public.lists, public.items`)
})
after(async () => {
  await database?.close()
  await gateway?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Two people follow lists, one of them only some; somebody writes elsewhere while they talk. */
async function follow(t, library, recorder) {
  const [ann, ben] = [open(t, recorder, library), open(t, recorder, library)]
  const [annsRoom, bensRoom] = [ann.channel('lists'), ben.channel('some')]
  const all = listen(annsRoom, 'postgres_changes', { event: '*', schema: 'public' })
  const dear = listen(bensRoom, 'postgres_changes', {
    event: 'INSERT',
    schema: 'public',
    table: 'items',
    filter: 'price=gt.1.5'
  })
  const said = listen(bensRoom, 'broadcast', { event: 'say' })
  const ready = [annsRoom, bensRoom].map(room => listen(room, 'system', {}))
  await subscribe(annsRoom)
  await subscribe(bensRoom)
  for (const system of ready) await system.next(({ status }) => status === 'ok')

  const [list] = await database.run(`insert into public.lists (name) values ('it''s a list') returning id`)
  await all.next(change => change.eventType === 'INSERT' && change.table === 'lists')
  await database.run(`
    insert into public.items (list, title, price, tags, doc, "order", day)
    values ('${list}', 'cheap', 1.50, '{"a","b c"}', '{"a": [1, "it''s"]}', 1, '2020-02-29'),
           ('${list}', 'dear \${5}', 2.25, null, '"text"', null, null)`)
  await all.next(change => change.eventType === 'INSERT' && change.new.title?.startsWith('dear'))
  await dear.next(change => change.new.title.startsWith('dear'))
  await annsRoom.send({ type: 'broadcast', event: 'say', payload: { nobody: 'else' } })
  await bensRoom.send({ type: 'broadcast', event: 'say', payload: { hello: 'you' } })
  assert.equal(said.all.length, 0)
  await database.run(`update public.items set title = 'cheaper', price = 0.5 where title = 'cheap'`)
  await all.next(change => change.eventType === 'UPDATE')
  await database.run(`delete from public.items where title = 'cheaper'`)
  await all.next(change => change.eventType === 'DELETE')
  await database.run(`update public.lists set name = 'another'`)
  await all.next(change => change.eventType === 'UPDATE' && change.table === 'lists')
  await ann.close()
  await ben.close()
  await database.run('delete from public.items; delete from public.lists')
}

for (const library of LIBRARIES) {
  test(`${library.name}: statements are derived from what was told, and replay on an empty table`, async t => {
    const file = join(folder, `${library.name.replaceAll(/[^a-z0-9]+/g, '-')}.jsonl`)
    const recorder = await record(t, gateway, file)
    await follow(t, library, recorder)
    const text = await recorder.stop()
    assert.ok(text.includes('"postgres_changes"') && !text.includes('{"sql"'), text)

    const line = text.split('\n').findIndex(line => line.includes('"commit_timestamp"')) + 1
    for (const args of [
      ['transcript', 'check', file],
      ['replay', file, '--url', gateway.webSocketUrl, '--key', `anon=${gateway.anonKey}`, '--patience-ms', '1000']
    ]) {
      const { output } = await roost(...args)
      assert.ok(output.includes(`${file}:${line}: `) && output.includes('{"sql":"insert into public.lists '), output)
    }

    const { code, output } = await roost('transcript', 'fmt', '--sql', file)
    assert.equal(code, 0, output)
    const complete = await readFile(file, 'utf8')
    for (let time = 1; time <= TIMES; time++) {
      const { code, output } = await replay(gateway, file, '--database-url', gateway.databaseUrl)
      assert.equal(code, 0, `replay ${time}: ${output}\n${complete}`)
      assert.deepEqual(await database.run('select count(*) from public.items, public.lists'), ['0'])
    }
  })
}
