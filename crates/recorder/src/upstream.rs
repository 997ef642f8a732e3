//! What clients want of the server that is recorded, and where that is there.

use client::Address;
use hyper::Method;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) kind: Kind,
    /// The path at the server.
    pub(crate) path: String,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A WebSocket.
    Socket,
    /// A broadcast over HTTP, with its path in a recording.
    Broadcast(String),
    /// Something that is passed on and not recorded.
    Other,
}

impl Way {
    /// The way of a request with this path, which has no query.
    pub(crate) fn of(server: &Address, method: &Method, path: &str) -> Self {
        if path.ends_with(SOCKET) {
            return Self {
                kind: Kind::Socket,
                path: server.path(path),
            };
        }
        let tail = path.find(BROADCAST).and_then(|at| path.get(at..));
        let is_broadcast = |tail: &&str| {
            tail.strip_prefix(BROADCAST)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match tail.filter(is_broadcast) {
            Some(tail) => Self {
                kind: if method == Method::POST {
                    Kind::Broadcast(tail.to_owned())
                } else {
                    Kind::Other
                },
                path: server.path(path),
            },
            None => Self {
                kind: Kind::Other,
                path: path.to_owned(),
            },
        }
    }
}

/// Where clients open sockets, below their base.
const SOCKET: &str = "/websocket";
/// Where broadcasts are sent over HTTP, below the base.
const BROADCAST: &str = "/api/broadcast";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_broadcasts_go_below_the_base_and_the_rest_stays() {
        let batch = || Kind::Broadcast("/api/broadcast".into());
        let single = || Kind::Broadcast("/api/broadcast/a/events/b".into());
        let (hosted, alone) = ("ws://h/realtime/v1", "ws://h/socket");
        for (server, method, path, kind, there) in [
            (
                hosted,
                Method::GET,
                "/socket/websocket",
                Kind::Socket,
                "/realtime/v1/websocket",
            ),
            (
                alone,
                Method::GET,
                "/realtime/v1/websocket",
                Kind::Socket,
                "/socket/websocket",
            ),
            (
                hosted,
                Method::POST,
                "/api/broadcast",
                batch(),
                "/realtime/v1/api/broadcast",
            ),
            (
                alone,
                Method::POST,
                "/realtime/v1/api/broadcast",
                batch(),
                "/api/broadcast",
            ),
            (
                alone,
                Method::POST,
                "/realtime/v1/api/broadcast/a/events/b",
                single(),
                "/api/broadcast/a/events/b",
            ),
            (
                alone,
                Method::OPTIONS,
                "/realtime/v1/api/broadcast",
                Kind::Other,
                "/api/broadcast",
            ),
            (
                hosted,
                Method::POST,
                "/api/broadcasts",
                Kind::Other,
                "/api/broadcasts",
            ),
            (
                hosted,
                Method::POST,
                "/auth/v1/token",
                Kind::Other,
                "/auth/v1/token",
            ),
        ] {
            let way = Way::of(&server.parse().unwrap(), &method, path);
            assert_eq!((way.kind, &*way.path), (kind, there), "{server} {path}");
        }
    }
}
