// The client libraries under test, behind the little that differs between them.

import { setImmediate } from 'node:timers/promises'

import './ws-only.mjs'

import { createClient } from '@supabase/supabase-js'
import { Socket } from 'phoenix'
import realtime210 from 'realtime-js-2.10'
import WebSocket from 'ws'

import { Inbox } from './inbox.mjs'

/** supabase-js as it is today: protocol 2.0.0, broadcasts as binary frames. */
export const CURRENT = { name: 'supabase-js 2.119', open: (gateway, options) => openCurrent(gateway, options) }

/** The same, told to speak the protocol of older ones. */
export const CURRENT_ON_1_0_0 = {
  name: 'supabase-js 2.119 on protocol 1.0.0',
  open: (gateway, options) => openCurrent(gateway, { ...options, vsn: '1.0.0' })
}

/** realtime-js as it was in 2024: protocol 1.0.0, its own channel machinery. */
export const OLD = { name: 'realtime-js 2.10', open: (gateway, options) => openOld(gateway, options) }

export const LIBRARIES = [CURRENT, OLD]

/** A client that lives as long as the test `t`. */
export function open(t, gateway, library, options) {
  const client = library.open(gateway, options)
  t.after(() => client.close())
  return client
}

/**
 * What a test needs of a client: channels, its token, the closing of its sockets.
 * @typedef {object} Client
 * @property {object} realtime the library's RealtimeClient
 * @property {(name: string, config?: object) => object} channel
 * @property {(token: string) => Promise<void>} setToken what an application does when a user signs in or a token is renewed
 * @property {() => void} drop breaks the connection, as a network does
 * @property {Inbox} closings codes with which sockets were closed
 * @property {Inbox} messages what the gateway sends, as the library decodes it
 * @property {() => Promise<void>} close
 */

/** @returns {Client} */
function openCurrent(gateway, { vsn, heartbeatIntervalMs, reconnectAfterMs, onHeartbeat } = {}) {
  const anonKey = gateway.anonKey
  let current = anonKey
  const supabase = createClient(gateway.url, anonKey, {
    accessToken: async () => current,
    realtime: {
      transport: WebSocket,
      heartbeatIntervalMs,
      reconnectAfterMs,
      heartbeatCallback: status => onHeartbeat?.(status),
      // Without one, falling back to HTTP is a warning on the console.
      logger: () => {},
      ...(vsn ? { vsn } : {})
    }
  })
  return facade(supabase.realtime, {
    onClose: listen => supabase.realtime.socketAdapter.onClose(listen),
    onMessage: listen => supabase.realtime.socketAdapter.onMessage(listen),
    drop: () => supabase.realtime.socketAdapter.socket.conn.terminate(),
    channels: supabase,
    setToken: async renewed => {
      current = renewed
      // The constructor hands its first token to `realtime` in a later turn of the event loop, and the last call wins.
      await setImmediate()
      await supabase.realtime.setAuth()
    }
  })
}

/** @returns {Client} */
function openOld(gateway, { heartbeatIntervalMs, reconnectAfterMs, onHeartbeat } = {}) {
  let pending
  const realtime = new realtime210.RealtimeClient(`${gateway.webSocketUrl}/realtime/v1`, {
    params: { apikey: gateway.anonKey },
    heartbeatIntervalMs,
    reconnectAfterMs,
    logger: (kind, message) => {
      if (kind === 'push' && message.startsWith('phoenix heartbeat')) pending = message.match(/\((\d+)\)/)[1]
      if (kind === 'receive' && pending && message.includes(`phoenix phx_reply (${pending})`)) onHeartbeat?.('ok')
    }
  })
  return facade(realtime, {
    onClose: listen => realtime.stateChangeCallbacks.close.push(listen),
    onMessage: listen => realtime.stateChangeCallbacks.message.push(listen),
    drop: () => realtime.conn.terminate(),
    channels: realtime,
    setToken: async renewed => realtime.setAuth(renewed)
  })
}

function facade(realtime, { onClose, onMessage, drop, channels, setToken }) {
  const closings = new Inbox('closed sockets')
  onClose(event => closings.push(event?.code))
  const messages = new Inbox('messages')
  onMessage(messages.add)
  return {
    realtime,
    closings,
    messages,
    drop,
    setToken,
    channel: (name, config) => channels.channel(name, config ? { config } : undefined),
    removeChannel: channel => channels.removeChannel(channel),
    removeAllChannels: () => channels.removeAllChannels(),
    close: async () => {
      realtime.reconnectTimer.reset()
      await realtime.removeAllChannels()
      await realtime.disconnect()
    }
  }
}

/** Subscribes; resolves to the inbox of statuses once the first `SUBSCRIBED` is there. */
export async function subscribe(channel) {
  const statuses = watch(channel)
  await subscribed(statuses)
  return statuses
}

/** Subscribes; the inbox gets `{ status, message }` of each call of the callback. */
export function watch(channel) {
  const statuses = new Inbox(`statuses of ${channel.topic}`)
  channel.subscribe((status, error) => statuses.push({ status, message: error?.message }))
  return statuses
}

/** Waits for the next `SUBSCRIBED`. */
export const subscribed = statuses => statuses.next(({ status }) => status === 'SUBSCRIBED', 'SUBSCRIBED')

/** What arrives at `channel` for a type and filter, as `channel.on` takes them. */
export function listen(channel, type, filter) {
  const inbox = new Inbox(`${type} ${JSON.stringify(filter)} of ${channel.topic}`)
  channel.on(type, filter, inbox.add)
  return inbox
}

/** The stock client of Phoenix. `vsn` 1.0.0 takes an encoder of its own, since the client only brings that of 2.0.0. */
export function openPhoenix(t, gateway, vsn) {
  const objects = {
    encode: (message, done) => done(JSON.stringify(message)),
    decode: (text, done) => done(JSON.parse(text))
  }
  const socket = new Socket(`${gateway.webSocketUrl}/socket`, {
    params: { apikey: gateway.anonKey },
    transport: WebSocket,
    vsn,
    ...(vsn === '1.0.0' ? objects : {})
  })
  t.after(() => new Promise(done => socket.disconnect(done)))
  socket.connect()
  return socket
}

/** Joins with the stock client; resolves to the response of the reply. */
export const joinPhoenix = channel => settle(channel.join())

/** The outcome of a push of the stock client. */
export const settle = push =>
  new Promise((resolve, reject) => {
    push
      .receive('ok', resolve)
      .receive('error', response => reject(new Error(JSON.stringify(response))))
      .receive('timeout', () => reject(new Error('timed out')))
  })
