//! Requests and answers as plain data.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, HOST};
use hyper::http::request::Builder;

use crate::address::Address;

/// A request. It is sent with `connection: close`, and with `content-length` if there is a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Host` header.
    pub host: String,
    /// Other headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    pub(crate) fn to_hyper(
        &self,
        address: &Address,
    ) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
        let request = hyper::Request::builder()
            .method(self.method.as_bytes())
            .uri(address.path(&self.target))
            .header(HOST, &self.host)
            .header(CONNECTION, "close");
        with_headers(request, &self.headers).body(Full::new(self.body.clone()))
    }
}

impl Answer {
    /// The value of the first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) fn with_headers(request: Builder, headers: &[(String, String)]) -> Builder {
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(name, value))
}
