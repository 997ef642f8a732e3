//! The database, the connection or the gateway goes away in mid-stream: what arrives is what was committed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use pgcluster::TestCluster;
use serde_json::json;
use tests::gateway::Gateway;
use tests::peer::Peer;
use tests::stage::{DATABASE, Stage, all_of};

const DURABLE: [&str; 4] = ["--slot", "durable", "--slot-resume-ms", "3000"];
/// The last row of all.
const END: i64 = -1;

/// Ids of inserted rows until the last one, in the order they came. Notices are collected beside them.
async fn until_end(peer: &mut Peer, notices: &mut Vec<String>) -> Vec<i64> {
    let mut ids = Vec::new();
    loop {
        let frame = peer.next().await;
        match frame[3].as_str() {
            Some("postgres_changes") => match frame[4]["data"]["record"]["id"].as_i64() {
                Some(END) => return ids,
                id => ids.push(id.expect("an id")),
            },
            Some("system") => {
                notices.push(frame[4]["message"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
}

/// Everything that is in the table, but for the last row.
fn committed(stage: &Stage) -> Vec<i64> {
    let ids = stage.sql(&format!("select id from notes where id <> {END} order by id"));
    ids.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Inserts rows one by one until it is told to stop. Statements that fail while the database is away are passed over:
/// whether they were committed is seen in the table.
fn write(cluster: &TestCluster, stop: &AtomicBool, first: i64) -> i64 {
    let mut id = first;
    while !stop.load(Ordering::Relaxed) {
        let _ = cluster.execute(DATABASE, &format!("insert into notes values ({id}, 'x', 1)"));
        id += 1;
    }
    id
}

/// Runs `disturb` while rows are being written; returns when both are done.
fn while_writing(cluster: &TestCluster, disturb: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    let has = |rows: u64| {
        let count = cluster
            .execute(DATABASE, "select count(*) from notes")
            .unwrap_or_default();
        count.trim().parse::<u64>().unwrap_or_default() >= rows
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(cluster, &stop, 0));
        while !has(20) {}
        disturb();
        let before: u64 = cluster
            .execute(DATABASE, "select count(*) from notes")
            .unwrap_or_default()
            .trim()
            .parse()
            .unwrap_or_default();
        while !has(before + 20) {}
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("it writes to its end");
    });
}

fn finish(stage: &Stage) {
    stage.sql(&format!("insert into notes values ({END}, 'end', 1)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_durable_slot_a_lost_connection_is_not_noticed() {
    let stage = Stage::with(&DURABLE, "");
    let (mut peer, _) = stage.follow("realtime:cut", all_of("notes")).await;
    while_writing(&stage.cluster, || {
        let cut = "select pg_terminate_backend(active_pid) from pg_replication_slots where active";
        for _ in 0..3 {
            stage.sql(cut);
            stage.gateway.wait_for_log("streaming changes", "slot");
        }
    });
    finish(&stage);
    let mut notices = Vec::new();
    let got = until_end(&mut peer, &mut notices).await;
    assert_eq!(got, committed(&stage), "every row, once, in order");
    assert_eq!(notices, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_durable_slot_a_crash_of_the_database_loses_and_repeats_nothing() {
    let mut stage = Stage::with(&DURABLE, "");
    let (mut peer, _) = stage.follow("realtime:crash", all_of("notes")).await;
    for round in 0..2_i64 {
        for id in 0..50 {
            stage.sql(&format!(
                "insert into notes values ({}, 'x', 1)",
                round * 100 + id
            ));
        }
        stage.cluster.kill();
        stage.cluster.restart().expect("it starts again");
        stage.gateway.wait_for_log("streaming changes", "slot");
    }
    for id in 200..220 {
        stage.sql(&format!("insert into notes values ({id}, 'x', 1)"));
    }
    finish(&stage);
    let mut notices = Vec::new();
    let got = until_end(&mut peer, &mut notices).await;
    assert_eq!(got, committed(&stage));
    assert_eq!(notices, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_durable_slot_a_stopped_gateway_goes_on_where_it_was() {
    let stage = Stage::with(&DURABLE, "");
    let (mut peer, _) = stage.follow("realtime:stop", all_of("notes")).await;
    for id in 0..20 {
        stage.sql(&format!("insert into notes values ({id}, 'x', 1)"));
    }
    let flags: Vec<String> = stage.flags().into_iter().map(str::to_owned).collect();
    let Stage { cluster, gateway, .. } = stage;
    let ended = tokio::task::spawn_blocking(move || gateway.terminate());
    let mut got = BTreeSet::new();
    let mut times = 0;
    loop {
        let frame = peer.receive_frame().await;
        let Some(frame) = frame else { break };
        if let Some(id) = frame[4]["data"]["record"]["id"].as_i64() {
            got.insert(id);
            times += 1;
        }
    }
    assert!(ended.await.expect("no panic").success());
    let sql = |sql: &str| cluster.execute(DATABASE, sql).expect("valid SQL");
    for id in 20..40 {
        sql(&format!("insert into notes values ({id}, 'x', 1)"));
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let gateway = Gateway::serve(&flags);
    gateway.wait_for_log("streaming changes", "slot");
    let mut peer = Peer::connect(gateway.address()).await;
    peer.join("realtime:stop", json!({"postgres_changes": [all_of("notes")]}))
        .await;
    sql(&format!("insert into notes values ({END}, 'end', 1)"));
    let after = until_end(&mut peer, &mut Vec::new()).await;
    times += after.len();
    got.extend(after);
    assert_eq!(got, (0..40).collect::<BTreeSet<i64>>(), "nothing is lost");
    assert_eq!(times, 40, "nothing is repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_durable_slot_a_killed_gateway_loses_nothing() {
    let stage = Stage::with(&DURABLE, "");
    let (mut peer, _) = stage.follow("realtime:kill", all_of("notes")).await;
    let flags: Vec<String> = stage.flags().into_iter().map(str::to_owned).collect();
    let Stage { cluster, gateway, .. } = stage;
    while_writing(&cluster, || drop(gateway));
    let mut before = Vec::new();
    while let Some(frame) = peer.receive_frame().await {
        before.extend(frame[4]["data"]["record"]["id"].as_i64());
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let gateway = Gateway::serve(&flags);
    gateway.wait_for_log("streaming changes", "slot");
    let mut peer = Peer::connect(gateway.address()).await;
    peer.join("realtime:kill", json!({"postgres_changes": [all_of("notes")]}))
        .await;
    cluster
        .execute(DATABASE, &format!("insert into notes values ({END}, 'end', 1)"))
        .expect("valid SQL");
    let after = until_end(&mut peer, &mut Vec::new()).await;
    let all = cluster
        .execute(
            DATABASE,
            &format!("select id from notes where id <> {END} order by id"),
        )
        .expect("valid SQL");
    let all: Vec<i64> = all.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let got: BTreeSet<i64> = before.iter().chain(&after).copied().collect();
    assert_eq!(got.into_iter().collect::<Vec<_>>(), all, "nothing is lost");
    // What had left and was not acknowledged yet may come again: the last rows before the end, and no others.
    let repeated = before.iter().filter(|id| after.contains(id)).count();
    assert!(
        before.ends_with(after.get(..repeated).unwrap_or_default()),
        "{repeated} rows are repeated"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_keeps_too_much_log_is_made_anew_and_the_channels_are_told() {
    let stage = Stage::with(&["--slot", "durable", "--slot-wal-mb-max", "1"], "");
    let (mut peer, _) = stage.follow("realtime:budget", all_of("notes")).await;
    let other = stage.cluster.create_database("other");
    let elsewhere = |sql: &str| stage.cluster.execute("other", sql).expect("valid SQL");
    elsewhere(&format!("alter database {DATABASE} allow_connections false"));
    elsewhere("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'changes'");
    elsewhere("create table filler as select repeat('x', 900) from generate_series(1, 5000)");
    elsewhere(&format!("alter database {DATABASE} allow_connections true"));
    drop(other);
    let kept = stage.gateway.wait_for_log(
        "the slot has lost its log, or keeps more than it may: it is made anew, and changes in between are not delivered",
        "slot",
    );
    assert_eq!(kept, "roost");
    let notice = peer.next_of("system").await;
    let message = notice[4]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("Changes may have been lost"), "{message}");
    finish(&stage);
    assert_eq!(until_end(&mut peer, &mut Vec::new()).await, [0_i64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_not_read_for_want_of_answers_is_weighed_too() {
    let guarded = "create table guarded (id bigint primary key); grant select on guarded to anon;
        alter table guarded enable row level security;
        create policy p on guarded using (exists (select from notes));
        create table filler (id serial, t text); alter publication supabase_realtime add table guarded, filler";
    let stage = Stage::with(&["--slot", "durable", "--slot-wal-mb-max", "4"], guarded);
    let (mut peer, _) = stage.follow("realtime:stuck", all_of("guarded")).await;
    std::thread::scope(|scope| {
        let cluster = &stage.cluster;
        let sql = |sql: &str| cluster.execute(DATABASE, sql).expect("valid SQL");
        let blocked = "begin; lock table guarded in access exclusive mode; select pg_sleep(15); commit";
        sql("insert into notes values (1, 'seen', 1); insert into guarded values (1)");
        let lock = scope.spawn(|| cluster.execute(DATABASE, blocked));
        // Once it is locked, nobody says who may see the row.
        sql(
            "do $$ begin while not exists (select from pg_locks where mode = 'AccessExclusiveLock'
            and relation = 'guarded'::regclass) loop perform pg_sleep(0.01); end loop; end $$",
        );
        for _ in 0..4 {
            sql("insert into filler (t) select repeat('x', 1000) from generate_series(1, 10000)");
        }
        let given_up =
            "the slot keeps more log than it may: it is made anew, and changes in between are not delivered";
        stage.gateway.wait_for_log(given_up, "slot");
        lock.join().expect("no panic").expect("valid SQL");
    });
    let notice = peer.next_of("system").await;
    let message = notice[4]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("Changes may have been lost"), "{message}");
    stage.sql("insert into guarded values (2)");
    assert_eq!(
        peer.next_of("postgres_changes").await[4]["data"]["record"]["id"],
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_database_is_asked_nothing() {
    let stage = Stage::with(
        &[],
        "alter table notes enable row level security; create policy p on notes using (true)",
    );
    let (mut peer, _) = stage.follow("realtime:idle", all_of("notes")).await;
    stage.sql("insert into notes values (1, 'a', 1)");
    assert_eq!(
        peer.next_of("postgres_changes").await[4]["data"]["record"]["id"],
        1
    );
    stage.sql("alter system set log_statement = 'all'; select pg_reload_conf()");
    // A marker that is in the log proves that statements are.
    stage.sql("select 'begin of the watch'");
    for beat in 0..3 {
        peer.send(&json!([null, beat.to_string(), "phoenix", "heartbeat", {}]))
            .await;
        peer.next_of("phx_reply").await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let log = std::fs::read_to_string(stage.cluster.log_file()).expect("the log of the server");
    let watched = log.split("begin of the watch").last().unwrap_or_default();
    let asked: Vec<&str> = watched
        .lines()
        .filter(|line| line.contains("execute ") || line.contains("statement: "))
        .collect();
    assert!(log.contains("begin of the watch"), "statements are logged");
    assert_eq!(asked, [""; 0]);
}
