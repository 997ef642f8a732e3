//! What the server says of slots, by a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use database::Pool;
use pgcluster::TestCluster;

#[tokio::test]
async fn a_slot_is_looked_at() {
    let cluster = TestCluster::shared();
    let [here, there] = ["slots_here", "slots_there"]
        .map(|name| Pool::new(cluster.create_database(name).parse().unwrap(), 1));
    let sql = |sql: &str| cluster.execute("slots_here", sql).unwrap();
    assert_eq!(here.slot("looked_at").await.unwrap(), None);
    sql("create table notes (id bigint); select pg_create_logical_replication_slot('looked_at', 'pgoutput')");
    let new = here.slot("looked_at").await.unwrap().unwrap();
    assert!(!new.temporary && !new.active && new.is_of_this_database && !new.is_lost());
    assert_eq!(new.plugin.as_deref(), Some("pgoutput"));
    assert_eq!(new.wal_status.as_deref(), Some("reserved"));
    assert_eq!(new.active_pid, None);
    assert!(new.restart_lsn.unwrap() <= new.confirmed_flush_lsn.unwrap());
    sql("insert into notes select generate_series(1, 1000)");
    let behind = here.slot("looked_at").await.unwrap().unwrap();
    assert_eq!(behind.restart_lsn, new.restart_lsn);
    assert!(behind.bytes_kept > new.bytes_kept + 10_000);
    let seen_there = there.slot("looked_at").await.unwrap().unwrap();
    assert!(!seen_there.is_of_this_database);
    sql("select pg_drop_replication_slot('looked_at')");
    assert_eq!(here.slot("looked_at").await.unwrap(), None);
}
