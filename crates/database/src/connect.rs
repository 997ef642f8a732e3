//! An ordinary session, over the same kind of socket that replication uses.
//!
//! Host list, TLS and time limits of a connection string are honoured in one place, [`Socket::open`]; the driver gets
//! the open socket and only logs in over it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use replication::{Dsn, SETTINGS, Socket, Transient};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tracing::debug;

use crate::error::Error;

/// Logs in. The session ends when the client is dropped. `settings` are for this session, besides those that fix how
/// values are written.
pub(crate) async fn connect(dsn: &Dsn, settings: &[(&str, &str)]) -> Result<Client, Error> {
    let socket = Socket::open(dsn).await?;
    let server = socket.server().to_owned();
    let mut config = dsn.config().clone();
    config.options(options(dsn.config().get_options(), settings));
    // For the driver, TLS has been set up directly, or is none of its business.
    if socket.is_tls() {
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
    } else {
        config.ssl_mode(SslMode::Disable);
    }
    let login = config.connect_raw(socket, AlreadyOpen);
    let (client, connection) = match timeout(dsn.connect_timeout(), login).await {
        Ok(done) => done.map_err(Error::of_login)?,
        Err(_) => {
            let reason = "no answer to the login in time".into();
            return Err(Error::Unreachable(Transient::Unreachable { server, reason }));
        }
    };
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a database connection broke");
        }
    });
    Ok(client)
}

/// The `options` of a login: those of the connection string last, so that they win.
fn options(given: Option<&str>, settings: &[(&str, &str)]) -> String {
    let mut options = String::new();
    // The driver sets the encoding itself.
    let fixed = SETTINGS.iter().filter(|(name, _)| *name != "client_encoding");
    for (name, value) in fixed.chain(settings) {
        options.push_str(&format!("-c {name}={value} "));
    }
    options.push_str(given.unwrap_or_default());
    options
}

/// The driver's way to a TLS stream, where the stream is there already.
struct AlreadyOpen;

/// A socket as the driver wants it.
struct OpenSocket(Socket);

impl TlsConnect<Socket> for AlreadyOpen {
    type Stream = OpenSocket;
    type Error = Infallible;
    type Future = Ready<Result<OpenSocket, Infallible>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(OpenSocket(socket)))
    }
}

impl TlsStream for OpenSocket {
    fn channel_binding(&self) -> ChannelBinding {
        match self.0.channel_binding() {
            Some(data) => ChannelBinding::tls_server_end_point(data),
            None => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for OpenSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for OpenSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
