//! The id under which a request can be found again. Source: http-api.md, section 2.6.

use hyper::header::HeaderValue;

use super::Request;
use super::reply::Response;

/// The caller's id if it is a sensible one, else one made up here.
pub(super) fn of(request: &Request) -> HeaderValue {
    let given = request
        .headers()
        .get(NAME)
        .filter(|id| LENGTH.contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    given.cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        HeaderValue::try_from(id).expect("hexadecimal digits are a header value")
    })
}

/// Puts the id into the response.
pub(super) fn put(id: HeaderValue, response: &mut Response) {
    response.headers_mut().insert(NAME, id);
}

const NAME: &str = "x-request-id";
/// How long a caller's id may be.
const LENGTH: std::ops::RangeInclusive<usize> = 10..=200;
