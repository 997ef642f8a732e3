// Imported before any library: they then find no WebSocket of Node.js's own, use `ws` on every version of it, and tests can
// break a connection, for which the standard WebSocket has no method.
delete globalThis.WebSocket
