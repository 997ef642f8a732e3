//! Who gets in, and what those are told who do not.

use pgcluster::TestCluster;
use replication::{Definite, Error, Transient};

use super::*;

#[tokio::test]
async fn every_way_to_prove_a_password_is_spoken() {
    let mut cluster = TestCluster::start(&[]);
    sql(
        &cluster,
        "postgres",
        "create role by_scram login replication password 'p';
         create role by_text login replication password 'p';
         create role by_trust login replication;
         create role nobody login replication password 'p';
         create role plain login password 'p';
         set password_encryption = 'md5';
         create role by_md5 login replication password 'p';",
    );
    set_rules(
        &mut cluster,
        &[
            "local all all trust",
            "host all by_text 127.0.0.1/32 password",
            "host all by_trust 127.0.0.1/32 trust",
            "host all by_md5 127.0.0.1/32 md5",
            "host all nobody 127.0.0.1/32 reject",
            "host all all 127.0.0.1/32 scram-sha-256",
        ],
    );
    let dsn = |user: &str, password: &str| cluster.dsn(user, password, "postgres");
    for user in ["by_scram", "by_text", "by_md5", "by_trust"] {
        let connection = log_in(&dsn(user, "p")).await;
        assert!(connection.is_ok(), "{user}: {connection:?}");
    }
    for user in ["by_scram", "by_text", "by_md5"] {
        let refusal = refusal(&dsn(user, "wrong-secret")).await;
        assert!(
            matches!(&refusal, Error::Definite(Definite::Password { .. })),
            "{user}: {refusal:?}"
        );
        assert!(!format!("{refusal} {refusal:?}").contains("wrong-secret"));
    }
    let port = cluster.port();
    let without = refusal(&format!("postgres://by_scram@127.0.0.1:{port}/postgres")).await;
    assert_eq!(without, Definite::PasswordMissing.into());
    let rejected = refusal(&dsn("nobody", "p")).await;
    assert!(
        matches!(rejected, Error::Definite(Definite::Refused { .. })),
        "{rejected:?}"
    );
    let elsewhere = refusal(&cluster.dsn("by_scram", "p", "nowhere")).await;
    assert!(
        matches!(elsewhere, Error::Definite(Definite::DatabaseMissing { .. })),
        "{elsewhere:?}"
    );
    assert_eq!(
        refusal(&dsn("plain", "p")).await,
        Definite::ReplicationRole { user: "plain".into() }.into()
    );
    let bound = format!("{}?channel_binding=require", dsn("by_scram", "p"));
    assert_eq!(refusal(&bound).await, Definite::ChannelBinding.into());
}

#[tokio::test]
async fn the_first_host_that_answers_is_taken() {
    let cluster = TestCluster::shared();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (dead, alive) = (free.port(), cluster.port());
    let hosts = |first: u16, second: u16| {
        format!("host=127.0.0.1,127.0.0.1 port={first},{second} user=postgres password=postgres")
    };
    assert!(log_in(&hosts(dead, alive)).await.is_ok());
    let Error::Transient(Transient::Unreachable { server, .. }) = refusal(&hosts(dead, dead)).await else {
        panic!("nobody is there");
    };
    assert_eq!(server, format!("127.0.0.1:{dead}, 127.0.0.1:{dead}"));
}

#[tokio::test]
async fn a_socket_in_the_file_system_is_a_host() {
    let cluster = TestCluster::shared();
    let directory = sql(cluster, "postgres", "show unix_socket_directories");
    let port = cluster.port();
    // TLS is not for these.
    let dsn = format!("host={directory} port={port} user=postgres dbname=postgres sslmode=verify-full");
    assert!(log_in(&dsn).await.is_ok());
}

#[tokio::test]
async fn values_are_written_the_same_way_whatever_the_role_prefers() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("login_settings");
    sql(
        cluster,
        "login_settings",
        "alter database login_settings set timezone = 'Asia/Tokyo';
         alter database login_settings set datestyle = 'SQL, DMY';
         create table t (at timestamptz); create publication p for table t;",
    );
    let mut connection = log_in(&dsn).await.unwrap();
    let slot = connection
        .create_slot("login_settings", Durability::Temporary)
        .await
        .unwrap();
    let mut stream = connection
        .start_replication(&slot.name, slot.consistent_point, &["p"])
        .await
        .unwrap();
    sql(
        cluster,
        "login_settings",
        "insert into t values ('2026-08-01T12:00:00+00');",
    );
    let row = loop {
        if let replication::Event::XLogData { data, .. } = stream.next().await.unwrap()
            && data.starts_with(b"I")
        {
            break String::from_utf8_lossy(&data).into_owned();
        }
    };
    assert!(row.ends_with("2026-08-01 12:00:00+00"), "{row:?}");
}
