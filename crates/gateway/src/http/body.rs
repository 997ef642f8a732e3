//! The body of a request.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use phoenix_wire::refusal::HttpRefusal;
use phoenix_wire::{JsonText, json};
use tokio::time::timeout;

use super::Request;

/// What the `content-type` of a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    Json,
    Bytes,
    /// There is no such header: the body is not looked at.
    Unnamed,
    Other,
}

impl BodyKind {
    pub(super) fn of(request: &Request) -> Self {
        let Some(value) = request.headers().get(CONTENT_TYPE) else {
            return Self::Unnamed;
        };
        let essence = value
            .to_str()
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case("application/octet-stream") {
            Self::Bytes
        } else {
            Self::Other
        }
    }
}

/// Reads a body to its end.
pub(super) async fn read(body: Incoming) -> Result<Bytes, HttpRefusal> {
    match timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(HttpRefusal::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(HttpRefusal::BadRequest),
    }
}

/// The body as a JSON object: nothing is the empty one, and what is no object stands under `_json`, as the parser of
/// the reference has it (http-api.md, section 2.6).
pub(super) fn object(bytes: &[u8]) -> Result<String, HttpRefusal> {
    if bytes.is_empty() {
        return Ok("{}".to_owned());
    }
    let value = json::check(bytes).map_err(|_| HttpRefusal::BadRequest)?;
    if value.is_object() {
        Ok(value.into_string())
    } else {
        Ok(format!(r#"{{"_json":{}}}"#, value.as_str()))
    }
}

/// JSON text that has been checked before, measured.
pub(super) fn measured(checked: &str) -> Result<JsonText<'_>, HttpRefusal> {
    json::check(checked.as_bytes()).map_err(|_| HttpRefusal::BadRequest)
}

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a body, as in the reference.
const BODY_BYTES_MAX: usize = 8_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_body_is_it_becomes_an_object() {
        for (body, text) in [
            ("", "{}"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("[1]", r#"{"_json":[1]}"#),
            (r#" "x" "#, r#"{"_json":"x"}"#),
            ("null", r#"{"_json":null}"#),
        ] {
            assert_eq!(object(body.as_bytes()), Ok(text.to_owned()));
        }
        assert_eq!(object(b"{"), Err(HttpRefusal::BadRequest));
    }
}
