//! Which request goes where. Both URL families are served: that of the server itself, and that of the gateway which
//! usually stands in front of the reference (`/realtime/v1/…`). Source: http-api.md, section 1.

use std::borrow::Cow;

use hyper::Method;
use percent_encoding::percent_decode_str;

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /socket/websocket`
    Socket,
    /// The same path with another method.
    SocketWithoutGet,
    /// `GET /healthcheck`
    Health,
    /// `GET /metrics`
    Metrics,
    /// `GET /api/ping`
    Ping,
    /// `POST /api/broadcast`
    Batch,
    /// `POST /api/broadcast/:topic/events/:event`
    Single(SingleTarget),
    /// `OPTIONS` on a broadcast route: what browsers ask before they post.
    Preflight,
    /// A path whose escapes are no text.
    Malformed,
    /// Nothing.
    None,
}

/// Whom a single broadcast is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SingleTarget {
    /// The sub-topic.
    pub(super) topic: String,
    /// The application's event.
    pub(super) event: String,
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let path = public_path(path);
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let reads = *method == Method::GET || *method == Method::HEAD;
        match (segments.as_slice(), method) {
            (["socket", "websocket"], &Method::GET) => Self::Socket,
            (["socket", "websocket"], _) => Self::SocketWithoutGet,
            (["healthcheck"], _) if reads => Self::Health,
            (["metrics"], _) if reads => Self::Metrics,
            (["api", "ping"], _) if reads => Self::Ping,
            (["api", "broadcast"] | ["api", "broadcast", _, "events", _], &Method::OPTIONS) => {
                Self::Preflight
            }
            (["api", "broadcast"], &Method::POST) => Self::Batch,
            (["api", "broadcast", topic, "events", event], &Method::POST) => {
                let decode = |segment| percent_decode_str(segment).decode_utf8().map(Cow::into_owned);
                match (decode(topic), decode(event)) {
                    (Ok(topic), Ok(event)) => Self::Single(SingleTarget { topic, event }),
                    _ => Self::Malformed,
                }
            }
            _ => Self::None,
        }
    }
}

/// The path behind the public prefix; sockets lose a part of theirs on the way.
fn public_path(path: &str) -> Cow<'_, str> {
    match path.strip_prefix("/realtime/v1/") {
        None => Cow::Borrowed(path),
        Some(rest) if rest == "api" || rest.starts_with("api/") => Cow::Owned(format!("/{rest}")),
        Some(rest) => Cow::Owned(format!("/socket/{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_url_families_lead_to_the_same_routes() {
        for (method, path, route) in [
            (Method::GET, "/socket/websocket", Route::Socket),
            (Method::GET, "/realtime/v1/websocket", Route::Socket),
            (Method::POST, "/socket/websocket", Route::SocketWithoutGet),
            (Method::GET, "/healthcheck", Route::Health),
            (Method::HEAD, "/healthcheck", Route::Health),
            (Method::GET, "/metrics", Route::Metrics),
            (Method::POST, "/metrics", Route::None),
            (Method::GET, "/realtime/v1/metrics", Route::None),
            (Method::GET, "/api/ping", Route::Ping),
            (Method::GET, "/realtime/v1/api/ping", Route::Ping),
            (Method::POST, "/api/broadcast", Route::Batch),
            (Method::POST, "/realtime/v1/api/broadcast", Route::Batch),
            (Method::OPTIONS, "/realtime/v1/api/broadcast", Route::Preflight),
            (Method::GET, "/api/broadcast", Route::None),
            (Method::GET, "/socket", Route::None),
            (Method::GET, "/realtime/v1/socket/websocket", Route::None),
            (Method::GET, "/realtime/v1/healthcheck", Route::None),
            (Method::GET, "/", Route::None),
        ] {
            assert_eq!(Route::of(&method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn topic_and_event_are_decoded_each_by_itself() {
        let target = |path| match Route::of(&Method::POST, path) {
            Route::Single(target) => Some((target.topic, target.event)),
            _ => None,
        };
        let found = target("/realtime/v1/api/broadcast/room%2Fa%3A%201/events/%C3%A9");
        assert_eq!(found, Some(("room/a: 1".to_owned(), "é".to_owned())));
        assert_eq!(target("/api/broadcast/a/b/events/e"), None);
        assert_eq!(
            Route::of(&Method::POST, "/api/broadcast/%ff/events/e"),
            Route::Malformed
        );
    }
}
