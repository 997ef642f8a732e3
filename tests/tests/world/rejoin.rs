//! Leaving, joining again, and everything that may cross on the way.

use phoenix_wire::Version::{V1, V2};
use serde_json::json;
use tests::world::{ALL, World};

use crate::{closed, error, join, joined, live, ok};

const ROOM: &str = "realtime:room";

/// Traps 17 and 18: JavaScript waits for the reply, Swift and Kotlin for the close.
#[test]
fn a_leave_is_answered_and_then_the_channel_is_closed() {
    let mut world = World::default();
    let a = world.member("room", json!({}));
    world.push(a, Some("1"), "9", ROOM, "phx_leave", json!({}));
    assert_eq!(world.read(a), [ok("1", "9", ROOM), closed("1", ROOM)]);
    assert!(!world.has_topic(false, "room"));
}

/// Trap 2: a `phx_close` whose ref is not the join's is ignored by every JavaScript client.
#[test]
fn the_close_carries_the_join_ref_as_ref_in_1_0_0_too() {
    let mut world = World::default();
    let a = world.connect(V1);
    world.push(a, Some("4"), "5", ROOM, "phx_join", json!({ "config": {} }));
    world.push(a, Some("4"), "6", ROOM, "phx_leave", json!({}));
    let heard = world.read(a);
    assert_eq!(
        heard.last(),
        Some(&json!({ "topic": ROOM, "event": "phx_close", "payload": {}, "ref": "4" }))
    );
}

/// The first of a pair of objects for one topic on old clients leaves after the second has joined.
#[test]
fn a_leave_left_over_from_an_earlier_join_is_ignored() {
    let mut world = World::default();
    let a = world.member("room", json!({}));
    world.push(a, Some("0"), "2", ROOM, "phx_leave", json!({}));
    world.push(a, None, "3", ROOM, "phx_leave", json!({}));
    assert_eq!(world.read(a).len(), 0);
    world.publish(false, "room", "{}");
    assert_eq!(world.read(a).len(), 1);
}

/// Traps 32 and 33: Kotlin numbers joins apart and leaves without a join_ref, Python joins and leaves without one.
#[test]
fn clients_that_leave_without_a_join_ref_are_heard() {
    for (join_ref, close) in [(json!("0"), json!("0")), (json!(null), json!(null))] {
        let mut world = World::default();
        let a = world.connect(V2);
        world.send(a, json!([join_ref, "1", ROOM, "phx_join", { "config": {} }]));
        world.send(a, json!([null, "2", ROOM, "phx_leave", {}]));
        let heard = world.read(a);
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert_eq!(heard[2], json!([close, close, ROOM, "phx_close", {}]));
    }
}

#[test]
fn leaving_what_was_never_joined_is_fine() {
    let mut world = World::default();
    let a = world.connect(V2);
    world.push(a, Some("1"), "2", ROOM, "phx_leave", json!({}));
    assert_eq!(world.read(a), [ok("1", "2", ROOM)]);
}

#[test]
fn a_second_join_replaces_the_first_reply_first_old_close_after() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "self": true } }));
    join(&mut world, a, "2", ROOM, json!({ "broadcast": { "self": true } }));
    assert_eq!(world.read(a), [joined("2", "2", ROOM), closed("1", ROOM)]);
    world.push(a, Some("2"), "3", ROOM, "broadcast", json!({ "event": "e" }));
    assert_eq!(
        world.read(a),
        [live(ROOM, "broadcast", json!({ "event": "e" }))],
        "there is one subscription"
    );
}

#[test]
fn a_second_join_that_is_refused_leaves_no_channel() {
    let mut world = World::default();
    let a = world.member("room", json!({}));
    join(
        &mut world,
        a,
        "2",
        ROOM,
        json!({ "broadcast": { "replay": null } }),
    );
    assert!(!world.has_topic(false, "room"), "the old channel is gone at once");
    world.pass_seconds(5);
    let reason = "UnableToReplayMessages: Replay is not allowed for public channels";
    assert_eq!(
        world.read(a),
        [error(Some("2"), "2", ROOM, reason), closed("1", ROOM)]
    );
}

#[test]
fn all_other_events_are_heard_whatever_their_join_ref() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "ack": true } }));
    for (n, join_ref) in [Some("1"), Some("0"), None].into_iter().enumerate() {
        let reference = n.to_string();
        world.push(a, join_ref, &reference, ROOM, "broadcast", json!({}));
        assert_eq!(
            world.read(a),
            [ok("1", &reference, ROOM)],
            "the reply names the channel's join"
        );
    }
}

#[test]
fn a_rejoin_that_waits_for_policies_lets_nothing_of_the_old_channel_through() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let a = world.member("room", json!({ "private": true }));
    world.hold_grants();
    join(&mut world, a, "2", ROOM, json!({ "private": true }));
    world.publish(true, "room", "{}");
    assert_eq!(world.read(a).len(), 0);
    world.grant(Ok(ALL));
    assert_eq!(world.read(a), [joined("2", "2", ROOM), closed("1", ROOM)]);
}

#[test]
fn messages_that_waited_are_handled_in_their_order_and_only_so_many_wait() {
    let mut world = World::new(|policy| policy.events_per_second_max = None);
    let a = world.connect(V2);
    join(
        &mut world,
        a,
        "1",
        ROOM,
        json!({ "private": true, "broadcast": { "ack": true } }),
    );
    for n in 0..1_000 {
        world.push(a, Some("1"), &n.to_string(), ROOM, "broadcast", json!({}));
    }
    let turned_away = world.read(a);
    assert!((600..1_000).contains(&turned_away.len()));
    assert_eq!(turned_away[0][4]["status"], "error");
    world.grant(Ok(ALL));
    let heard = world.read(a);
    assert_eq!(heard.len() + turned_away.len(), 1_001);
    let refs: Vec<_> = heard[1..].iter().map(|reply| reply[1].clone()).collect();
    let in_order: Vec<_> = (0..refs.len()).map(|n| json!(n.to_string())).collect();
    assert_eq!(refs, in_order);
}

#[test]
fn a_crash_is_told_with_the_join_ref_in_both_places_and_frees_the_topic() {
    let mut world = World::default();
    let a = world.member("room", json!({}));
    let b = world.member("room", json!({}));
    world.push(a, Some("1"), "2", ROOM, "broadcast", json!("text"));
    assert_eq!(
        world.read(a),
        [json!(["1", "1", ROOM, "phx_error", { "reason": "channel_crash" }])]
    );
    assert_eq!(world.read(b).len(), 0);
    join(&mut world, a, "3", ROOM, json!({}));
    assert_eq!(world.read(a), [joined("3", "3", ROOM)]);
}

#[test]
fn before_a_restart_every_channel_is_told_and_the_socket_closes_with_1012() {
    let mut world = World::default();
    let a = world.member("one", json!({}));
    join(&mut world, a, "2", "realtime:two", json!({}));
    world.read(a);
    world.restart();
    let mut heard = world.read(a);
    assert_eq!(heard.pop(), Some(json!({ "close": 1012 })));
    heard.sort_by_key(|frame| frame[2].to_string());
    let notice = json!({ "extension": "system", "status": "ok", "message": "Server requested disconnect" });
    assert_eq!(
        heard,
        [
            live("realtime:one", "system", notice.clone()),
            live("realtime:two", "system", notice)
        ]
    );
    assert!(!world.has_topic(false, "one") && !world.has_topic(false, "two"));
}
