//! Bytes to messages.

use super::reader::Reader;
use super::{
    Begin, Commit, Delete, Insert, LogicalMessage, Message, OldTuple, Origin, Truncate, Tuple, TypeName,
    Update, Value,
};
use crate::relation::{Relation, RelationColumn, ReplicaIdentity};
use crate::timestamp::Timestamp;

/// Why bytes are no message of pgoutput.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pgoutput {message}, {field}: {problem}")]
pub struct DecodeError {
    /// The message by its name in the documentation.
    pub message: &'static str,
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The message ends before the field does.
    #[error("cut short")]
    Truncated,
    /// Text in another encoding.
    #[error("not UTF-8")]
    NotUtf8,
    /// A byte that version 1 gives no meaning to.
    #[error("unexpected byte {0:#04x}")]
    Unexpected(u8),
    /// Bytes after the last field.
    #[error("{0} bytes too many")]
    Surplus(usize),
}

/// Whether a message describes a table.
pub fn is_description(data: &[u8]) -> bool {
    data.first() == Some(&b'R')
}

/// The table a message about a row is about, of which the first bytes are there. Oid; `None` for other messages.
pub fn relation_of(head: &[u8]) -> Option<u32> {
    let mut reader = Reader::new("message", head);
    match reader.u8("type").ok()? {
        b'I' | b'U' | b'D' => reader.u32("relation").ok(),
        _ => None,
    }
}

/// Decodes one message: the data of one XLogData.
///
/// # Errors
///
/// The first field that is not as version 1 of the protocol has it. The stream cannot be understood from there on.
pub fn decode(data: &[u8]) -> Result<LogicalMessage<'_>, DecodeError> {
    let mut reader = Reader::new("message", data);
    let tag = reader.u8("type")?;
    let body = data.get(1..).unwrap_or_default();
    match tag {
        b'B' => whole("Begin", body, begin).map(LogicalMessage::Begin),
        b'M' => whole("Message", body, message).map(LogicalMessage::Message),
        b'C' => whole("Commit", body, commit).map(LogicalMessage::Commit),
        b'O' => whole("Origin", body, origin).map(LogicalMessage::Origin),
        b'R' => whole("Relation", body, relation).map(LogicalMessage::Relation),
        b'Y' => whole("Type", body, type_name).map(LogicalMessage::Type),
        b'I' => whole("Insert", body, insert).map(LogicalMessage::Insert),
        b'U' => whole("Update", body, update).map(LogicalMessage::Update),
        b'D' => whole("Delete", body, delete).map(LogicalMessage::Delete),
        b'T' => whole("Truncate", body, truncate).map(LogicalMessage::Truncate),
        other => Err(reader.error("type", Problem::Unexpected(other))),
    }
}

/// Reads a body that has to end where its last field does.
fn whole<'a, T>(
    message: &'static str,
    body: &'a [u8],
    read: fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(message, body);
    let found = read(&mut reader)?;
    reader.end()?;
    Ok(found)
}

fn begin(reader: &mut Reader<'_>) -> Result<Begin, DecodeError> {
    Ok(Begin {
        final_lsn: reader.u64("final LSN")?,
        timestamp: Timestamp(reader.i64("commit timestamp")?),
        xid: reader.u32("xid")?,
    })
}

fn message<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message {
        transactional: reader.u8("flags")? & 1 == 1,
        lsn: reader.u64("LSN")?,
        prefix: reader.c_str("prefix")?,
        content: reader.counted("content")?,
    })
}

fn commit(reader: &mut Reader<'_>) -> Result<Commit, DecodeError> {
    reader.u8("flags")?;
    Ok(Commit {
        commit_lsn: reader.u64("commit LSN")?,
        end_lsn: reader.u64("end LSN")?,
        timestamp: Timestamp(reader.i64("commit timestamp")?),
    })
}

fn origin<'a>(reader: &mut Reader<'a>) -> Result<Origin<'a>, DecodeError> {
    Ok(Origin {
        commit_lsn: reader.u64("commit LSN")?,
        name: reader.c_str("name")?,
    })
}

fn relation(reader: &mut Reader<'_>) -> Result<Relation, DecodeError> {
    let oid = reader.u32("oid")?;
    let schema = reader.c_str("schema")?;
    let name = reader.c_str("name")?;
    let replica_identity = match reader.u8("replica identity")? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        other => return Err(reader.error("replica identity", Problem::Unexpected(other))),
    };
    let count = usize::from(reader.u16("number of columns")?);
    let mut columns = Vec::with_capacity(count.min(reader.len()));
    for _ in 0..count {
        columns.push(RelationColumn {
            is_key: reader.u8("column flags")? & 1 == 1,
            name: reader.c_str("column name")?.into(),
            type_oid: reader.u32("column type")?,
            type_modifier: reader.u32("column type modifier")?.cast_signed(),
        });
    }
    Ok(Relation {
        oid,
        // That schema is sent as an empty name.
        schema: if schema.is_empty() { "pg_catalog" } else { schema }.into(),
        name: name.into(),
        replica_identity,
        columns,
    })
}

fn type_name<'a>(reader: &mut Reader<'a>) -> Result<TypeName<'a>, DecodeError> {
    Ok(TypeName {
        oid: reader.u32("oid")?,
        schema: reader.c_str("schema")?,
        name: reader.c_str("name")?,
    })
}

fn insert<'a>(reader: &mut Reader<'a>) -> Result<Insert<'a>, DecodeError> {
    Ok(Insert {
        relation: reader.u32("relation")?,
        new: new_tuple(reader)?,
    })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Update<'a>, DecodeError> {
    let relation = reader.u32("relation")?;
    let (old, new) = match reader.u8("kind of tuple")? {
        b'N' => (None, tuple(reader)?),
        kind => (Some(old_tuple(reader, kind)?), new_tuple(reader)?),
    };
    Ok(Update { relation, old, new })
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Delete<'a>, DecodeError> {
    let relation = reader.u32("relation")?;
    let kind = reader.u8("kind of tuple")?;
    let old = old_tuple(reader, kind)?;
    Ok(Delete { relation, old })
}

fn truncate(reader: &mut Reader<'_>) -> Result<Truncate, DecodeError> {
    let count = reader.u32("number of relations")?;
    let options = reader.u8("options")?;
    let mut relations = Vec::new();
    for _ in 0..count {
        relations.push(reader.u32("relation")?);
    }
    Ok(Truncate {
        cascade: options & 1 == 1,
        restart_identity: options & 2 == 2,
        relations,
    })
}

fn new_tuple<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, DecodeError> {
    match reader.u8("kind of tuple")? {
        b'N' => tuple(reader),
        other => Err(reader.error("kind of tuple", Problem::Unexpected(other))),
    }
}

fn old_tuple<'a>(reader: &mut Reader<'a>, kind: u8) -> Result<OldTuple<'a>, DecodeError> {
    match kind {
        b'K' => tuple(reader).map(OldTuple::Key),
        b'O' => tuple(reader).map(OldTuple::Full),
        other => Err(reader.error("kind of tuple", Problem::Unexpected(other))),
    }
}

fn tuple<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, DecodeError> {
    let count = usize::from(reader.u16("number of values")?);
    let mut values = Vec::with_capacity(count.min(reader.len()));
    for _ in 0..count {
        values.push(match reader.u8("kind of value")? {
            b'n' => Value::Null,
            b'u' => Value::UnchangedToast,
            b't' => Value::Text(reader.counted_str("value")?),
            // Binary values come only to those who ask for them.
            other => return Err(reader.error("kind of value", Problem::Unexpected(other))),
        });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a message out of the pieces a reader of the documentation would put together.
    struct Wire(Vec<u8>);

    impl Wire {
        fn new(tag: u8) -> Self {
            Self(vec![tag])
        }

        fn put(mut self, bytes: &[u8]) -> Self {
            self.0.extend_from_slice(bytes);
            self
        }

        fn u16(self, value: u16) -> Self {
            self.put(&value.to_be_bytes())
        }

        fn u32(self, value: u32) -> Self {
            self.put(&value.to_be_bytes())
        }

        fn u64(self, value: u64) -> Self {
            self.put(&value.to_be_bytes())
        }

        fn text(self, text: &str) -> Self {
            let len = u32::try_from(text.len()).unwrap();
            self.put(b"t").u32(len).put(text.as_bytes())
        }
    }

    fn relation_message() -> Wire {
        Wire::new(b'R')
            .u32(16_385)
            .put(b"public\0notes\0d")
            .u16(2)
            .put(b"\x01id\0")
            .u32(20)
            .u32(u32::MAX)
            .put(b"\x00body\0")
            .u32(25)
            .u32(u32::MAX)
    }

    fn update_message() -> Wire {
        Wire::new(b'U')
            .u32(7)
            .put(b"K")
            .u16(2)
            .text("1")
            .put(b"n")
            .put(b"N")
            .u16(3)
            .text("2")
            .put(b"u")
            .text("")
    }

    #[test]
    fn a_transaction_is_framed_by_begin_and_commit() {
        let begin = Wire::new(b'B').u64(0x16_B374_D848).u64(42).u32(731).0;
        assert_eq!(
            decode(&begin),
            Ok(LogicalMessage::Begin(Begin {
                final_lsn: 0x16_B374_D848,
                timestamp: Timestamp(42),
                xid: 731
            }))
        );
        let commit = Wire::new(b'C')
            .put(&[0])
            .u64(1)
            .u64(2)
            .put(&(-3_i64).to_be_bytes())
            .0;
        assert_eq!(
            decode(&commit),
            Ok(LogicalMessage::Commit(Commit {
                commit_lsn: 1,
                end_lsn: 2,
                timestamp: Timestamp(-3)
            }))
        );
    }

    #[test]
    fn a_relation_says_how_its_rows_look() {
        let column = |name: &str, type_oid, is_key| RelationColumn {
            name: name.into(),
            type_oid,
            type_modifier: -1,
            is_key,
        };
        assert_eq!(
            decode(&relation_message().0),
            Ok(LogicalMessage::Relation(Relation {
                oid: 16_385,
                schema: "public".into(),
                name: "notes".into(),
                replica_identity: ReplicaIdentity::Default,
                columns: vec![column("id", 20, true), column("body", 25, false)],
            }))
        );
        let system = Wire::new(b'R').u32(1).put(b"\0pg_class\0n").u16(0).0;
        let Ok(LogicalMessage::Relation(system)) = decode(&system) else {
            panic!()
        };
        assert_eq!(&*system.schema, "pg_catalog");
    }

    #[test]
    fn rows_carry_null_text_and_what_was_left_alone() {
        let insert = Wire::new(b'I').u32(7).put(b"N").u16(2).text("é").put(b"n").0;
        assert_eq!(
            decode(&insert),
            Ok(LogicalMessage::Insert(Insert {
                relation: 7,
                new: vec![Value::Text("é"), Value::Null]
            }))
        );
        assert_eq!(
            decode(&update_message().0),
            Ok(LogicalMessage::Update(Update {
                relation: 7,
                old: Some(OldTuple::Key(vec![Value::Text("1"), Value::Null])),
                new: vec![Value::Text("2"), Value::UnchangedToast, Value::Text("")],
            }))
        );
        let keyless = Wire::new(b'U').u32(7).put(b"N").u16(0).0;
        assert_eq!(
            decode(&keyless),
            Ok(LogicalMessage::Update(Update {
                relation: 7,
                old: None,
                new: vec![]
            }))
        );
        let delete = Wire::new(b'D').u32(7).put(b"O").u16(1).put(b"n").0;
        assert_eq!(
            decode(&delete),
            Ok(LogicalMessage::Delete(Delete {
                relation: 7,
                old: OldTuple::Full(vec![Value::Null])
            }))
        );
    }

    #[test]
    fn the_other_messages_are_understood_too() {
        let origin = Wire::new(b'O').u64(9).put(b"elsewhere\0").0;
        assert_eq!(
            decode(&origin),
            Ok(LogicalMessage::Origin(Origin {
                commit_lsn: 9,
                name: "elsewhere"
            }))
        );
        let named = Wire::new(b'Y').u32(5).put(b"public\0mood\0").0;
        assert_eq!(
            decode(&named),
            Ok(LogicalMessage::Type(TypeName {
                oid: 5,
                schema: "public",
                name: "mood"
            }))
        );
        let truncate = Wire::new(b'T').u32(2).put(&[3]).u32(1).u32(2).0;
        assert_eq!(
            decode(&truncate),
            Ok(LogicalMessage::Truncate(Truncate {
                cascade: true,
                restart_identity: true,
                relations: vec![1, 2]
            }))
        );
        let message = Wire::new(b'M')
            .put(&[1])
            .u64(9)
            .put(b"roost\0")
            .u32(2)
            .put(&[0, 0xFF])
            .0;
        assert_eq!(
            decode(&message),
            Ok(LogicalMessage::Message(Message {
                transactional: true,
                lsn: 9,
                prefix: "roost",
                content: &[0, 0xFF]
            }))
        );
    }

    #[test]
    fn every_cut_is_an_error_that_names_message_and_field() {
        for whole in [relation_message().0, update_message().0] {
            assert!(decode(&whole).is_ok());
            for len in 0..whole.len() {
                let error = decode(&whole[..len]).expect_err("cut short");
                assert_eq!(error.problem, Problem::Truncated, "{len}: {error}");
            }
        }
        let error = decode(&relation_message().0[..20]).expect_err("cut short");
        assert_eq!(
            error.to_string(),
            "pgoutput Relation, number of columns: cut short"
        );
    }

    #[test]
    fn what_version_1_does_not_know_is_refused() {
        let error = |bytes: &[u8]| decode(bytes).expect_err("refused").to_string();
        // Stream start, of version 2.
        assert_eq!(
            error(b"S\0\0\0\x01\x01"),
            "pgoutput message, type: unexpected byte 0x53"
        );
        let binary = Wire::new(b'I').u32(7).put(b"N").u16(1).put(b"b").u32(0).0;
        assert_eq!(
            error(&binary),
            "pgoutput Insert, kind of value: unexpected byte 0x62"
        );
        let latin1 = Wire::new(b'I')
            .u32(7)
            .put(b"N")
            .u16(1)
            .put(b"t")
            .u32(1)
            .put(&[0xE9])
            .0;
        assert_eq!(error(&latin1), "pgoutput Insert, value: not UTF-8");
        let longer = update_message().put(b"xy").0;
        assert_eq!(error(&longer), "pgoutput Update, end: 2 bytes too many");
        let identity = Wire::new(b'R').u32(1).put(b"a\0b\0x").u16(0).0;
        assert_eq!(
            error(&identity),
            "pgoutput Relation, replica identity: unexpected byte 0x78"
        );
    }

    #[test]
    fn counts_alone_allocate_nothing() {
        let many = Wire::new(b'T').u32(u32::MAX).put(&[0]).0;
        assert_eq!(decode(&many).expect_err("cut short").field, "relation");
        let many = Wire::new(b'I').u32(7).put(b"N").u16(u16::MAX).0;
        assert_eq!(decode(&many).expect_err("cut short").field, "kind of value");
    }
}
