//! Durable slots: what is not acknowledged is streamed again, what is acknowledged is not.

use pgcluster::TestCluster;
use replication::{Definite, Lsn, ReplicationStream, Transient};

use super::reading::{end_of, expect};
use super::*;

/// A database with a table `t`, published as `p`.
fn create_published(cluster: &TestCluster, name: &str) -> String {
    let dsn = cluster.create_database(name);
    sql(
        cluster,
        name,
        "create table t (v text); create publication p for table t;",
    );
    dsn
}

async fn create_durable(dsn: &str, slot: &str) -> Lsn {
    let mut connection = log_in(dsn).await.unwrap();
    let slot = connection.create_slot(slot, Durability::Durable).await.unwrap();
    slot.consistent_point
}

async fn stream_from(dsn: &str, slot: &str, from: Lsn) -> ReplicationStream {
    // A connection that has just been dropped may not be gone yet.
    loop {
        let connection = log_in(dsn).await.unwrap();
        match connection.start_replication(slot, from, &["p"]).await {
            Err(Error::Transient(Transient::SlotActive { .. })) => {}
            started => break started.unwrap(),
        }
    }
}

fn confirmed(cluster: &TestCluster, slot: &str) -> Lsn {
    let statement =
        format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = '{slot}'");
    sql(cluster, "postgres", &statement).parse().unwrap()
}

/// Waits until the server knows that everything up to `lsn` is done with.
async fn until_confirmed(cluster: &TestCluster, slot: &str, lsn: Lsn) {
    let statement =
        format!("select confirmed_flush_lsn >= '{lsn}' from pg_replication_slots where slot_name = '{slot}'");
    until(cluster, &statement, "t").await;
}

#[tokio::test]
async fn a_durable_slot_streams_again_what_was_not_acknowledged_and_nothing_else() {
    let cluster = TestCluster::shared();
    let dsn = create_published(cluster, "durable_again");
    let start = create_durable(&dsn, "durable_again").await;
    sql(
        cluster,
        "durable_again",
        "insert into t values ('1'); insert into t values ('2'); insert into t values ('3');",
    );
    let mut stream = stream_from(&dsn, "durable_again", Lsn::ZERO).await;
    let first = expect(&mut stream, &["B", "R", "I 1", "C"]).await;
    assert!(first.lsn() > start);
    let second = expect(&mut stream, &["B", "I 2", "C"]).await;
    let third = expect(&mut stream, &["B", "I 3", "C"]).await;
    stream.acknowledge(first);
    stream.acknowledge(second);
    assert_eq!(stream.flushed(), second.lsn());
    until_confirmed(cluster, "durable_again", second.lsn()).await;
    assert_eq!(confirmed(cluster, "durable_again"), second.lsn());
    drop(stream);

    sql(cluster, "durable_again", "insert into t values ('4');");
    // As is without harm, the second stream starts from a place that the slot has passed.
    let mut stream = stream_from(&dsn, "durable_again", first.lsn()).await;
    expect(&mut stream, &["B", "R", "I 3", "C", "B", "I 4", "C"]).await;
    // A position of the stream before is of no account.
    stream.acknowledge(third);
    assert!(stream.flushed() < third.lsn());
    drop(stream);

    let mut stream = stream_from(&dsn, "durable_again", Lsn::ZERO).await;
    let third = expect(&mut stream, &["B", "R", "I 3", "C"]).await;
    let fourth = expect(&mut stream, &["B", "I 4", "C"]).await;
    drop(stream);
    // A later place is started from.
    let mut stream = stream_from(&dsn, "durable_again", third.lsn()).await;
    let again = expect(&mut stream, &["B", "R", "I 4", "C"]).await;
    assert_eq!(again.lsn(), fourth.lsn());
    stream.acknowledge(again);
    assert_eq!(stream.finish().await, Ok(()));
    // It is known, and the slot is free, as soon as the stream is finished.
    assert_eq!(confirmed(cluster, "durable_again"), fourth.lsn());
    let mut connection = log_in(&dsn).await.unwrap();
    connection.drop_slot("durable_again").await.unwrap();
}

#[tokio::test]
async fn a_durable_slot_survives_the_server() {
    let mut cluster = TestCluster::start(&[]);
    let dsn = create_published(&cluster, "durable_restart");
    create_durable(&dsn, "s").await;
    let mut stream = stream_from(&dsn, "s", Lsn::ZERO).await;
    sql(
        &cluster,
        "durable_restart",
        "insert into t values ('1'); insert into t values ('2');",
    );
    let first = expect(&mut stream, &["B", "R", "I 1", "C"]).await;
    expect(&mut stream, &["B", "I 2", "C"]).await;
    stream.acknowledge(first);
    until_confirmed(&cluster, "s", first.lsn()).await;
    let (flushed, system) = (stream.flushed(), stream.system().clone());
    drop(stream);
    let is_free = "select count(*) from pg_replication_slots where active";
    until(&cluster, is_free, "0").await;

    for kills in [false, true] {
        if kills {
            cluster.kill();
        } else {
            cluster.stop();
        }
        cluster.start().expect("the server starts again");
        let mut stream = stream_from(&dsn, "s", flushed).await;
        expect(&mut stream, &["B", "R", "I 2", "C"]).await;
        assert_eq!(stream.system().identifier, system.identifier);
        assert_eq!(stream.system().timeline, system.timeline);
    }
}

#[tokio::test]
async fn a_stream_that_is_killed_goes_on_where_it_was() {
    let cluster = TestCluster::shared();
    let dsn = create_published(cluster, "durable_killed");
    create_durable(&dsn, "durable_killed").await;
    let mut stream = stream_from(&dsn, "durable_killed", Lsn::ZERO).await;
    sql(
        cluster,
        "durable_killed",
        "insert into t values ('1'); insert into t values ('2');",
    );
    let first = expect(&mut stream, &["B", "R", "I 1", "C"]).await;
    stream.acknowledge(first);
    until_confirmed(cluster, "durable_killed", first.lsn()).await;
    sql(
        cluster,
        "durable_killed",
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'durable_killed'",
    );
    let error = end_of(&mut stream).await;
    assert!(
        matches!(
            error,
            Error::Transient(Transient::Server(_) | Transient::Lost { .. })
        ),
        "{error:?}"
    );
    assert!(stream.finish().await.is_err());
    let mut stream = stream_from(&dsn, "durable_killed", Lsn::ZERO).await;
    let second = expect(&mut stream, &["B", "R", "I 2", "C"]).await;
    stream.acknowledge(second);
    stream.finish().await.unwrap();
    log_in(&dsn)
        .await
        .unwrap()
        .drop_slot("durable_killed")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_slot_that_exists_or_is_in_use_is_told_apart() {
    let cluster = TestCluster::shared();
    let dsn = create_published(cluster, "durable_used");
    create_durable(&dsn, "durable_used").await;
    let mut connection = log_in(&dsn).await.unwrap();
    let slot = || "durable_used".to_owned();
    assert_eq!(
        connection
            .create_slot("durable_used", Durability::Durable)
            .await
            .unwrap_err(),
        Definite::SlotExists { slot: slot() }.into()
    );
    // The connection is still good for streaming it.
    let stream = connection
        .start_replication("durable_used", Lsn::ZERO, &["p"])
        .await
        .unwrap();
    let second = log_in(&dsn).await.unwrap();
    let error = second.start_replication("durable_used", Lsn::ZERO, &["p"]).await;
    assert!(
        matches!(&error, Err(Error::Transient(Transient::SlotActive { slot, .. })) if slot == "durable_used"),
        "{error:?}"
    );
    stream.finish().await.unwrap();
    let mut second = log_in(&dsn).await.unwrap();
    second.drop_slot("durable_used").await.unwrap();
}

#[tokio::test]
async fn a_slot_that_fell_too_far_behind_is_lost_and_can_be_made_again() {
    let cluster = TestCluster::start(&[("max_slot_wal_keep_size", "1MB"), ("min_wal_size", "32MB")]);
    let dsn = create_published(&cluster, "durable_lost");
    create_durable(&dsn, "s").await;
    // Nobody reads it, and the log is recycled.
    let status = "select wal_status from pg_replication_slots where slot_name = 's'";
    while sql(&cluster, "postgres", status) != "lost" {
        sql(
            &cluster,
            "durable_lost",
            "insert into t values ('lost'); select pg_switch_wal(); checkpoint;",
        );
    }
    let connection = log_in(&dsn).await.unwrap();
    let error = connection
        .start_replication("s", Lsn::ZERO, &["p"])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Definite(Definite::SlotLost { slot, .. }) if slot == "s"),
        "{error:?}"
    );
    assert!(error.to_string().contains("max_slot_wal_keep_size"), "{error}");

    let mut connection = log_in(&dsn).await.unwrap();
    connection.drop_slot("s").await.unwrap();
    connection.create_slot("s", Durability::Durable).await.unwrap();
    let mut stream = connection
        .start_replication("s", Lsn::ZERO, &["p"])
        .await
        .unwrap();
    sql(&cluster, "durable_lost", "insert into t values ('found');");
    expect(&mut stream, &["B", "R", "I found", "C"]).await;
}

#[tokio::test]
async fn a_slot_that_is_lost_while_it_streams_ends_the_stream() {
    let cluster = TestCluster::start(&[("max_slot_wal_keep_size", "1MB"), ("min_wal_size", "32MB")]);
    let dsn = create_published(&cluster, "durable_lost");
    create_durable(&dsn, "s").await;
    let mut stream = stream_from(&dsn, "s", Lsn::ZERO).await;
    // Read and not acknowledged.
    sql(&cluster, "durable_lost", "insert into t values ('1');");
    expect(&mut stream, &["B", "R", "I 1", "C"]).await;
    let status = "select wal_status from pg_replication_slots where slot_name = 's'";
    while sql(&cluster, "postgres", status) != "lost" {
        sql(&cluster, "durable_lost", "select pg_switch_wal(); checkpoint;");
    }
    let error = end_of(&mut stream).await;
    assert!(matches!(error, Error::Transient(_)), "{error:?}");
    let connection = log_in(&dsn).await.unwrap();
    let error = connection
        .start_replication("s", Lsn::ZERO, &["p"])
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Definite(Definite::SlotLost { .. })),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_slot_with_nothing_to_stream_holds_no_log_back() {
    let cluster = TestCluster::start(&[("wal_sender_timeout", "2s")]);
    let dsn = create_published(&cluster, "durable_idle");
    create_durable(&dsn, "s").await;
    sql(
        &cluster,
        "durable_idle",
        "create table other (v text); insert into other values ('for nobody');",
    );
    let mut stream = stream_from(&dsn, "s", Lsn::ZERO).await;
    let end: Lsn = sql(&cluster, "postgres", "select pg_current_wal_lsn()")
        .parse()
        .unwrap();
    let reading = tokio::spawn(async move {
        while stream.flushed() < end {
            stream.next().await.unwrap();
        }
        stream
    });
    until_confirmed(&cluster, "s", end).await;
    let stream = reading.await.unwrap();
    let lag = stream.lag();
    assert_eq!(lag.bytes_behind, 0, "{lag:?}");

    sql(
        &cluster,
        "durable_idle",
        "insert into other select repeat('x', 1000) from generate_series(1, 1000);",
    );
    let end: Lsn = sql(&cluster, "postgres", "select pg_current_wal_lsn()")
        .parse()
        .unwrap();
    assert!(
        end.bytes_since(lag.server_end) > 1_000_000,
        "who does not read learns of it elsewhere"
    );
}
