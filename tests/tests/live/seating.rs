//! Sockets of one topic share a worker, and nobody notices that they moved.

use serde_json::json;
use tests::gateway::Gateway;
use tests::peer::{Peer, SECRET};

#[tokio::test]
async fn a_socket_that_sits_elsewhere_after_its_first_join_misses_nothing() {
    let flags = ["--jwt-secret", SECRET, "--workers", "2", "--log-level", "debug"];
    let gateway = Gateway::serve(&flags);
    let topic = "realtime:room";
    let mut first = Peer::connect(gateway.address()).await;
    first.join(topic, json!({})).await;

    // Connections go to the workers in turn. What comes right behind the join moves with it.
    let mut second = Peer::connect(gateway.address()).await;
    let join = json!({"config": {"broadcast": {"ack": true}}});
    second.send(&json!(["1", "1", topic, "phx_join", join])).await;
    let hello = json!({"type": "broadcast", "event": "hello", "payload": {}});
    second.send(&json!(["1", "2", topic, "broadcast", hello])).await;
    gateway.wait_for_log("sits elsewhere", "socket");
    assert_eq!(first.next().await[4]["event"], "hello");
    let (joined, sent) = (second.next().await, second.next().await);
    assert_eq!((&joined[1], &joined[4]["status"]), (&json!("1"), &json!("ok")));
    assert_eq!((&sent[1], &sent[4]["status"]), (&json!("2"), &json!("ok")));

    // It hears, joins and leaves as any other.
    let answer = json!({"type": "broadcast", "event": "answer", "payload": {}});
    first.send(&json!(["1", "3", topic, "broadcast", answer])).await;
    assert_eq!(second.next().await[4]["event"], "answer");
    second.join("realtime:another", json!({})).await;
    second.send(&json!(["1", "4", topic, "phx_leave", {}])).await;
    assert_eq!(second.next().await[4]["status"], "ok");
    first.hears_nothing().await;
}
