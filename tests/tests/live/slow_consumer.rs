//! Who does not read harms only itself.

use serde_json::json;
use tests::gateway::Gateway;
use tests::peer::{Peer, SECRET};

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_nobody_else_notices() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET, "--outbox-bytes-max", "4000000"]);
    let topic = "realtime:flood";
    let mut stalled = Peer::connect(gateway.address()).await;
    stalled.join(topic, json!({})).await;
    let mut reader = Peer::connect(gateway.address()).await;
    reader.join(topic, json!({})).await;
    let mut sender = Peer::connect(gateway.address()).await;
    sender.join(topic, json!({"broadcast": {"ack": true}})).await;

    // More than the client's queue of 1,024 messages, the kernel's buffers on both sides and the outbox hold together.
    let big = "x".repeat(20_000);
    for number in 0..3_000 {
        let reference = number.to_string();
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": number, "big": big}});
        sender
            .send(&json!(["1", reference, topic, "broadcast", payload]))
            .await;
        assert_eq!(sender.next().await[4]["status"], "ok");
        assert_eq!(reader.next().await[4]["payload"]["n"], number);
    }
    // It is found out without its doing: it neither reads nor sends.
    assert_eq!(gateway.wait_for_log("gone", "reason"), "slow_consumer");
    let code = stalled.closed().await;
    assert_eq!(
        code, 1006,
        "dropped: a close frame would have waited behind what it did not read"
    );
}
