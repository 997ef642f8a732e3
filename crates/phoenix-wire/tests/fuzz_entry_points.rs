//! The fuzz targets of this crate, run for a moment over mutations of the vectors. See `fuzz/README.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/bounded.rs"]
mod bounded;
#[path = "../../../fuzz/entry/decode.rs"]
mod decode;
#[path = "../../../fuzz/entry/join_payload.rs"]
mod join_payload;
#[path = "../../../fuzz/entry/json_check.rs"]
mod json_check;

use phoenix_wire::{MessageKind, Version};
use serde_json::Value;

const ITERATIONS: u32 = 20_000;

#[test]
fn any_json_text_is_judged_as_another_parser_judges_it() {
    let corpus = [corpus("json.json"), corpus("v2-text.json")].concat();
    bounded::run(&corpus, ITERATIONS, json_check::run);
}

#[test]
fn any_1_0_0_message_survives_a_round_trip() {
    bounded::run(&corpus("v1.json"), ITERATIONS, |data| {
        decode::run(Version::V1, MessageKind::Text, data);
    });
}

#[test]
fn any_2_0_0_text_frame_survives_a_round_trip() {
    bounded::run(&corpus("v2-text.json"), ITERATIONS, |data| {
        decode::run(Version::V2, MessageKind::Text, data);
    });
}

#[test]
fn any_2_0_0_binary_frame_survives_a_round_trip() {
    bounded::run(&corpus("v2-binary.json"), ITERATIONS, |data| {
        decode::run(Version::V2, MessageKind::Binary, data);
    });
}

#[test]
fn any_payload_is_read_without_a_panic() {
    let corpus = [
        r#"{"config":{"broadcast":{"ack":false,"self":false},"presence":{"key":"","enabled":false},"postgres_changes":[{"event":"INSERT","schema":"public","table":"todos","filter":"id=eq.1"}],"private":false},"access_token":"a.b.c"}"#,
        r#"{"config":{"private":"TRUE","broadcast":{"replay":{"since":1,"limit":5},"replication_ready":true},"presence":{"key":7}},"user_token":"sb_x"}"#,
        r#"{"config":{"postgres_changes":[null,{},{"id":1,"schema":7,"table":null,"select":["a","\u00e9"]}]},"access_token":null}"#,
        r#"{"type":"presence","event":"track","payload":{"user":"a","list":[1,2,{"x":null}]}}"#,
        r#"{"type":"broadcast","event":"e","payload":{},"meta":{"id":"mine"}}"#,
        "{}",
    ]
    .map(|text| text.as_bytes().to_vec());
    bounded::run(&corpus, ITERATIONS, join_payload::run);
}

fn corpus(file: &str) -> Vec<Vec<u8>> {
    let path = format!(
        "{}/../../protocol-spec/vectors/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let parsed: Value = serde_json::from_str(&text).unwrap();
    let inputs = parsed["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| match vector["hex"].as_str() {
            Some(hex) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
                hex.as_bytes()
                    .chunks(2)
                    .map(|pair| digit(&pair[0]) << 4 | digit(&pair[1]))
                    .collect()
            }
            None => vector["text"].as_str().unwrap().as_bytes().to_vec(),
        });
    // The deepest vectors say nothing more after a mutation, but cost much.
    inputs.filter(|input: &Vec<u8>| input.len() < 1000).collect()
}
