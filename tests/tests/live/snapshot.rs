//! Bindings with `snapshot: true`: the rows that are there come first, then the changes; none is missing and none comes
//! twice.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::stage::{DATABASE, Stage, next_change};

fn with_snapshot(filter: Option<&str>) -> Value {
    let mut binding = json!({"event": "*", "schema": "public", "table": "notes", "snapshot": true});
    if let Some(filter) = filter {
        binding["filter"] = json!(filter);
    }
    binding
}

#[tokio::test]
async fn rows_that_are_there_come_first_marked_as_such() {
    let stage = Stage::with(&["--snapshot-rows-max", "3"], "");
    stage.sql("insert into notes values (3, 'c', 3), (1, 'a', 1), (2, 'b', 20)");
    let (mut peer, notice) = stage
        .follow("realtime:rows", with_snapshot(Some("n=lt.10")))
        .await;
    assert_eq!(notice["status"], "ok", "{notice}");
    for id in [1, 3] {
        let row = next_change(&mut peer).await;
        assert_eq!((&row["type"], &row["snapshot"]), (&json!("INSERT"), &json!(true)));
        assert_eq!(row["record"]["id"], id);
        assert_eq!(row["commit_timestamp"], Value::Null);
    }
    stage.sql("insert into notes values (4, 'd', 4)");
    let change = next_change(&mut peer).await;
    assert_eq!(
        (&change["record"]["id"], &change["snapshot"]),
        (&json!(4), &Value::Null)
    );

    // More rows than the limit allows are cut, and the channel is told.
    let (mut peer, _) = stage.follow("realtime:cut", with_snapshot(None)).await;
    for id in [1, 2, 3] {
        assert_eq!(next_change(&mut peer).await["record"]["id"], id);
    }
    let notice = peer.next_of("system").await[4].clone();
    let message = notice["message"].as_str().unwrap_or_default();
    assert!(message.contains("ends after 3 rows"), "{message}");
}

#[test]
fn rows_and_changes_join_without_a_seam_while_others_write() {
    let stage = Stage::with(&["--snapshot-rows-max", "100000"], "");
    let rounds = 12;
    std::thread::scope(|scope| {
        let cluster = &stage.cluster;
        let writer = scope.spawn(move || {
            for id in 0..600 {
                let sql = format!("insert into notes values ({id}, 'x', {id})");
                cluster.execute(DATABASE, &sql).expect("valid SQL");
            }
        });
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let peers: Vec<_> = (0..rounds)
            .map(|round| {
                let topic = format!("realtime:seam-{round}");
                runtime.block_on(stage.follow(&topic, with_snapshot(None))).0
            })
            .collect();
        writer.join().expect("it writes to its end");
        stage.sql("insert into notes values (-1, 'end', 0)");
        for mut peer in peers {
            let mut seen = BTreeSet::new();
            runtime.block_on(async {
                loop {
                    let id = next_change(&mut peer).await["record"]["id"]
                        .as_i64()
                        .expect("an id");
                    if id == -1 {
                        break;
                    }
                    assert!(seen.insert(id), "{id} comes twice");
                }
            });
            assert_eq!(seen.len(), 600, "every row, once");
        }
    });
}

#[tokio::test]
async fn a_snapshot_needs_one_table() {
    let stage = Stage::with(&[], "");
    let (_, notice) = stage
        .follow(
            "realtime:wild",
            json!({"event": "*", "schema": "public", "snapshot": true}),
        )
        .await;
    assert_eq!(notice["status"], "error");
    assert!(
        notice["message"]
            .as_str()
            .unwrap_or_default()
            .contains("Snapshots"),
        "{notice}"
    );
}
