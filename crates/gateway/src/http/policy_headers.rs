//! The headers of a request as policies see them, in the setting `request.headers`: a JSON object from name, in lower case,
//! to value. Of several with one name the last counts. Source: auth.md, section 7.

use std::sync::{Arc, LazyLock};

use hyper::header::{HeaderMap, HeaderName};
use phoenix_wire::json::write_string;

/// Those of a handshake: the ones whose names begin with `x-`.
pub(super) fn of_handshake(headers: &HeaderMap) -> Arc<str> {
    object(headers, |name| name.as_str().starts_with("x-"))
}

/// Those of any other request: all of them.
pub(super) fn of_request(headers: &HeaderMap) -> Arc<str> {
    object(headers, |_| true)
}

fn object(headers: &HeaderMap, is_shown: impl Fn(&HeaderName) -> bool) -> Arc<str> {
    let mut object = String::from("{");
    for name in headers.keys().filter(|name| is_shown(name)) {
        let Some(value) = headers.get_all(name).iter().next_back() else {
            continue;
        };
        if object.len() > 1 {
            object.push(',');
        }
        write_string(&mut object, name.as_str());
        object.push(':');
        write_string(&mut object, &String::from_utf8_lossy(value.as_bytes()));
    }
    object.push('}');
    if object.len() == EMPTY.len() {
        // Most sockets have none.
        EMPTY.clone()
    } else {
        object.into()
    }
}

static EMPTY: LazyLock<Arc<str>> = LazyLock::new(|| "{}".into());

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_handshake_shows_its_own_headers_and_a_request_all() {
        let mut headers = HeaderMap::new();
        assert_eq!(&*of_handshake(&headers), "{}");
        for (name, value) in [
            ("X-Pass", &b"first"[..]),
            ("x-pass", b"say \"open\""),
            ("authorization", b"Bearer t"),
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(&*of_handshake(&headers), r#"{"x-pass":"say \"open\""}"#);
        assert!(of_request(&headers).contains(r#""authorization":"Bearer t""#));
        headers.insert("x-pass", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(&*of_handshake(&headers), "{\"x-pass\":\"\u{fffd}\"}");
    }
}
