//! Binary frames to 2.0.0 clients: one length byte per header field.
//!
//! ```text
//! 2 broadcast        2 | T | E         | topic event          | data
//! 4 user broadcast   4 | T | E | M | C | topic event metadata | payload
//! ```
//!
//! Supabase clients read kind 4 only, stock Phoenix clients kind 2 only. Source: protocol-spec/wire.md, section 5.

use websocket::{Frame, FrameBuilder, Opcode};

use crate::Encoding;

/// Longest field of a binary header. Bytes: its length is one byte.
pub const HEADER_FIELD_BYTES_MAX: usize = 255;

const BROADCAST: u8 = 2;
const USER_BROADCAST: u8 = 4;

/// A header field that does not fit. The message cannot be sent in this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} has {len} bytes, a binary header holds {HEADER_FIELD_BYTES_MAX}")]
pub struct HeaderTooLong {
    /// The field's name.
    pub field: &'static str,
    /// Its length in bytes.
    pub len: usize,
}

/// A user broadcast (kind 4). `meta` is JSON text, or empty for none.
///
/// # Errors
///
/// [`HeaderTooLong`] if topic, event or metadata exceed 255 bytes.
pub fn user_broadcast_binary(
    topic: &str,
    event: &str,
    meta: &str,
    encoding: Encoding,
    payload: &[u8],
) -> Result<Frame, HeaderTooLong> {
    let encoding = match encoding {
        Encoding::Binary => 0,
        Encoding::Json => 1,
    };
    let header = [
        USER_BROADCAST,
        field_len("topic", topic)?,
        field_len("event", event)?,
        field_len("metadata", meta)?,
        encoding,
    ];
    Ok(build(&header, &[topic, event, meta], payload))
}

/// A stock Phoenix broadcast of bytes (kind 2).
///
/// # Errors
///
/// [`HeaderTooLong`] if topic or event exceed 255 bytes.
pub fn raw_broadcast(topic: &str, event: &str, data: &[u8]) -> Result<Frame, HeaderTooLong> {
    let header = [BROADCAST, field_len("topic", topic)?, field_len("event", event)?];
    Ok(build(&header, &[topic, event], data))
}

fn field_len(field: &'static str, text: &str) -> Result<u8, HeaderTooLong> {
    u8::try_from(text.len()).map_err(|_| HeaderTooLong {
        field,
        len: text.len(),
    })
}

fn build(header: &[u8], fields: &[&str], payload: &[u8]) -> Frame {
    let fields_len: usize = fields.iter().map(|field| field.len()).sum();
    let mut frame = FrameBuilder::new(Opcode::Binary, header.len() + fields_len + payload.len());
    frame.extend_from_slice(header);
    for field in fields {
        frame.extend_str(field);
    }
    frame.extend_from_slice(payload);
    frame.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_field_has_up_to_255_bytes() {
        let fits = "é".repeat(127) + "x";
        let long = "é".repeat(128);
        assert_eq!(
            (fits.len(), long.len()),
            (HEADER_FIELD_BYTES_MAX, HEADER_FIELD_BYTES_MAX + 1)
        );
        let user = |topic, event, meta| user_broadcast_binary(topic, event, meta, Encoding::Json, b"{}");
        assert!(user(&fits, &fits, &fits).is_ok());
        for (built, field) in [
            (user(&long, "e", ""), "topic"),
            (user("t", &long, ""), "event"),
            (user("t", "e", &long), "metadata"),
            (raw_broadcast(&long, "e", b""), "topic"),
            (raw_broadcast("t", &long, b""), "event"),
        ] {
            assert_eq!(built.map(|_| ()), Err(HeaderTooLong { field, len: 256 }));
        }
    }
}
