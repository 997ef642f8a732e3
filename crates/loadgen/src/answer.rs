//! What a server answers to the messages of [`crate::message`], as finished bytes: for servers that only copy.

use crate::frame::{BINARY, TEXT, server_frame};
use crate::message::{Kind, TEXT_PREFIX_BYTES};

/// The answer to the handshake of [`crate::target`]: the accept value belongs to the one key it sends (RFC 6455,
/// section 4.2.2).
pub const UPGRADE: &[u8] = concat!(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "Sec-WebSocket-Accept: uMCej6NAiWOJ874K+pHMtZLrmHo=\r\n\r\n"
)
.as_bytes();
/// The answer to an HTTP broadcast.
pub const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// The ok reply to a join.
pub fn join_reply(topic: &str) -> Vec<u8> {
    let reference = char::from(Kind::Join as u8);
    let reply = format!(
        r#"["1","{reference}","realtime:{topic}","phx_reply",{{"status":"ok","response":{{"postgres_changes":[]}}}}]"#
    );
    server_frame(TEXT, reply.as_bytes())
}

/// The reply to a heartbeat.
pub fn heartbeat_reply() -> Vec<u8> {
    let reference = char::from(Kind::Heartbeat as u8);
    let reply = format!(r#"[null,"{reference}","phoenix","phx_reply",{{"status":"ok","response":{{}}}}]"#);
    server_frame(TEXT, reply.as_bytes())
}

/// Kind 3 to kind 4: the same topic, event and payload behind a shorter header. `None` if it is no push of kind 3.
pub fn binary_delivery(push: &[u8]) -> Option<Vec<u8>> {
    let &[
        3,
        join_ref,
        reference,
        topic,
        event,
        meta,
        encoding,
        ref rest @ ..,
    ] = push
    else {
        return None;
    };
    let names = rest.get(usize::from(join_ref) + usize::from(reference)..)?;
    let mut delivery = Vec::with_capacity(5 + names.len());
    delivery.extend_from_slice(&[4, topic, event, meta, encoding]);
    delivery.extend_from_slice(names);
    Some(server_frame(BINARY, &delivery))
}

/// The same text message with both refs null.
pub fn text_delivery(push: &[u8]) -> Vec<u8> {
    server_frame(
        TEXT,
        &[b"[null,null,", push.get(TEXT_PREFIX_BYTES..).unwrap_or_default()].concat(),
    )
}

/// What the subscribers of `topic` get from an HTTP broadcast.
pub fn http_delivery(topic: &str, payload: &str) -> Vec<u8> {
    let text = format!(
        r#"[null,null,"realtime:{topic}","broadcast",{{"event":"load","payload":{payload},"type":"broadcast"}}]"#
    );
    server_frame(TEXT, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, split};
    use crate::message::{Broadcast, Wire, stamp_of};

    fn payload(frame: &[u8]) -> &[u8] {
        let (Frame { payload, .. }, bytes) = split(frame).unwrap().expect("a whole frame");
        assert_eq!(bytes, frame.len());
        payload
    }

    #[test]
    fn every_text_answer_is_json() {
        let push = Broadcast::new(Wire::Text, "room", 64);
        let delivery = text_delivery(payload(push.as_bytes()));
        for answer in [
            join_reply("room"),
            heartbeat_reply(),
            delivery,
            http_delivery("room", r#"{"a":1}"#),
        ] {
            let json: serde_json::Value = serde_json::from_slice(payload(&answer)).unwrap();
            assert_eq!(json.as_array().map(Vec::len), Some(5), "{json}");
        }
    }

    #[test]
    fn a_binary_push_becomes_a_delivery_without_its_refs() {
        let mut push = Broadcast::new(Wire::Binary, "room", 64);
        push.stamp(42);
        let delivery = binary_delivery(payload(push.as_bytes())).unwrap();
        let delivery = payload(&delivery);
        assert!(
            delivery.starts_with(b"\x04\x0d\x04\x00\x01realtime:roomload{"),
            "{delivery:?}"
        );
        assert_eq!(stamp_of(delivery), Some(42));
    }

    #[test]
    fn what_is_no_push_of_kind_three_has_no_delivery() {
        assert_eq!(binary_delivery(b"\x04\x01\x01\x01\x01\x00\x01"), None);
        assert_eq!(binary_delivery(b"\x03\xff\xff\x01\x01\x00\x01short"), None);
        assert_eq!(binary_delivery(b"\x03"), None);
    }
}
