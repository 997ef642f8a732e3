//! A broadcast between the socket it came from and the frames it becomes.
//!
//! What each kind of subscriber sees of each kind of push: broadcast.md, section 1.

use std::borrow::Cow;

use phoenix_wire::payload::broadcast::{message_id, meta};
use phoenix_wire::{Encoding, JsonText, RefView, UserBroadcast, Version, encode, event, json};
use websocket::{Frame, Opcode};

/// A broadcast as it was pushed.
#[derive(Debug)]
pub enum Broadcast<'a> {
    /// A text frame: the payload is passed on verbatim, as text.
    Text(&'a JsonText<'a>),
    /// A kind 3 frame: the payload bytes are passed on untouched, as kind 4 or, to 1.0.0, as text.
    User(&'a UserBroadcast<'a>),
    /// A kind 0 frame: passed on as kind 2, which only stock Phoenix clients read.
    Raw(&'a [u8]),
}

impl Broadcast<'_> {
    /// The frame for subscribers with `version`; `None` where the message does not exist for them.
    ///
    /// `topic` is the topic as joined.
    pub fn encode(&self, version: Version, topic: &str) -> Option<Frame> {
        match (self, version) {
            (Broadcast::Text(payload), _) => Some(encode::message(
                version,
                RefView::NULL,
                RefView::NULL,
                topic,
                event::BROADCAST,
                payload.as_str(),
            )),
            (Broadcast::User(user), Version::V2) => {
                encode::user_broadcast_binary(topic, user.event, "", user.encoding, user.payload)
                    .ok()
                    .or_else(|| user_text(user, version, topic))
            }
            (Broadcast::User(user), Version::V1) => user_text(user, version, topic),
            (Broadcast::Raw(data), Version::V2) => encode::raw_broadcast(topic, event::BROADCAST, data).ok(),
            (Broadcast::Raw(_), Version::V1) => None,
        }
    }

    /// Size that counts against the tenant's payload limit: the reference's external term size of what it would hold.
    /// Bytes. Source: broadcast.md, section 10.
    pub fn term_size(&self) -> usize {
        match self {
            Broadcast::Text(payload) => payload.term_size(),
            Broadcast::User(user) => {
                let encoding = match user.encoding {
                    Encoding::Binary => "binary",
                    Encoding::Json => "json",
                };
                // version, tuple of four, two binaries, an atom, an empty map
                1 + 2 + (5 + user.event.len()) + (2 + encoding.len()) + (5 + user.payload.len()) + 5
            }
            Broadcast::Raw(data) => 1 + 2 + (2 + "binary".len()) + (5 + data.len()),
        }
    }
}

/// A message that the database sent earlier, for a member that asked for it at its join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Its id.
    pub id: Box<str>,
    /// The application's event. Rows may lack one.
    pub event: Option<Box<str>>,
    /// What it says.
    pub payload: ReplayedPayload,
}

/// What a replayed message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayedPayload {
    /// JSON text.
    Json(Box<str>),
    /// Bytes.
    Binary(Box<[u8]>),
}

impl Replayed {
    /// The frame for the channel with this join_ref; `None` where the message does not exist for it.
    pub(crate) fn encode(&self, version: Version, join_ref: RefView<'_>, topic: &str) -> Option<Frame> {
        let meta = meta(&self.id, true);
        match (&self.payload, &self.event) {
            (ReplayedPayload::Json(payload), Some(event)) => Some(encode::user_broadcast_text_on(
                version,
                join_ref,
                topic,
                event,
                Some(&meta),
                payload,
            )),
            (ReplayedPayload::Json(payload), None) => {
                let envelope =
                    format!(r#"{{"type":"broadcast","event":null,"payload":{payload},"meta":{meta}}}"#);
                Some(encode::message(
                    version,
                    join_ref,
                    RefView::NULL,
                    topic,
                    event::BROADCAST,
                    &envelope,
                ))
            }
            (ReplayedPayload::Binary(bytes), event) => {
                let event = event.as_deref().unwrap_or_default();
                let frame =
                    || encode::user_broadcast_binary(topic, event, &meta, Encoding::Binary, bytes).ok();
                (version == Version::V2).then(frame).flatten()
            }
        }
    }
}

/// `meta.id` of a finished broadcast: what a live copy of a replayed message is recognised by.
pub fn id_of(frame: &Frame, version: Version) -> Option<String> {
    let bytes = frame.payload();
    if frame.opcode() == Opcode::Binary {
        let (&[USER_BROADCAST, topic, event, meta, _], fields) = bytes.split_first_chunk()? else {
            return None;
        };
        let start = usize::from(topic) + usize::from(event);
        let meta = fields.get(start..start + usize::from(meta))?;
        return json::string(json::member(std::str::from_utf8(meta).ok()?, "id")?).map(Cow::into_owned);
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let payload = match version {
        Version::V1 => json::member(text, "payload"),
        Version::V2 => json::elements(text).nth(4),
    };
    let payload = json::check(payload?.as_bytes()).ok()?;
    message_id(&payload).map(Cow::into_owned)
}

/// Kind of the binary frames that carry broadcasts.
const USER_BROADCAST: u8 = 4;

/// A kind 3 push as text: what 1.0.0 subscribers get, and 2.0.0 ones where a header field is too long for kind 4.
/// Bytes flagged as JSON that are none would corrupt the frame, so nobody gets them as text.
fn user_text(user: &UserBroadcast<'_>, version: Version, topic: &str) -> Option<Frame> {
    if user.encoding == Encoding::Binary {
        return None;
    }
    let payload = json::check(user.payload).ok()?;
    Some(encode::user_broadcast_text(
        version,
        topic,
        user.event,
        None,
        payload.as_str(),
    ))
}
