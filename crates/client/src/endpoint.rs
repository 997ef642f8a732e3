//! A server, and the two ways to speak to it.

use std::fmt;
use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{StatusCode, upgrade};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::address::{Address, AddressError};
use crate::authorities::{AuthoritiesError, Tls, advice};
use crate::connection::Connection;
use crate::http::{Answer, Request, with_headers};
use crate::stream::Stream;

/// The key and its answer of RFC 6455, section 1.3. A fixed pair, because a tool needs no protection from caches, and
/// to know the answer spares a hash.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A server that can be connected to. Paths are those of a server that stands alone, and change as [`Address::path`] says.
#[derive(Clone)]
pub struct Endpoint {
    address: Address,
    /// If it is behind TLS.
    tls: Option<Tls>,
}

/// What a handshake led to.
#[derive(Debug)]
pub enum Opening {
    /// An open connection.
    Open(Connection),
    /// An answer other than 101.
    Refused(Answer),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not the address of a server.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no way to check its certificate.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// The request cannot be written down, such as a header with a line break.
    #[error("no valid request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The connection failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The connection is there, but nobody who can be trusted at its other end.
    #[error("TLS failed: {0}{advice}", advice = advice(.0))]
    Tls(#[source] io::Error),
    /// The server did not answer in HTTP.
    #[error("no valid answer: {0}")]
    Http(#[from] hyper::Error),
    /// The handshake was answered with 101 but not with the accept header that belongs to it.
    #[error("the handshake was answered with a wrong sec-websocket-accept")]
    Accept,
}

impl Endpoint {
    /// Takes the address of a server, and trusts the authorities of the operating system if it is behind TLS.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`], [`ClientError::Authorities`].
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        Ok(Self::new(url.parse()?, None)?)
    }

    /// A server at an address. Behind TLS, the authorities of the operating system are trusted, and those of a file in PEM.
    ///
    /// # Errors
    ///
    /// [`AuthoritiesError`]; none for an address in the clear.
    pub fn new(address: Address, authorities: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let tls = match address.secure {
            true => Some(Tls::new(&address, authorities)?),
            false => None,
        };
        Ok(Self { address, tls })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Host, and port if it was given: what the `Host` header says.
    pub fn authority(&self) -> &str {
        self.address.authority()
    }

    /// Connects, and checks the server's certificate if it is behind TLS.
    ///
    /// # Errors
    ///
    /// [`ClientError::Io`], [`ClientError::Tls`].
    pub async fn connect(&self) -> Result<Stream, ClientError> {
        let stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Stream::Plain(stream)),
            Some(tls) => tls.connect(stream).await.map_err(ClientError::Tls),
        }
    }

    /// Opens a WebSocket at `target`, which is path and query.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; a refusal is no error.
    pub async fn open(
        &self,
        host: &str,
        target: &str,
        headers: &[(String, String)],
    ) -> Result<Opening, ClientError> {
        let request = hyper::Request::get(self.address.path(target))
            .header(HOST, host)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, KEY);
        let request = with_headers(request, headers).body(Empty::<Bytes>::new())?;

        let io = TokioIo::new(self.connect().await?);
        let (mut sender, exchange) = hyper::client::conn::http1::handshake(io).await?;
        let exchange = tokio::spawn(exchange.with_upgrades());
        let mut response = sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let answer = Answer::read(response).await;
            exchange.abort();
            return Ok(Opening::Refused(answer?));
        }
        if response
            .headers()
            .get(SEC_WEBSOCKET_ACCEPT)
            .is_none_or(|accept| accept != ACCEPT)
        {
            return Err(ClientError::Accept);
        }
        let upgraded = upgrade::on(&mut response).await?;
        let parts = upgraded
            .downcast::<TokioIo<Stream>>()
            .map_err(|_| ())
            .expect("the connection was made of this type above");
        Ok(Opening::Open(Connection::new(
            parts.io.into_inner(),
            parts.read_buf.to_vec(),
        )))
    }

    /// Sends a request on a connection of its own and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; a status of any kind is none.
    pub async fn call(&self, request: &Request) -> Result<Answer, ClientError> {
        let request = request.to_hyper(&self.address)?;
        let io = TokioIo::new(self.connect().await?);
        let (mut sender, exchange) = hyper::client::conn::http1::handshake(io).await?;
        let exchange = tokio::spawn(exchange);
        let answer = async { Answer::read(sender.send_request(request).await?).await }.await;
        exchange.abort();
        answer
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.address).finish()
    }
}

impl Answer {
    async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Self, ClientError> {
        let (head, body) = response.into_parts();
        let headers = head.headers.iter().map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        Ok(Self {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: body.collect().await?.to_bytes(),
        })
    }
}
