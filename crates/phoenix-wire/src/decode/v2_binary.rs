//! 2.0.0, binary: a kind, one length byte per header field, the fields, the payload.
//!
//! ```text
//! 0 push             0 | J | R | T | E         | join_ref ref topic event          | data
//! 3 user broadcast   3 | J | R | T | E | M | C | join_ref ref topic event metadata | payload
//! ```
//!
//! `C` is the encoding of the payload: 0 is binary, anything else is JSON. Source: protocol-spec/wire.md, section 5.

use super::Malformed;
use crate::{Encoding, Incoming, Name, Payload, RefView, UserBroadcast, event, json};

/// A stock Phoenix push.
const PUSH: u8 = 0;
/// A user broadcast.
const USER_BROADCAST_PUSH: u8 = 3;

pub(super) fn decode(bytes: &[u8]) -> Result<Incoming<'_>, Malformed> {
    match bytes.split_first() {
        Some((&PUSH, rest)) => decode_push(rest),
        Some((&USER_BROADCAST_PUSH, rest)) => decode_user_broadcast(rest),
        Some((&kind, _)) => Err(Malformed::UnknownKind(kind)),
        None => Err(Malformed::Empty),
    }
}

fn decode_push(bytes: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let (&[join_ref, reference, topic, event], rest) =
        bytes.split_first_chunk().ok_or(Malformed::ShortHeader)?;
    let mut fields = Fields(rest);
    let join_ref = fields.text(join_ref, "join_ref")?;
    let reference = fields.text(reference, "ref")?;
    let topic = fields.text(topic, "topic")?;
    let event = fields.text(event, "event")?;
    Ok(Incoming {
        join_ref: RefView::Text(join_ref),
        reference: RefView::Text(reference),
        topic: Name::text(topic),
        event: Name::text(event),
        payload: Payload::Binary(fields.0),
    })
}

fn decode_user_broadcast(bytes: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let (&[join_ref, reference, topic, event, metadata, encoding], rest) =
        bytes.split_first_chunk().ok_or(Malformed::ShortHeader)?;
    let mut fields = Fields(rest);
    let join_ref = fields.text(join_ref, "join_ref")?;
    let reference = fields.text(reference, "ref")?;
    let topic = fields.text(topic, "topic")?;
    let event = fields.text(event, "event")?;
    let metadata = fields.bytes(metadata)?;
    if !metadata.is_empty() {
        // It has to be JSON, and is then of no use: nothing forwards it.
        json::check(metadata).map_err(Malformed::Metadata)?;
    }
    let encoding = if encoding == 0 {
        Encoding::Binary
    } else {
        Encoding::Json
    };
    Ok(Incoming {
        join_ref: RefView::Text(join_ref),
        reference: RefView::Text(reference),
        topic: Name::text(topic),
        event: Name::text(event::BROADCAST),
        payload: Payload::UserBroadcast(UserBroadcast {
            event,
            encoding,
            payload: fields.0,
        }),
    })
}

/// The part of a frame that is not consumed yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: u8) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self
            .0
            .split_at_checked(usize::from(len))
            .ok_or(Malformed::ShortHeader)?;
        self.0 = rest;
        Ok(field)
    }

    fn text(&mut self, len: u8, name: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(len)?).map_err(|_| Malformed::NotUtf8(name))
    }
}
