// A PostgreSQL server that tests may kill and start again. `roost dev` makes its data, and is then gone.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { PATIENCE_MS, within } from './deadline.mjs'
import { Database } from './database.mjs'
import { Gateway } from './gateway.mjs'
import { bindToThisProcess } from './lifetime.mjs'

export class Postgres {
  #maker
  #program
  #args
  #owner
  #child
  #output = []

  /** A server with the roles, functions and tables of `roost dev`, running. */
  static async create() {
    const postgres = new Postgres()
    postgres.#maker = await Gateway.dev()
    postgres.url = postgres.#maker.databaseUrl
    await postgres.#adopt()
    return postgres.start()
  }

  /** Learns from the running server how to run it, and stops it. */
  async #adopt() {
    const database = new Database(this.url)
    const [bin] = await database.run(`select setting from pg_config where name = 'BINDIR'`)
    const [data] = await database.run('show data_directory')
    const settings = await database.run(`select name || '=' || setting from pg_settings where source = 'command line'`)
    await database.close()
    await this.#maker.signal('SIGTERM')
    const { uid, gid } = await stat(data)
    this.#owner = uid === process.getuid() ? {} : { uid, gid }
    this.#program = join(bin, 'postgres')
    this.#args = ['-D', data, ...settings.flatMap(setting => ['-c', setting])]
  }

  /** Starts it, and resolves when it takes connections. */
  async start() {
    const giveUp = performance.now() + PATIENCE_MS
    // Processes of a killed server take a moment to go.
    while (!(await within(this.#launch(), () => this.#description()))) {
      if (performance.now() > giveUp) throw new Error(this.#description())
    }
    return this
  }

  /** Whether it came up. */
  #launch() {
    const options = { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/', ...this.#owner }
    this.#child = bindToThisProcess(spawn(this.#program, this.#args, options))
    return new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('exit', () => resolve(false))
      createInterface({ input: this.#child.stderr }).on('line', line => {
        this.#output.push(line)
        if (line.includes('ready to accept connections')) resolve(true)
      })
    })
  }

  #description = () => `PostgreSQL\n${this.#output.slice(-50).join('\n')}`

  /** Sends `signal` to the server and waits for its end. */
  async signal(signal) {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const end = once(this.#child, 'exit')
    this.#child.kill(signal)
    await within(end, () => `the end after ${signal} of ${this.#description()}`)
  }

  /** Stops it and removes its data. */
  async stop() {
    await this.signal('SIGQUIT')
    await this.#maker.removeData()
  }
}
