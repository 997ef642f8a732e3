//! A table, rows of it, and subscribers, for whoever wants to know what they cost.

use std::sync::Arc;

use changes::pgoutput::{self, Begin, LogicalMessage};
use changes::{
    Binding, Catalog, Column, ColumnSet, Mapping, NumberedBinding, ReplicaIdentity, RowChange, Selectable,
    Shape, Subscription, SubscriptionIndex, Table, Timestamp, Type,
};
use phoenix_wire::json;
use phoenix_wire::payload::JoinPayload;

const OID: u32 = 16_500;

/// Names, types, and the oids of these.
const COLUMNS: [(&str, &str, u32); 6] = [
    ("id", "int8", 20),
    ("body", "text", 25),
    ("room", "int4", 23),
    ("amount", "numeric", 1700),
    ("at", "timestamptz", 1184),
    ("owner", "uuid", 2950),
];

/// A row of the table; nobody asks for room 1000000000.
pub(crate) const ROW: [&str; 6] = [
    "9007199254740993",
    "The quick brown fox jumps over the lazy dog",
    "1000000000",
    "12345.6789",
    "2026-08-21 12:03:56.123456+00",
    "11111111-1111-4111-8111-111111111111",
];

pub(crate) const BEGIN: Begin = Begin {
    final_lsn: 77,
    timestamp: Timestamp(840_629_036_123_456),
    xid: 1,
};

/// The table as the catalog describes it.
pub(crate) fn notes() -> Table {
    let column = |(name, r#type, oid): (&str, &str, u32)| Column {
        name: name.into(),
        r#type: Arc::new(Type {
            oid,
            name: r#type.into(),
            sql: format!("pg_catalog.{type}").into(),
            shape: Shape::Scalar,
        }),
        in_primary_key: name == "id",
        generated: None,
    };
    Table {
        oid: OID,
        schema: "public".into(),
        name: "notes".into(),
        row_security: false,
        replica_identity: ReplicaIdentity::Default,
        columns: COLUMNS.map(column).into(),
    }
}

pub(crate) fn mapping() -> Mapping {
    Mapping::of_table(Arc::new(notes()))
}

/// [`ROW`], but in this room.
pub(crate) fn row_in_room(room: &'static str) -> [&'static str; 6] {
    let mut row = ROW;
    row[2] = room;
    row
}

/// The message in which the stream tells that a row was inserted.
pub(crate) fn insert_message(row: &[&str]) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).expect("a short row").to_be_bytes();
    let mut message = vec![b'I'];
    message.extend(OID.to_be_bytes());
    message.push(b'N');
    message.extend(u16::try_from(row.len()).expect("a short row").to_be_bytes());
    for text in row {
        message.push(b't');
        message.extend(length(text));
        message.extend(text.bytes());
    }
    message
}

/// The change that a message tells of.
pub(crate) fn change<'a>(mapping: &'a Mapping, message: &'a [u8]) -> RowChange<'a> {
    let LogicalMessage::Insert(insert) = pgoutput::decode(message).expect("a message") else {
        panic!("an insert");
    };
    RowChange::insert(mapping, &BEGIN, insert).expect("a row of the table")
}

/// A subscriber with one binding; without a filter if that is empty.
pub(crate) fn subscription(filter: &str) -> Subscription {
    let raw = format!(r#"{{"event":"*","schema":"public","table":"notes","filter":"{filter}"}}"#);
    let raw = raw.replace(r#","filter":"""#, "");
    let join = format!(r#"{{"config":{{"postgres_changes":[{raw}]}}}}"#);
    let join = json::check(join.as_bytes()).expect("it is JSON");
    let join = JoinPayload::parse(&join).expect("a join");
    let binding = join.changes.first().map(Binding::parse).expect("a binding");
    Subscription {
        role: "authenticated".into(),
        claims: "{}".into(),
        bindings: vec![NumberedBinding {
            id: 1,
            binding: Arc::new(binding.expect("a binding that can be served")),
        }],
    }
}

/// An index with one subscriber for each filter. The role may select every column.
pub(crate) fn index(filters: impl IntoIterator<Item = String>) -> SubscriptionIndex<u32> {
    let mut index = SubscriptionIndex::new(Catalog::from_iter([notes()]));
    let columns = ColumnSet::from_iter(0..COLUMNS.len());
    index.set_selectable("authenticated", Selectable::from_iter([(OID, columns)]));
    for (key, filter) in (0..).zip(filters) {
        index
            .insert(key, subscription(&filter))
            .expect("the filter can be served");
    }
    index
}
