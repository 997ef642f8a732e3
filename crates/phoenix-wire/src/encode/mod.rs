//! The server's messages, written straight into finished frames.
//!
//! 2.0.0 writes `[join_ref,ref,topic,event,payload]`. 1.0.0 writes an object with exactly the members `ref`, `event`,
//! `payload` and `topic`: `ref` is there even when null, `join_ref` never. Clients of 1.0.0 drop frames that differ.
//! Source: protocol-spec/wire.md, sections 3 and 4.

mod binary;

pub use binary::{HEADER_FIELD_BYTES_MAX, HeaderTooLong, raw_broadcast, user_broadcast_binary};
use websocket::{Frame, FrameBuilder, Opcode};

use crate::json::write_string;
use crate::{Name, RefView, Version, event};

/// Bytes around the fields of a message in either version, generously counted.
const ENVELOPE_BYTES: usize = 64;

/// Whether a reply is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The push was accepted.
    Ok,
    /// It was not.
    Error,
}

impl Status {
    /// The status as it stands in payloads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// A message on a known topic. `payload` is JSON text and is written as it is.
pub fn message(
    version: Version,
    join_ref: RefView<'_>,
    reference: RefView<'_>,
    topic: &str,
    event: &str,
    payload: &str,
) -> Frame {
    message_named(version, join_ref, reference, &Name::text(topic), event, payload)
}

/// As [`message`], on a topic that may be any JSON value: it is echoed as the client sent it.
pub fn message_named(
    version: Version,
    join_ref: RefView<'_>,
    reference: RefView<'_>,
    topic: &Name<'_>,
    event: &str,
    payload: &str,
) -> Frame {
    write(
        version,
        join_ref,
        reference,
        topic,
        event,
        payload.len(),
        |frame| frame.extend_str(payload),
    )
}

/// The answer to a push. `response` is JSON text.
pub fn reply(
    version: Version,
    join_ref: RefView<'_>,
    reference: RefView<'_>,
    topic: &Name<'_>,
    status: Status,
    response: &str,
) -> Frame {
    let payload_hint = r#"{"status":"error","response":}"#.len() + response.len();
    write(
        version,
        join_ref,
        reference,
        topic,
        event::REPLY,
        payload_hint,
        |frame| {
            frame.extend_str(r#"{"status":""#);
            frame.extend_str(status.as_str());
            frame.extend_str(r#"","response":"#);
            frame.extend_str(response);
            frame.push(b'}');
        },
    )
}

/// A user broadcast as text, in the envelope clients expect: `{"type":"broadcast","event":…,"payload":…,"meta":…}`.
///
/// `payload_json` and `meta` are JSON text that has been checked: anything else would spoil the frame.
pub fn user_broadcast_text(
    version: Version,
    topic: &str,
    event: &str,
    meta: Option<&str>,
    payload_json: &str,
) -> Frame {
    user_broadcast_text_on(version, RefView::NULL, topic, event, meta, payload_json)
}

/// As [`user_broadcast_text`], for one channel: a replayed message carries the channel's `join_ref`.
pub fn user_broadcast_text_on(
    version: Version,
    join_ref: RefView<'_>,
    topic: &str,
    event: &str,
    meta: Option<&str>,
    payload_json: &str,
) -> Frame {
    let payload_hint = event.len() + payload_json.len() + meta.map_or(0, str::len) + ENVELOPE_BYTES;
    let topic = Name::text(topic);
    write(
        version,
        join_ref,
        RefView::NULL,
        &topic,
        event::BROADCAST,
        payload_hint,
        |frame| {
            frame.extend_str(r#"{"type":"broadcast","event":"#);
            write_string(frame, event);
            frame.extend_str(r#","payload":"#);
            frame.extend_str(payload_json);
            if let Some(meta) = meta {
                frame.extend_str(r#","meta":"#);
                frame.extend_str(meta);
            }
            frame.push(b'}');
        },
    )
}

fn write(
    version: Version,
    join_ref: RefView<'_>,
    reference: RefView<'_>,
    topic: &Name<'_>,
    event: &str,
    payload_hint: usize,
    payload: impl FnOnce(&mut FrameBuilder),
) -> Frame {
    let capacity = join_ref.len_hint()
        + reference.len_hint()
        + topic.len_hint()
        + event.len()
        + payload_hint
        + ENVELOPE_BYTES;
    let mut frame = FrameBuilder::new(Opcode::Text, capacity);
    match version {
        Version::V1 => {
            frame.extend_str(r#"{"ref":"#);
            reference.write_json(&mut frame);
            frame.extend_str(r#","event":"#);
            write_string(&mut frame, event);
            frame.extend_str(r#","payload":"#);
            payload(&mut frame);
            frame.extend_str(r#","topic":"#);
            topic.write_json(&mut frame);
            frame.push(b'}');
        }
        Version::V2 => {
            frame.push(b'[');
            join_ref.write_json(&mut frame);
            frame.push(b',');
            reference.write_json(&mut frame);
            frame.push(b',');
            topic.write_json(&mut frame);
            frame.push(b',');
            write_string(&mut frame, event);
            frame.push(b',');
            payload(&mut frame);
            frame.push(b']');
        }
    }
    frame.finish()
}
