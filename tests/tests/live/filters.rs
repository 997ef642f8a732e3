//! Filters that only the database can evaluate, and rows that leave a filter.

use serde_json::{Value, json};
use tests::peer::Peer;
use tests::stage::{Stage, all_of, next_change, next_record};

const WORDS: &str = "
create type size as enum ('small', 'large', 'huge');
create table words (id bigint primary key, t text, s size, j jsonb, a inet, w interval, l integer[]);
grant select on words to anon; alter publication supabase_realtime add table words";

fn filtered(filter: &str) -> Value {
    json!({"event": "*", "schema": "public", "table": "words", "filter": filter})
}

/// Ids of the rows that come before the mark, which is a row of `notes`.
async fn ids_until_mark(peer: &mut Peer) -> Vec<i64> {
    let mut ids = Vec::new();
    loop {
        let change = next_change(peer).await;
        if change["table"] == "notes" {
            return ids;
        }
        ids.push(change["record"]["id"].as_i64().expect("an id"));
    }
}

#[tokio::test]
async fn what_memory_cannot_tell_is_asked_of_the_database() {
    let stage = Stage::with(&[], WORDS);
    let mut followers = Vec::new();
    for (filter, expected) in [
        ("t=match.^a.*e$", vec![1]),
        ("t=imatch.^A", vec![1, 4]),
        ("t=not.match.^a", vec![2, 3, 4]),
        ("t=gt.b", vec![2, 3]),
        ("s=gte.large", vec![2, 3]),
        ("a=eq.10.0.0.1", vec![3]),
        ("w=gt.1 hour", vec![4]),
        (r#"j=eq.{"a": 1}"#, vec![1]),
        (r#"l=eq."{1,2}""#, vec![2]),
        ("t=ilike.%ärger", vec![3]),
        ("t=match.^a,s=gt.large", vec![]),
    ] {
        let mut peer = Peer::connect(stage.gateway.address()).await;
        let bindings = json!({"postgres_changes": [filtered(filter), all_of("notes")]});
        peer.join("realtime:words", bindings).await;
        let notice = peer.next_of("system").await;
        assert_eq!(notice[4]["status"], "ok", "{filter}: {notice}");
        followers.push((filter, peer, expected));
    }
    stage.sql(
        "insert into words values
         (1, 'apple', 'small', '{\"a\":1}', null, null, null),
         (2, 'pear', 'large', null, null, null, '{1,2}'),
         (3, 'ärger', 'huge', null, '10.0.0.1', null, null),
         (4, 'Avocado', null, null, null, '90 minutes', null)",
    );
    stage.sql("insert into notes values (1, 'mark', 1)");
    for (filter, mut peer, expected) in followers {
        assert_eq!(ids_until_mark(&mut peer).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn what_the_database_does_not_take_is_refused_in_its_words() {
    let stage = Stage::with(&[], WORDS);
    for (filter, message) in [
        (
            "t=match.(",
            "ERROR P0001 (raise_exception) invalid regular expression for match filter",
        ),
        (
            "a=eq.nowhere",
            "ERROR 22P02 (invalid_text_representation) invalid input syntax for type inet",
        ),
        (
            "w=gt.soon",
            "ERROR 22007 (invalid_datetime_format) invalid input syntax for type interval",
        ),
    ] {
        let (_, notice) = stage.follow("realtime:refused", filtered(filter)).await;
        assert_eq!(notice["status"], "error", "{filter}");
        let told = notice["message"].as_str().unwrap_or_default();
        assert!(told.contains(message), "{filter}: {told}");
    }
}

#[tokio::test]
async fn a_row_that_leaves_the_filter_is_told_as_gone() {
    let stage = Stage::with(&[], "alter table notes replica identity full");
    let mut binding = json!({"event": "*", "schema": "public", "table": "notes", "filter": "n=lt.10"});
    binding["left"] = json!(true);
    let (mut peer, notice) = stage.follow("realtime:left", binding).await;
    assert_eq!(notice["status"], "ok", "{notice}");
    stage.sql("insert into notes values (1, 'a', 1), (2, 'b', 20)");
    stage.sql("update notes set n = 5 where id = 1");
    stage.sql("update notes set n = 50 where id = 1; update notes set n = 60 where id = 1");
    stage.sql("update notes set n = 2 where id = 2");
    assert_eq!(next_record(&mut peer).await["id"], 1);
    assert_eq!(next_change(&mut peer).await["type"], "UPDATE");
    let left = next_change(&mut peer).await;
    assert_eq!((&left["type"], &left["left"]), (&json!("DELETE"), &json!(true)));
    assert_eq!(left["old_record"], json!({"id": 1, "body": "a", "n": 5}));
    let came = next_change(&mut peer).await;
    assert_eq!(
        (&came["type"], &came["record"]["id"]),
        (&json!("UPDATE"), &json!(2))
    );
}
