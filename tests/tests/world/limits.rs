//! Limits of a channel, a socket and a tenant, and what it looks like to hit them.

use std::time::Duration;

use phoenix_wire::Version::V2;
use serde_json::{Value, json};
use tests::world::World;

use crate::{error, join, joined, live, ok, shutdown};

const ROOM: &str = "realtime:room";
const NOTHING: [Value; 0] = [];

#[test]
fn a_socket_has_so_many_channels_and_a_place_is_free_when_one_leaves() {
    let mut world = World::new(|policy| policy.channels_per_client_max = Some(2));
    let a = world.connect(V2);
    join(&mut world, a, "1", "realtime:1", json!({}));
    join(&mut world, a, "2", "realtime:2", json!({}));
    assert_eq!(world.read(a).len(), 2);
    join(&mut world, a, "3", "realtime:3", json!({}));
    join(&mut world, a, "4", "realtime:2", json!({}));
    assert_eq!(
        world.read(a)[0],
        joined("4", "4", "realtime:2"),
        "joining again takes no second place"
    );
    world.pass_seconds(5);
    let reason = "ChannelRateLimitReached: Too many channels";
    assert_eq!(world.read(a), [error(Some("3"), "3", "realtime:3", reason)]);
    world.push(a, Some("1"), "5", "realtime:1", "phx_leave", json!({}));
    world.read(a);
    join(&mut world, a, "6", "realtime:3", json!({}));
    assert_eq!(world.read(a), [joined("6", "6", "realtime:3")]);
}

#[test]
fn joins_that_wait_for_the_database_take_a_place() {
    let mut world = World::new(|policy| policy.channels_per_client_max = Some(1));
    let a = world.connect(V2);
    join(&mut world, a, "1", "realtime:1", json!({ "private": true }));
    join(&mut world, a, "2", "realtime:2", json!({}));
    world.pass_seconds(5);
    assert_eq!(
        world.read(a)[0][4]["response"]["reason"],
        "ChannelRateLimitReached: Too many channels"
    );
}

#[test]
fn a_tenant_has_so_many_users_who_count_from_their_first_channel_to_their_end() {
    let mut world = World::new(|policy| policy.concurrent_users_max = Some(1));
    let [a, b] = [(); 2].map(|()| world.connect(V2));
    assert_eq!(world.tenant().users(), 0);
    join(&mut world, a, "1", ROOM, json!({}));
    join(&mut world, a, "2", "realtime:second", json!({}));
    assert_eq!((world.tenant().users(), world.read(a).len()), (1, 2));
    join(&mut world, b, "1", ROOM, json!({}));
    world.pass_seconds(5);
    let reason = "ConnectionRateLimitReached: Too many connected users";
    assert_eq!(world.read(b), [error(Some("1"), "1", ROOM, reason)]);
    world.push(a, Some("1"), "3", ROOM, "phx_leave", json!({}));
    world.push(a, Some("2"), "4", "realtime:second", "phx_leave", json!({}));
    assert_eq!(world.tenant().users(), 1);
    world.disconnect(a);
    assert_eq!(world.tenant().users(), 0);
    join(&mut world, b, "2", ROOM, json!({}));
    assert_eq!(world.read(b), [joined("2", "2", ROOM)]);
}

#[test]
fn joining_too_fast_closes_the_socket_after_the_refusal() {
    let mut world = World::new(|policy| policy.joins_per_second_max = Some(1));
    let a = world.connect(V2);
    for n in 0..20 {
        join(&mut world, a, "1", &format!("realtime:{n}"), json!({}));
    }
    assert_eq!(
        world.read(a).len(),
        20,
        "the rate is looked at every five seconds"
    );
    world.pass_seconds(5);
    join(&mut world, a, "2", ROOM, json!({}));
    assert_eq!(world.read(a), NOTHING);
    world.pass_seconds(5);
    let reason = "ClientJoinRateLimitReached: Too many joins per second";
    assert_eq!(
        world.read(a),
        [error(Some("2"), "2", ROOM, reason), json!({ "close": 1001 })]
    );
    assert_eq!(world.tenant().users(), 0);
}

#[test]
fn when_a_tenant_sends_too_much_the_receivers_are_shut_down_after_the_message() {
    let mut world = World::new(|policy| policy.events_per_second_max = Some(2));
    let [a, b, c] = [(); 3].map(|()| world.member("room", json!({})));
    let send = |world: &mut World, n: u32| {
        world.push(
            a,
            Some("1"),
            "5",
            ROOM,
            "broadcast",
            json!({ "event": "e", "payload": n }),
        );
    };
    for n in 0..20 {
        send(&mut world, n);
    }
    world.pass_seconds(5);
    for client in [a, b, c] {
        world.read(client);
    }
    send(&mut world, 99);
    let [notice, close] = shutdown("1", ROOM, "Too many messages per second");
    for receiver in [b, c] {
        let message = live(ROOM, "broadcast", json!({ "event": "e", "payload": 99 }));
        assert_eq!(world.read(receiver), [message, notice.clone(), close.clone()]);
    }
    assert_eq!(world.read(a), NOTHING, "the sender is not a receiver");
    world.pass_seconds(120);
    let b = world.member("room", json!({}));
    send(&mut world, 1);
    assert_eq!(world.read(b).len(), 1, "it is over when the average has fallen");
}

#[test]
fn the_sixth_presence_push_in_half_a_minute_ends_the_channel() {
    let mut world = World::default();
    let a = world.member("room", json!({ "presence": { "key": "k" } }));
    let push = json!({ "event": "untrack" });
    for _ in 0..5 {
        world.push(a, Some("1"), "2", ROOM, "presence", push.clone());
        assert_eq!(world.read(a), [ok("1", "2", ROOM)]);
    }
    world.pass(Duration::from_millis(29_999));
    world.push(a, Some("1"), "2", ROOM, "presence", json!({}));
    assert_eq!(
        world.read(a),
        [ok("1", "2", ROOM)],
        "what asks for nothing does not count"
    );
    world.push(a, Some("1"), "2", ROOM, "presence", push.clone());
    assert_eq!(
        world.read(a),
        shutdown("1", ROOM, "Client presence rate limit exceeded")
    );
    join(&mut world, a, "1", ROOM, json!({}));
    world.push(a, Some("1"), "2", ROOM, "presence", push);
    assert_eq!(world.read(a).len(), 2, "a rejoin starts a new window");
}

#[test]
fn tracks_whose_permission_cannot_be_checked_count_too() {
    let mut world = World::default();
    world.grant(Ok(tests::world::ALL));
    let a = world.member("room", json!({ "private": true }));
    world.grant(Err(session::AuthorizeFailure::PoolExhausted));
    for _ in 0..5 {
        world.push(a, Some("1"), "2", ROOM, "presence", json!({ "event": "track" }));
        assert_eq!(world.read(a)[0][4]["status"], "error");
    }
    world.push(a, Some("1"), "2", ROOM, "presence", json!({ "event": "track" }));
    assert_eq!(
        world.read(a),
        shutdown("1", ROOM, "Client presence rate limit exceeded")
    );
}

#[test]
fn when_a_tenant_has_too_much_presence_tracks_and_snapshots_end_their_channels() {
    let mut world = World::new(|policy| {
        policy.presence_events_per_second_max = Some(1);
        policy.client_presence_calls_max = None;
    });
    let a = world.member("room", json!({ "presence": { "key": "k" } }));
    for n in 0..20 {
        world.push(
            a,
            Some("1"),
            "2",
            ROOM,
            "presence",
            json!({ "event": "track", "payload": { "n": n } }),
        );
    }
    world.pass_seconds(5);
    world.read(a);
    let b = world.connect(V2);
    join(
        &mut world,
        b,
        "1",
        ROOM,
        json!({ "presence": { "enabled": true } }),
    );
    let [notice, close] = shutdown("1", ROOM, "Too many presence messages per second");
    assert_eq!(
        world.read(b),
        [joined("1", "1", ROOM), notice.clone(), close.clone()]
    );
    world.push(
        a,
        Some("1"),
        "2",
        ROOM,
        "presence",
        json!({ "event": "track", "payload": { "n": 99 } }),
    );
    assert_eq!(world.read(a), [notice, close]);
}

#[test]
fn refusals_beyond_a_bound_are_answered_at_once() {
    let mut world = World::new(|policy| policy.private_only = true);
    let a = world.connect(V2);
    for n in 0..1_000 {
        join(&mut world, a, "1", &format!("realtime:{n}"), json!({}));
    }
    let at_once = world.read(a).len();
    assert!((700..1_000).contains(&at_once), "{at_once}");
    world.pass_seconds(5);
    assert_eq!(world.read(a).len() + at_once, 1_000);
}

#[test]
fn a_socket_without_a_channel_is_closed_after_ten_minutes_if_it_ever_tried_one() {
    let mut world = World::default();
    let [never, left, refused, stays] = [(); 4].map(|()| world.connect(V2));
    join(&mut world, left, "1", ROOM, json!({}));
    join(&mut world, refused, "1", "realtime:", json!({}));
    join(&mut world, stays, "1", ROOM, json!({}));
    world.push(left, Some("1"), "2", ROOM, "phx_leave", json!({}));
    for client in [left, refused, stays] {
        world.read(client);
    }
    world.pass_seconds(599);
    assert!(!world.is_closed(left));
    world.pass_seconds(1);
    assert_eq!(world.read(left), [json!({ "close": 1001 })]);
    assert!(
        !world.is_closed(refused),
        "its channel counted for as long as its refusal took"
    );
    world.pass_seconds(5);
    assert!(world.is_closed(refused));
    world.pass_seconds(3_600);
    assert!(!world.is_closed(never) && !world.is_closed(stays));
}

#[test]
fn a_new_channel_within_the_ten_minutes_keeps_the_socket() {
    let mut world = World::default();
    let a = world.member("room", json!({}));
    world.push(a, Some("1"), "2", ROOM, "phx_leave", json!({}));
    world.pass_seconds(500);
    join(&mut world, a, "3", ROOM, json!({}));
    world.pass_seconds(3_600);
    assert!(!world.is_closed(a));
}
