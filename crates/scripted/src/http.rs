//! Which request means what. Both URL families are served, as the gateway does. Source: protocol-spec/http-api.md, section 1.

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A WebSocket.
    Socket,
    /// To broadcast.
    Broadcast,
    /// What browsers ask before they post.
    Preflight,
    /// To know whether the server is there.
    Health,
    /// Something that is not served.
    Nothing,
}

impl Route {
    pub(crate) fn of(method: &str, target: &str) -> Self {
        match (method, path_of(target).as_str()) {
            ("GET", "/socket/websocket") => Self::Socket,
            ("GET" | "HEAD", "/healthcheck") => Self::Health,
            ("POST", path) if is_broadcast(path) => Self::Broadcast,
            ("OPTIONS", path) if is_broadcast(path) => Self::Preflight,
            _ => Self::Nothing,
        }
    }
}

/// The path of a target, without the public prefix and without a query.
pub(crate) fn path_of(target: &str) -> String {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let path = match path.strip_prefix("/realtime/v1/") {
        None => path.to_owned(),
        Some(rest) if rest == "api" || rest.starts_with("api/") => format!("/{rest}"),
        Some(rest) => format!("/socket/{rest}"),
    };
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", segments.join("/"))
}

fn is_broadcast(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    matches!(
        segments.as_slice(),
        ["api", "broadcast"] | ["api", "broadcast", _, "events", _]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_url_families_lead_to_the_same_routes() {
        for (method, target, route) in [
            ("GET", "/socket/websocket?vsn=2.0.0", Route::Socket),
            ("GET", "/realtime/v1/websocket", Route::Socket),
            ("POST", "/socket/websocket", Route::Nothing),
            ("GET", "/healthcheck", Route::Health),
            ("POST", "/api/broadcast", Route::Broadcast),
            ("POST", "/realtime/v1/api/broadcast?apikey=x", Route::Broadcast),
            ("POST", "/realtime/v1/api/broadcast/a/events/b", Route::Broadcast),
            ("OPTIONS", "/realtime/v1/api/broadcast", Route::Preflight),
            ("GET", "/", Route::Nothing),
        ] {
            assert_eq!(Route::of(method, target), route, "{method} {target}");
        }
    }
}
