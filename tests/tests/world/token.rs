//! Tokens of channels: which one counts, when it ends, how it is renewed.

use std::time::Duration;

use auth::{Secret, sign};
use phoenix_wire::Version::V2;
use serde_json::{Value, json};
use session::{AuthorizeFailure, ChangesOutcome, Grants};
use tests::world::{ALL, Client, World};

use crate::{error, joined, live, shutdown};

const ROOM: &str = "realtime:room";
const NOTHING: [Value; 0] = [];

fn join_as(world: &mut World, client: Client, topic: &str, token: Value, config: Value) {
    world.push(
        client,
        Some("1"),
        "1",
        topic,
        "phx_join",
        json!({ "config": config, "access_token": token }),
    );
}

fn refresh(world: &mut World, client: Client, token: Value) {
    world.push(
        client,
        Some("1"),
        "8",
        ROOM,
        "access_token",
        json!({ "access_token": token }),
    );
}

fn forged() -> String {
    let claims = json!({ "role": "anon", "exp": tests::world::BEGINNING + 3600 });
    sign(
        claims.as_object().expect("an object"),
        &Secret::new("another secret of thirty-two bytes"),
    )
}

/// Trap 36: clients with new-style keys send the key itself as their token.
#[test]
fn a_channel_runs_on_its_own_token_or_on_the_connections() {
    let mut world = World::default();
    let a = world.connect(V2);
    let short = World::token("user", 10);
    for (topic, token) in [
        ("realtime:own", json!(short)),
        ("realtime:key", json!("sb_publishable_x")),
    ] {
        join_as(&mut world, a, topic, token, json!({}));
        assert_eq!(world.read(a), [joined("1", "1", topic)]);
    }
    world.pass_seconds(10);
    assert_eq!(
        world.read(a),
        shutdown("1", "realtime:own", "Token has expired 0 seconds ago")
    );
}

#[test]
fn a_bad_token_refuses_the_join_by_name() {
    for (token, reason) in [
        (
            json!(""),
            "MalformedJWT: The token provided is not a valid JWT".to_owned(),
        ),
        (
            json!("x.y.z"),
            "MalformedJWT: The token provided is not a valid JWT".to_owned(),
        ),
        (
            json!(World::token("user", -30)),
            "InvalidJWTToken: Token has expired 30 seconds ago".to_owned(),
        ),
        (
            json!(forged()),
            "JwtSignatureError: Failed to validate JWT signature".to_owned(),
        ),
    ] {
        let mut world = World::default();
        let a = world.connect(V2);
        join_as(&mut world, a, ROOM, token, json!({}));
        world.pass_seconds(5);
        assert_eq!(world.read(a), [error(Some("1"), "1", ROOM, &reason)]);
    }
}

#[test]
fn a_connection_whose_token_has_expired_lives_on_but_opens_no_channel_with_it() {
    let mut world = World::default();
    let a = world.connect_with(V2, &World::token("user", 10));
    world.pass_seconds(12);
    join_as(&mut world, a, ROOM, json!(null), json!({}));
    world.pass_seconds(5);
    let reason = "InvalidJWTToken: Token has expired 2 seconds ago";
    assert_eq!(world.read(a), [error(Some("1"), "1", ROOM, reason)]);
    join_as(&mut world, a, ROOM, json!(World::token("user", 100)), json!({}));
    assert_eq!(world.read(a), [joined("1", "1", ROOM)]);
}

#[test]
fn a_channel_ends_when_its_token_does_and_not_before() {
    let mut world = World::default();
    let a = world.connect(V2);
    join_as(&mut world, a, ROOM, json!(World::token("user", 3_600)), json!({}));
    world.read(a);
    world.pass(Duration::from_millis(3_599_999));
    assert_eq!(world.read(a), NOTHING);
    world.pass(Duration::from_millis(1));
    assert_eq!(
        world.read(a),
        shutdown("1", ROOM, "Token has expired 0 seconds ago")
    );
}

#[test]
fn a_refresh_is_never_answered_and_moves_the_end() {
    let mut world = World::default();
    let a = world.connect(V2);
    join_as(&mut world, a, ROOM, json!(World::token("user", 10)), json!({}));
    world.read(a);
    refresh(&mut world, a, json!(World::token("user", 20)));
    world.pass_seconds(19);
    assert_eq!(world.read(a), NOTHING);
    refresh(&mut world, a, json!(World::token("user", 21)));
    refresh(&mut world, a, json!(World::token("user", 20)));
    world.pass_seconds(1);
    assert_eq!(
        world.read(a),
        shutdown("1", ROOM, "Token has expired 0 seconds ago"),
        "the last one counts"
    );
}

/// Trap 35: old clients resend the token, or null, with every heartbeat.
#[test]
fn tokens_that_say_nothing_new_are_passed_over() {
    let mut world = World::default();
    let token = World::token("user", 100);
    let a = world.connect_with(V2, &token);
    join_as(&mut world, a, ROOM, json!(null), json!({}));
    world.read(a);
    for nothing in [
        json!(token),
        json!(null),
        json!("sb_secret_x"),
        json!(7),
        json!({}),
    ] {
        refresh(&mut world, a, nothing);
    }
    world.push(a, Some("1"), "8", ROOM, "access_token", json!({}));
    assert_eq!(world.read(a), NOTHING);
    world.publish(false, "room", "{}");
    assert_eq!(world.read(a).len(), 1);
}

#[test]
fn a_bad_refresh_ends_the_channel_with_its_reason() {
    for (token, message) in [
        (json!(""), "The token provided is not a valid JWT".to_owned()),
        (
            json!(World::token("user", -5)),
            "Token has expired 5 seconds ago".to_owned(),
        ),
        (json!(forged()), ":signature_error".to_owned()),
    ] {
        let mut world = World::default();
        let a = world.member("room", json!({}));
        refresh(&mut world, a, token);
        assert_eq!(world.read(a), shutdown("1", ROOM, &message));
    }
}

#[test]
fn a_refresh_asks_the_policies_anew_and_forgets_what_may_be_written() {
    let mut world = World::default();
    world.grant(Ok(Grants {
        broadcast_write: Some(false),
        ..ALL
    }));
    let config = json!({ "private": true, "broadcast": { "self": true } });
    let a = world.member("room", config);
    let send = |world: &mut World| world.push(a, Some("1"), "5", ROOM, "broadcast", json!({ "event": "e" }));
    send(&mut world);
    assert_eq!(world.read(a), NOTHING);
    world.grant(Ok(ALL));
    refresh(&mut world, a, json!(World::token("user", 50)));
    send(&mut world);
    assert_eq!(world.read(a), [live(ROOM, "broadcast", json!({ "event": "e" }))]);
}

#[test]
fn losing_what_could_be_read_ends_the_channel() {
    let config = json!({ "private": true, "presence": { "enabled": true } });
    let denied = Grants {
        broadcast_read: Some(false),
        presence_read: Some(false),
        ..ALL
    };
    for (answer, message) in [
        (
            Ok(denied),
            "You do not have permissions to read from this Channel topic: room",
        ),
        (
            Ok(Grants {
                presence_read: Some(false),
                ..ALL
            }),
            "You no longer have permission to read from this Channel topic: room",
        ),
        (
            Ok(Grants {
                broadcast_read: Some(false),
                ..ALL
            }),
            "You no longer have permission to read from this Channel topic: room",
        ),
        (
            Err(AuthorizeFailure::Policy),
            "You do not have permissions to read from this Channel topic: room",
        ),
        (
            Err(AuthorizeFailure::Cancelled(String::new())),
            "Query was cancelled, please try again",
        ),
        (
            Err(AuthorizeFailure::Unavailable),
            "Realtime was unable to connect to the project database",
        ),
    ] {
        let mut world = World::default();
        world.grant(Ok(ALL));
        let a = world.member("room", config.clone());
        world.grant(answer);
        refresh(&mut world, a, json!(World::token("user", 50)));
        assert_eq!(world.read(a), shutdown("1", ROOM, message));
    }
}

#[test]
fn what_becomes_readable_starts_to_flow() {
    let mut world = World::default();
    world.grant(Ok(Grants {
        broadcast_read: Some(false),
        ..ALL
    }));
    let a = world.member(
        "room",
        json!({ "private": true, "presence": { "enabled": true } }),
    );
    world.publish(true, "room", "{}");
    assert_eq!(world.read(a), NOTHING);
    world.grant(Ok(ALL));
    refresh(&mut world, a, json!(World::token("user", 50)));
    world.publish(true, "room", "{}");
    assert_eq!(world.read(a).len(), 1);
}

#[test]
fn a_token_that_expires_while_its_successor_is_checked_does_not_end_the_channel() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let a = world.connect(V2);
    join_as(
        &mut world,
        a,
        ROOM,
        json!(World::token("user", 10)),
        json!({ "private": true }),
    );
    world.read(a);
    world.hold_grants();
    world.pass_seconds(9);
    refresh(&mut world, a, json!(World::token("user", 60)));
    world.pass_seconds(5);
    assert_eq!(world.read(a), NOTHING);
    world.grant(Ok(ALL));
    world.pass_seconds(45);
    assert_eq!(world.read(a), NOTHING);
    world.pass_seconds(1);
    assert_eq!(
        world.read(a),
        shutdown("1", ROOM, "Token has expired 0 seconds ago")
    );
}

#[test]
fn changes_are_subscribed_anew_and_the_old_claims_serve_until_then() {
    let mut world = World::default();
    world.subscribe_changes(|| ChangesOutcome::Live);
    let a = world.member("room", json!({ "postgres_changes": [{ "table": "x" }] }));
    refresh(&mut world, a, json!(World::token("user", 50)));
    let heard = world.read(a);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0][4]["message"], "Subscribed to PostgreSQL");
    assert_eq!(world.forgotten(), [], "the driver replaces one by the other");
}

#[test]
fn claims_that_were_given_up_deliver_nothing_even_if_the_new_ones_are_rejected() {
    let mut world = World::default();
    world.subscribe_changes(|| ChangesOutcome::Live);
    let a = world.member("room", json!({ "postgres_changes": [{ "table": "x" }] }));
    world.subscribe_changes(|| ChangesOutcome::Rejected("not for this role".to_owned()));
    refresh(&mut world, a, json!(World::token("user", 50)));
    assert_eq!(world.read(a)[0][4]["message"], "not for this role");
    assert_eq!(world.forgotten().len(), 1);
    world.push(a, Some("1"), "9", ROOM, "phx_leave", json!({}));
    assert_eq!(world.forgotten().len(), 1, "there is nothing left to forget");
}
