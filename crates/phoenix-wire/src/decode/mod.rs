//! A client's message, from the bytes of its frame to five slices of them.
//!
//! Nothing that fails here is ever told to the client: the frame is dropped and the connection goes on. Source:
//! protocol-spec/wire.md, section 7.

mod v1;
mod v2_binary;
mod v2_text;

use crate::json::JsonError;
use crate::{Incoming, Name, RefView, Version};

/// Longest `ref` or `join_ref`. Bytes of JSON text. The reference has no bound; a channel keeps its `join_ref`, so one
/// is needed. Real clients send a number or a UUID.
pub const REF_BYTES_MAX: usize = 4 * 1024;

/// Longest topic. Bytes of its text. The reference has no bound; a channel keeps its topic, so one is needed.
pub const TOPIC_BYTES_MAX: usize = 16 * 1024;

/// The opcode of the message a client's bytes came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A text message.
    Text,
    /// A binary message.
    Binary,
}

/// Why bytes are not a message. For logs and counters; the client hears nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON text that is not an object (1.0.0).
    #[error("not a JSON object")]
    NotAnObject,
    /// A JSON object without a required member (1.0.0).
    #[error("member `{0}` is missing")]
    MissingMember(&'static str),
    /// JSON text that is not an array of five or more elements (2.0.0).
    #[error("not a JSON array of five elements")]
    NotFiveElements,
    /// An empty binary frame.
    #[error("empty binary frame")]
    Empty,
    /// A binary frame of a kind clients do not send.
    #[error("unknown binary kind {0}")]
    UnknownKind(u8),
    /// A binary frame that ends inside its header or its fields.
    #[error("binary frame too short")]
    ShortHeader,
    /// A field of a binary header that is not UTF-8.
    #[error("binary field `{0}` is not UTF-8")]
    NotUtf8(&'static str),
    /// Metadata of a user broadcast that is not JSON.
    #[error("metadata is not JSON: {0}")]
    Metadata(JsonError),
    /// A ref longer than [`REF_BYTES_MAX`].
    #[error("ref too long")]
    RefTooLong,
    /// A topic longer than [`TOPIC_BYTES_MAX`].
    #[error("topic too long")]
    TopicTooLong,
}

/// Takes one message of a client apart.
///
/// A 1.0.0 connection ignores the opcode. On a 2.0.0 connection it decides between JSON arrays and binary frames.
///
/// # Errors
///
/// [`Malformed`] says what is wrong. The message is to be dropped without an answer.
pub fn decode(version: Version, kind: MessageKind, bytes: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let incoming = match (version, kind) {
        (Version::V1, _) => v1::decode(bytes),
        (Version::V2, MessageKind::Text) => v2_text::decode(bytes),
        (Version::V2, MessageKind::Binary) => v2_binary::decode(bytes),
    }?;
    let ref_len = |reference: &RefView<'_>| match reference {
        RefView::Json(text) | RefView::Text(text) => text.len(),
    };
    if ref_len(&incoming.join_ref).max(ref_len(&incoming.reference)) > REF_BYTES_MAX {
        return Err(Malformed::RefTooLong);
    }
    let topic_len = match &incoming.topic {
        Name::Text(text) => text.len(),
        Name::Other(text) => text.len(),
    };
    if topic_len > TOPIC_BYTES_MAX {
        return Err(Malformed::TopicTooLong);
    }
    Ok(incoming)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2_text(message: &str) -> Result<(), Malformed> {
        decode(Version::V2, MessageKind::Text, message.as_bytes()).map(|_| ())
    }

    #[test]
    fn a_1_0_0_connection_ignores_the_opcode() {
        let message = br#"{"topic":"t","event":"e","payload":{},"ref":null}"#;
        for kind in [MessageKind::Text, MessageKind::Binary] {
            assert!(decode(Version::V1, kind, message).is_ok());
        }
    }

    #[test]
    fn refs_are_bounded() {
        let fits = "r".repeat(REF_BYTES_MAX - 2);
        assert_eq!(v2_text(&format!(r#"["{fits}","{fits}","t","e",{{}}]"#)), Ok(()));
        assert_eq!(
            v2_text(&format!(r#"["{fits}r",null,"t","e",{{}}]"#)),
            Err(Malformed::RefTooLong)
        );
        assert_eq!(
            v2_text(&format!(r#"[null,"{fits}r","t","e",{{}}]"#)),
            Err(Malformed::RefTooLong)
        );
    }

    #[test]
    fn topics_are_bounded() {
        let fits = "t".repeat(TOPIC_BYTES_MAX);
        assert_eq!(v2_text(&format!(r#"[null,null,"{fits}","e",{{}}]"#)), Ok(()));
        assert_eq!(
            v2_text(&format!(r#"[null,null,"{fits}t","e",{{}}]"#)),
            Err(Malformed::TopicTooLong)
        );
        let other = format!("[{}0]", "0,".repeat(TOPIC_BYTES_MAX / 2));
        assert_eq!(
            v2_text(&format!(r#"[null,null,{other},"e",{{}}]"#)),
            Err(Malformed::TopicTooLong)
        );
    }
}
