//! Broadcasts: who gets them, in which form, and what the sender hears.

use phoenix_wire::MessageKind::Binary;
use phoenix_wire::Version::{V1, V2};
use serde_json::{Value, json};
use session::{AuthorizeFailure, Grants};
use tests::frames::{phoenix_push, user_push};
use tests::world::{ALL, World};

use crate::{live, ok};

const ROOM: &str = "realtime:room";
const NOTHING: [Value; 0] = [];

fn message(n: u32) -> Value {
    json!({ "type": "broadcast", "event": "e", "payload": { "n": n } })
}

/// Trap 28: the envelope is the sender's and is not touched. Trap 19: without ack there is no reply.
#[test]
fn a_text_broadcast_reaches_the_others_verbatim_and_not_its_sender() {
    let mut world = World::default();
    let [a, b, c] = [(); 3].map(|()| world.member("room", json!({})));
    world.push(a, Some("1"), "5", ROOM, "broadcast", message(1));
    assert_eq!(world.read(a), NOTHING);
    for member in [b, c] {
        assert_eq!(world.read(member), [live(ROOM, "broadcast", message(1))]);
    }
}

#[test]
fn a_sender_that_wants_both_hears_itself_before_its_ack() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "self": true, "ack": true } }));
    world.push(a, Some("1"), "5", ROOM, "broadcast", message(1));
    assert_eq!(
        world.read(a),
        [live(ROOM, "broadcast", message(1)), ok("1", "5", ROOM)]
    );
}

/// Traps 14 and 15: kind 4 and no other goes to 2.0.0 clients, and never to 1.0.0 ones. Replies are text.
#[test]
fn a_binary_push_becomes_kind_4_or_text_or_nothing() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "ack": true } }));
    let new = world.member("room", json!({}));
    let old = world.member_speaking(V1, "room", json!({}));
    world.send_frame(
        a,
        Binary,
        &user_push(["1", "5", ROOM, "cursor"], 1, br#"{"x":1}"#),
    );
    assert_eq!(world.read(a), [ok("1", "5", ROOM)]);
    let payload = json!({ "x": 1 });
    assert_eq!(
        world.read(new),
        [json!({ "kind": 4, "topic": ROOM, "event": "cursor", "meta": null, "payload": payload })]
    );
    let envelope = json!({ "type": "broadcast", "event": "cursor", "payload": payload });
    assert_eq!(
        world.read(old),
        [json!({ "topic": ROOM, "event": "broadcast", "payload": envelope, "ref": null })]
    );
    world.send_frame(a, Binary, &user_push(["1", "6", ROOM, "bytes"], 0, &[0, 255]));
    assert_eq!(world.read(new)[0]["payload"], json!([0, 255]));
    assert_eq!(world.read(old), NOTHING);
}

#[test]
fn bytes_that_are_no_json_do_not_spoil_a_text_frame() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "ack": true } }));
    let old = world.member_speaking(V1, "room", json!({}));
    world.send_frame(a, Binary, &user_push(["1", "5", ROOM, "e"], 1, b"{"));
    assert_eq!(world.read(a), [ok("1", "5", ROOM)]);
    assert_eq!(world.read(old), NOTHING);
}

/// Trap 16: kind 2 is for those stock Phoenix clients that themselves push kind 0.
#[test]
fn a_stock_push_of_bytes_becomes_kind_2() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "ack": true } }));
    let b = world.member("room", json!({}));
    world.send_frame(a, Binary, &phoenix_push(["1", "5", ROOM, "broadcast"], &[7]));
    assert_eq!(world.read(a), [ok("1", "5", ROOM)]);
    assert_eq!(
        world.read(b),
        [json!({ "kind": 2, "topic": ROOM, "event": "broadcast", "payload": [7] })]
    );
}

/// A header holds 255 bytes; what does not fit in one goes as text.
#[test]
fn a_topic_too_long_for_a_binary_header_is_served_in_text() {
    let mut world = World::default();
    let name = "n".repeat(300);
    let topic = format!("realtime:{name}");
    let [a, b] = [(); 2].map(|()| world.member(&name, json!({})));
    world.push(a, Some("1"), "5", &topic, "broadcast", message(1));
    assert_eq!(world.read(b), [live(&topic, "broadcast", message(1))]);
    world.publish(false, &name, "{}");
    assert_eq!(world.read(b).len(), 1);
}

#[test]
fn broadcasts_of_one_sender_arrive_in_order_across_workers() {
    let mut world = World::new(|policy| policy.events_per_second_max = None);
    let [a, b, c] = [(); 3].map(|()| world.member("room", json!({})));
    for n in 0..50 {
        world.push(a, Some("1"), "5", ROOM, "broadcast", message(n));
    }
    let expected: Vec<_> = (0..50).map(|n| live(ROOM, "broadcast", message(n))).collect();
    assert_eq!(world.read(b), expected);
    assert_eq!(world.read(c), expected);
}

#[test]
fn a_payload_that_is_no_object_goes_to_1_0_0_and_crashes_the_sender_only_if_somebody_speaks_2_0_0() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "ack": true } }));
    let old = world.member_speaking(V1, "room", json!({}));
    world.push(a, Some("1"), "5", ROOM, "broadcast", json!([1]));
    assert_eq!(world.read(a), [ok("1", "5", ROOM)]);
    assert_eq!(world.read(old)[0]["payload"], json!([1]));
    world.member("room", json!({}));
    world.push(a, Some("1"), "6", ROOM, "broadcast", json!([1]));
    assert_eq!(world.read(a)[0][3], "phx_error");
    assert_eq!(world.read(old), NOTHING);
}

#[test]
fn public_and_private_channels_of_one_name_do_not_hear_each_other() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let public = world.member("room", json!({}));
    let private = world.member("room", json!({ "private": true }));
    world.push(public, Some("1"), "5", ROOM, "broadcast", message(1));
    world.push(private, Some("1"), "5", ROOM, "broadcast", message(2));
    assert_eq!((world.read(public), world.read(private)), (vec![], vec![]));
}

#[test]
fn an_oversize_broadcast_is_dropped_with_a_word_to_whoever_wants_acks() {
    let mut world = World::new(|policy| policy.payload_bytes_max = Some(1_000));
    let a = world.member("room", json!({ "broadcast": { "ack": true } }));
    let b = world.member("room", json!({}));
    let large = json!({ "event": "e", "payload": "x".repeat(1_000) });
    world.push(a, Some("1"), "5", ROOM, "broadcast", large.clone());
    let reply = json!({ "status": "error", "response": "payload_size_exceeded" });
    assert_eq!(world.read(a), [json!(["1", "5", ROOM, "phx_reply", reply])]);
    world.push(b, Some("1"), "5", ROOM, "broadcast", large);
    assert_eq!((world.read(a), world.read(b)), (vec![], vec![]));
}

#[test]
fn an_event_nobody_knows_gets_no_answer() {
    let mut world = World::default();
    let [a, b] = [(); 2].map(|()| world.member("room", json!({ "broadcast": { "ack": true } })));
    world.push(a, Some("1"), "5", ROOM, "postgres_changes", json!({}));
    assert_eq!((world.read(a), world.read(b)), (vec![], vec![]));
}

#[test]
fn the_permission_to_write_is_asked_for_once_and_messages_keep_their_order_meanwhile() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let [a, b] = [(); 2].map(|()| world.member("room", json!({ "private": true })));
    world.hold_grants();
    for n in 0..3 {
        world.push(a, Some("1"), "5", ROOM, "broadcast", message(n));
    }
    assert_eq!((world.waiting(), world.read(b).len()), (1, 0));
    world.grant(Ok(ALL));
    assert_eq!(
        world.read(b),
        [0, 1, 2].map(|n| live(ROOM, "broadcast", message(n)))
    );
    world.hold_grants();
    world.push(a, Some("1"), "5", ROOM, "broadcast", message(3));
    assert_eq!((world.waiting(), world.read(b).len()), (0, 1));
}

#[test]
fn a_sender_without_permission_hears_nothing_not_even_with_ack() {
    let mut world = World::default();
    let config = json!({ "private": true, "broadcast": { "ack": true } });
    for answer in [
        Ok(Grants {
            broadcast_write: Some(false),
            ..ALL
        }),
        Err(AuthorizeFailure::PoolExhausted),
    ] {
        world.grant(Ok(ALL));
        let [a, b] = [(); 2].map(|()| world.member("room", config.clone()));
        world.grant(answer);
        world.push(a, Some("1"), "5", ROOM, "broadcast", message(1));
        assert_eq!((world.read(a), world.read(b)), (vec![], vec![]));
    }
}

#[test]
fn a_denial_is_remembered_and_a_failure_is_asked_about_again() {
    let config = json!({ "private": true, "broadcast": { "ack": true } });
    let denial = Ok(Grants {
        broadcast_write: Some(false),
        ..ALL
    });
    for (answer, is_final) in [(denial, true), (Err(AuthorizeFailure::Unavailable), false)] {
        let mut world = World::default();
        world.grant(Ok(ALL));
        let a = world.member("room", config.clone());
        world.grant(answer);
        world.push(a, Some("1"), "5", ROOM, "broadcast", message(1));
        world.grant(Ok(ALL));
        world.push(a, Some("1"), "6", ROOM, "broadcast", message(2));
        assert_eq!(world.read(a).is_empty(), is_final);
    }
}

#[test]
fn a_member_that_reads_presence_only_gets_no_broadcasts() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let a = world.member("room", json!({ "private": true }));
    world.grant(Ok(Grants {
        broadcast_read: Some(false),
        ..ALL
    }));
    let b = world.member(
        "room",
        json!({ "private": true, "presence": { "enabled": true } }),
    );
    world.grant(Ok(ALL));
    world.push(a, Some("1"), "5", ROOM, "broadcast", message(1));
    assert_eq!(world.read(b), NOTHING);
}

/// Trap 3: JavaScript evaluates `'ids' in payload` on every frame.
#[test]
fn a_null_payload_never_reaches_a_2_0_0_client() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "self": true } }));
    world.push(a, Some("1"), "5", ROOM, "broadcast", json!(null));
    assert!(world.read(a).iter().all(|frame| frame[4].is_object()));
    let b = world.connect(V2);
    world.push(b, None, "5", ROOM, "broadcast", json!(null));
    assert!(world.read(b).iter().all(|frame| frame[4].is_object()));
}
