import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { Chat } from '../src/chat.mjs'
import { connect } from '../src/supabase.mjs'
import { Todos } from '../src/todos.mjs'
import { startRoost } from '../support/roost.mjs'
import { watch } from '../support/until.mjs'

let roost
before(async () => (roost = await startRoost()))
after(() => {
  roost?.stop()
  // Whatever the clients said, the files have it.
  assert.deepEqual(roost?.complaints, [])
})

/** A client of its own for each test. `script` names a file of `fixtures`; without it the topics choose. */
function client(t, script) {
  // No waiting between attempts: what comes when is written in the files.
  const supabase = connect(roost.url, 'any key', { params: script ? { script } : {}, reconnectAfterMs: () => 10 })
  t.after(() => supabase.removeAllChannels())
  return supabase
}

test('one enters, is seen, hears and is heard', async t => {
  const { look, until } = watch()
  const chat = new Chat(client(t), 'lobby', 'ann', look)
  await until(() => chat.members.includes('ben'), 'ben, who was there before')
  assert.equal(await chat.feel('happy'), 'ok')
  await until(() => chat.members.length === 2, 'oneself')
  await until(() => chat.messages.length === 1, 'what ben says')
  assert.equal(chat.messages[0].text, 'hi ann')
  assert.equal(await chat.say('hi ben'), true)
  await until(() => chat.members.length === 1, 'ben to leave')
  assert.deepEqual(
    chat.messages.map(({ text }) => text),
    ['hi ann', 'hi ben']
  )
})

test('a message that the server refuses is not shown', async t => {
  const { look, until } = watch()
  const chat = new Chat(client(t), 'full', 'ann', look)
  await until(() => chat.status === 'here', 'the room')
  assert.equal(await chat.say('too much'), false)
  assert.deepEqual(chat.messages, [])
})

test('a room that is closed at first is entered later', async t => {
  const { look, until } = watch()
  const seen = []
  const chat = new Chat(client(t), 'private', 'ann', ({ status, error }) => {
    seen.push(error ?? status)
    look()
  })
  await until(() => chat.status === 'here', 'the room')
  assert.ok(seen.some(text => text.includes('not on the list')), seen.join())
})

test('the list follows the table', async t => {
  const { look, until } = watch()
  const todos = new Todos(client(t, 'todos'), look)
  await until(() => todos.isLive, 'the subscription')
  await until(() => todos.titles.join() === '✓ write tests', 'an insert, another, an update, and a delete')
})

test('after a lost connection the list goes on', async t => {
  const { look, until } = watch()
  const seen = []
  const todos = new Todos(client(t, 'lost-connection'), ({ isLive }) => {
    seen.push(isLive)
    look()
  })
  await until(() => todos.titles.includes('after'), 'a row that came after the connection was lost')
  assert.deepEqual(todos.titles, ['before', 'after'])
  assert.ok(seen.includes(false), 'the list knew that it was not live')
})
