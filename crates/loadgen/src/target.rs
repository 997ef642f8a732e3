//! Where a server is reached, and the requests that open a conversation with it.

use std::net::{SocketAddr, ToSocketAddrs};

/// A server that speaks the protocol over plain TCP.
#[derive(Clone, Debug)]
pub struct Target {
    /// Resolved address.
    pub address: SocketAddr,
    /// The `Host` header: servers with tenants choose by it.
    host: String,
    /// Path of the WebSocket endpoint, without query.
    path: String,
    /// Connection token: the `apikey` parameter and the `Authorization` of HTTP requests.
    pub token: String,
}

impl Target {
    /// Parses `ws://host[:port][/path]`; an empty path means `/socket/websocket`. TLS is not spoken.
    pub fn parse(url: &str, token: &str) -> Result<Target, String> {
        let rest = url.strip_prefix("ws://").ok_or_else(|| {
            format!("{url}: only ws:// is spoken; where TLS is ended by a proxy, measure behind it")
        })?;
        let (host, path) = rest
            .split_once('/')
            .map_or((rest, "socket/websocket"), |(host, path)| (host, path));
        let path = path.split('?').next().unwrap_or_default();
        let path = if path.is_empty() { "socket/websocket" } else { path };
        let with_port = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| format!("{host}: {error}"))?
            .find(SocketAddr::is_ipv4)
            .ok_or_else(|| format!("{host}: no IPv4 address"))?;
        Ok(Target {
            address,
            host: host.to_owned(),
            path: format!("/{path}"),
            token: token.to_owned(),
        })
    }

    /// The opening handshake.
    pub fn handshake(&self) -> Vec<u8> {
        format!(
            concat!(
                "GET {}?apikey={}&vsn=2.0.0 HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bG9hZC1nZW5lcmF0b3Itaw==\r\n\r\n"
            ),
            self.path, self.token, self.host
        )
        .into_bytes()
    }

    /// `POST …/api/broadcast` with `body`. The address is derived as realtime-js derives it: the socket's path
    /// without `/socket/websocket`, `/socket` or `/websocket`.
    pub fn broadcast_request(&self, body: &str) -> Vec<u8> {
        let base = ["/socket/websocket", "/socket", "/websocket"]
            .iter()
            .find_map(|suffix| self.path.strip_suffix(suffix))
            .unwrap_or(&self.path);
        format!(
            concat!(
                "POST {}/api/broadcast HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n",
                "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}"
            ),
            base,
            self.host,
            self.token,
            body.len(),
            body
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_address_follows_from_the_socket_address() {
        for (url, expected) in [
            ("ws://127.0.0.1:4000", "POST /api/broadcast "),
            ("ws://127.0.0.1:4000/", "POST /api/broadcast "),
            ("ws://127.0.0.1:4000/socket/websocket?x=1", "POST /api/broadcast "),
            (
                "ws://127.0.0.1/realtime/v1/websocket",
                "POST /realtime/v1/api/broadcast ",
            ),
        ] {
            let request = Target::parse(url, "t").unwrap().broadcast_request("{}");
            assert!(request.starts_with(expected.as_bytes()), "{url}");
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        assert!(Target::parse("wss://127.0.0.1:4000", "t").is_err());
    }
}
