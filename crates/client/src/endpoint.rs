//! Where a server is, and the two ways to speak to it.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{StatusCode, upgrade};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::http::{Answer, Request, with_headers};

/// The key and its answer of RFC 6455, section 1.3. A fixed pair, because a tool needs no protection from caches, and
/// to know the answer spares a hash.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The address of a server, in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port to connect to; what a request says in its `Host` header is another matter.
    authority: String,
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
    /// Not an address of the form `ws://host:port` or `http://host:port`.
    #[error("{0} is no address of a server: ws://host:port or http://host:port is needed")]
    Address(String),
    /// The request cannot be written down, such as a header with a line break.
    #[error("no valid request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The connection failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server did not answer in HTTP.
    #[error("no valid answer: {0}")]
    Http(#[from] hyper::Error),
    /// The handshake was answered with 101 but not with the accept header that belongs to it.
    #[error("the handshake was answered with a wrong sec-websocket-accept")]
    Accept,
}

impl Endpoint {
    /// Takes `ws://host:port` or `http://host:port`, with nothing but a slash after it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`].
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        let authority = ["ws://", "http://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        let authority = authority.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        match authority {
            Some(authority) if authority.contains(':') && !authority.contains(['/', '?', '@']) => Ok(Self {
                authority: authority.to_owned(),
            }),
            _ => Err(ClientError::Address(url.to_owned())),
        }
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Opens a WebSocket at `target`, which is path and query as they are sent.
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
        let request = hyper::Request::get(target)
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
            .downcast::<TokioIo<TcpStream>>()
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
        let request = request.to_hyper()?;
        let io = TokioIo::new(self.connect().await?);
        let (mut sender, exchange) = hyper::client::conn::http1::handshake(io).await?;
        let exchange = tokio::spawn(exchange);
        let answer = async { Answer::read(sender.send_request(request).await?).await }.await;
        exchange.abort();
        answer
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_in_the_clear() {
        for url in ["ws://127.0.0.1:4000", "http://localhost:80/", "ws://[::1]:1"] {
            assert!(Endpoint::parse(url).is_ok(), "{url}");
        }
        for url in ["wss://a:1", "ws://a", "a:1", "ws://a:1/path", "ws://user@a:1", ""] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}
