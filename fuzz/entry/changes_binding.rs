//! Whatever a client binds to is understood or refused in words.

use std::sync::Arc;

use changes::pgoutput::{Begin, Insert, Value};
use changes::{
    Answers, Binding, Catalog, Column, ColumnSet, Mapping, NumberedBinding, Relation, RelationColumn,
    ReplicaIdentity, RowChange, Selectable, Shape, Subscription, SubscriptionIndex, Table, Timestamp, Type,
};
use phoenix_wire::json;
use phoenix_wire::payload::RawBinding;

/// Takes the lines of `data` for a filter and the values of a row, which are `bool`, `int4`, `float8`, `numeric`, `text`,
/// `uuid`, `timestamptz` and `date`.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let filter = lines.next().unwrap_or_default();
    let raw = RawBinding::of_topic(&format!("public:t:{filter}"));
    let binding = match Binding::parse(&raw) {
        Ok(binding) => binding,
        Err(refused) => {
            assert!(
                refused.message.starts_with("Error parsing `filter` params: "),
                "{refused}"
            );
            return;
        }
    };
    let table = table();
    let mut index = SubscriptionIndex::new(Catalog::from_iter([table.clone()]));
    index.set_selectable(
        "user",
        Selectable::from_iter([(table.oid, (0..COLUMNS.len()).collect::<ColumnSet>())]),
    );
    let subscription = Subscription {
        role: "user".into(),
        claims: "{}".into(),
        bindings: vec![NumberedBinding {
            id: 1,
            binding: Arc::new(binding),
        }],
    };
    assert!(
        index
            .unproven(&subscription)
            .iter()
            .all(|unproven| unproven.binding == 0)
    );
    if let Err(refused) = index.insert((), subscription) {
        let mut notice = String::new();
        json::write_string(&mut notice, &refused.message);
        json::check(notice.as_bytes()).expect("a notice is JSON");
        return;
    }

    let mut new: Vec<_> = lines
        .map(|line| {
            if line == "~" {
                Value::Null
            } else {
                Value::Text(line)
            }
        })
        .collect();
    new.resize(COLUMNS.len(), Value::Null);
    let mapping = Mapping::new(Arc::new(table.clone()), Arc::new(relation(&table)));
    let begin = Begin {
        final_lsn: 0,
        timestamp: Timestamp(0),
        xid: 0,
    };
    let insert = Insert {
        relation: table.oid,
        new,
    };
    let change = RowChange::insert(&mapping, &begin, insert).expect("as many values as columns");
    for answer in [None, Some(false), Some(true)] {
        let answers: Answers = index
            .questions(&change)
            .into_iter()
            .map(|question| (question, answer))
            .collect();
        for found in index.matches(&change, &answers) {
            assert_eq!(found.ids, [1]);
        }
    }
    index.remove(());
    assert!(index.questions(&change).is_empty() && index.matches(&change, &Answers::default()).is_empty());
}

const COLUMNS: [(&str, u32); 8] = [
    ("b", 16),
    ("n", 23),
    ("f", 701),
    ("num", 1700),
    ("t", 25),
    ("u", 2950),
    ("ts", 1184),
    ("d", 1082),
];

fn table() -> Table {
    let column = |(name, oid): (&str, u32)| Column {
        name: name.into(),
        r#type: Arc::new(Type {
            oid,
            name: name.into(),
            sql: name.into(),
            shape: Shape::Scalar,
        }),
        in_primary_key: name == "n",
        generated: None,
    };
    Table {
        oid: 7,
        schema: "public".into(),
        name: "t".into(),
        row_security: false,
        replica_identity: ReplicaIdentity::Default,
        columns: COLUMNS.map(column).into(),
    }
}

fn relation(table: &Table) -> Relation {
    let column = |column: &Column| RelationColumn {
        name: column.name.clone(),
        type_oid: column.r#type.oid,
        type_modifier: -1,
        is_key: column.in_primary_key,
    };
    Relation {
        oid: table.oid,
        schema: table.schema.clone(),
        name: table.name.clone(),
        replica_identity: ReplicaIdentity::Default,
        columns: table.columns.iter().map(column).collect(),
    }
}
