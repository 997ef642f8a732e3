// Phoenix frames, byte by byte: for what no client library sends, and to see what none of them shows.

import WebSocket from 'ws'

import { within } from './deadline.mjs'
import { Inbox } from './inbox.mjs'

/** One frame from the server: its five parts, `raw`, as it came, and the `text` that it came as. Binary ones are broadcasts. */
export function decode(data, isBinary) {
  if (isBinary) return decodeBroadcast(data)
  const text = data.toString()
  const raw = JSON.parse(text)
  if (!Array.isArray(raw)) return { joinRef: undefined, ...pick(raw), raw, text, binary: false }
  const [joinRef, ref, topic, event, payload] = raw
  return { joinRef, ref, topic, event, payload, raw, text, binary: false }
}

const pick = ({ ref, topic, event, payload }) => ({ ref, topic, event, payload })

/** Kind 4, `04 topic_len event_len meta_len encoding topic event meta payload`. */
function decodeBroadcast(data) {
  const [kind, topicLength, eventLength, metaLength, encoding] = data
  let at = 5
  const take = length => data.subarray(at, (at += length))
  const topic = take(topicLength).toString()
  const event = take(eventLength).toString()
  const meta = take(metaLength).toString()
  const body = data.subarray(at)
  const payload = {
    type: 'broadcast',
    event,
    payload: encoding === 1 ? JSON.parse(body.toString()) : body,
    ...(meta ? { meta: JSON.parse(meta) } : {})
  }
  return { joinRef: null, ref: null, topic, event: 'broadcast', payload, raw: data, binary: true, kind, encoding }
}

/** Kind 3, `03 join_ref_len ref_len topic_len event_len meta_len encoding join_ref ref topic event meta payload`. */
export function encodeBroadcast({ joinRef, ref, topic, event, payload }) {
  const isBytes = payload instanceof Uint8Array
  const parts = [joinRef ?? '', ref ?? '', topic, event, ''].map(part => Buffer.from(part))
  const body = isBytes ? Buffer.from(payload) : Buffer.from(JSON.stringify(payload))
  const lengths = parts.map(part => part.length)
  return Buffer.concat([Buffer.from([3, ...lengths, isBytes ? 0 : 1]), ...parts, body])
}

/** A connection that speaks `vsn`, 1.0.0 if that is undefined and then not mentioned. */
export class WireSocket {
  #socket
  #lastRef = 0
  /** Every frame from the server; see [`decode`]. */
  frames = new Inbox('frames')

  /** Connects, on either of the two paths. */
  static async open(gateway, { vsn, key = gateway.anonKey, path = '/socket/websocket', query = {} } = {}) {
    const parameters = new URLSearchParams({ apikey: key, ...(vsn ? { vsn } : {}), ...query })
    const self = new WireSocket(new WebSocket(`${gateway.webSocketUrl}${path}?${parameters}`), vsn)
    await within(self.opened, () => `a connection with ${vsn}`)
    return self
  }

  constructor(socket, vsn) {
    this.#socket = socket
    this.vsn = vsn
    this.opened = new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    /** Resolves to the code of the close frame. */
    this.closed = new Promise(resolve => socket.once('close', code => resolve(code)))
    socket.on('message', (data, isBinary) => this.frames.push(decode(data, isBinary)))
  }

  /** Sends a frame of these parts; parts that are undefined are left out where the version allows it. */
  push({ joinRef, ref, topic, event, payload = {} }) {
    const frame =
      this.vsn === '2.0.0'
        ? [joinRef ?? null, ref ?? null, topic, event, payload]
        : { topic, event, payload, ref: ref ?? null, join_ref: joinRef }
    this.send(JSON.stringify(frame))
  }

  /** Sends these bytes. */
  send(data) {
    this.#socket.send(data)
  }

  /** A ref that this socket has not used. */
  ref() {
    return String(++this.#lastRef)
  }

  /** Pushes and waits for the reply, which it returns. */
  async ask(parts) {
    const ref = parts.ref ?? this.ref()
    this.push({ ...parts, ref })
    return this.reply(ref)
  }

  /** The reply to the push with this ref. */
  reply(ref) {
    return this.frames.next(frame => frame.event === 'phx_reply' && frame.ref === ref, `a reply to ${ref}`)
  }

  /** Joins `realtime:<name>`; resolves to a channel when the reply is ok. */
  async join(name, config = {}, payload = {}) {
    const ref = this.ref()
    const topic = `realtime:${name}`
    const reply = await this.ask({ joinRef: ref, ref, topic, event: 'phx_join', payload: { config, ...payload } })
    if (reply.payload.status !== 'ok') throw new Error(`join refused: ${JSON.stringify(reply.payload)}`)
    return new WireChannel(this, topic, ref, reply)
  }

  /** Waits until everything the server had for this socket has arrived: a heartbeat is answered in turn. */
  async fence() {
    await this.ask({ topic: 'phoenix', event: 'heartbeat' })
  }

  close() {
    this.#socket.terminate()
  }
}

/** A joined topic. */
class WireChannel {
  constructor(socket, topic, joinRef, reply) {
    Object.assign(this, { socket, topic, joinRef, reply })
  }

  push(event, payload, ref) {
    this.socket.push({ joinRef: this.joinRef, ref, topic: this.topic, event, payload })
  }

  ask(event, payload) {
    return this.socket.ask({ joinRef: this.joinRef, topic: this.topic, event, payload })
  }

  /** Broadcasts as text. */
  broadcast(event, payload, ref) {
    this.push('broadcast', { type: 'broadcast', event, payload }, ref)
  }

  /** The next frame of this event. */
  next(event, wants = () => true) {
    const mine = frame => frame.topic === this.topic && frame.event === event && wants(frame)
    return this.socket.frames.next(mine, `${event} on ${this.topic}`)
  }

  /** Every frame of this event so far. */
  all(event) {
    return this.socket.frames.all.filter(frame => frame.topic === this.topic && frame.event === event)
  }
}
