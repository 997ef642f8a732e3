//! A replication stream is read message by message, and whatever rows it has can be shown.

use std::sync::Arc;

use changes::pgoutput::{self, Begin, LogicalMessage};
use changes::{
    Column, ColumnSet, Field, Mapping, RelationCache, RowChange, RowMismatch, Shape, Table, Timestamp, Type,
    View,
};
use phoenix_wire::json;

/// Reads `data` as messages, each with its length in two bytes in front, and shows their rows.
pub(crate) fn run(data: &[u8]) {
    let mut relations = RelationCache::default();
    let mut begin = Begin {
        final_lsn: 0,
        timestamp: Timestamp(0),
        xid: 0,
    };
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (message, tail) = tail.split_at(length.min(tail.len()));
        rest = tail;
        match pgoutput::decode(message) {
            Ok(LogicalMessage::Begin(found)) => begin = found,
            Ok(LogicalMessage::Relation(relation)) => {
                relations.insert(relation).expect("a short stream fits the cache");
            }
            Ok(LogicalMessage::Insert(insert)) => {
                if let Some(mapping) = mapping(&relations, insert.relation) {
                    show(RowChange::insert(&mapping, &begin, insert));
                }
            }
            Ok(LogicalMessage::Update(update)) => {
                if let Some(mapping) = mapping(&relations, update.relation) {
                    show(RowChange::update(&mapping, &begin, update));
                }
            }
            Ok(LogicalMessage::Delete(delete)) => {
                if let Some(mapping) = mapping(&relations, delete.relation) {
                    show(RowChange::delete(&mapping, &begin, delete));
                }
            }
            Ok(_) => {}
            Err(error) => assert!(error.to_string().starts_with("pgoutput ")),
        }
    }
}

/// What the catalog might say of a table the stream has described: a column less, and types of every shape.
fn mapping(relations: &RelationCache, oid: u32) -> Option<Mapping> {
    let relation = relations.get(oid)?;
    let known = relation.columns.iter().skip(usize::from(oid % 2 == 1));
    let columns = known.map(|column| Column {
        name: column.name.clone(),
        r#type: shaped(column.type_oid),
        in_primary_key: column.is_key,
        generated: None,
    });
    let table = Table {
        oid,
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        row_security: oid.is_multiple_of(3),
        replica_identity: relation.replica_identity,
        columns: columns.collect(),
    };
    Some(Mapping::new(Arc::new(table), Arc::clone(relation)))
}

/// Oids of arrays and composites stand for some of their own.
fn shaped(oid: u32) -> Arc<Type> {
    let shape = match oid {
        1000..1100 => Shape::Array {
            element: shaped([16, 20, 25, 114, 1184][oid as usize % 5]),
            delimiter: ',',
        },
        2287 => Shape::Array {
            element: shaped(2249),
            delimiter: ',',
        },
        2249 => Shape::Composite {
            fields: [("x", 20), ("long", 114), ("y", 1007)]
                .map(|(name, oid)| Field {
                    name: name.into(),
                    r#type: shaped(oid),
                })
                .into(),
        },
        _ => Shape::Scalar,
    };
    Arc::new(Type {
        oid,
        name: "t".into(),
        sql: "t".into(),
        shape,
    })
}

fn show(change: Result<RowChange<'_>, RowMismatch>) {
    let Ok(change) = change else { return };
    let _ = change.key();
    let _ = change.old_row();
    let some: ColumnSet = (0..change.table().columns.len())
        .filter(|at| at % 3 != 1)
        .collect();
    let all: ColumnSet = (0..change.table().columns.len()).collect();
    let views = [some.clone(), all].map(View::Columns);
    let others = [
        View::OldRow(some.clone()),
        View::Left(some),
        View::NoPrimaryKey,
        View::Unauthorized,
    ];
    for view in views.iter().chain(&others) {
        let data = changes::data(&change, view);
        json::check(data.as_bytes()).unwrap_or_else(|error| panic!("{error}: {data}"));
        for row in ["record", "old_record"]
            .iter()
            .filter_map(|row| json::member(&data, row))
        {
            assert_eq!(json::kind(row), json::Kind::Object);
        }
    }
}
