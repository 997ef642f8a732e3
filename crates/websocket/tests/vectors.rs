//! The vectors of `protocol-spec/vectors/websocket.json`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use serde_json::{Value, json};
use websocket::{Event, FrameReader, Role};

#[test]
fn frames_amount_to_what_the_vectors_say() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../protocol-spec/vectors/websocket.json"
    );
    let parsed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vectors = parsed["vectors"].as_array().unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let role = if vector["reader"] == "server" {
            Role::Server
        } else {
            Role::Client
        };
        let max = vector["max"].as_u64().unwrap_or(5_000_000) as usize;
        let mut bytes = from_hex(vector["bytes"].as_str().unwrap());
        let mut events = Vec::new();
        let fed = FrameReader::new(role, max).feed(&mut bytes, &mut |event| {
            events.push(describe(event));
            ControlFlow::Continue(())
        });
        assert_eq!(Value::from(events), vector["events"], "{}", vector["name"]);
        let error = fed.err().map_or(Value::Null, |error| error.close_code().into());
        assert_eq!(error, vector["error"], "{}", vector["name"]);
    }
}

fn describe(event: Event<'_>) -> Value {
    match event {
        Event::Text(bytes) => json!({"text": to_hex(bytes)}),
        Event::Binary(bytes) => json!({"binary": to_hex(bytes)}),
        Event::Ping(bytes) => json!({"ping": to_hex(bytes)}),
        Event::Pong(bytes) => json!({"pong": to_hex(bytes)}),
        Event::Close { code, reason } => json!({"close": code, "reason": to_hex(reason)}),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
    hex.as_bytes()
        .chunks(2)
        .map(|pair| digit(&pair[0]) << 4 | digit(&pair[1]))
        .collect()
}
