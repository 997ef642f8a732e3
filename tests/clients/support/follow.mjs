// Following changes until a known point of the stream. Changes come in the order of commits, so a row of a table that
// everybody may read and that has no policies is a fence: when it is there, so is all that was committed before it.

import { CURRENT, listen, open, watch, subscribed } from './libraries.mjs'
import { freshTopic } from './topics.mjs'

/** Makes the fence; for the set-up of a test. */
export const FENCE = `
  create table public.fence (id bigint primary key);
  grant select on public.fence to anon, authenticated, service_role;
  alter publication supabase_realtime add table public.fence;`

let lastFence = 0

/** Commits a row of the fence. */
export async function raiseFence(database) {
  const id = ++lastFence
  await database.run(`insert into public.fence values (${id})`)
  return id
}

/** A channel that is subscribed to `bindings` and to the fence. */
export class Follower {
  /**
   * @param {Array<object>} bindings what `channel.on('postgres_changes', …)` takes
   * @param {{ library?: object, token?: string, client?: object, config?: object }} options of whom: by default a client
   * of its own, of a user that is not signed in; the rest is for a client that is opened
   */
  static async open(t, gateway, bindings, { library = CURRENT, token, client, config, ...options } = {}) {
    const follower = new Follower()
    follower.client = client ?? open(t, gateway, library, options)
    // Before it subscribes: supabase-js does not tell of a token that it gets between `subscribe` and the connection.
    if (token) await follower.client.setToken(token)
    follower.channel = follower.client.channel(freshTopic(), config)
    /** What the channel is told about its subscription. */
    follower.system = listen(follower.channel, 'system', {})
    /** One inbox per binding. */
    follower.inboxes = bindings.map(binding => listen(follower.channel, 'postgres_changes', binding))
    follower.fence = listen(follower.channel, 'postgres_changes', { event: 'INSERT', schema: 'public', table: 'fence' })
    follower.statuses = watch(follower.channel)
    await subscribed(follower.statuses)
    return follower
  }

  /** Waits for the notice that the subscription stands, or why not; resolves to its message. */
  async notice() {
    return (await this.system.next(({ extension }) => extension === 'postgres_changes', 'a notice')).message
  }

  /** Waits for fence `id`; resolves to the changes of each binding since it was asked last. */
  async upTo(id) {
    await this.fence.next(change => change.new.id === id, `fence ${id} on ${this.channel.topic}`)
    return this.inboxes.map((inbox, index) => {
      const fresh = inbox.all.slice(this.#read[index] ?? 0)
      this.#read[index] = inbox.all.length
      return fresh
    })
  }

  #read = []
}

/** What each of `followers` has heard since it was asked last, up to now: the changes of its first binding. */
export async function heardBy(database, ...followers) {
  const id = await raiseFence(database)
  return Promise.all(followers.map(async follower => (await follower.upTo(id))[0]))
}

/** The same, each change in one line. */
export const heardBriefly = async (database, ...followers) =>
  (await heardBy(database, ...followers)).map(changes => changes.map(brief))

/** A change in one line: `INSERT 1`, by the key `id`. */
export const brief = change => `${change.eventType} ${change.new?.id ?? change.old?.id}`
