//! Slots come and go with their connection, and there may be too few of them.

use pgcluster::TestCluster;
use replication::{Definite, Error, Lsn, Transient};

use super::*;

/// Selects the slots of a database.
fn slots_of(database: &str) -> String {
    format!(
        "select string_agg(concat_ws(' ', slot_name, plugin, temporary), ',') from pg_replication_slots \
         where database = '{database}'"
    )
}

#[tokio::test]
async fn a_slot_is_gone_when_its_connection_is() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("slots_gone");
    let before: Lsn = sql(cluster, "slots_gone", "select pg_current_wal_lsn()")
        .parse()
        .unwrap();
    let mut connection = log_in(&dsn).await.unwrap();
    let slot = connection.create_temporary_slot("of_a_gateway").await.unwrap();
    assert_eq!(slot.name, "of_a_gateway");
    assert!(slot.consistent_point >= before);
    assert!(connection.identify_system().await.unwrap().flushed >= before);
    assert_eq!(
        sql(cluster, "postgres", &slots_of("slots_gone")),
        "of_a_gateway pgoutput t"
    );
    drop(connection);
    until(cluster, &slots_of("slots_gone"), "").await;

    let mut connection = log_in(&dsn).await.unwrap();
    let slot = connection.create_temporary_slot("streamed").await.unwrap();
    let stream = connection
        .start_replication(&slot.name, Lsn::ZERO, "p")
        .await
        .unwrap();
    drop(stream);
    until(cluster, &slots_of("slots_gone"), "").await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_command_that_failed() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("slots_failed");
    let mut connection = log_in(&dsn).await.unwrap();
    for name in ["Not \"a\" name", ""] {
        let error = connection.create_temporary_slot(name).await.unwrap_err();
        assert!(matches!(error, Error::Definite(Definite::Server(_))), "{error:?}");
    }
    connection.create_temporary_slot("fine").await.unwrap();
    let twice = connection.create_temporary_slot("fine").await.unwrap_err();
    assert!(twice.to_string().contains("42710"), "{twice}");
}

#[tokio::test]
async fn a_slot_that_is_left_over_can_be_dropped_once_nobody_uses_it() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("slots_left");
    sql(
        cluster,
        "slots_left",
        "select pg_create_logical_replication_slot('left_over', 'pgoutput')",
    );
    let user = log_in(&dsn).await.unwrap();
    let stream = user.start_replication("left_over", Lsn::ZERO, "p").await.unwrap();
    let mut connection = log_in(&dsn).await.unwrap();
    let error = connection.drop_slot("left_over").await.unwrap_err();
    assert!(
        matches!(error, Error::Transient(Transient::Server(_))),
        "{error:?}"
    );
    drop(stream);
    while connection.drop_slot("left_over").await.is_err() {}
    assert_eq!(sql(cluster, "postgres", &slots_of("slots_left")), "");
}

#[tokio::test]
async fn without_logical_decoding_the_operator_is_told_what_to_do() {
    let cluster = TestCluster::start(&[("wal_level", "replica")]);
    let mut connection = log_in(&cluster.superuser_dsn("postgres")).await.unwrap();
    let error = connection.create_temporary_slot("s").await.unwrap_err();
    assert_eq!(
        error,
        Definite::WalLevel {
            wal_level: "replica".into()
        }
        .into()
    );
    assert!(error.to_string().contains("wal_level = logical"), "{error}");
}

#[tokio::test]
async fn too_few_slots_and_connections_are_told_apart() {
    let cluster = TestCluster::start(&[("max_replication_slots", "1"), ("max_wal_senders", "2")]);
    let dsn = cluster.superuser_dsn("postgres");
    let mut first = log_in(&dsn).await.unwrap();
    let mut second = log_in(&dsn).await.unwrap();
    first.create_temporary_slot("first").await.unwrap();
    assert_eq!(
        second.create_temporary_slot("second").await.unwrap_err(),
        Definite::SlotsInUse.into()
    );
    assert_eq!(refusal(&dsn).await, Definite::SendersInUse.into());
}
