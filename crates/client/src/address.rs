//! Where a server is, and how its paths go.
//!
//! A server that stands alone has its sockets below `/socket` and its API at the root. Behind a reverse proxy both are below a
//! prefix: `/realtime/v1/websocket`, `/realtime/v1/api/broadcast`. An address may have such a prefix; paths then change from
//! whatever they were to those below it.

use std::str::FromStr;

use hyper::Uri;

/// The base of a server, as clients have it: `wss://project.example/realtime/v1`, `ws://127.0.0.1:4000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) secure: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    authority: String,
    /// What stands before `/websocket`; empty if paths stay as they are.
    prefix: String,
}

/// Why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no address of a server: write ws:// or wss:// (or http://, https://), host, port if it is not the usual one, and the \
     path before /websocket if there is one, as in wss://project.example/realtime/v1 or ws://127.0.0.1:4000"
)]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(without_secrets(text));
        let uri: Uri = text.parse().map_err(|_| error())?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(error()),
        };
        let authority = uri.authority().ok_or_else(error)?;
        let host = authority.host().trim_matches(['[', ']']);
        if authority.as_str().contains('@') || uri.query().is_some() || host.is_empty() {
            return Err(error());
        }
        // What follows the colon is a port that is none.
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(error());
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            prefix: path.strip_suffix(SOCKET).unwrap_or(path).to_owned(),
        })
    }
}

impl Address {
    /// Host, and port if it was given: what the `Host` header says.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, and query if there is one, at this server of a path at any server: that of a socket (it ends in
    /// `/websocket`) or of the API (`/api/…`). Other paths stay, and all of them if the address has no prefix.
    pub fn path(&self, path: &str) -> String {
        let (plain, query) = path.split_at(path.find('?').unwrap_or(path.len()));
        if self.prefix.is_empty() {
            return path.to_owned();
        }
        if plain.ends_with(SOCKET) {
            return format!("{}{SOCKET}{query}", self.prefix);
        }
        match plain.find(BROADCAST).or_else(|| plain.find(API)) {
            Some(at) => {
                let tail = plain.get(at..).unwrap_or_default();
                // A server that stands alone has its API at the root.
                let prefix = self.prefix.strip_suffix(ALONE).unwrap_or(&self.prefix);
                format!("{prefix}{tail}{query}")
            }
            None => path.to_owned(),
        }
    }
}

/// For messages: a query may hold a key, and what is before the host a password.
fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let (before, after) = (text.get(..scheme + 3), text.get(at..));
            format!("{}…{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

/// Where clients open sockets, below their base.
const SOCKET: &str = "/websocket";
/// The base of sockets at a server that stands alone.
const ALONE: &str = "/socket";
/// Where the API is, and in it what clients use.
const API: &str = "/api/";
const BROADCAST: &str = "/api/broadcast";

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn the_base_of_the_server_takes_the_place_of_any_other() {
        for (base, path, there) in [
            (
                "wss://p.example/realtime/v1",
                "/realtime/v1/websocket",
                "/realtime/v1/websocket",
            ),
            (
                "wss://p.example/realtime/v1/",
                "/socket/websocket?a=/api/",
                "/realtime/v1/websocket?a=/api/",
            ),
            (
                "ws://h:4000/socket",
                "/realtime/v1/websocket",
                "/socket/websocket",
            ),
            ("ws://h:4000/socket/websocket", "/websocket", "/socket/websocket"),
            ("ws://h:4000", "/socket/websocket", "/socket/websocket"),
            (
                "ws://h/realtime/v1",
                "/realtime/v1/api/broadcast",
                "/realtime/v1/api/broadcast",
            ),
            (
                "ws://h/a/realtime/v1",
                "/api/broadcast?b",
                "/a/realtime/v1/api/broadcast?b",
            ),
            ("ws://h/socket", "/realtime/v1/api/broadcast", "/api/broadcast"),
            (
                "ws://h",
                "/realtime/v1/api/broadcast",
                "/realtime/v1/api/broadcast",
            ),
            (
                "ws://h/socket",
                "/realtime/v1/api/broadcast/a/events/b",
                "/api/broadcast/a/events/b",
            ),
            (
                "ws://h/realtime/v1",
                "/api/tenants/t",
                "/realtime/v1/api/tenants/t",
            ),
            ("ws://h/realtime/v1", "/metrics", "/metrics"),
        ] {
            assert_eq!(address(base).path(path), there, "{base} {path}");
        }
    }

    #[test]
    fn an_address_is_a_scheme_and_a_host_and_has_no_secrets() {
        for (text, host, port, is_secure) in [
            ("ws://h", "h", 80, false),
            ("http://localhost:4000/", "localhost", 4000, false),
            ("wss://project.example/realtime/v1", "project.example", 443, true),
            ("https://[::1]:8443/x", "::1", 8443, true),
            ("ws://[fe80::1]", "fe80::1", 80, false),
        ] {
            let address = address(text);
            assert_eq!(
                (&*address.host, address.port, address.secure),
                (host, port, is_secure),
                "{text}"
            );
        }
        assert_eq!(address("wss://[::1]:8443/x").authority(), "[::1]:8443");
        for text in [
            "project.example",
            "127.0.0.1:4000",
            "ftp://h",
            "wss://u:hush@h",
            "wss://h/x?apikey=hush",
            "ws://h:port",
            "ws://h:",
            "ws://h:99999",
            "ws://a b",
            "",
            "wss://",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("wss://project.example/realtime/v1"), "{text}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
