//! Connections to the server that are kept for the next request.
//!
//! A connection is used by one request at a time, and again when its answer has been read to the end. Invariants: no request is
//! made twice, except one of which nothing has been written yet; no more than [`IDLE_MAX`] connections are kept, and none longer
//! than [`IDLE_TIME_MAX`], so that a server has hardly a chance to end one while it is being used again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::Endpoint;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// Connections that wait for a request.
const IDLE_MAX: usize = 32;
/// How long one waits; servers commonly end them after five seconds and more.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

/// What goes wrong on the way to the server and back.
pub(crate) type ProxyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of a request that is passed on.
pub(crate) type RequestBody = BoxBody<Bytes, ProxyError>;

/// The connections that are kept.
#[derive(Default)]
pub(crate) struct Pool {
    /// Since when, and the connection; the newest last. Some may still be at work.
    kept: Mutex<Vec<(Instant, SendRequest<RequestBody>)>>,
}

impl Pool {
    /// Makes a request that is no upgrade.
    pub(crate) async fn send(
        &self,
        server: &Endpoint,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, ProxyError> {
        while let Some(mut sender) = self.take() {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let (mut sender, exchange) = handshake(TokioIo::new(server.connect().await?)).await?;
        // Ends with the connection: when either side has had enough of it.
        tokio::spawn(exchange);
        let response = sender.send_request(request).await?;
        self.keep(sender);
        Ok(response)
    }

    /// The newest connection that is free.
    fn take(&self) -> Option<SendRequest<RequestBody>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(since, sender)| !sender.is_closed() && since.elapsed() < IDLE_TIME_MAX);
        let free = kept.iter().rposition(|(_, sender)| sender.is_ready())?;
        Some(kept.remove(free).1)
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= IDLE_MAX {
            kept.remove(0);
        }
        kept.push((Instant::now(), sender));
    }
}
