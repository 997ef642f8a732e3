//! Messages of the past at a join, and what is published while they are read.

use serde_json::{Value, json};
use session::{AuthorizeFailure, Grants, Replayed, ReplayedPayload};
use tests::world::{ALL, Client, World};

use super::{error, join, joined, live};
use phoenix_wire::Version::{V1, V2};

const ROOM: &str = "realtime:room";

fn message(id: &str, text: &str) -> Replayed {
    Replayed {
        id: id.into(),
        event: Some("e".into()),
        payload: ReplayedPayload::Json(text.into()),
    }
}

fn replayed(id: &str, payload: Value) -> Value {
    let envelope = json!({ "type": "broadcast", "event": "e", "payload": payload, "meta": { "id": id, "replayed": true } });
    json!(["1", null, ROOM, "broadcast", envelope])
}

fn row(id: &str, payload: Value) -> Value {
    json!({ "kind": 4, "topic": ROOM, "event": "e", "meta": { "id": id }, "payload": payload })
}

fn config() -> Value {
    json!({ "private": true, "broadcast": { "replay": { "since": 1 } } })
}

/// A client whose join waits for what is replayed.
fn reading(world: &mut World) -> Client {
    world.grant(Ok(ALL));
    let a = world.connect(V2);
    join(world, a, "1", ROOM, config());
    assert_eq!(world.waiting(), 1);
    assert!(world.read(a).is_empty());
    a
}

#[test]
fn they_follow_the_reply_oldest_first_and_precede_the_presence_state() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let binary = Replayed {
        payload: ReplayedPayload::Binary([7].into()),
        ..message("b", "")
    };
    let bare = Replayed {
        event: None,
        ..message("c", "null")
    };
    world.keep_messages(Some(vec![message("a", r#"{"n":1}"#), binary, bare]));
    let config = json!({ "private": true, "presence": { "enabled": true }, "broadcast": { "replay": { "since": 1 } } });
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, config.clone());
    let meta = json!({ "id": "b", "replayed": true });
    let envelope = json!({ "type": "broadcast", "event": null, "payload": null, "meta": { "id": "c", "replayed": true } });
    assert_eq!(
        world.read(a),
        [
            joined("1", "1", ROOM),
            replayed("a", json!({ "n": 1 })),
            json!({ "kind": 4, "topic": ROOM, "event": "e", "meta": meta, "payload": [7] }),
            json!(["1", null, ROOM, "broadcast", envelope]),
            json!(["1", null, ROOM, "presence_state", {}]),
        ]
    );
    // There are no bytes in 1.0.0.
    let b = world.connect(V1);
    join(&mut world, b, "1", ROOM, config);
    let heard = world.read(b);
    let events: Vec<&Value> = heard.iter().map(|frame| &frame["event"]).collect();
    assert_eq!(events, ["phx_reply", "broadcast", "broadcast", "presence_state"]);
}

#[test]
fn what_is_published_while_they_are_read_comes_after_them_and_nothing_comes_twice() {
    let mut world = World::default();
    let a = reading(&mut world);
    world.publish_row(true, "room", "both", r#"{"n":1}"#);
    world.publish_row(true, "room", "new", r#"{"n":2}"#);
    world.publish(true, "room", "{}");
    assert!(world.read(a).is_empty(), "nothing precedes the reply");
    world.keep_messages(Some(vec![
        message("both", r#"{"n":1}"#),
        message("late", r#"{"n":0}"#),
    ]));
    let unnamed = json!({ "type": "broadcast", "event": "e", "payload": {} });
    assert_eq!(
        world.read(a),
        [
            joined("1", "1", ROOM),
            replayed("both", json!({ "n": 1 })),
            replayed("late", json!({ "n": 0 })),
            row("new", json!({ "n": 2 })),
            live(ROOM, "broadcast", unnamed),
        ]
    );
    world.publish_row(true, "room", "late", r#"{"n":0}"#);
    world.publish_row(true, "room", "next", r#"{"n":3}"#);
    assert_eq!(world.read(a), [row("next", json!({ "n": 3 }))]);
}

#[test]
fn copies_are_told_in_the_older_serializer_as_well() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let a = world.connect(V1);
    join(&mut world, a, "1", ROOM, config());
    world.publish_row(true, "room", "both", r#"{"n":1}"#);
    world.publish_row(true, "room", "new", r#"{"n":2}"#);
    world.keep_messages(Some(vec![message("both", r#"{"n":1}"#)]));
    let heard = world.read(a);
    let ids: Vec<&Value> = heard
        .iter()
        .map(|frame| &frame["payload"]["meta"]["id"])
        .collect();
    assert_eq!(ids, [&Value::Null, &json!("both"), &json!("new")]);
}

#[test]
fn what_may_not_be_read_is_not_heard_after_a_replay_either() {
    let mut world = World::default();
    let grants = Grants {
        presence_read: Some(false),
        ..ALL
    };
    world.grant(Ok(grants));
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, config());
    world.keep_messages(Some(Vec::new()));
    world.read(a);
    world.grant(Ok(ALL));
    let b = world.member("room", json!({ "private": true }));
    let push = json!({ "type": "presence", "event": "track", "payload": {} });
    world.push(b, Some("1"), "2", ROOM, "presence", push);
    assert!(!world.read(b).is_empty());
    assert!(world.read(a).is_empty());
}

#[test]
fn a_join_whose_messages_cannot_be_read_is_refused_and_listens_no_more() {
    let mut world = World::default();
    let a = reading(&mut world);
    assert!(world.has_topic(true, "room"));
    world.keep_messages(None);
    assert!(!world.has_topic(true, "room"));
    world.pass_seconds(5);
    let reason = "UnableToReplayMessages: Realtime was unable to replay messages";
    assert_eq!(world.read(a), [error(Some("1"), "1", ROOM, reason)]);
}

#[test]
fn a_socket_that_goes_while_they_are_read_listens_no_more() {
    let mut world = World::default();
    let a = reading(&mut world);
    world.disconnect(a);
    assert!(!world.has_topic(true, "room"));
}

#[test]
fn a_channel_for_which_too_much_waits_has_to_join_again() {
    let mut world = World::default();
    let a = reading(&mut world);
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000));
    for _ in 0..7 {
        world.publish(true, "room", &text);
    }
    world.keep_messages(Some(Vec::new()));
    assert_eq!(
        world.read(a),
        [
            joined("1", "1", ROOM),
            json!(["1", "1", ROOM, "phx_error", { "reason": "channel_crash" }]),
        ]
    );
}

#[test]
fn who_may_not_read_broadcasts_gets_no_messages_of_the_past() {
    let mut world = World::default();
    world.keep_messages(Some(vec![message("a", "{}")]));
    let grants = Grants {
        broadcast_read: Some(false),
        ..ALL
    };
    for outcome in [Ok(grants), Err(AuthorizeFailure::Policy)] {
        world.grant(outcome);
        let a = world.connect(V2);
        let config = json!({ "private": true, "presence": { "enabled": true }, "broadcast": { "replay": { "since": 1 } } });
        join(&mut world, a, "1", ROOM, config);
        world.pass_seconds(5);
        let reason = "Unauthorized: You do not have permissions to read from this Channel topic: room";
        assert_eq!(world.read(a), [error(Some("1"), "1", ROOM, reason)]);
    }
}
