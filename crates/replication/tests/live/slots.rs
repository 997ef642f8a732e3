//! Temporary slots come and go with their connection, and there may be too few of them.

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

fn slot_missing(slot: &str) -> Error {
    Definite::SlotMissing { slot: slot.into() }.into()
}

#[tokio::test]
async fn a_slot_is_gone_when_its_connection_is() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("slots_gone");
    let before: Lsn = sql(cluster, "slots_gone", "select pg_current_wal_lsn()")
        .parse()
        .unwrap();
    let mut connection = log_in(&dsn).await.unwrap();
    let slot = connection
        .create_slot("of_a_gateway", Durability::Temporary)
        .await
        .unwrap();
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
    let slot = connection
        .create_slot("streamed", Durability::Temporary)
        .await
        .unwrap();
    let stream = connection
        .start_replication(&slot.name, Lsn::ZERO, &["p"])
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
        let error = connection
            .create_slot(name, Durability::Temporary)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Definite(Definite::Server(_))), "{error:?}");
    }
    connection
        .create_slot("fine", Durability::Temporary)
        .await
        .unwrap();
    let twice = connection
        .create_slot("fine", Durability::Temporary)
        .await
        .unwrap_err();
    assert_eq!(twice, Definite::SlotExists { slot: "fine".into() }.into());
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
    let stream = user
        .start_replication("left_over", Lsn::ZERO, &["p"])
        .await
        .unwrap();
    let mut connection = log_in(&dsn).await.unwrap();
    let error = connection.drop_slot("left_over").await.unwrap_err();
    assert!(
        matches!(&error, Error::Transient(Transient::SlotActive { slot, .. }) if slot == "left_over"),
        "{error:?}"
    );
    drop(stream);
    while connection.drop_slot("left_over").await.is_err() {}
    let error = connection.drop_slot("left_over").await.unwrap_err();
    assert_eq!(error, slot_missing("left_over"));
    let error = connection.start_replication("left_over", Lsn::ZERO, &["p"]).await;
    assert_eq!(error.unwrap_err(), slot_missing("left_over"));
    assert_eq!(sql(cluster, "postgres", &slots_of("slots_left")), "");
}

#[tokio::test]
async fn without_logical_decoding_the_operator_is_told_what_to_do() {
    let cluster = TestCluster::start(&[("wal_level", "replica")]);
    let mut connection = log_in(&cluster.superuser_dsn("postgres")).await.unwrap();
    let error = connection
        .create_slot("s", Durability::Temporary)
        .await
        .unwrap_err();
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
    first.create_slot("first", Durability::Temporary).await.unwrap();
    assert_eq!(
        second
            .create_slot("second", Durability::Temporary)
            .await
            .unwrap_err(),
        Definite::SlotsInUse.into()
    );
    assert_eq!(refusal(&dsn).await, Definite::SendersInUse.into());
}

#[tokio::test]
async fn a_slot_of_another_database_is_not_taken_for_a_lost_one() {
    let cluster = TestCluster::shared();
    cluster.create_database("slots_foreign");
    sql(
        cluster,
        "slots_foreign",
        "select pg_create_logical_replication_slot('foreign_slot', 'pgoutput')",
    );
    let connection = log_in(&cluster.superuser_dsn("postgres")).await.unwrap();
    let error = connection
        .start_replication("foreign_slot", Lsn::ZERO, &["p"])
        .await;
    assert!(
        matches!(error, Err(Error::Definite(Definite::Server(_)))),
        "{error:?}"
    );
    sql(
        cluster,
        "slots_foreign",
        "select pg_drop_replication_slot('foreign_slot')",
    );
}
