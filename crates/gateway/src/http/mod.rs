//! The HTTP side of a worker: routes, the handshake of sockets, the broadcast API, metrics.
//!
//! Every refusal is a [`phoenix_wire::refusal::HttpRefusal`] or `HandshakeRefusal`, which know their status and body; no
//! handler words one. Source: http-api.md.

mod batch;
mod body;
mod handshake;
mod metrics;
mod policy_headers;
mod query;
mod reply;
mod request_id;
mod route;
mod single;
mod tenant_api;

use std::convert::Infallible;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use phoenix_wire::refusal::HttpRefusal;
use tracing::debug;

pub(crate) use self::metrics::Readers;
use self::reply::Response;
use self::route::Route;
use crate::worker::Worker;

type Request = hyper::Request<Incoming>;

/// Serves the requests of one connection, until it becomes a socket or ends.
pub(crate) fn serve(worker: Rc<Worker>, stream: TcpStream) {
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return debug!(%error, "connection lost before it was served"),
    };
    tokio::task::spawn_local(async move {
        let service = service_fn(|request| answer(worker.clone(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if let Err(error) = connection.await {
            debug!(%error, "connection ended");
        }
    });
}

async fn answer(worker: Rc<Worker>, request: Request) -> Result<Response, Infallible> {
    let id = request_id::of(&request);
    let mut response = match Route::of(request.method(), request.uri().path()) {
        Route::Socket => handshake::answer(&worker, request).await,
        Route::SocketWithoutGet => reply::empty(400),
        Route::Health => reply::text(200, "ok"),
        Route::Metrics => metrics::answer(&worker, &request),
        Route::Ping => tenant_api::ping(&worker, &request),
        Route::Batch => tenant_api::broadcast(&worker, request, None).await,
        Route::Single(target) => tenant_api::broadcast(&worker, request, Some(target)).await,
        Route::Preflight => reply::preflight(&request),
        Route::Malformed => reply::refuse(&HttpRefusal::BadRequest),
        Route::None => reply::refuse(&HttpRefusal::RouteNotFound),
    };
    request_id::put(id, &mut response);
    Ok(response)
}

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a request's head. Tokens travel in it.
const HEADER_BYTES_MAX: usize = 64 * 1024;
