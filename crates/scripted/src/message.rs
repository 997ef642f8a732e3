//! A message of either side, whatever serializer or kind of frame it came in.

use std::fmt;

use phoenix_wire::{Encoding, Incoming, MessageKind, Payload, RefView, Version, decode, encode, event};
use transcript::Value;
use websocket::Frame;

/// The five parts of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Which join it belongs to; nothing if it was written in 1.0.0, where a server does not say it.
    pub(crate) join_ref: Option<Value>,
    /// What it is called, or what it answers.
    pub(crate) reference: Value,
    /// What it is about.
    pub(crate) topic: String,
    /// What it wants.
    pub(crate) event: String,
    /// The rest. Broadcasts of binary frames are in the envelope they have in text frames.
    pub(crate) payload: Value,
}

impl Message {
    /// What a client sent.
    ///
    /// # Errors
    ///
    /// Why it is no message, in words.
    pub(crate) fn of_client(version: Version, kind: MessageKind, bytes: &[u8]) -> Result<Self, String> {
        let incoming = decode(version, kind, bytes).map_err(|error| error.to_string())?;
        let Incoming {
            join_ref,
            reference,
            topic,
            event,
            payload,
        } = incoming;
        let text = |name: phoenix_wire::Name<'_>, what| match name.as_text() {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("{what} is no string")),
        };
        Ok(Self {
            join_ref: Some(value_of_ref(&join_ref)),
            reference: value_of_ref(&reference),
            topic: text(topic, "the topic")?,
            event: text(event, "the event")?,
            payload: match payload {
                Payload::Json(json) => Value::parse(json.as_str()).map_err(|error| error.to_string())?,
                Payload::Binary(bytes) => binary(bytes),
                Payload::UserBroadcast(broadcast) => {
                    let payload = match broadcast.encoding {
                        Encoding::Json => Value::parse_bytes(broadcast.payload).ok(),
                        Encoding::Binary => None,
                    };
                    let payload = payload.unwrap_or_else(|| binary(broadcast.payload));
                    envelope(broadcast.event.into(), payload, None)
                }
            },
        })
    }

    /// What a transcript has as text: an array (2.0.0) or an object (1.0.0).
    pub(crate) fn of_json(json: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some([join_ref, reference, topic, event, payload]) = json.as_array() {
            return Some(Self {
                join_ref: Some(join_ref.clone()),
                reference: reference.clone(),
                topic: text(topic)?,
                event: text(event)?,
                payload: payload.clone(),
            });
        }
        Some(Self {
            join_ref: json.get("join_ref").cloned(),
            reference: json.get("ref").cloned().unwrap_or(Value::Null),
            topic: text(json.get("topic")?)?,
            event: text(json.get("event")?)?,
            payload: json.get("payload")?.clone(),
        })
    }

    /// What a transcript has as the decoded form of a binary frame, of either direction.
    pub(crate) fn of_view(view: &Value) -> Option<Self> {
        let text = |name| view.get(name).and_then(Value::as_str);
        let reference = |name| text(name).map_or(Value::Null, Value::text);
        let bytes = |hex: &Value| Value::Object(vec![(BINARY.to_owned(), hex.clone())]);
        let event = match text("kind")? {
            "reply" => Some(event::REPLY),
            "push" | "broadcast" => text("event"),
            _ => None,
        };
        if let Some(event) = event {
            return Some(Self {
                join_ref: Some(reference("join_ref")),
                reference: reference("ref"),
                topic: text("topic")?.to_owned(),
                event: event.to_owned(),
                payload: bytes(view.get("data")?),
            });
        }
        let payload = match (text("encoding")?, text("payload_text")) {
            ("binary", _) => bytes(view.get("payload")?),
            (_, Some(text)) => binary(text.as_bytes()),
            _ => view.get("payload")?.clone(),
        };
        Some(Self {
            join_ref: Some(reference("join_ref")),
            reference: reference("ref"),
            topic: text("topic")?.to_owned(),
            event: event::BROADCAST.to_owned(),
            payload: envelope(text("event")?.into(), payload, view.get("meta").cloned()),
        })
    }

    /// A reply to this message.
    pub(crate) fn reply(&self, status: encode::Status, response: Value) -> Self {
        Self {
            event: event::REPLY.to_owned(),
            payload: Value::Object(vec![
                ("status".to_owned(), status.as_str().into()),
                ("response".to_owned(), response),
            ]),
            ..self.clone()
        }
    }

    /// The frame of this message.
    pub(crate) fn frame(&self, version: Version) -> Frame {
        let join_ref = self.join_ref.as_ref().unwrap_or(&Value::Null).to_string();
        encode::message(
            version,
            RefView::Json(&join_ref),
            RefView::Json(&self.reference.to_string()),
            &self.topic,
            &self.event,
            &self.payload.to_string(),
        )
    }

    /// The decoded form of the binary frame of this broadcast.
    pub(crate) fn view(&self) -> Value {
        let of_payload = |name| self.payload.get(name).cloned().unwrap_or(Value::Null);
        let bytes = self
            .payload
            .get("payload")
            .and_then(|payload| payload.get(BINARY));
        let (encoding, payload) = match bytes {
            Some(hex) => ("binary", hex.clone()),
            None => ("json", of_payload("payload")),
        };
        let mut members = vec![
            ("kind", "user_broadcast".into()),
            ("topic", Value::text(&self.topic)),
            ("event", of_payload("event")),
        ];
        members.extend(self.payload.get("meta").map(|meta| ("meta", meta.clone())));
        members.extend([("encoding", encoding.into()), ("payload", payload)]);
        Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Whether it carries bytes that only 2.0.0 can express.
    pub(crate) fn is_binary(&self) -> bool {
        let is_bytes = |value: &Value| value.get(BINARY).is_some();
        is_bytes(&self.payload) || self.payload.get("payload").is_some_and(is_bytes)
    }
}

/// As the array it is in 2.0.0, without tokens.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = match &self.payload {
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| match TOKENS.contains(&name.as_str()) {
                        true => (name.clone(), Value::text("…")),
                        false => (name.clone(), value.clone()),
                    })
                    .collect(),
            ),
            other => other.clone(),
        };
        let array = Value::Array(vec![
            self.join_ref.clone().unwrap_or(Value::Null),
            self.reference.clone(),
            Value::text(&self.topic),
            Value::text(&self.event),
            payload,
        ]);
        let text = array.to_string();
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => write!(f, "{}…", text.get(..end).unwrap_or_default()),
            None => f.write_str(&text),
        }
    }
}

/// The payload of a broadcast in a text frame.
fn envelope(event: Value, payload: Value, meta: Option<Value>) -> Value {
    let mut members = vec![
        ("type".to_owned(), event::BROADCAST.into()),
        ("event".to_owned(), event),
        ("payload".to_owned(), payload),
    ];
    members.extend(meta.map(|meta| ("meta".to_owned(), meta)));
    Value::Object(members)
}

/// Bytes where JSON has none.
fn binary(bytes: &[u8]) -> Value {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Value::Object(vec![(BINARY.to_owned(), Value::String(hex))])
}

fn value_of_ref(reference: &RefView<'_>) -> Value {
    let mut text = String::new();
    reference.write_json(&mut text);
    Value::parse(&text).unwrap_or(Value::Null)
}

/// The only member of what stands for bytes in a payload.
const BINARY: &str = "$binary";
/// Members of payloads that carry tokens.
const TOKENS: [&str; 2] = ["access_token", "user_token"];
/// How much of a message is shown.
const SHOWN_CHARS_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    #[test]
    fn a_broadcast_is_the_same_in_every_frame() {
        let text = br#"["1","5","t","broadcast",{"type":"broadcast","event":"e","payload":{"n":1}}]"#;
        let text = Message::of_client(Version::V2, MessageKind::Text, text).unwrap();
        let bytes = b"\x03\x01\x01\x01\x01\0\x0115te{\"n\":1}";
        let bytes = Message::of_client(Version::V2, MessageKind::Binary, bytes).unwrap();
        let old = br#"{"topic":"t","event":"broadcast","payload":{"type":"broadcast","event":"e","payload":{"n":1}},"ref":"5","join_ref":"1"}"#;
        let old = Message::of_client(Version::V1, MessageKind::Text, old).unwrap();
        let view = json(
            r#"{"kind":"user_broadcast_push","join_ref":"1","ref":"5","topic":"t","event":"e","encoding":"json","payload":{"n":1}}"#,
        );
        assert_eq!(text, bytes);
        assert_eq!(text, old);
        assert_eq!(Some(text), Message::of_view(&view));
    }

    #[test]
    fn bytes_stay_bytes() {
        let frame = b"\x03\0\x01\x01\x01\0\x005te\0\xff";
        let message = Message::of_client(Version::V2, MessageKind::Binary, frame).unwrap();
        assert!(message.is_binary());
        assert_eq!(
            message.payload.get("payload"),
            Some(&json(r#"{"$binary":"00ff"}"#))
        );
    }

    #[test]
    fn a_message_is_shown_without_its_token() {
        let join = json(r#"["1","1","t","phx_join",{"config":{},"access_token":"hush"}]"#);
        let shown = Message::of_json(&join).unwrap().to_string();
        assert_eq!(
            shown,
            r#"["1","1","t","phx_join",{"config":{},"access_token":"…"}]"#
        );
    }

    #[test]
    fn a_reply_is_written_for_each_serializer() {
        let join = json(r#"["3","4","t","phx_join",{}]"#);
        let reply = Message::of_json(&join)
            .unwrap()
            .reply(encode::Status::Ok, json("{}"));
        assert_eq!(
            reply.frame(Version::V2).payload(),
            br#"["3","4","t","phx_reply",{"status":"ok","response":{}}]"#
        );
        let old: Value = Value::parse_bytes(reply.frame(Version::V1).payload()).unwrap();
        assert_eq!(old.get("join_ref"), None);
        assert_eq!(old.get("ref"), Some(&Value::text("4")));
    }
}
