//! What is committed arrives, in order, also at a consumer that is slow, until the connection breaks.

use pgcluster::TestCluster;
use replication::{Definite, Error, Lsn, ReplicationStream, Transient};

use super::reading::{end_of, expect, next};
use super::*;

/// A stream of publication `p`, from now on.
async fn stream_of(dsn: &str, slot: &str) -> ReplicationStream {
    let mut connection = log_in(dsn).await.unwrap();
    let slot = connection.create_slot(slot, Durability::Temporary).await.unwrap();
    let start = connection
        .start_replication(&slot.name, slot.consistent_point, &["p"])
        .await;
    start.unwrap()
}

#[tokio::test]
async fn transactions_arrive_whole_and_in_the_order_of_their_commits() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("stream_order");
    sql(
        cluster,
        "stream_order",
        "create table t (v text); create table other (v text); create publication p for table t;
         insert into t values ('before');",
    );
    let mut stream = stream_of(&dsn, "stream_order").await;
    sql(
        cluster,
        "stream_order",
        "begin; insert into t values ('1'); insert into other values ('x'); insert into t values ('2'); commit;
         begin; insert into t values ('rolled back'); rollback;
         insert into t values ('3');",
    );
    let first = expect(&mut stream, &["B", "R", "I 1", "I 2", "C"]).await;
    let second = expect(&mut stream, &["B", "I 3", "C"]).await;
    assert!(first.lsn() < second.lsn());
    let end: Lsn = sql(cluster, "stream_order", "select pg_current_wal_lsn()")
        .parse()
        .unwrap();
    assert!(second.lsn() <= end);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_keeps_its_stream_and_its_place() {
    let cluster = TestCluster::start(&[("wal_sender_timeout", "2s")]);
    let dsn = cluster.create_database("slow");
    sql(
        &cluster,
        "slow",
        "create table t (v text); create publication p for table t;",
    );
    let mut stream = stream_of(&dsn, "slow").await;
    // Far more than fits between server and consumer.
    sql(
        &cluster,
        "slow",
        "insert into t select lpad(n::text, 1000, '0') from generate_series(1, 50000) n;",
    );
    // A server that lost patience has nothing to show, and the stream below ends early.
    let is_waiting = "select count(*) from pg_stat_replication \
                      where coalesce(reply_time - backend_start, '0') < interval '5s'";
    until(&cluster, is_waiting, "0").await;
    expect(&mut stream, &["B", "R"]).await;
    for n in 1..=50000 {
        assert_eq!(next(&mut stream).await.0, format!("I {n:0>1000}"));
    }
    let commit = expect(&mut stream, &["C"]).await;

    assert!(stream.flushed() < commit.lsn());
    stream.acknowledge(commit);
    let is_reported = format!(
        "select confirmed_flush_lsn >= '{}' from pg_replication_slots where slot_name = 'slow'",
        commit.lsn()
    );
    until(&cluster, &is_reported, "t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_of_others_is_not_held_back() {
    let cluster = TestCluster::start(&[("wal_sender_timeout", "2s")]);
    let dsn = cluster.create_database("others");
    sql(
        &cluster,
        "others",
        "create table t (v text); create publication p;",
    );
    let mut stream = stream_of(&dsn, "others").await;
    sql(&cluster, "others", "insert into t values ('nobody listens');");
    let end = sql(&cluster, "others", "select pg_current_wal_lsn()");
    let reading = tokio::spawn(async move { while stream.next().await.is_ok() {} });
    let is_released = format!("select confirmed_flush_lsn >= '{end}' from pg_replication_slots");
    until(&cluster, &is_released, "t").await;
    reading.abort();
}

#[tokio::test]
async fn a_value_beyond_the_bound_is_passed_over() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("stream_large");
    sql(
        cluster,
        "stream_large",
        "create table t (v text); create publication p for table t;",
    );
    let mut stream = stream_of(&dsn, "stream_large").await;
    sql(
        cluster,
        "stream_large",
        "insert into t values (repeat('x', 70000000)), ('small');",
    );
    expect(&mut stream, &["B", "R", "70 MB", "I small", "C"]).await;
}

#[tokio::test]
async fn a_session_that_is_ended_can_be_made_again() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("stream_ended");
    sql(
        cluster,
        "stream_ended",
        "create table t (v text); create publication p for table t;",
    );
    let mut stream = stream_of(&dsn, "stream_ended").await;
    sql(
        cluster,
        "stream_ended",
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'stream_ended'",
    );
    let error = end_of(&mut stream).await;
    assert!(
        matches!(
            error,
            Error::Transient(Transient::Server(_) | Transient::Lost { .. })
        ),
        "{error:?}"
    );
    let mut stream = stream_of(&dsn, "stream_again").await;
    sql(cluster, "stream_ended", "insert into t values ('again');");
    expect(&mut stream, &["B", "R", "I again", "C"]).await;
}

#[tokio::test]
async fn a_server_that_crashes_is_transient() {
    let mut cluster = TestCluster::start(&[]);
    let dsn = cluster.create_database("crash");
    sql(&cluster, "crash", "create publication p;");
    let mut stream = stream_of(&dsn, "crash").await;
    cluster.kill();
    let error = end_of(&mut stream).await;
    assert!(matches!(error, Error::Transient(_)), "{error:?}");
    assert!(matches!(
        refusal(&dsn).await,
        Error::Transient(Transient::Unreachable { .. })
    ));
}

#[tokio::test]
async fn a_missing_publication_shows_with_the_first_change() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("stream_missing");
    sql(cluster, "stream_missing", "create table t (v text);");
    let mut stream = stream_of(&dsn, "stream_missing").await;
    sql(cluster, "stream_missing", "insert into t values ('1');");
    let error = end_of(&mut stream).await;
    assert_eq!(
        error,
        Definite::PublicationMissing {
            publication: "p".into()
        }
        .into()
    );
}
