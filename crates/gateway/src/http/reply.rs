//! Responses.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use phoenix_wire::refusal::{HandshakeRefusal, HttpRefusal, JSON_CONTENT_TYPE};

use super::Request;

pub(super) type Response = hyper::Response<Full<Bytes>>;

/// A status alone.
pub(super) fn empty(status: u16) -> Response {
    build(status, None, Bytes::new())
}

/// Plain text.
pub(super) fn text(status: u16, body: impl Into<Bytes>) -> Response {
    build(status, Some("text/plain; charset=utf-8"), body.into())
}

/// Text in the exposition format of Prometheus.
pub(super) fn metrics(body: String) -> Response {
    build(200, Some("text/plain; version=0.0.4; charset=utf-8"), body.into())
}

/// JSON text.
pub(super) fn json(status: u16, body: impl Into<Bytes>) -> Response {
    build(status, Some(JSON_CONTENT_TYPE), body.into())
}

/// A refusal of the HTTP API.
pub(super) fn refuse(refusal: &HttpRefusal) -> Response {
    build(refusal.status(), refusal.content_type(), refusal.body().into())
}

/// A refused handshake.
pub(super) fn refuse_handshake(refusal: &HandshakeRefusal) -> Response {
    let body = refusal.body();
    let content_type = (!body.is_empty()).then_some(JSON_CONTENT_TYPE);
    build(refusal.status(), content_type, body.into())
}

/// The answer to a preflight: everything a broadcast needs is allowed from everywhere, as the gateway in front of the
/// reference answers.
pub(super) fn preflight(request: &Request) -> Response {
    let mut response = empty(204);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST,OPTIONS"),
    );
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let allowed = asked.unwrap_or(HeaderValue::from_static(
        "authorization,apikey,content-type,x-client-info",
    ));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    response
}

fn build(status: u16, content_type: Option<&'static str>, body: Bytes) -> Response {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).expect("statuses come from tables of valid ones");
    if let Some(content_type) = content_type {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}
