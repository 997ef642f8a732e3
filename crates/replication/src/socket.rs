//! An open byte stream to a server: the first host that answers, with TLS if the connection string wants it.
//!
//! A host that vanishes is noticed: an idle connection is probed by the operating system, and sent bytes that nobody
//! confirms end it. Both within about [`VANISHED_AFTER`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate::tls_server_end_point;
use crate::door::Door;
use crate::dsn::{Address, Dsn, Endpoint};
use crate::error::{Definite, Error, Transient, protocol};
use crate::tls::{SslMode, describe};

/// How long a host may be gone before the operating system reports it.
const VANISHED_AFTER: Duration = Duration::from_secs(15);
/// Pause between probes of an idle connection; a third of [`VANISHED_AFTER`] each for the idle time and two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// The request that a server answers with one byte. Source: the PostgreSQL manual, section 55.7, SSLRequest.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A byte stream to a server, before or after login.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    /// Where it leads, for messages.
    server: String,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

impl Socket {
    /// Opens a stream to the first host of `dsn` that can be reached.
    ///
    /// # Errors
    ///
    /// Of the last host that failed, with the addresses of all of them if none could be reached. A host that answers
    /// but has the wrong kind of TLS ends the search.
    pub async fn open(dsn: &Dsn) -> Result<Socket, Error> {
        let mut unreachable: Option<(String, String)> = None;
        for endpoint in dsn.endpoints() {
            let reason = match timeout(dsn.connect_timeout(), connect(endpoint, dsn)).await {
                Ok(Err(Error::Transient(Transient::Unreachable { reason, .. }))) => reason,
                Ok(done) => return done,
                Err(_) => "no answer in time".into(),
            };
            let server = match unreachable {
                Some((servers, _)) => format!("{servers}, {endpoint}"),
                None => endpoint.to_string(),
            };
            unreachable = Some((server, reason));
        }
        let (server, reason) = unreachable.unwrap_or_default();
        Err(Transient::Unreachable { server, reason }.into())
    }

    /// Whether the stream is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The data that binds SCRAM to this TLS channel, `tls-server-end-point`. `None` without TLS, and for
    /// certificates for which it is not defined.
    pub fn channel_binding(&self) -> Option<Vec<u8>> {
        let Stream::Tls(stream) = &self.stream else {
            return None;
        };
        let certificates = stream.get_ref().1.peer_certificates()?;
        tls_server_end_point(certificates.first()?)
    }

    /// Host and port, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Where the server it leads to takes connections.
    pub(crate) fn door(&self) -> Option<Door> {
        match &self.stream {
            Stream::Tcp(stream) => stream.peer_addr().ok().map(Door::Tcp),
            Stream::Tls(stream) => stream.get_ref().0.peer_addr().ok().map(Door::Tcp),
            Stream::Unix(stream) => {
                let address = stream.peer_addr().ok()?;
                address.as_pathname().map(|path| Door::Unix(path.to_owned()))
            }
            #[cfg(test)]
            Stream::Memory(_) => None,
        }
    }

    /// One end of a stream in memory.
    #[cfg(test)]
    pub(crate) fn memory(stream: tokio::io::DuplexStream) -> Socket {
        Socket {
            stream: Stream::Memory(stream),
            server: "memory".into(),
        }
    }
}

async fn connect(endpoint: &Endpoint, dsn: &Dsn) -> Result<Socket, Error> {
    let server = endpoint.to_string();
    let unreachable = |error: io::Error| Transient::Unreachable {
        server: server.clone(),
        reason: error.to_string(),
    };
    let stream = match &endpoint.address {
        // No TLS on a socket in the file system, whatever sslmode says: as libpq.
        Address::Unix(directory) => {
            let path = directory.join(format!(".s.PGSQL.{}", endpoint.port));
            Stream::Unix(UnixStream::connect(path).await.map_err(unreachable)?)
        }
        Address::Tcp { host, hostaddr } => {
            let stream = match hostaddr {
                Some(address) => TcpStream::connect(SocketAddr::new(*address, endpoint.port)).await,
                None => connect_any(host, endpoint.port).await,
            };
            let stream = stream.map_err(unreachable)?;
            tune(&stream).map_err(unreachable)?;
            encrypt(stream, host, &server, dsn).await?
        }
    };
    Ok(Socket { stream, server })
}

/// Tries the addresses of a name in the resolver's order.
async fn connect_any(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_INTERVAL)
        .with_interval(PROBE_INTERVAL)
        .with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(VANISHED_AFTER))?;
    Ok(())
}

/// Negotiates TLS as far as `sslmode` wants it.
async fn encrypt(mut stream: TcpStream, host: &str, server: &str, dsn: &Dsn) -> Result<Stream, Error> {
    let mode = dsn.tls().mode();
    if mode == SslMode::Disable {
        return Ok(Stream::Tcp(stream));
    }
    let unreachable = |error: io::Error| Transient::Unreachable {
        server: server.into(),
        reason: error.to_string(),
    };
    stream.write_all(&SSL_REQUEST).await.map_err(unreachable)?;
    // One byte and no more: what follows belongs to the handshake.
    let mut answer = [0];
    stream.read_exact(&mut answer).await.map_err(unreachable)?;
    match (answer, mode) {
        ([b'S'], _) => {}
        ([b'N'], SslMode::Prefer) => return Ok(Stream::Tcp(stream)),
        ([b'N'], _) => {
            return Err(Definite::TlsNotOffered {
                server: server.into(),
            }
            .into());
        }
        // Too many connections, or starting up: said without TLS, in words that a login would get as well.
        ([b'E'], _) => {
            return Err(Transient::Unreachable {
                server: server.into(),
                reason: "it cannot take a connection now".into(),
            }
            .into());
        }
        _ => return Err(protocol("no answer to SSLRequest")),
    }
    let refused = |reason: String| Definite::Tls {
        server: server.into(),
        reason,
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| refused("the host name is none a certificate could be for".into()))?;
    let connector = TlsConnector::from(dsn.tls().client()?);
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => Err(refused(describe(error)).into()),
            None => Err(unreachable(error).into()),
        },
    }
}

macro_rules! each {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &mut $socket.get_mut().stream {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Tls($stream) => $call,
            #[cfg(test)]
            Stream::Memory($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
