//! The server that is recorded: where it is, how its paths go, and how it is connected to.

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use hyper::{Method, Uri};
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The base of a server, as clients have it: `wss://project.example/realtime/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    secure: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// What the `Host` header says.
    authority: String,
    /// What stands before `/websocket`; empty if paths pass as they are.
    prefix: String,
}

/// Why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no address of a server: write ws:// or wss://, host, port if it is not the usual one, and the path before \
     /websocket, as in wss://project.example/realtime/v1 or ws://127.0.0.1:4000/socket"
)]
pub struct UpstreamError(String);

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) kind: Kind,
    /// The path at the upstream.
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

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let error = || UpstreamError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| error())?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(error()),
        };
        let authority = uri.authority().ok_or_else(error)?;
        if authority.as_str().contains('@') || uri.query().is_some() || authority.host().is_empty() {
            return Err(error());
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            secure,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            prefix: path.strip_suffix("/websocket").unwrap_or(path).to_owned(),
        })
    }
}

impl Upstream {
    /// Host, and port if it was given: what the `Host` header says.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The way of a request with this path.
    pub(crate) fn way(&self, method: &Method, path: &str) -> Way {
        let kept = |tail: &str, prefix: &str| match self.prefix.as_str() {
            "" => path.to_owned(),
            _ => format!("{prefix}{tail}"),
        };
        if path.ends_with(SOCKET) {
            return Way {
                kind: Kind::Socket,
                path: kept(SOCKET, &self.prefix),
            };
        }
        let tail = path.find(BROADCAST).and_then(|at| path.get(at..));
        let is_broadcast = |tail: &&str| {
            tail.strip_prefix(BROADCAST)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(tail) = tail.filter(is_broadcast) {
            // A server without a reverse proxy has its sockets below /socket and its API at the root.
            let prefix = self.prefix.strip_suffix("/socket").unwrap_or(&self.prefix);
            return Way {
                kind: if method == Method::POST {
                    Kind::Broadcast(tail.to_owned())
                } else {
                    Kind::Other
                },
                path: kept(tail, prefix),
            };
        }
        Way {
            kind: Kind::Other,
            path: path.to_owned(),
        }
    }
}

/// Opens connections to an upstream.
#[derive(Clone)]
pub(crate) struct Dialer {
    upstream: Upstream,
    tls: Option<TlsConnector>,
}

/// A connection, in the clear or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why nothing can be connected to.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate authority is trusted.
    #[error(
        "no certificate authorities were found, so {0} cannot be checked: install the package ca-certificates, or name \
         a file of them in SSL_CERT_FILE"
    )]
    NoRoots(String),
    /// The host is no name a certificate can be for.
    #[error("{0}: {1}")]
    Name(String, InvalidDnsNameError),
}

impl Dialer {
    /// Reads the certificate authorities of the operating system, if they are needed.
    pub(crate) fn new(upstream: Upstream) -> Result<Self, TlsError> {
        let tls = if upstream.secure {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoRoots(upstream.authority));
            }
            ServerName::try_from(upstream.host.clone())
                .map_err(|error| TlsError::Name(upstream.host.clone(), error))?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("the provider supports both versions of TLS")
                .with_root_certificates(roots)
                .with_no_client_auth();
            Some(TlsConnector::from(Arc::new(config)))
        } else {
            None
        };
        Ok(Self { upstream, tls })
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.upstream.host.as_str(), self.upstream.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(self.upstream.host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

/// Where clients open sockets, below their base.
const SOCKET: &str = "/websocket";
/// Where broadcasts are sent over HTTP, below the base.
const BROADCAST: &str = "/api/broadcast";

#[cfg(test)]
mod tests {
    use super::*;

    fn way(upstream: &str, path: &str) -> (Kind, String) {
        let way = upstream.parse::<Upstream>().unwrap().way(&Method::POST, path);
        (way.kind, way.path)
    }

    #[test]
    fn the_base_of_the_upstream_takes_the_place_of_the_clients() {
        let batch = || Kind::Broadcast("/api/broadcast".into());
        for (upstream, path, kind, at_upstream) in [
            (
                "wss://p.example/realtime/v1",
                "/realtime/v1/websocket",
                Kind::Socket,
                "/realtime/v1/websocket",
            ),
            (
                "wss://p.example/realtime/v1/",
                "/socket/websocket",
                Kind::Socket,
                "/realtime/v1/websocket",
            ),
            (
                "ws://h:4000/socket",
                "/realtime/v1/websocket",
                Kind::Socket,
                "/socket/websocket",
            ),
            (
                "ws://h:4000/socket/websocket",
                "/websocket",
                Kind::Socket,
                "/socket/websocket",
            ),
            (
                "ws://h:4000",
                "/socket/websocket",
                Kind::Socket,
                "/socket/websocket",
            ),
            (
                "ws://h/realtime/v1",
                "/realtime/v1/api/broadcast",
                batch(),
                "/realtime/v1/api/broadcast",
            ),
            (
                "ws://h/a/realtime/v1",
                "/api/broadcast",
                batch(),
                "/a/realtime/v1/api/broadcast",
            ),
            (
                "ws://h/socket",
                "/realtime/v1/api/broadcast",
                batch(),
                "/api/broadcast",
            ),
            (
                "ws://h",
                "/realtime/v1/api/broadcast",
                batch(),
                "/realtime/v1/api/broadcast",
            ),
            (
                "ws://h/socket",
                "/realtime/v1/api/broadcast/a/events/b",
                Kind::Broadcast("/api/broadcast/a/events/b".into()),
                "/api/broadcast/a/events/b",
            ),
            (
                "ws://h/realtime/v1",
                "/auth/v1/token",
                Kind::Other,
                "/auth/v1/token",
            ),
            (
                "ws://h/realtime/v1",
                "/api/broadcasts",
                Kind::Other,
                "/api/broadcasts",
            ),
        ] {
            assert_eq!(
                way(upstream, path),
                (kind, at_upstream.to_owned()),
                "{upstream} {path}"
            );
        }
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_secrets() {
        for text in [
            "project.example",
            "ftp://h",
            "wss://u:p@h",
            "wss://h/x?apikey=1",
            "",
            "wss://",
        ] {
            let error = text.parse::<Upstream>().unwrap_err().to_string();
            assert!(error.contains("wss://project.example/realtime/v1"), "{text}");
        }
        let ports: Vec<u16> = ["ws://h", "wss://h", "wss://[::1]:8443/x"]
            .iter()
            .map(|text| text.parse::<Upstream>().unwrap().port)
            .collect();
        assert_eq!(ports, [80, 443, 8443]);
    }
}
