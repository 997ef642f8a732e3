// `roost serve --script`, for as long as the tests of one file run.

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const BINARY = process.env.ROOST_BIN ?? 'roost'
const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url))

/** Starts it on a free port, with every file in `fixtures`. */
export async function startRoost() {
  const files = readdirSync(FIXTURES).map(name => FIXTURES + name)
  const roost = spawn(BINARY, ['serve', '--listen', '127.0.0.1:0', '--script', ...files], {
    stdio: ['ignore', 'ignore', 'pipe']
  })
  process.once('exit', () => roost.kill())
  const log = []
  const url = await new Promise((resolve, reject) => {
    roost.once('error', reject)
    roost.once('exit', code => reject(new Error(`roost ended with ${code}\n${log.join('\n')}`)))
    createInterface({ input: roost.stderr }).on('line', line => {
      log.push(line)
      const [, address] = line.match(/serving address=(\S+)/) ?? []
      if (address) resolve(`http://${address}`)
    })
  })
  return {
    url,
    stop: () => roost.kill(),
    /** What it says of clients that do something else than the files: file, line, expected, got. */
    get complaints() {
      return log.filter(line => /ERROR|WARN|^ /.test(line))
    }
  }
}
