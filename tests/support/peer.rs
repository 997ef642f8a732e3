//! A client of the real server, speaking 2.0.0 text frames.

use std::time::Duration;

use auth::Secret;
use client::{Connection, Endpoint, Opening, Received};
use serde_json::{Map, Value, json};

use crate::frames;

/// How long an awaited frame may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The secret of every server the tests start.
pub const SECRET: &str = "a secret that only tests know, long enough";

/// A token of that role, valid for some minutes to come.
pub fn token(role: &str) -> String {
    token_with(role, &json!({}))
}

/// A token of that role with these claims besides.
///
/// # Panics
///
/// If the claims are no object.
pub fn token_with(role: &str, claims: &Value) -> String {
    let mut all = Map::from_iter([
        ("role".to_owned(), json!(role)),
        ("exp".to_owned(), json!(4_000_000_000_u64)),
    ]);
    all.extend(claims.as_object().expect("an object of claims").clone());
    auth::sign(&all, &Secret::new(SECRET))
}

/// A connected client.
#[derive(Debug)]
pub struct Peer {
    connection: Connection,
}

impl Peer {
    /// Connects as `anon`.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn connect(address: &str) -> Self {
        Self::connect_with(address, &token("anon")).await
    }

    /// Connects with this token.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn connect_with(address: &str, token: &str) -> Self {
        Self::connect_with_headers(address, token, &[]).await
    }

    /// Connects with this token and these headers besides.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub async fn connect_with_headers(address: &str, token: &str, headers: &[(String, String)]) -> Self {
        let endpoint = Endpoint::parse(&format!("ws://{address}")).expect("an address");
        let target = format!("/socket/websocket?vsn=2.0.0&apikey={token}");
        match endpoint.open(address, &target, headers).await.expect("a server") {
            Opening::Open(connection) => Self { connection },
            Opening::Refused(answer) => panic!("refused with {}", answer.status),
        }
    }

    /// Joins a topic with this config and waits for the reply; returns its response.
    ///
    /// # Panics
    ///
    /// If the join is refused.
    pub async fn join(&mut self, topic: &str, config: Value) -> Value {
        self.send(&json!(["1", "1", topic, "phx_join", {"config": config}]))
            .await;
        let reply = self.next().await;
        assert_eq!(reply[4]["status"], "ok", "{reply}");
        reply[4]["response"].clone()
    }

    /// Sends a frame.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub async fn send(&mut self, frame: &Value) {
        self.connection
            .send_text(frame.to_string())
            .await
            .expect("an open connection");
    }

    /// The next text frame.
    ///
    /// # Panics
    ///
    /// If something else comes, or nothing.
    pub async fn next(&mut self) -> Value {
        match self.receive().await {
            Received::Text(text) => serde_json::from_slice(&text).expect("the server sends JSON"),
            other => panic!("a text frame was expected: {other:?}"),
        }
    }

    /// The next frame, as [`frames::read`] shows it.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn next_of_any_kind(&mut self) -> Value {
        match self.receive().await {
            Received::Text(text) => serde_json::from_slice(&text).expect("the server sends JSON"),
            Received::Binary(bytes) => frames::read_binary(&bytes),
            other => panic!("a frame was expected: {other:?}"),
        }
    }

    /// Asks to join with a token of its own and a reference; the answer is still to come.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub async fn ask_to_join(&mut self, reference: &str, topic: &str, config: Value, token: &str) {
        let payload = json!({"config": config, "access_token": token});
        self.send(&json!([reference, reference, topic, "phx_join", payload]))
            .await;
    }

    /// Proves that nothing has come but for what has been read: a heartbeat is answered next.
    ///
    /// # Panics
    ///
    /// If something else comes.
    pub async fn hears_nothing(&mut self) {
        self.send(&json!([null, "hb", "phoenix", "heartbeat", {}])).await;
        let next = self.next_of_any_kind().await;
        assert_eq!(next[1], "hb", "{next}");
    }

    /// The next frame of that event, whatever comes before it.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn next_of(&mut self, event: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame[3] == event {
                return frame;
            }
        }
    }

    /// The next text frame, or nothing once the connection has ended.
    ///
    /// # Panics
    ///
    /// If neither comes.
    pub async fn receive_frame(&mut self) -> Option<Value> {
        let received = tokio::time::timeout(LIMIT, self.connection.receive()).await;
        match received.expect("something was to come") {
            Some(Received::Text(text)) => Some(serde_json::from_slice(&text).expect("the server sends JSON")),
            _ => None,
        }
    }

    /// Waits for the end and returns its close code.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Received::Closed { code, .. } = self.receive().await {
                return code;
            }
        }
    }

    async fn receive(&mut self) -> Received {
        let received = tokio::time::timeout(LIMIT, self.connection.receive()).await;
        received
            .expect("something was to come")
            .expect("the connection has ended")
    }
}
