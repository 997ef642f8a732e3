// Two clients in one room: what ann says, who is there, and rows of a table as they come. Ctrl-C ends it. See README.md.
import { execFileSync } from 'node:child_process'
import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

const { ROOST_URL = 'http://127.0.0.1:4000', ROOST_ANON_KEY, DATABASE_URL } = process.env

const enter = async name => {
  const client = createClient(ROOST_URL, ROOST_ANON_KEY, { realtime: { transport: WebSocket } })
  const room = client.channel('lobby', { config: { presence: { key: name } } })
  room.on('broadcast', { event: 'message' }, ({ payload }) => console.log(name, 'hears', payload.from, payload.text))
  room.on('presence', { event: 'sync' }, () => console.log(name, 'sees', Object.keys(room.presenceState())))
  room.on('postgres_changes', { event: 'INSERT', table: 'room_messages' }, row =>
    console.log(name, 'reads', row.new.body)
  )
  await new Promise(entered =>
    room.subscribe((status, error) => (status === 'SUBSCRIBED' ? entered() : console.error(status, error)))
  )
  await room.track({ since: new Date() })
  return room
}

const ann = await enter('ann')
await enter('ben')
await ann.send({ type: 'broadcast', event: 'message', payload: { from: 'ann', text: 'hello' } })
if (DATABASE_URL)
  execFileSync('psql', ['-qc', "insert into room_messages (body) values ('hello, table')", DATABASE_URL])
