import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

// Node.js 20 has no WebSocket of its own; from 22 on, and in browsers, leave `transport` out.
export const connect = (url, key, realtime = {}) => createClient(url, key, { realtime: { transport: WebSocket, ...realtime } })
