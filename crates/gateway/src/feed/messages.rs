//! Broadcasts from the database: rows of `realtime.messages`, which the same stream brings, on their way to the topics
//! they name.
//!
//! Who may hear of one was decided at the join, so nobody is asked. The order is that of the commits, and in a
//! transaction that of the rows. Source: protocol-spec/broadcast.md, section 8.

use std::sync::Arc;

use changes::Relation;
use changes::pgoutput::{Insert, Value};
use database::{Broadcast, Dropped, MessagePayload, broadcast_of_row};
use hub::{Hub, TopicKey};
use phoenix_wire::json::write_string;
use phoenix_wire::{Encoding, Version, encode, json};
use tracing::warn;
use websocket::Frame;

use super::figures::Figures;

/// The way of broadcasts out.
pub(super) struct Messages {
    hub: Arc<Hub>,
    /// Larger ones are dropped. Bytes.
    payload_bytes_max: usize,
    figures: Arc<Figures>,
}

impl Messages {
    pub(super) fn new(hub: Arc<Hub>, payload_bytes_max: Option<usize>, figures: Arc<Figures>) -> Self {
        Self {
            hub,
            payload_bytes_max: payload_bytes_max.unwrap_or(usize::MAX),
            figures,
        }
    }

    /// What a row says; `None`, and a word in the log, if the reference would drop it.
    pub(super) fn read(&self, relation: &Relation, insert: &Insert<'_>) -> Option<Broadcast> {
        let column = |name: &str| {
            let at = relation.columns.iter().position(|column| &*column.name == name)?;
            match insert.new.get(at)? {
                Value::Text(text) => Some(*text),
                Value::Null | Value::UnchangedToast => None,
            }
        };
        match broadcast_of_row(column, self.payload_bytes_max) {
            Ok(broadcast) => Some(broadcast),
            Err(reason) => {
                self.drop(column("id").unwrap_or("null"), &reason);
                None
            }
        }
    }

    /// Hands a broadcast to all listeners of its topic.
    pub(super) fn publish(&self, broadcast: &Broadcast) {
        if self.hub.tally().is_overloaded() {
            self.figures.messages_dropped.add(1);
            warn!(
                id = broadcast.id,
                "a broadcast from the database is dropped: the project has too many events"
            );
            return;
        }
        self.hub.tally().add_broadcasts(1);
        self.figures.messages.add(1);
        let mut meta = String::from(r#"{"id":"#);
        write_string(&mut meta, &broadcast.id);
        meta.push('}');
        let key = TopicKey {
            private: broadcast.private,
            name: broadcast.topic.as_str().into(),
        };
        self.hub
            .publish_identified(&key, Some(&broadcast.id), |topic, version| {
                encode(version, topic.joined(), broadcast, &meta)
            });
    }

    fn drop(&self, id: &str, reason: &Dropped) {
        self.figures.messages_dropped.add(1);
        warn!(id, %reason, "a broadcast from the database is dropped");
    }
}

/// Whether a table holds broadcasts: `realtime.messages`, or one of its partitions, by whose names the stream knows them.
pub(super) fn holds_messages(relation: &Relation) -> bool {
    &*relation.schema == "realtime" && relation.name.starts_with("messages")
}

/// The frame for a serializer; 1.0.0 has none for bytes.
fn encode(version: Version, topic: &str, broadcast: &Broadcast, meta: &str) -> Option<Frame> {
    let event = &broadcast.event;
    let (encoding, payload) = match &broadcast.payload {
        MessagePayload::Json(json) => (Encoding::Json, json.as_bytes()),
        MessagePayload::Binary(bytes) => (Encoding::Binary, bytes.as_slice()),
    };
    if version == Version::V2
        && let Ok(frame) = encode::user_broadcast_binary(topic, event, meta, encoding, payload)
    {
        return Some(frame);
    }
    let MessagePayload::Json(payload) = &broadcast.payload else {
        return None;
    };
    // A header field was too long for the binary form, or there is none.
    let payload = json::check(payload.as_bytes()).ok()?;
    let text = payload.as_str();
    Some(encode::user_broadcast_text(
        version,
        topic,
        event,
        Some(meta),
        text,
    ))
}
