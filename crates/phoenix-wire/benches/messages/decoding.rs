//! A client's bytes, unmasked, to a message that borrows from them. Every text is checked to be JSON on the way.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use phoenix_wire::payload::JoinPayload;
use phoenix_wire::{MessageKind, Version, decode, json};

use crate::samples::{self, BROADCAST_PAYLOAD, JOIN_PAYLOAD, TOPIC, USER_PAYLOAD};

fn decoded(bencher: Bencher, version: Version, kind: MessageKind, bytes: &[u8]) {
    let bench = bencher.counter(BytesCount::of_slice(bytes));
    bench.bench_local(|| decode(version, kind, black_box(bytes)).map(|_| ()));
}

/// 1.0.0: the sign of life every client gives twice a minute.
#[divan::bench(sample_size = 100)]
fn v1_heartbeat(bencher: Bencher) {
    let bytes = samples::v1("phoenix", "heartbeat", "{}");
    decoded(bencher, Version::V1, MessageKind::Text, &bytes);
}

/// 1.0.0: a join with a binding for changes; its payload is checked, not read.
#[divan::bench(sample_size = 100)]
fn v1_join(bencher: Bencher) {
    let bytes = samples::v1(TOPIC, "phx_join", JOIN_PAYLOAD);
    decoded(bencher, Version::V1, MessageKind::Text, &bytes);
}

/// 1.0.0: a broadcast with a payload of 200 bytes.
#[divan::bench(sample_size = 100)]
fn v1_broadcast(bencher: Bencher) {
    let bytes = samples::v1(TOPIC, "broadcast", BROADCAST_PAYLOAD);
    decoded(bencher, Version::V1, MessageKind::Text, &bytes);
}

/// 2.0.0: a heartbeat.
#[divan::bench(sample_size = 100)]
fn v2_heartbeat(bencher: Bencher) {
    let bytes = samples::v2("phoenix", "heartbeat", "{}");
    decoded(bencher, Version::V2, MessageKind::Text, &bytes);
}

/// 2.0.0: a join.
#[divan::bench(sample_size = 100)]
fn v2_join(bencher: Bencher) {
    let bytes = samples::v2(TOPIC, "phx_join", JOIN_PAYLOAD);
    decoded(bencher, Version::V2, MessageKind::Text, &bytes);
}

/// 2.0.0: a broadcast in a text frame.
#[divan::bench(sample_size = 100)]
fn v2_broadcast(bencher: Bencher) {
    let bytes = samples::v2(TOPIC, "broadcast", BROADCAST_PAYLOAD);
    decoded(bencher, Version::V2, MessageKind::Text, &bytes);
}

/// 2.0.0: a broadcast in a binary frame (kind 3). Its payload is not looked at.
#[divan::bench(sample_size = 100)]
fn v2_binary_broadcast(bencher: Bencher) {
    let bytes = samples::user_broadcast_push();
    decoded(bencher, Version::V2, MessageKind::Binary, &bytes);
}

/// What a binary broadcast costs on top if somebody listens with 1.0.0: its payload becomes part of a text.
#[divan::bench(sample_size = 100)]
fn check_the_payload_of_a_binary_broadcast(bencher: Bencher) {
    let bench = bencher.counter(BytesCount::of_str(USER_PAYLOAD));
    bench.bench_local(|| json::check(black_box(USER_PAYLOAD.as_bytes())).map(|_| ()));
}

/// The payload of a join, read once it is decoded.
#[divan::bench(sample_size = 100)]
fn read_a_join(bencher: Bencher) {
    let payload = json::check(JOIN_PAYLOAD.as_bytes()).expect("it is JSON");
    bencher.bench_local(|| JoinPayload::parse(black_box(&payload)));
}
