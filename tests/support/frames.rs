//! Frames as clients read and write them.

use serde_json::{Value, json};
use websocket::{Frame, Opcode};

/// What a frame of the server says, as one JSON value: a text frame as it is, a close frame as `{"close":code}`, a
/// user broadcast as `{"kind":4,"topic":…,"event":…,"meta":…,"payload":…}`. Bytes become a list of numbers.
///
/// # Panics
///
/// If the frame is one that no client understands.
pub fn read(frame: &Frame) -> Value {
    let payload = frame.payload();
    match frame.opcode() {
        Opcode::Text => serde_json::from_slice(payload).expect("a text frame holds JSON"),
        Opcode::Close => json!({ "close": u16::from_be_bytes([payload[0], payload[1]]) }),
        Opcode::Binary => read_binary(payload),
        other => panic!("the server sent a {other:?} frame"),
    }
}

/// As [`read`], of the payload of a binary frame.
///
/// # Panics
///
/// If it is one that no client understands.
pub fn read_binary(payload: &[u8]) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("header fields are UTF-8");
    match *payload {
        [4, topic, event, meta, encoding, ref rest @ ..] => {
            let (topic, rest) = rest.split_at(topic.into());
            let (event, rest) = rest.split_at(event.into());
            let (meta, data) = rest.split_at(meta.into());
            let meta = if meta.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(meta).expect("JSON")
            };
            let data = match encoding {
                0 => json!(data),
                1 => serde_json::from_slice(data).expect("the test sent JSON"),
                other => panic!("unknown encoding {other}"),
            };
            json!({ "kind": 4, "topic": text(topic), "event": text(event), "meta": meta, "payload": data })
        }
        [2, topic, event, ref rest @ ..] => {
            let (topic, rest) = rest.split_at(topic.into());
            let (event, data) = rest.split_at(event.into());
            json!({ "kind": 2, "topic": text(topic), "event": text(event), "payload": data })
        }
        _ => panic!("the server sent a binary frame of an unknown kind"),
    }
}

/// A user broadcast (kind 3) as a client pushes it. `encoding` is 0 for bytes and 1 for JSON.
pub fn user_push([join_ref, reference, topic, event]: [&str; 4], encoding: u8, payload: &[u8]) -> Vec<u8> {
    let fields = [join_ref, reference, topic, event, ""];
    let mut frame = vec![3];
    frame.extend(fields.map(|field| u8::try_from(field.len()).expect("short enough for a header")));
    frame.push(encoding);
    fields.iter().for_each(|field| frame.extend(field.bytes()));
    frame.extend(payload);
    frame
}

/// A stock Phoenix push of bytes (kind 0).
pub fn phoenix_push([join_ref, reference, topic, event]: [&str; 4], data: &[u8]) -> Vec<u8> {
    let fields = [join_ref, reference, topic, event];
    let mut frame = vec![0];
    frame.extend(fields.map(|field| u8::try_from(field.len()).expect("short enough for a header")));
    fields.iter().for_each(|field| frame.extend(field.bytes()));
    frame.extend(data);
    frame
}
