//! SIGTERM: everybody is told to come back, and nothing is left behind.

use pgcluster::TestCluster;
use serde_json::json;
use tests::gateway::Gateway;
use tests::peer::{Peer, SECRET};

#[tokio::test]
async fn sockets_are_closed_with_1012_and_the_slot_goes_away() {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database("shutdown");
    cluster
        .execute("shutdown", "create publication supabase_realtime")
        .expect("an empty publication");
    let gateway = Gateway::serve(&["--jwt-secret", SECRET, "--database-url", &dsn]);
    let slot = gateway.wait_for_log("streaming changes", "slot");
    let slots = || {
        let sql = format!("select count(*) from pg_replication_slots where slot_name = '{slot}'");
        cluster
            .execute("shutdown", &sql)
            .expect("an answer")
            .trim()
            .to_owned()
    };
    assert_eq!(slots(), "1");

    let mut peers = Vec::new();
    for _ in 0..5 {
        let mut peer = Peer::connect(gateway.address()).await;
        peer.join("realtime:room", json!({})).await;
        peers.push(peer);
    }
    let ended = tokio::task::spawn_blocking(move || gateway.terminate());
    for peer in &mut peers {
        assert_eq!(peer.closed().await, 1012);
    }
    assert!(ended.await.expect("no panic").success());
    assert_eq!(slots(), "0");
}
