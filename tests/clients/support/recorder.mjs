// `roost record` in front of a gateway, and what is done with its files afterwards.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { within } from './deadline.mjs'
import { SECRET } from './gateway.mjs'
import { bindToThisProcess } from './lifetime.mjs'

const BINARY = process.env.ROOST_BIN ?? fileURLToPath(new URL('../../../target/debug/roost', import.meta.url))

/** A recorder in front of the gateway; clients take it for one. */
export async function record(t, gateway, file, ...args) {
  const upstream = `${gateway.webSocketUrl}/realtime/v1`
  const child = bindToThisProcess(
    spawn(BINARY, ['record', '--listen', '127.0.0.1:0', '--upstream', upstream, '--out', file, ...args], {
      stdio: ['ignore', 'pipe', 'ignore']
    })
  )
  t.after(() => child.kill('SIGKILL'))
  const address = await within(
    (async () => {
      for await (const line of createInterface({ input: child.stdout })) {
        const [, address] = line.match(/createClient\('http:\/\/([^']+)'/) ?? []
        if (address) return address
      }
    })(),
    () => 'roost record to listen'
  )
  return {
    url: `http://${address}`,
    webSocketUrl: `ws://${address}`,
    anonKey: gateway.anonKey,
    /** Ends the recording; resolves to what it wrote. */
    stop: async () => {
      const end = once(child, 'exit')
      child.kill('SIGINT')
      assert.deepEqual(await within(end, () => 'roost record to end'), [0, null])
      return readFile(file, 'utf8')
    }
  }
}

/** Replays files on the gateway; resolves to the exit code and to what was printed. */
export function replay(gateway, file, ...args) {
  return roost('replay', file, '--url', gateway.webSocketUrl, '--jwt-secret', SECRET, ...args)
}

/** Runs the binary; resolves to the exit code, to what it printed, and to that with its messages. */
export async function roost(...args) {
  const child = bindToThisProcess(spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'] }))
  let [printed, output] = ['', '']
  child.stdout.on('data', data => {
    printed += data
    output += data
  })
  child.stderr.on('data', data => (output += data))
  const [code] = await within(once(child, 'close'), () => `roost ${args.join(' ')}\n${output}`)
  return { code, printed, output }
}
