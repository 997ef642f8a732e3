//! The messages of `protocol-spec/vectors/pgoutput.json`: bytes and what they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use changes::ReplicaIdentity;
use changes::pgoutput::{LogicalMessage, OldTuple, Tuple, Value, decode};
use serde_json::{Value as Json, json};

#[test]
fn messages_of_pgoutput() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../protocol-spec/vectors/pgoutput.json"
    );
    let vectors: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for vector in vectors["vectors"].as_array().unwrap() {
        let bytes = bytes(vector["hex"].as_str().unwrap());
        match decode(&bytes) {
            Ok(message) => assert_eq!(shown(&message), vector["message"], "{}", vector["name"]),
            Err(error) => {
                let error = json!({"message": error.message, "field": error.field});
                assert_eq!(error, vector["error"], "{}", vector["name"]);
            }
        }
    }
}

fn shown(message: &LogicalMessage<'_>) -> Json {
    match message {
        LogicalMessage::Begin(begin) => json!({"type": "Begin", "final_lsn": begin.final_lsn,
            "timestamp": begin.timestamp.0, "xid": begin.xid}),
        LogicalMessage::Commit(commit) => json!({"type": "Commit", "commit_lsn": commit.commit_lsn,
            "end_lsn": commit.end_lsn, "timestamp": commit.timestamp.0}),
        LogicalMessage::Message(message) => json!({"type": "Message", "transactional": message.transactional,
            "lsn": message.lsn, "prefix": message.prefix, "content_hex": hex(message.content)}),
        LogicalMessage::Origin(origin) => {
            json!({"type": "Origin", "commit_lsn": origin.commit_lsn, "name": origin.name})
        }
        LogicalMessage::Type(found) => json!({"type": "Type", "oid": found.oid, "schema": found.schema,
            "name": found.name}),
        LogicalMessage::Relation(relation) => {
            let columns = relation.columns.iter().map(|column| {
                json!({"name": column.name, "key": column.is_key, "type": column.type_oid,
                    "modifier": column.type_modifier})
            });
            let identity = match relation.replica_identity {
                ReplicaIdentity::Default => "default",
                ReplicaIdentity::Nothing => "nothing",
                ReplicaIdentity::Full => "full",
                ReplicaIdentity::Index => "index",
            };
            json!({"type": "Relation", "oid": relation.oid, "schema": relation.schema, "name": relation.name,
                "replica_identity": identity, "columns": columns.collect::<Vec<_>>()})
        }
        LogicalMessage::Insert(insert) => json!({"type": "Insert", "relation": insert.relation,
            "new": values(&insert.new)}),
        LogicalMessage::Update(update) => {
            let mut shown =
                json!({"type": "Update", "relation": update.relation, "new": values(&update.new)});
            if let Some(found) = &update.old {
                shown["old"] = old(found);
            }
            shown
        }
        LogicalMessage::Delete(delete) => json!({"type": "Delete", "relation": delete.relation,
            "old": old(&delete.old)}),
        LogicalMessage::Truncate(truncate) => json!({"type": "Truncate", "cascade": truncate.cascade,
            "restart_identity": truncate.restart_identity, "relations": truncate.relations}),
    }
}

fn old(tuple: &OldTuple<'_>) -> Json {
    match tuple {
        OldTuple::Key(tuple) => json!({"key": values(tuple)}),
        OldTuple::Full(tuple) => json!({"full": values(tuple)}),
    }
}

fn values(tuple: &Tuple<'_>) -> Json {
    let values = tuple.iter().map(|value| match value {
        Value::Null => Json::Null,
        Value::UnchangedToast => json!({"unchanged": true}),
        Value::Text(text) => json!(text),
    });
    values.collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
