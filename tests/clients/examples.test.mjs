// The examples do what their README says.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { Gateway } from './support/gateway.mjs'
import { Inbox } from './support/inbox.mjs'
import { bindToThisProcess } from './support/lifetime.mjs'

const here = path => fileURLToPath(new URL(path, import.meta.url))

let gateway
before(async () => (gateway = await Gateway.dev()))
after(() => gateway?.stop())

test('chat.mjs hears, sees and reads', async t => {
  // Below our node_modules, so that it finds the libraries that are installed here.
  const cache = here('./node_modules/.cache')
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(join(cache, 'examples-'))
  t.after(() => rm(directory, { recursive: true }))
  await copyFile(here('../../examples/chat.mjs'), join(directory, 'chat.mjs'))

  const env = {
    ...process.env,
    ROOST_URL: gateway.url,
    ROOST_ANON_KEY: gateway.anonKey,
    DATABASE_URL: gateway.databaseUrl
  }
  const chat = bindToThisProcess(
    spawn(process.execPath, [join(directory, 'chat.mjs')], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  )
  t.after(() => chat.kill())
  const lines = new Inbox('the output of chat.mjs')
  createInterface({ input: chat.stdout }).on('line', lines.add)

  const last = ['ann reads hello, table', 'ben reads hello, table']
  await lines.until(() => last.every(line => lines.all.includes(line)), last.join(' and '))
  assert.ok(lines.all.includes('ben hears ann hello'))
  for (const name of ['ann', 'ben']) {
    assert.ok(
      lines.all.some(line => line.startsWith(`${name} sees`) && line.includes("'ann'") && line.includes("'ben'"))
    )
  }
})
