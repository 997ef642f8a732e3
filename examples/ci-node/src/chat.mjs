// A chat room: who is there, what they say, and whether what one says oneself has arrived.

export class Chat {
  #channel
  #onChange
  messages = []
  members = []
  status = 'connecting'

  constructor(supabase, room, me, onChange = () => {}) {
    this.#onChange = onChange
    this.#channel = supabase.channel(`chat:${room}`, { config: { broadcast: { ack: true }, presence: { key: me } } })
    this.#channel.on('broadcast', { event: 'message' }, ({ payload }) => this.#change(() => this.messages.push(payload)))
    this.#channel.on('presence', { event: 'sync' }, () =>
      this.#change(() => (this.members = Object.keys(this.#channel.presenceState()).sort()))
    )
    this.#channel.subscribe((status, error) => {
      this.error = error?.message
      this.#change(() => (this.status = status === 'SUBSCRIBED' ? 'here' : 'away'))
    })
  }

  /** Tells the others in which mood one is. */
  feel(mood) {
    return this.#channel.track({ mood })
  }

  /** True if the server has the message. */
  async say(text) {
    const payload = { text, at: Date.now() }
    const outcome = await this.#channel.send({ type: 'broadcast', event: 'message', payload })
    if (outcome === 'ok') this.#change(() => this.messages.push({ from: 'me', text }))
    return outcome === 'ok'
  }

  #change(change) {
    change()
    this.#onChange(this)
  }
}
