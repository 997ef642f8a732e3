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
    const args = ['--no-psqlrc', '--quiet', '--tuples-only', '--no-align', url]
    this.#psql = bindToThisProcess(spawn('psql', args, { stdio: ['pipe', 'pipe', 'pipe'] }))
    createInterface({ input: this.#psql.stdout }).on('line', line => this.#read(line))
    createInterface({ input: this.#psql.stderr }).on('line', line => this.#complaints.push(line))
  }

  /** Runs `sql`, one or more statements; resolves to its rows as text. Statements run in the order they are asked for. */
  async run(sql) {
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
    const end = once(this.#psql, 'exit')
    this.#psql.stdin.end()
    await end
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

/** Ends the output of what was run. */
const MARK = '--answered--'
