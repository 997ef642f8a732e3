//! Changes of tables, from a commit in PostgreSQL to a frame on a socket.

use serde_json::json;
use tests::peer::Peer;
use tests::stage::{Stage, all_of, next_change, next_record};

#[tokio::test]
async fn what_is_committed_after_the_join_reply_always_arrives() {
    let stage = Stage::with(&[], "");
    for id in 0..30 {
        let mut peer = Peer::connect(stage.gateway.address()).await;
        peer.join("realtime:truth", json!({"postgres_changes": [all_of("notes")]}))
            .await;
        stage.sql(&format!("insert into notes (id) values ({id})"));
        // The first change the channel hears of is this one: nothing is missed and nothing older is told.
        assert_eq!(next_record(&mut peer).await["id"], id);
    }
}

#[tokio::test]
async fn an_altered_table_is_told_as_it_is_now() {
    let stage = Stage::with(&[], "");
    let (mut peer, _) = stage.follow("realtime:altered", all_of("notes")).await;
    stage.sql("insert into notes values (1, 'before', 1)");
    assert_eq!(
        next_record(&mut peer).await,
        json!({"id": 1, "body": "before", "n": 1})
    );
    stage.sql("alter table notes add column tags text[]");
    stage.sql("insert into notes values (2, 'after', 2, '{a,b}')");
    assert_eq!(
        next_record(&mut peer).await,
        json!({"id": 2, "body": "after", "n": 2, "tags": ["a", "b"]})
    );
    stage.sql("revoke select on notes from anon; grant select (id, n) on notes to anon");
    stage.sql("insert into notes values (3, 'hidden', 3)");
    assert_eq!(next_record(&mut peer).await, json!({"id": 3, "n": 3}));
}

#[tokio::test]
async fn generated_columns_are_computed_and_can_be_filtered_by() {
    let parcels = "create table parcels (id bigint primary key, net integer, label text,
          gross integer generated always as (net * 2) stored,
          shown text generated always as (upper(label) || ' \u{fc}') stored);
        alter table parcels replica identity full; grant select on parcels to anon;
        alter publication supabase_realtime add table parcels";
    let stage = Stage::with(&[], parcels);
    let heavy = json!({"event": "*", "schema": "public", "table": "parcels", "filter": "gross=gt.10"});
    let (mut peer, notice) = stage.follow("realtime:parcels", heavy).await;
    assert_eq!(notice["status"], "ok", "{notice}");
    stage.sql("insert into parcels values (1, 3, 'light'), (2, 6, 'it''s \\ heavy'), (3, 7, null)");
    assert_eq!(
        next_record(&mut peer).await,
        json!({"id": 2, "net": 6, "label": "it's \\ heavy", "gross": 12, "shown": "IT'S \\ HEAVY \u{fc}"})
    );
    assert_eq!(
        next_record(&mut peer).await,
        json!({"id": 3, "net": 7, "label": null, "gross": 14, "shown": null})
    );
    stage.sql("update parcels set net = 8 where id = 3; delete from parcels where id = 3");
    let update = next_change(&mut peer).await;
    assert_eq!(
        (&update["record"]["gross"], &update["old_record"]["gross"]),
        (&json!(16), &json!(14))
    );
    assert_eq!(next_change(&mut peer).await["old_record"]["gross"], 16);
}

#[tokio::test]
async fn what_a_column_is_generated_as_gains_its_owner_nothing() {
    let trap = "create role mallory; grant create, usage on schema public to mallory; set role mallory;
        create function trap(n integer) returns integer immutable language plpgsql as $$ begin
          begin execute 'alter role mallory superuser'; exception when others then null; end;
          return n; end $$;
        create table bait (id bigint primary key, n integer generated always as (trap(id::integer)) stored);
        grant select on bait to anon; reset role;
        alter publication supabase_realtime add table bait";
    let stage = Stage::with(&[], trap);
    let (mut peer, _) = stage.follow("realtime:bait", all_of("bait")).await;
    stage.sql("set role mallory; insert into bait values (7)");
    assert_eq!(next_record(&mut peer).await, json!({"id": 7, "n": 7}));
    let answer = stage.sql("select rolsuper from pg_roles where rolname = 'mallory'");
    assert!(answer.contains('f'), "{answer}");
}

#[tokio::test]
async fn a_table_published_later_is_announced_with_its_first_change() {
    let stage = Stage::with(&[], "");
    let (mut peer, _) = stage
        .follow("realtime:later", json!({"event": "*", "schema": "public"}))
        .await;
    stage.sql("create table later (id bigint primary key); grant select on later to anon");
    stage.sql("alter publication supabase_realtime add table later");
    stage.sql("insert into later values (1)");
    assert_eq!(
        peer.next_of("system").await[4]["message"],
        "Subscribed to PostgreSQL"
    );
    assert_eq!(next_record(&mut peer).await, json!({"id": 1}));
}

#[tokio::test]
async fn a_restart_of_the_database_interrupts_and_does_not_end_the_changes() {
    let mut stage = Stage::with(&[], "");
    let (mut peer, _) = stage.follow("realtime:restart", all_of("notes")).await;
    stage.sql("insert into notes (id) values (1)");
    assert_eq!(next_record(&mut peer).await["id"], 1);
    stage.cluster.restart().expect("it starts again");
    stage.gateway.wait_for_log("streaming changes", "slot");
    let notice = peer.next_of("system").await;
    let message = notice[4]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("Changes may have been lost"), "{message}");
    stage.sql("insert into notes (id) values (2)");
    assert_eq!(next_record(&mut peer).await["id"], 2);
}

#[tokio::test]
async fn channels_on_one_topic_share_a_frame_and_leaving_ends_the_changes() {
    let stage = Stage::with(&[], "");
    let (mut stays, _) = stage.follow("realtime:shared", all_of("notes")).await;
    let (mut leaves, _) = stage.follow("realtime:shared", all_of("notes")).await;
    stage.sql("insert into notes (id) values (1)");
    assert_eq!(
        stays.next_of("postgres_changes").await,
        leaves.next_of("postgres_changes").await
    );
    leaves
        .send(&json!(["1", "2", "realtime:shared", "phx_leave", {}]))
        .await;
    leaves.next_of("phx_close").await;
    stage.sql("insert into notes (id) values (2)");
    assert_eq!(next_record(&mut stays).await["id"], 2);
    leaves.send(&json!([null, "3", "phoenix", "heartbeat", {}])).await;
    assert_eq!(leaves.next().await[1], "3", "nothing came before the answer");
}

#[tokio::test]
async fn joins_at_the_same_time_are_all_answered_at_once() {
    let stage = Stage::with(&[], "");
    for round in 0..10 {
        let mut peers = Vec::new();
        for _ in 0..4 {
            peers.push(Peer::connect(stage.gateway.address()).await);
        }
        let topic = format!("realtime:round-{round}");
        let join = json!(["1", "1", topic, "phx_join", {"config": {"postgres_changes": [all_of("notes")]}}]);
        for peer in &mut peers {
            peer.send(&join).await;
        }
        // Nothing else happens on the database: whoever is answered is so because it asked.
        for mut peer in peers {
            let answered =
                tokio::time::timeout(std::time::Duration::from_secs(3), peer.next_of("phx_reply")).await;
            assert_eq!(
                answered.expect("an answer long before the next sign of life of the server")[4]["status"],
                "ok"
            );
        }
    }
}
