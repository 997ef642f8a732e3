// SQL, through one psql that stays open: a statement is on its way within a millisecond of being asked for.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

import { PATIENCE_MS, within } from './deadline.mjs'
import { bindToThisProcess } from './lifetime.mjs'

export class Database {
  #psql
  #complaints = []
  #waiting = []
  #answer = []

  constructor(url) {
    this.#psql = bindToThisProcess(spawn('psql', [...QUIET, url]))
    createInterface({ input: this.#psql.stdout }).on('line', line => this.#read(line))
    createInterface({ input: this.#psql.stderr }).on('line', line => this.#complaints.push(line))
    // Without a handler, writing to a psql that has just ended would end the tests.
    this.#psql.stdin.on('error', () => {})
    this.#psql.once('close', () => this.#end())
  }

  /** Runs `sql` and fails with the first statement that does. `run` only tells of the last one. */
  static async script(url, sql) {
    const psql = bindToThisProcess(spawn('psql', [...QUIET, '--set=ON_ERROR_STOP=1', url]))
    let complaints = ''
    psql.stderr.on('data', data => (complaints += data))
    psql.stdout.resume()
    psql.stdin.end(sql)
    const [code] = await within(once(psql, 'close'), () => sql)
    if (code !== 0) throw new Error(`${complaints}: ${sql}`)
  }

  /** Whether psql runs: it ends with its connection. */
  isOpen = true

  /** Runs `sql`, one or more statements; resolves to its rows as text. Statements run in the order they are asked for. */
  async run(sql) {
    if (!this.isOpen) throw new Error(this.#complaints.join('\n'))
    const answer = new Promise((resolve, reject) => this.#waiting.push({ sql, resolve, reject }))
    this.#psql.stdin.write(`${sql};\n\\echo ${MARK} :ERROR :LAST_ERROR_MESSAGE\n`)
    return within(answer, () => `${sql}\n${this.#complaints.join('\n')}`)
  }

  /** Runs `sql` again and again until `accepts` takes its rows. */
  async until(sql, accepts) {
    const giveUp = performance.now() + PATIENCE_MS
    for (;;) {
      const rows = await this.run(sql)
      if (accepts(rows)) return rows
      if (performance.now() > giveUp) throw new Error(`waited ${PATIENCE_MS} ms for ${sql}; last: ${rows}`)
    }
  }

  async close() {
    if (!this.isOpen) return
    const end = once(this.#psql, 'close')
    this.#psql.stdin.end()
    await end
  }

  #end() {
    this.isOpen = false
    for (const { sql, reject } of this.#waiting.splice(0)) reject(new Error(`${this.#complaints.join('\n')}: ${sql}`))
  }

  #read(line) {
    if (!line.startsWith(MARK)) {
      this.#answer.push(line)
      return
    }
    const { sql, resolve, reject } = this.#waiting.shift()
    const [, failed, ...message] = line.split(' ')
    if (failed === 'true') reject(new Error(`${message.join(' ')}: ${sql}`))
    else resolve(this.#answer)
    this.#answer = []
  }
}

const QUIET = ['--no-psqlrc', '--quiet', '--tuples-only', '--no-align']
/** Ends the output of what was run. */
const MARK = '--answered--'
