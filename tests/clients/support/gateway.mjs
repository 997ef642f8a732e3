// A gateway of our own: started on a free port, stopped and cleaned up after.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { within } from './deadline.mjs'
import { bindToThisProcess } from './lifetime.mjs'
import { tokenFor } from './token.mjs'

/** Signs every token of these tests. */
export const SECRET = 'a secret that only these tests know, of 32 characters and more'

const BINARY = process.env.ROOST_BIN ?? fileURLToPath(new URL('../../../target/debug/roost', import.meta.url))
/** Refusals wait, to slow down clients that retry; here that would only slow down the tests. */
const IMPATIENT = ['--connect-error-backoff-ms', '100', '--channel-error-backoff-ms', '100']
/** How long a first start may take, which creates a database cluster. Milliseconds. */
const START_PATIENCE_MS = 60_000

export class Gateway {
  #command
  #args
  #child
  #output = []
  #dataDir
  /** Whether it follows a database. */
  #streams
  /** Port, chosen by the system on the first start and kept over restarts. */
  port = 0
  /** Connection string of the database, if there is one. */
  databaseUrl

  /** A gateway without a database. */
  static serve(...args) {
    return new Gateway('serve', ['--jwt-secret', SECRET, ...args]).start()
  }

  /** A gateway on the database at `databaseUrl`. */
  static async on(databaseUrl, ...args) {
    const gateway = new Gateway('serve', ['--jwt-secret', SECRET, '--database-url', databaseUrl, ...args])
    gateway.#streams = true
    gateway.databaseUrl = databaseUrl
    return gateway.start()
  }

  /** A gateway with a PostgreSQL of its own. */
  static async dev(...args) {
    const dataDir = await mkdtemp(join(tmpdir(), 'roost-clients-'))
    // Run by root, the database is another user's, and is kept elsewhere if that user cannot get here.
    await chmod(dataDir, 0o755)
    await writeFile(join(dataDir, 'jwt_secret'), SECRET)
    const gateway = new Gateway('dev', ['--data-dir', dataDir, ...args])
    gateway.#dataDir = dataDir
    gateway.#streams = true
    return gateway.start()
  }

  constructor(command, args) {
    this.#command = command
    this.#args = args
  }

  /** Starts it, on the port it had before. */
  async start() {
    const args = [
      this.#command,
      '--listen',
      `127.0.0.1:${this.port}`,
      '--log-level',
      'info',
      ...IMPATIENT,
      ...this.#args
    ]
    if (this.#dataDir) this.databaseUrl = undefined
    this.#child = bindToThisProcess(spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'] }))
    await within(this.#serving(), () => `roost ${args.join(' ')}\n${this.#output.join('\n')}`, START_PATIENCE_MS)
    return this
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  get webSocketUrl() {
    return `ws://127.0.0.1:${this.port}`
  }

  /** The key that a frontend has. */
  get anonKey() {
    return tokenFor(SECRET, 'anon')
  }

  /** What a user has who is signed in as `role`, with these claims besides. */
  token(role, claims) {
    return tokenFor(SECRET, role, 3600, claims)
  }

  /** Sends `signal` and waits for the end. */
  async signal(signal) {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const end = once(this.#child, 'exit')
    this.#child.kill(signal)
    await within(end, () => `roost to end after ${signal}\n${this.#output.join('\n')}`)
  }

  /** Stops it and removes what it kept. */
  async stop() {
    await this.signal('SIGTERM')
    await this.removeData()
  }

  /** Removes what it kept. */
  async removeData() {
    if (this.#dataDir) await rm(this.#dataDir, { recursive: true, force: true })
  }

  /**
   * Resolves when it has said where it listens and, if it has a database, where that is and that it streams from it. A
   * table made while PostgreSQL makes the slot may be one that PostgreSQL cannot decode.
   */
  #serving() {
    return new Promise((resolve, reject) => {
      const child = this.#child
      child.once('error', reject)
      child.once('exit', code => reject(new Error(`roost ended with ${code}\n${this.#output.join('\n')}`)))
      let [serving, streaming] = [false, !this.#streams]
      const read = line => {
        this.#output.push(line)
        const [, port] = line.match(/serving address=127\.0\.0\.1:(\d+)/) ?? []
        if (port) [serving, this.port] = [true, Number(port)]
        this.databaseUrl ??= line.match(/^ *database +(postgres\S+)/)?.[1]
        if (line.includes('streaming changes')) streaming = true
        if (serving && streaming && (this.databaseUrl || !this.#streams)) resolve()
      }
      for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', read)
    })
  }
}
