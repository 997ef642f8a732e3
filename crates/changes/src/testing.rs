//! Tables and rows for tests, in as few words as possible.

use std::sync::Arc;

use phoenix_wire::payload::{JoinPayload, RawBinding};

use crate::change::RowChange;
use crate::mapping::Mapping;
use crate::pgoutput::{Begin, Delete, Insert, OldTuple, Tuple, Update, Value};
use crate::relation::{Relation, RelationColumn, ReplicaIdentity};
use crate::table::{Column, Shape, Table, Type};
use crate::timestamp::Timestamp;

/// A table in schema `public`, its oid the length of its name. Columns as `id!:int8 body:text`; `!` marks the key.
pub(crate) fn table(name: &str, columns: &str) -> Table {
    let column = |text: &str| {
        let (name, type_name) = text.split_once(':').unwrap();
        Column {
            name: name.trim_end_matches('!').into(),
            r#type: scalar(type_name),
            in_primary_key: name.ends_with('!'),
            generated: None,
        }
    };
    Table {
        oid: u32::try_from(name.len()).unwrap(),
        schema: "public".into(),
        name: name.into(),
        row_security: false,
        replica_identity: ReplicaIdentity::Default,
        columns: columns.split_whitespace().map(column).collect(),
    }
}

/// A built-in type by name.
pub(crate) fn scalar(name: &str) -> Arc<Type> {
    let oids = [
        ("bool", 16),
        ("bytea", 17),
        ("name", 19),
        ("int8", 20),
        ("int2", 21),
        ("int4", 23),
        ("text", 25),
        ("json", 114),
        ("float4", 700),
        ("float8", 701),
        ("bpchar", 1042),
        ("varchar", 1043),
        ("date", 1082),
        ("timestamp", 1114),
        ("timestamptz", 1184),
        ("numeric", 1700),
        ("uuid", 2950),
        ("jsonb", 3802),
    ];
    let (_, oid) = oids.iter().find(|(known, _)| *known == name).unwrap();
    Arc::new(Type {
        oid: *oid,
        name: name.into(),
        sql: format!("pg_catalog.{name}").into(),
        shape: Shape::Scalar,
    })
}

/// The table as the stream would describe it.
pub(crate) fn mapping(mut table: Table, replica_identity: ReplicaIdentity) -> Mapping {
    table.replica_identity = replica_identity;
    let relation = Relation {
        oid: table.oid,
        schema: table.schema.clone(),
        name: table.name.clone(),
        replica_identity,
        columns: table
            .columns
            .iter()
            .map(|column| relation_column(column, replica_identity))
            .collect(),
    };
    Mapping::new(Arc::new(table), Arc::new(relation))
}

fn relation_column(column: &Column, replica_identity: ReplicaIdentity) -> RelationColumn {
    RelationColumn {
        name: column.name.clone(),
        type_oid: column.r#type.oid,
        type_modifier: -1,
        is_key: column.in_primary_key || replica_identity == ReplicaIdentity::Full,
    }
}

/// A transaction committed at 2026-08-21T12:03:56.123Z.
pub(crate) const BEGIN: Begin = Begin {
    final_lsn: 77,
    timestamp: Timestamp(840_629_036_123_456),
    xid: 1,
};

/// A row of texts; `~` is NULL and `=` was left alone.
pub(crate) fn tuple<'a>(values: &[&'a str]) -> Tuple<'a> {
    let value = |text: &&'a str| match *text {
        "~" => Value::Null,
        "=" => Value::UnchangedToast,
        text => Value::Text(text),
    };
    values.iter().map(value).collect()
}

pub(crate) fn insert<'a>(mapping: &'a Mapping, new: &[&'a str]) -> RowChange<'a> {
    let relation = mapping.table().oid;
    let new = tuple(new);
    RowChange::insert(mapping, &BEGIN, Insert { relation, new }).unwrap()
}

/// `old` is what a full replica identity tells.
pub(crate) fn update<'a>(mapping: &'a Mapping, old: Option<&[&'a str]>, new: &[&'a str]) -> RowChange<'a> {
    let relation = mapping.table().oid;
    let (old, new) = (old.map(|old| OldTuple::Full(tuple(old))), tuple(new));
    RowChange::update(mapping, &BEGIN, Update { relation, old, new }).unwrap()
}

pub(crate) fn delete<'a>(mapping: &'a Mapping, old: &[&'a str]) -> RowChange<'a> {
    let relation = mapping.table().oid;
    let old = match mapping.relation().replica_identity {
        ReplicaIdentity::Full => OldTuple::Full(tuple(old)),
        _ => OldTuple::Key(tuple(old)),
    };
    RowChange::delete(mapping, &BEGIN, Delete { relation, old }).unwrap()
}

/// A binding as it comes out of a join.
pub(crate) fn raw_binding(object: &str) -> RawBinding {
    let payload = format!(r#"{{"config":{{"postgres_changes":[{object}]}}}}"#);
    let payload = phoenix_wire::json::check(payload.as_bytes()).unwrap();
    JoinPayload::parse(&payload).unwrap().changes.pop().unwrap()
}
