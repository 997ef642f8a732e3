//! Rows of `realtime.messages` as what is broadcast: those that are asked for again, and those that are streamed.

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Pool;

/// The publication of the table, whose partitions are streamed by themselves.
pub const MESSAGES_PUBLICATION: &str = "supabase_realtime_messages_publication";
/// The most messages that are replayed.
pub const REPLAY_MAX: i64 = 25;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagePayload {
    /// JSON, as the database writes `jsonb`.
    Json(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// A message that is sent again. Unlike one that is streamed it may lack an event or a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The row's id, a UUID in lower case.
    pub id: String,
    /// The event.
    pub event: Option<String>,
    /// What it says.
    pub payload: Option<MessagePayload>,
}

/// A row that was inserted, for those who are on its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The row's id, a UUID in lower case.
    pub id: String,
    /// The topic without its prefix `realtime:`.
    pub topic: String,
    /// The event.
    pub event: String,
    /// Whether it is for private channels, or for public ones.
    pub private: bool,
    /// What it says.
    pub payload: MessagePayload,
}

/// Why a row is not broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A column that has to have a value is null, or the table has no such column.
    #[error("a message without {0}")]
    Missing(&'static str),
    /// It has neither payload.
    #[error("a message without a payload")]
    PayloadMissing,
    /// It is larger than the tenant allows.
    #[error("a message with a payload of {bytes} bytes, which is more than the tenant allows")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The text of a column is not one of its type.
    #[error("a message whose {0} is not of its type")]
    Malformed(&'static str),
}

impl Pool {
    /// The newest private broadcasts on a topic since a moment, oldest first, and in the order in which a transaction
    /// inserted them. At most `limit`, which is brought to 1…[`REPLAY_MAX`].
    ///
    /// # Errors
    ///
    /// [`Error::Statement`] among others.
    pub async fn replay(&self, topic: &str, since_ms: i64, limit: i64) -> Result<Vec<Replayed>, Error> {
        // No topic of a message has a zero byte, and the database does not take one.
        if topic.contains('\0') {
            return Ok(Vec::new());
        }
        let since_ms = since_ms.clamp(MOMENTS_MS.0, MOMENTS_MS.1);
        let limit = limit.clamp(1, REPLAY_MAX);
        let parameters = [
            (&topic as _, Type::TEXT),
            (&since_ms as _, Type::INT8),
            (&limit as _, Type::INT8),
        ];
        let rows = match self.query(&replay("m.binary_payload"), &parameters).await {
            // A table that the reference made some versions ago.
            Err(Error::Statement(reason)) if reason.sqlstate == UNDEFINED_COLUMN => {
                self.query(&replay("null::bytea"), &parameters).await?
            }
            rows => rows?,
        };
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            let json: Option<String> = row.try_get("payload")?;
            let binary: Option<Vec<u8>> = row.try_get("binary_payload")?;
            messages.push(Replayed {
                id: row.try_get("id")?,
                event: row.try_get("event")?,
                payload: binary
                    .map(MessagePayload::Binary)
                    .or(json.map(MessagePayload::Json)),
            });
        }
        Ok(messages)
    }
}

/// What the reference makes of a row that was inserted into the table. `column` gives the text of a column by its
/// name, as pgoutput writes it, `None` if it is null or there is no such column; columns that are not asked for do not
/// matter. `payload_bytes_max` is the tenant's limit.
///
/// The reference does not look at the column `extension`, and nor does this.
///
/// # Errors
///
/// [`Dropped`] says why nobody hears of it.
pub fn broadcast_of_row<'a>(
    column: impl Fn(&str) -> Option<&'a str>,
    payload_bytes_max: usize,
) -> Result<Broadcast, Dropped> {
    let present = |name| column(name).ok_or(Dropped::Missing(name));
    // In the order in which the reference looks.
    present("inserted_at")?;
    let event = present("event")?;
    let id = present("id")?;
    let topic = present("topic")?;
    let private = match present("private")? {
        "t" => true,
        "f" => false,
        _ => return Err(Dropped::Malformed("private")),
    };
    let payload = match (column("binary_payload"), column("payload")) {
        (Some(hex), _) => {
            let bytes = bytes_of(hex).ok_or(Dropped::Malformed("binary_payload"))?;
            MessagePayload::Binary(bytes)
        }
        (None, Some(json)) => MessagePayload::Json(json.to_owned()),
        (None, None) => return Err(Dropped::PayloadMissing),
    };
    let bytes = payload.bytes();
    if bytes.saturating_add(TERM_HEADER_BYTES) > payload_bytes_max {
        return Err(Dropped::PayloadTooLarge { bytes });
    }
    Ok(Broadcast {
        id: id.to_owned(),
        topic: topic.to_owned(),
        event: event.to_owned(),
        private,
        payload,
    })
}

impl MessagePayload {
    /// Its size.
    pub fn bytes(&self) -> usize {
        match self {
            MessagePayload::Json(json) => json.len(),
            MessagePayload::Binary(bytes) => bytes.len(),
        }
    }
}

/// A `bytea` as text.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.strip_prefix("\\x")?.as_bytes();
    let digit = |&byte: &u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    pairs.iter().map(byte).collect()
}

/// The years 1 to 9999. No message is outside of them.
const MOMENTS_MS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);
/// The reference measures a payload as a term of Erlang.
const TERM_HEADER_BYTES: usize = 6;
const UNDEFINED_COLUMN: &str = "42703";

/// The bound ahead leaves out partitions that are still empty. What was inserted with one timestamp was inserted by one
/// transaction, whose statements are counted in `cmin`; the rows of a statement are stored in their order.
fn replay(binary_payload: &str) -> String {
    format!(
        "
select m.id::text as id, m.event, m.payload::text as payload, {binary_payload} as binary_payload
from realtime.messages m
where m.topic = $1 and m.private is true and m.extension = 'broadcast'
  and m.inserted_at >= timestamp 'epoch' + $2::float8 * interval '1 millisecond'
  and m.inserted_at < now() at time zone 'UTC' + interval '1 minute'
order by m.inserted_at desc, m.cmin::text::bigint desc, m.ctid desc
limit $3"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 7] = [
        ("inserted_at", "2026-02-28 12:34:56.123456"),
        ("event", "ev"),
        ("id", "aaaaaaaa-0000-4000-8000-000000000001"),
        ("topic", "room:1"),
        ("private", "t"),
        ("payload", r#"{"a": 1}"#),
        ("extension", "presence"),
    ];

    fn read(row: &[(&str, &'static str)], payload_bytes_max: usize) -> Result<Broadcast, Dropped> {
        let column = |name: &str| {
            row.iter()
                .find(|(column, _)| *column == name)
                .map(|(_, text)| *text)
        };
        broadcast_of_row(column, payload_bytes_max)
    }

    fn without(names: &[&str]) -> Vec<(&'static str, &'static str)> {
        let left = WHOLE.into_iter().filter(|(name, _)| !names.contains(name));
        left.collect()
    }

    #[test]
    fn a_whole_row_is_broadcast_whatever_its_extension() {
        let broadcast = read(&WHOLE, 100).unwrap();
        assert_eq!(broadcast.id, "aaaaaaaa-0000-4000-8000-000000000001");
        assert_eq!((&*broadcast.topic, &*broadcast.event), ("room:1", "ev"));
        assert!(broadcast.private);
        assert_eq!(broadcast.payload, MessagePayload::Json(r#"{"a": 1}"#.into()));
        assert!(
            !read(&[&without(&["private"])[..], &[("private", "f")]].concat(), 100)
                .unwrap()
                .private
        );
    }

    #[test]
    fn what_is_null_drops_it_in_the_order_of_the_reference() {
        let names = ["inserted_at", "event", "id", "topic", "private"];
        for (at, name) in names.into_iter().enumerate() {
            assert_eq!(read(&without(&names[at..]), 100), Err(Dropped::Missing(name)));
        }
        assert_eq!(read(&without(&["payload"]), 100), Err(Dropped::PayloadMissing));
        assert_eq!(read(&without(&["extension"]), 100), read(&WHOLE, 100));
    }

    #[test]
    fn bytes_come_before_json_even_if_there_are_none() {
        for (hex, bytes) in [("\\x", &[][..]), ("\\x00fF10", &[0, 0xff, 0x10])] {
            let row = [&WHOLE[..], &[("binary_payload", hex)]].concat();
            assert_eq!(
                read(&row, 100).unwrap().payload,
                MessagePayload::Binary(bytes.into())
            );
        }
        for hex in ["", "00", "\\x0", "\\x0g", "\\x+1", "\\xé0", "x00"] {
            let row = [&WHOLE[..], &[("binary_payload", hex)]].concat();
            assert_eq!(
                read(&row, 100),
                Err(Dropped::Malformed("binary_payload")),
                "{hex}"
            );
        }
    }

    #[test]
    fn a_payload_may_be_as_large_as_the_limit_with_the_header_of_a_term() {
        assert!(read(&WHOLE, 14).is_ok());
        assert_eq!(read(&WHOLE, 13), Err(Dropped::PayloadTooLarge { bytes: 8 }));
        let row = [&WHOLE[..], &[("binary_payload", "\\x000000")]].concat();
        assert!(read(&row, 9).is_ok());
        assert_eq!(read(&row, 8), Err(Dropped::PayloadTooLarge { bytes: 3 }));
    }

    #[test]
    fn a_flag_that_is_none_is_refused() {
        let row = [&without(&["private"])[..], &[("private", "true")]].concat();
        assert_eq!(read(&row, 100), Err(Dropped::Malformed("private")));
    }
}
