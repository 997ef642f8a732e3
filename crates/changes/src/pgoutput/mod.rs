//! The messages of the output plugin pgoutput, protocol version 1, as they lie in the replication stream.
//!
//! Version 1 means: only committed transactions, whole and one after the other, each from a [`Begin`] to a [`Commit`]
//! with its rows between. A table is described once per connection, in front of its first row
//! ([`LogicalMessage::Relation`], remembered by [`crate::RelationCache`]); rows then name it by oid.
//!
//! Values are text in the form the session's settings give them. What is relied on (and set by whoever opens the
//! connection): `client_encoding` UTF8, `DateStyle` ISO, `IntervalStyle` postgres, `TimeZone` UTC, `bytea_output` hex,
//! `extra_float_digits` at least 1.
//!
//! Source: PostgreSQL documentation, "Logical Replication Message Formats".

mod decode;
mod reader;

use crate::relation::Relation;
use crate::timestamp::Timestamp;

pub use decode::{DecodeError, Problem, decode, is_description, relation_of};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogicalMessage<'a> {
    /// A transaction starts.
    Begin(Begin),
    /// What `pg_logical_emit_message` wrote.
    Message(Message<'a>),
    /// The transaction ends.
    Commit(Commit),
    /// The transaction came from elsewhere; follows its `Begin`.
    Origin(Origin<'a>),
    /// What a table looks like from here on.
    Relation(Relation),
    /// What a type is called; stands in front of the relation that uses it.
    Type(TypeName<'a>),
    /// A row was inserted.
    Insert(Insert<'a>),
    /// A row was updated.
    Update(Update<'a>),
    /// A row was deleted.
    Delete(Delete<'a>),
    /// Tables were truncated.
    Truncate(Truncate),
}

/// See [`LogicalMessage::Begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the transaction's commit record.
    pub final_lsn: u64,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// Transaction id.
    pub xid: u32,
}

/// See [`LogicalMessage::Commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// LSN of the commit record, that of the `Begin`.
    pub commit_lsn: u64,
    /// LSN after the transaction: what to confirm once all of it is dealt with.
    pub end_lsn: u64,
    /// When it was committed.
    pub timestamp: Timestamp,
}

/// See [`LogicalMessage::Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// It belongs to the transaction around it; otherwise it stands alone.
    pub transactional: bool,
    /// Its LSN.
    pub lsn: u64,
    /// Says whom it is for.
    pub prefix: &'a str,
    /// Anything.
    pub content: &'a [u8],
}

/// See [`LogicalMessage::Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// LSN of the commit on the server of origin.
    pub commit_lsn: u64,
    /// Name of the origin.
    pub name: &'a str,
}

/// See [`LogicalMessage::Type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName<'a> {
    /// `pg_type.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// See [`LogicalMessage::Insert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// Oid of the table.
    pub relation: u32,
    /// The row.
    pub new: Tuple<'a>,
}

/// See [`LogicalMessage::Update`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// Oid of the table.
    pub relation: u32,
    /// What the row was; absent if the replica identity is not full and the key has not changed.
    pub old: Option<OldTuple<'a>>,
    /// What the row is now.
    pub new: Tuple<'a>,
}

/// See [`LogicalMessage::Delete`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Oid of the table.
    pub relation: u32,
    /// What the row was.
    pub old: OldTuple<'a>,
}

/// See [`LogicalMessage::Truncate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// `TRUNCATE … CASCADE`.
    pub cascade: bool,
    /// `TRUNCATE … RESTART IDENTITY`.
    pub restart_identity: bool,
    /// Oids of the tables.
    pub relations: Vec<u32>,
}

/// The former row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// Only the columns of the replica identity mean something; the others are null.
    Key(Tuple<'a>),
    /// The whole row: replica identity full.
    Full(Tuple<'a>),
}

/// The values of a row, in the order of the relation's columns.
pub type Tuple<'a> = Vec<Value<'a>>;

/// The value of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// Stored out of line and not touched by the update, therefore not in the log.
    UnchangedToast,
    /// The output of the type's output function.
    Text(&'a str),
}
