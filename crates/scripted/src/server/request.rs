//! Answers to HTTP requests, and the handshake of sockets.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use phoenix_wire::Version;
use tokio::net::TcpStream;
use tracing::{debug, info};

use super::{Shared, connection};
use crate::http::Route;
use crate::socket::Socket;
use crate::stage::{Answer, Choice};

type Reply = Response<Full<Bytes>>;

pub(super) async fn answer(shared: Shared, mut request: Request<Incoming>) -> Result<Reply, Infallible> {
    let method = request.method().as_str().to_owned();
    let target = request.uri().to_string();
    let mut reply = match Route::of(&method, &target) {
        Route::Socket => handshake(shared, &mut request),
        Route::Broadcast => match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
            Ok(body) => {
                let answer = shared.stage.borrow().answer(&method, &target, &body.to_bytes());
                info!(
                    path = crate::http::path_of(&target),
                    status = answer.status,
                    "broadcast over HTTP"
                );
                of_answer(&answer)
            }
            Err(error) => {
                debug!(error, "the body of a request");
                empty(413)
            }
        },
        Route::Preflight => preflight(&request),
        Route::Health => of_answer(&Answer {
            status: 200,
            content_type: Some("text/plain; charset=utf-8".to_owned()),
            body: "ok".to_owned(),
        }),
        Route::Nothing => empty(404),
    };
    let anyone = HeaderValue::from_static("*");
    reply
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
    Ok(reply)
}

fn handshake(shared: Shared, request: &mut Request<Incoming>) -> Reply {
    let query: Vec<(String, String)> =
        form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let last = |name: &str| {
        let mut values = query.iter().rev();
        values
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    let Ok(version) = Version::negotiate(last("vsn").as_deref()) else {
        return empty(403);
    };
    if !fastwebsockets::upgrade::is_upgrade_request(request) {
        return empty(400);
    }
    let choice = Choice {
        script: last("script"),
        connection: last("as"),
    };
    let opened = Socket::open(&mut shared.stage.borrow_mut(), version, choice);
    let (socket, acts) = match opened {
        Ok(opened) => opened,
        Err(answer) => {
            info!(status = answer.status, body = answer.body, "handshake refused");
            return of_answer(&answer);
        }
    };
    let Ok((response, upgrade)) = fastwebsockets::upgrade::upgrade(&mut *request) else {
        return empty(400);
    };
    tokio::task::spawn_local(async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded.into_inner().into_inner(),
            Err(error) => return debug!(%error, "connection lost during its handshake"),
        };
        // The library did the handshake; frames are read and written here.
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => {
                connection::run(shared, socket, acts, parts.io.into_inner(), &parts.read_buf).await;
            }
            Err(_) => debug!("connections are TCP streams and nothing else"),
        }
    });
    response.map(|_| Full::default())
}

fn of_answer(answer: &Answer) -> Reply {
    let mut reply = empty(answer.status);
    *reply.body_mut() = Full::from(answer.body.clone());
    if let Some(Ok(content_type)) = answer.content_type.as_deref().map(HeaderValue::from_str) {
        reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    reply
}

/// A status alone. What a file calls a status and is none becomes 500.
fn empty(status: u16) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}

/// Everything that a broadcast needs is allowed from everywhere.
fn preflight(request: &Request<Incoming>) -> Reply {
    let mut reply = empty(204);
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let headers = reply.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST,OPTIONS"),
    );
    let usual = HeaderValue::from_static("authorization,apikey,content-type,x-client-info");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(usual));
    reply
}

/// Longest body of a broadcast.
const BODY_BYTES_MAX: usize = 16 << 20;
