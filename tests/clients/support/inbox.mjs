// What has arrived, in order, and a way to wait for more. Every wait takes the item it was waiting for, so a test that
// waits twice for the same thing waits for two of them.

import { inspect } from 'node:util'

import { within } from './deadline.mjs'

export class Inbox {
  #name
  #unread = []
  #waiters = []
  /** Everything that ever arrived. */
  all = []

  constructor(name) {
    this.#name = name
  }

  push(item) {
    this.all.push(item)
    const index = this.#waiters.findIndex(waiter => waiter.wants(item))
    if (index < 0) this.#unread.push(item)
    else this.#waiters.splice(index, 1)[0].resolve(item)
  }

  /** The first unread item that `wants` accepts, now or when it arrives. */
  async next(wants = () => true, what = 'anything') {
    const index = this.#unread.findIndex(wants)
    if (index >= 0) return this.#unread.splice(index, 1)[0]
    const waiter = { wants }
    const arrival = new Promise(resolve => (waiter.resolve = resolve))
    this.#waiters.push(waiter)
    try {
      return await within(arrival, () => `${what} in ${this.#name}; unread: ${inspect(this.#unread, { depth: 6 })}`)
    } catch (error) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
      throw error
    }
  }

  /** Reads on until `done` holds. */
  async until(done, what = 'a condition') {
    while (!done()) await this.next(() => true, what)
  }

  /** A function to hand out as a callback. */
  get add() {
    return item => this.push(item)
  }
}
