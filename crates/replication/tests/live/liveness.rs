//! A server that stops without a word is found out, a consumer that stops reading is not.

use std::net::SocketAddr;

use pgcluster::TestCluster;
use replication::{Event, Lsn, Transient};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::reading::expect;
use super::*;

/// Stands between us and the server. Once frozen, it looks from here as a server that is stopped, or a network that
/// swallows everything: the connections stand, and the operating system takes new ones and all bytes.
struct Proxy {
    address: SocketAddr,
    freeze: tokio::sync::oneshot::Sender<()>,
}

impl Proxy {
    async fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (freeze, mut frozen) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            // What a stopped process still holds.
            let mut held = Vec::new();
            let mut forwarding = JoinSet::new();
            loop {
                let (client, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    _ = &mut frozen => break,
                };
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let streams = std::sync::Arc::new(tokio::sync::Mutex::new((client, server)));
                held.push(streams.clone());
                forwarding.spawn(async move {
                    let (client, server) = &mut *streams.lock().await;
                    _ = copy_bidirectional(client, server).await;
                });
            }
            forwarding.abort_all();
            std::future::pending::<()>().await;
            drop((held, listener));
        });
        Proxy { address, freeze }
    }
}

#[tokio::test]
async fn a_server_that_stops_without_a_word_is_given_up_in_seconds() {
    let cluster = TestCluster::shared();
    cluster.create_database("stopped");
    sql(
        cluster,
        "stopped",
        "create table t (v text); create publication p for table t;",
    );
    let proxy = Proxy::start(cluster.port()).await;
    let port = proxy.address.port();
    let dsn = format!("host=127.0.0.1 port={port} user=postgres password=postgres dbname=stopped");
    let mut connection = log_in(&dsn).await.unwrap();
    connection
        .create_slot("stopped", Durability::Temporary)
        .await
        .unwrap();
    let mut stream = connection
        .start_replication("stopped", Lsn::ZERO, &["p"])
        .await
        .unwrap();
    sql(cluster, "stopped", "insert into t values ('1');");
    expect(&mut stream, &["B", "R", "I 1", "C"]).await;

    // The server is silent, but asked it answers.
    let mut keepalives = 0;
    while keepalives < 2 {
        if let Event::Keepalive { .. } = stream.next().await.unwrap() {
            keepalives += 1;
        }
    }
    proxy.freeze.send(()).unwrap();
    let error = loop {
        if let Err(error) = stream.next().await {
            break error;
        }
    };
    // A server with somebody at home is given a minute.
    assert!(
        matches!(error, Error::Transient(Transient::Silent { seconds }) if seconds < 60),
        "{error:?}"
    );
}
