//! `roost serve --script`, over real sockets and without a database.

use client::{Answer, Endpoint, Opening, Request};
use serde_json::{Value, json};
use tests::gateway::Gateway;
use tests::peer::Peer;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/ci-node/fixtures");

/// Plays these files of the example project.
fn play(names: &[&str], flags: &[&str]) -> Gateway {
    let files: Vec<String> = names
        .iter()
        .map(|name| format!("{FIXTURES}/{name}.jsonl"))
        .collect();
    let mut all = vec!["--script"];
    all.extend(files.iter().map(String::as_str));
    all.extend(flags);
    Gateway::serve(&all)
}

fn chat_config(key: &str) -> Value {
    json!({"broadcast": {"ack": true}, "presence": {"enabled": true, "key": key}})
}

#[tokio::test]
async fn a_file_is_played_and_sockets_are_closed_with_1012_at_the_end() {
    let gateway = play(&["chat", "todos"], &[]);
    let mut peer = Peer::connect(gateway.address()).await;
    peer.join("realtime:chat:lobby", chat_config("ann")).await;
    assert_eq!(peer.next().await[3], "presence_state");
    peer.hears_nothing().await;

    let ended = tokio::task::spawn_blocking(move || gateway.terminate());
    assert_eq!(peer.closed().await, 1012);
    assert!(ended.await.expect("no panic").success());
}

#[tokio::test]
async fn the_log_says_which_line_something_else_came_instead_of() {
    let gateway = play(&["chat"], &["--script-strict"]);
    let mut peer = Peer::connect(gateway.address()).await;
    peer.join("realtime:chat:lobby", chat_config("ann")).await;
    let payload = json!({"type": "presence", "event": "track", "payload": {"mood": "sad"}});
    peer.send(&json!(["1", "2", "realtime:chat:lobby", "presence", payload]))
        .await;
    assert_eq!(peer.closed().await, 1008);
    let place = gateway.wait_for_log("the client says what the file does not have", "at");
    assert_eq!(place, format!("{FIXTURES}/chat.jsonl:6"));
}

#[tokio::test]
async fn a_dropped_connection_ends_without_a_close_frame_and_the_file_goes_on_with_the_next() {
    let gateway = play(&["lost-connection"], &[]);
    let config = json!({"postgres_changes": [{"event": "*", "schema": "public", "table": "todos"}]});
    for title in ["before", "after", "before"] {
        let mut peer = Peer::connect(gateway.address()).await;
        peer.join("realtime:todos", config.clone()).await;
        let change = peer.next_of("postgres_changes").await;
        assert_eq!(change[4]["data"]["record"]["title"], title);
        if title == "before" {
            assert_eq!(peer.closed().await, 1006);
        }
    }
}

#[tokio::test]
async fn requests_that_no_file_has_get_what_a_server_would_answer() {
    let gateway = play(&["chat", "todos"], &[]);
    let endpoint = Endpoint::parse(&format!("ws://{}", gateway.address())).expect("an address");
    let call = async |method: &str, target: &str| -> Answer {
        let request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            host: gateway.address().to_owned(),
            ..Request::default()
        };
        endpoint.call(&request).await.expect("an answer")
    };
    for (method, target, status) in [
        ("POST", "/realtime/v1/api/broadcast", 202),
        ("POST", "/api/broadcast/room/events/e", 202),
        ("OPTIONS", "/realtime/v1/api/broadcast", 204),
        ("GET", "/healthcheck", 200),
        ("GET", "/socket/websocket?vsn=2.0.0", 400),
        ("GET", "/elsewhere", 404),
    ] {
        let answer = call(method, target).await;
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    for (query, status) in [("vsn=7.0.0", 403), ("vsn=2.0.0&script=nothing", 404)] {
        let target = format!("/realtime/v1/websocket?{query}");
        match endpoint.open(gateway.address(), &target, &[]).await {
            Ok(Opening::Refused(answer)) => assert_eq!(answer.status, status, "{query}"),
            _ => panic!("{query} was not refused"),
        }
    }
    let target = "/realtime/v1/websocket?vsn=2.0.0&script=todos&as=a";
    let opened = endpoint.open(gateway.address(), target, &[]).await;
    assert!(matches!(opened, Ok(Opening::Open(_))));
}
