//! Messages as the usual clients send them.

/// The payload of a broadcast: 200 bytes.
pub(crate) const BROADCAST_PAYLOAD: &str = concat!(
    r#"{"type":"broadcast","event":"cursor","payload":{"x":1024.5,"y":768.25,"user":"ada","color":"ff88000","#,
    r#""text":"The quick brown fox jumps over the lazy dog, and then it does so again.","seq":1234567}}"#
);

/// What an application sends in a binary frame: the inner payload of the above.
pub(crate) const USER_PAYLOAD: &str = concat!(
    r#"{"x":1024.5,"y":768.25,"user":"ada","color":"ff88000","#,
    r#""text":"The quick brown fox jumps over the lazy dog, and then it does so again. And again, and once more.","#,
    r#""seq":12345678901234567}"#
);

/// The payload of a join, with a binding for changes.
pub(crate) const JOIN_PAYLOAD: &str = concat!(
    r#"{"config":{"broadcast":{"ack":false,"self":false},"presence":{"key":"","enabled":true},"#,
    r#""postgres_changes":[{"event":"*","schema":"public","table":"notes","filter":"room=eq.7"}],"private":false},"#,
    r#""access_token":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MTgwMDAwMDAwMH0.signature"}"#
);

pub(crate) const TOPIC: &str = "realtime:room";

pub(crate) fn v1(topic: &str, event: &str, payload: &str) -> Vec<u8> {
    format!(r#"{{"topic":"{topic}","event":"{event}","payload":{payload},"ref":"5","join_ref":"1"}}"#).into()
}

pub(crate) fn v2(topic: &str, event: &str, payload: &str) -> Vec<u8> {
    format!(r#"["1","5","{topic}","{event}",{payload}]"#).into()
}

/// A kind 3 frame with a JSON payload and no metadata.
pub(crate) fn user_broadcast_push() -> Vec<u8> {
    let fields = ["1", "5", TOPIC, "cursor"];
    let lengths = fields.map(|field| u8::try_from(field.len()).expect("short"));
    let mut frame = vec![3];
    frame.extend(lengths);
    frame.extend([0, 1]);
    frame.extend(fields.concat().bytes());
    frame.extend(USER_PAYLOAD.bytes());
    frame
}
