//! What takes heap memory and what does not, counted.

use allocation_counter::measure;
use phoenix_wire::{Encoding, MessageKind, Name, RefView, Status, Version, decode, encode, event};
use websocket::Frame;

const BROADCAST_PAYLOAD: &str = concat!(
    r#"{"type":"broadcast","event":"cursor","payload":{"x":1024.5,"y":768.25,"user":"ada","color":"ff88000","#,
    r#""text":"The quick brown fox jumps over the lazy dog, and then it does so again.","seq":1234567}}"#
);
const JOIN_PAYLOAD: &str = concat!(
    r#"{"config":{"broadcast":{"ack":false,"self":false},"presence":{"key":"","enabled":true},"#,
    r#""postgres_changes":[{"event":"*","schema":"public","table":"notes","filter":"room=eq.7"}],"private":false},"#,
    r#""access_token":"header.claims.signature"}"#
);

/// Allocations while a message is taken apart, and after it is dropped nothing may be left.
fn allocations_of_decoding(version: Version, kind: MessageKind, bytes: &[u8]) -> u64 {
    let mut is_message = false;
    let counted = measure(|| is_message = decode(version, kind, bytes).is_ok());
    assert!(is_message);
    assert_eq!(counted.count_current, 0);
    counted.count_total
}

fn allocations_of_writing(write: impl FnOnce() -> Frame) -> u64 {
    measure(|| drop(write())).count_total
}

#[test]
fn ordinary_text_messages_are_taken_apart_without_allocating() {
    for (topic, event, payload) in [
        ("phoenix", "heartbeat", "{}"),
        ("realtime:room", "phx_join", JOIN_PAYLOAD),
        ("realtime:room", "broadcast", BROADCAST_PAYLOAD),
        (
            "realtime:room",
            "presence",
            r#"{"event":"track","payload":{"user":"ada"}}"#,
        ),
    ] {
        let v1 = format!(
            r#"{{"topic":"{topic}","event":"{event}","payload":{payload},"ref":"5","join_ref":"1"}}"#
        );
        let v2 = format!(r#"["1","5","{topic}","{event}",{payload}]"#);
        for (version, text) in [(Version::V1, v1), (Version::V2, v2)] {
            let allocations = allocations_of_decoding(version, MessageKind::Text, text.as_bytes());
            assert_eq!(allocations, 0, "{version:?} {event}");
        }
    }
}

#[test]
fn a_binary_broadcast_is_taken_apart_without_allocating() {
    let mut push = vec![3, 1, 1, 13, 6, 0, 1];
    push.extend(b"15realtime:roomcursor");
    push.extend(BROADCAST_PAYLOAD.bytes());
    assert_eq!(
        allocations_of_decoding(Version::V2, MessageKind::Binary, &push),
        0
    );
}

#[test]
fn a_message_takes_its_buffer_and_its_reference_count() {
    for version in [Version::V1, Version::V2] {
        let broadcast = || {
            let null = RefView::NULL;
            encode::message(
                version,
                null,
                null,
                "realtime:room",
                event::BROADCAST,
                BROADCAST_PAYLOAD,
            )
        };
        assert_eq!(allocations_of_writing(broadcast), 2, "{version:?} broadcast");
        let text =
            || encode::user_broadcast_text(version, "realtime:room", "cursor", None, BROADCAST_PAYLOAD);
        assert_eq!(allocations_of_writing(text), 2, "{version:?} broadcast as text");
        let reply = || {
            let (topic, reference) = (Name::text(event::PHOENIX_TOPIC), RefView::Json("\"5\""));
            encode::reply(version, RefView::NULL, reference, &topic, Status::Ok, "{}")
        };
        assert_eq!(allocations_of_writing(reply), 2, "{version:?} reply");
    }
    let binary = || {
        let payload = BROADCAST_PAYLOAD.as_bytes();
        encode::user_broadcast_binary("realtime:room", "cursor", "", Encoding::Json, payload)
            .expect("the header is short")
    };
    assert_eq!(allocations_of_writing(binary), 2, "binary broadcast");
}

#[test]
fn a_heartbeat_allocates_nothing_but_its_reply() {
    for (version, text) in [
        (
            Version::V1,
            r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"5"}"#,
        ),
        (Version::V2, r#"[null,"5","phoenix","heartbeat",{}]"#),
    ] {
        let counted = measure(|| {
            let heartbeat = decode(version, MessageKind::Text, text.as_bytes()).expect("a heartbeat");
            drop(encode::reply(
                version,
                heartbeat.join_ref,
                heartbeat.reference,
                &heartbeat.topic,
                Status::Ok,
                "{}",
            ));
        });
        assert_eq!(counted.count_total, 2, "{version:?}");
    }
}
