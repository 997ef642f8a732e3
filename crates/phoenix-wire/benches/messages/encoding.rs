//! The server's messages, each written once into a finished frame however many hear it.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use phoenix_wire::payload::changes;
use phoenix_wire::{Encoding, Name, RefView, Status, Version, encode, event};
use websocket::Frame;

use crate::samples::{BROADCAST_PAYLOAD, TOPIC, USER_PAYLOAD};

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];
const NULL: RefView<'static> = RefView::NULL;

fn written(bencher: Bencher, write: impl Fn() -> Frame) {
    let len = write().len();
    bencher.counter(BytesCount::new(len)).bench_local(write);
}

/// A broadcast that came in a text frame.
#[divan::bench(args = VERSIONS)]
fn text_broadcast(bencher: Bencher, version: Version) {
    let write = || {
        encode::message(
            version,
            NULL,
            NULL,
            TOPIC,
            event::BROADCAST,
            black_box(BROADCAST_PAYLOAD),
        )
    };
    written(bencher, write);
}

/// A broadcast that came in a binary frame: text for 1.0.0, a binary frame for 2.0.0.
#[divan::bench(args = VERSIONS)]
fn binary_broadcast(bencher: Bencher, version: Version) {
    let payload = black_box(USER_PAYLOAD);
    written(bencher, || match version {
        Version::V1 => encode::user_broadcast_text(version, TOPIC, "cursor", None, payload),
        Version::V2 => encode::user_broadcast_binary(TOPIC, "cursor", "", Encoding::Json, payload.as_bytes())
            .expect("the header is short"),
    });
}

/// `phx_reply` with an empty response: what a heartbeat is answered with.
#[divan::bench(args = VERSIONS)]
fn reply(bencher: Bencher, version: Version) {
    let topic = Name::text(event::PHOENIX_TOPIC);
    let reference = RefView::Json("\"5\"");
    let write = || encode::reply(version, NULL, black_box(reference), &topic, Status::Ok, "{}");
    written(bencher, write);
}

/// `presence_state` around a snapshot of so many members, which is copied once.
#[divan::bench(args = [10, 1000])]
fn presence_state(bencher: Bencher, members: usize) {
    let member = |number| {
        format!(r#""key-{number}":{{"metas":[{{"phx_ref":"F8aXl2k_0001","user":"ada","typing":false}}]}}"#)
    };
    let members: Vec<_> = (0..members).map(member).collect();
    let snapshot = format!("{{{}}}", members.join(","));
    let join_ref = RefView::Json("\"1\"");
    let write = || {
        encode::message(
            Version::V2,
            join_ref,
            NULL,
            TOPIC,
            event::PRESENCE_STATE,
            black_box(&snapshot),
        )
    };
    written(bencher, write);
}

/// `postgres_changes` for one channel: the ids of its bindings around what everybody is told.
#[divan::bench(args = VERSIONS)]
fn postgres_changes(bencher: Bencher, version: Version) {
    let data = concat!(
        r#"{"schema":"public","table":"notes","type":"INSERT","commit_timestamp":"2026-08-21T12:03:56.123Z","#,
        r#""columns":[{"name":"id","type":"int8"},{"name":"body","type":"text"},{"name":"n","type":"int4"}],"#,
        r#""record":{"n":3,"id":1,"body":"The quick brown fox"},"errors":null}"#
    );
    let write = || {
        let payload = changes::change(&[83_492_701], black_box(data));
        encode::message(version, NULL, NULL, TOPIC, event::POSTGRES_CHANGES, &payload)
    };
    written(bencher, write);
}
