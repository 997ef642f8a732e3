//! Joining: what is answered, what follows, what is refused and when.

use std::time::Duration;

use phoenix_wire::Version::{V1, V2};
use serde_json::json;
use session::{AuthorizeFailure, ChangesOutcome, Grants};
use tests::world::{ALL, World};

use crate::{error, join, joined, live, shutdown};

const ROOM: &str = "realtime:room";

/// Traps 6 and 40: the key is there although nothing was asked for, and topics keep their prefix.
#[test]
fn a_join_is_answered_with_its_refs_and_an_empty_list_of_bindings() {
    let mut world = World::default();
    let a = world.connect(V2);
    join(&mut world, a, "7", ROOM, json!({}));
    assert_eq!(world.read(a), [joined("7", "7", ROOM)]);
}

/// Trap 1: without `"ref":null` Python and Kotlin drop the frame. There is no `join_ref` in 1.0.0.
#[test]
fn frames_of_1_0_0_have_exactly_four_members_and_a_ref_even_if_null() {
    let mut world = World::default();
    let a = world.connect(V1);
    world.push(
        a,
        Some("1"),
        "1",
        ROOM,
        "phx_join",
        json!({ "config": { "presence": { "enabled": true } } }),
    );
    world.publish(false, "room", r#"{"x":1}"#);
    let reply = json!({ "status": "ok", "response": { "postgres_changes": [] } });
    let message = json!({ "type": "broadcast", "event": "e", "payload": { "x": 1 } });
    assert_eq!(
        world.read(a),
        [
            json!({ "topic": ROOM, "event": "phx_reply", "payload": reply, "ref": "1" }),
            json!({ "topic": ROOM, "event": "presence_state", "payload": {}, "ref": null }),
            json!({ "topic": ROOM, "event": "broadcast", "payload": message, "ref": null }),
        ]
    );
}

/// Traps 32, 33 and 34: Python has no join_ref, Kotlin numbers joins apart, C# uses UUIDs.
#[test]
fn refs_are_echoed_as_they_came_whatever_they_are() {
    let mut world = World::default();
    let a = world.connect(V2);
    for (join_ref, reference) in [
        (json!(null), json!("1")),
        (json!("0"), json!("1")),
        (json!(3), json!(4)),
        (json!("0d4f3c0e-8e4e-4cd2-8d5c-111111111111"), json!(null)),
    ] {
        let topic = format!("realtime:{reference}{join_ref}");
        world.send(
            a,
            json!([join_ref, reference, topic, "phx_join", { "config": {} }]),
        );
        let heard = world.read(a);
        assert_eq!(
            heard.first().map(|reply| (&reply[0], &reply[1])),
            Some((&join_ref, &reference))
        );
    }
}

/// Trap 37: clients of many eras send keys nobody here knows.
#[test]
fn unknown_keys_and_odd_flags_do_not_keep_anybody_out() {
    let mut world = World::default();
    let a = world.connect(V2);
    let payload = json!({
        "config": { "private": "nonsense", "broadcast": { "ack": 1 }, "postgres_changes_options": {}, "presence": null },
        "version": "realtime-js/2.119.1", "user_token": null,
    });
    world.push(a, Some("1"), "1", ROOM, "phx_join", payload);
    assert_eq!(world.read(a), [joined("1", "1", ROOM)]);
}

/// Trap 4: clients compare what they sent with what comes back, field by field and index by index. Trap 5: ids are
/// positive and fit 31 bits. Trap 7: there is word when the subscription stands.
#[test]
fn bindings_come_back_verbatim_with_ids_and_the_notice_follows() {
    let mut world = World::default();
    world.subscribe_changes(|| ChangesOutcome::Live);
    let a = world.connect(V2);
    let bindings = json!([
        { "event": "*", "schema": "public", "table": "b", "filter": "id=eq.1" },
        { "table": "a", "event": "insert" },
        { "event": "*", "schema": "public", "table": "b", "filter": "id=eq.1" },
    ]);
    join(&mut world, a, "1", ROOM, json!({ "postgres_changes": bindings }));
    let heard = world.read(a);
    let echo = heard[0][4]["response"]["postgres_changes"]
        .as_array()
        .expect("a list");
    let mut ids = Vec::new();
    for (sent, back) in bindings.as_array().expect("a list").iter().zip(echo) {
        let mut back = back.as_object().expect("an object").clone();
        ids.push(back.remove("id").and_then(|id| id.as_u64()).expect("an integer"));
        assert_eq!(*sent, json!(back));
    }
    assert_eq!(echo.len(), 3);
    assert_eq!(ids[0], ids[2]);
    assert!(ids.iter().all(|id| (1..1 << 31).contains(id)) && ids[0] != ids[1]);
    let notice = json!({
        "message": "Subscribed to PostgreSQL", "status": "ok", "extension": "postgres_changes", "channel": "room",
    });
    assert_eq!(heard[1..], [json!(["1", null, ROOM, "system", notice])]);
}

#[test]
fn a_rejected_subscription_is_told_and_the_channel_stays() {
    let mut world = World::default();
    world.subscribe_changes(|| ChangesOutcome::Rejected("no such table".to_owned()));
    let a = world.connect(V2);
    join(
        &mut world,
        a,
        "1",
        ROOM,
        json!({ "postgres_changes": [{ "table": "x" }] }),
    );
    let heard = world.read(a);
    assert_eq!(heard[0][4]["status"], "ok");
    assert_eq!(
        (&heard[1][4]["status"], &heard[1][4]["message"]),
        (&json!("error"), &json!("no such table"))
    );
    world.publish(false, "room", "{}");
    assert_eq!(world.read(a).len(), 1);
}

#[test]
fn nothing_overtakes_the_reply_while_changes_are_being_subscribed_to() {
    let mut world = World::default();
    let a = world.connect(V2);
    join(
        &mut world,
        a,
        "1",
        ROOM,
        json!({ "postgres_changes": [{ "table": "x" }], "presence": { "enabled": true } }),
    );
    let member = world.member("room", json!({}));
    world.push(member, Some("1"), "2", ROOM, "broadcast", json!({ "event": "e" }));
    assert_eq!(world.read(a), [] as [serde_json::Value; 0]);
    world.subscribe_changes(|| ChangesOutcome::Live);
    let events: Vec<_> = world.read(a).iter().map(|frame| frame[3].clone()).collect();
    assert_eq!(events, ["phx_reply", "system", "presence_state"]);
}

#[test]
fn leaving_before_the_answer_of_the_database_is_heard_after_it() {
    let mut world = World::default();
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, json!({ "private": true }));
    world.push(a, Some("1"), "2", ROOM, "phx_leave", json!({}));
    world.push(a, None, "3", "phoenix", "heartbeat", json!({}));
    assert_eq!(
        world.read(a),
        [json!([null, "3", "phoenix", "phx_reply", { "status": "ok", "response": {} }])]
    );
    world.grant(Ok(ALL));
    let events: Vec<_> = world
        .read(a)
        .iter()
        .map(|frame| (frame[1].clone(), frame[3].clone()))
        .collect();
    assert_eq!(
        events,
        [
            (json!("1"), json!("phx_reply")),
            (json!("2"), json!("phx_reply")),
            (json!("1"), json!("phx_close"))
        ]
    );
    assert!(!world.has_topic(true, "room"));
}

#[test]
fn an_answer_for_a_channel_of_a_closed_socket_is_dropped() {
    let mut world = World::default();
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, json!({ "private": true }));
    world.disconnect(a);
    world.grant(Ok(ALL));
    assert_eq!((world.waiting(), world.read(a).len()), (0, 0));
    assert!(!world.has_topic(true, "room"));
}

#[test]
fn a_refusal_waits_for_its_delay_and_holds_up_no_other_channel() {
    let mut world = World::default();
    let a = world.connect(V2);
    join(&mut world, a, "1", "realtime:", json!({}));
    join(&mut world, a, "2", ROOM, json!({}));
    assert_eq!(world.read(a), [joined("2", "2", ROOM)]);
    world.pass(Duration::from_millis(4_999));
    assert_eq!(world.read(a).len(), 0);
    world.pass(Duration::from_millis(1));
    let reason = "TopicNameRequired: You must provide a topic name";
    assert_eq!(world.read(a), [error(Some("1"), "1", "realtime:", reason)]);
}

#[test]
fn a_message_for_a_refused_channel_finds_none_afterwards() {
    let mut world = World::new(|policy| policy.private_only = true);
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, json!({}));
    world.push(a, Some("1"), "2", ROOM, "broadcast", json!({}));
    world.pass_seconds(5);
    let reason = "PrivateOnly: This project only allows private channels";
    assert_eq!(
        world.read(a),
        [
            error(Some("1"), "1", ROOM, reason),
            error(None, "2", ROOM, "unmatched topic")
        ]
    );
}

#[test]
fn topics_that_are_no_channels_are_unmatched_at_once() {
    let mut world = World::default();
    let a = world.connect(V2);
    for (topic, event) in [
        ("other:room", "phx_join"),
        (ROOM, "broadcast"),
        ("phoenix", "presence"),
    ] {
        world.push(a, Some("1"), "9", topic, event, json!({}));
        assert_eq!(world.read(a), [error(None, "9", topic, "unmatched topic")]);
    }
    world.send(a, json!([null, "9", { "not": "a name" }, "phx_join", {}]));
    assert_eq!(world.read(a)[0][2], json!({ "not": "a name" }));
}

#[test]
fn a_payload_that_is_no_object_is_refused_with_the_reason() {
    let mut world = World::default();
    let a = world.connect(V2);
    world.push(a, Some("1"), "1", ROOM, "phx_join", json!("text"));
    world.pass_seconds(5);
    let heard = world.read(a);
    let reason = heard[0][4]["response"]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("UnknownErrorOnChannel: "), "{reason}");
}

#[test]
fn a_private_channel_opens_for_whoever_may_read_something() {
    let mut world = World::default();
    let read = |broadcast, presence| {
        Ok(Grants {
            broadcast_read: Some(broadcast),
            presence_read: Some(presence),
            ..ALL
        })
    };
    for (n, (broadcast, presence)) in [(true, false), (false, true), (true, true)]
        .into_iter()
        .enumerate()
    {
        world.grant(read(broadcast, presence));
        let topic = format!("realtime:{n}");
        let a = world.connect(V2);
        join(
            &mut world,
            a,
            "1",
            &topic,
            json!({ "private": true, "presence": { "enabled": true } }),
        );
        let heard = world.read(a);
        assert_eq!(heard[0], joined("1", "1", &topic));
        assert_eq!(
            heard.len() == 2,
            presence,
            "the state is for those who may read presence"
        );
        world.publish(true, &n.to_string(), "{}");
        assert_eq!(world.read(a).len() == 1, broadcast);
    }
    world.grant(read(false, false));
    let a = world.connect(V2);
    join(
        &mut world,
        a,
        "1",
        ROOM,
        json!({ "private": true, "presence": { "enabled": true } }),
    );
    world.pass_seconds(5);
    let reason = "Unauthorized: You do not have permissions to read from this Channel topic: room";
    assert_eq!(world.read(a), [error(Some("1"), "1", ROOM, reason)]);
}

#[test]
fn policies_that_cannot_be_asked_refuse_the_join_by_name() {
    for (failure, reason) in [
        (
            AuthorizeFailure::Policy,
            "Unauthorized: You do not have permissions to read from this Channel topic: room",
        ),
        (
            AuthorizeFailure::Cancelled("late".to_owned()),
            "QueryCanceled: late",
        ),
        (
            AuthorizeFailure::PoolExhausted,
            "IncreaseConnectionPool: Please increase your connection pool size",
        ),
        (
            AuthorizeFailure::MissingPartition,
            "MissingPartition: Realtime was unable to find the expected messages partition",
        ),
        (
            AuthorizeFailure::Unavailable,
            "UnableToConnectToProject: Realtime was unable to connect to the project database",
        ),
    ] {
        let mut world = World::default();
        world.grant(Err(failure));
        let a = world.connect(V2);
        join(&mut world, a, "1", ROOM, json!({ "private": true }));
        world.pass_seconds(5);
        assert_eq!(world.read(a), [error(Some("1"), "1", ROOM, reason)]);
    }
}

#[test]
fn replay_is_refused_where_it_cannot_be_had() {
    let unauthorized = "Unauthorized: You do not have permissions to read from this Channel topic: room";
    let presence_only = Grants {
        broadcast_read: Some(false),
        ..ALL
    };
    for (private, grants, replay, reason) in [
        (
            false,
            ALL,
            json!(null),
            "UnableToReplayMessages: Replay is not allowed for public channels",
        ),
        (
            true,
            ALL,
            json!({ "since": "x" }),
            "UnableToReplayMessages: Replay params are not valid",
        ),
        (true, presence_only, json!({ "since": "x" }), unauthorized),
        (
            true,
            ALL,
            json!({ "since": 1 }),
            "UnableToReplayMessages: Realtime was unable to replay messages",
        ),
    ] {
        let mut world = World::default();
        world.grant(Ok(grants));
        world.keep_messages(None);
        let a = world.connect(V2);
        let config =
            json!({ "private": private, "broadcast": { "replay": replay }, "presence": { "enabled": true } });
        join(&mut world, a, "1", ROOM, config);
        world.pass_seconds(5);
        assert_eq!(world.read(a), [error(Some("1"), "1", ROOM, reason)]);
    }
}

#[test]
fn who_asks_for_it_is_told_once_when_broadcasts_from_the_database_flow() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "replication_ready": true } }));
    let b = world.member("room", json!({}));
    assert_eq!(world.waiting(), 1, "only who asks for it waits");
    world.pass_seconds(59);
    assert!(world.read(a).is_empty());
    world.replicate();
    let notice = json!({
        "extension": "system", "status": "ok", "message": "Replication connection established", "channel": "room",
    });
    assert_eq!(world.read(a), [json!(["1", null, ROOM, "system", notice])]);
    world.pass_seconds(3600);
    assert!(world.read(a).is_empty());
    assert!(world.read(b).is_empty());
}

#[test]
fn a_channel_that_waits_for_the_database_stream_is_ended_after_a_minute() {
    let mut world = World::default();
    let a = world.member("room", json!({ "broadcast": { "replication_ready": true } }));
    world.pass(Duration::from_millis(59_999));
    assert_eq!(world.read(a).len(), 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(
        world.read(a),
        shutdown("1", ROOM, "Replication connection was not established in time")
    );
    let b = world.member("room", json!({ "broadcast": { "replication_ready": false } }));
    world.pass_seconds(60);
    assert_eq!(world.read(b).len(), 0);
}

#[test]
fn a_join_without_config_takes_its_topic_for_a_table_and_broadcasts_all_the_same() {
    let mut world = World::default();
    world.subscribe_changes(|| ChangesOutcome::Rejected("no such schema".to_owned()));
    let a = world.connect(V2);
    world.push(a, Some("1"), "1", "realtime:public:notes", "phx_join", json!({}));
    let heard = world.read(a);
    let binding = &heard[0][4]["response"]["postgres_changes"][0];
    assert_eq!(
        (&binding["schema"], &binding["table"]),
        (&json!("public"), &json!("notes"))
    );
    world.publish(false, "public:notes", "{}");
    let payload = json!({ "type": "broadcast", "event": "e", "payload": {} });
    assert_eq!(
        world.read(a),
        [live("realtime:public:notes", "broadcast", payload)]
    );
}

/// Trap 20.
#[test]
fn a_heartbeat_is_answered_with_its_ref_before_any_join() {
    let mut world = World::default();
    let a = world.connect(V2);
    for reference in [json!("7"), json!(8), json!(null)] {
        world.send(a, json!(["x", reference, "phoenix", "heartbeat", []]));
        let reply = json!([null, reference, "phoenix", "phx_reply", { "status": "ok", "response": {} }]);
        assert_eq!(world.read(a), [reply]);
    }
}

#[test]
fn a_frame_that_is_no_message_gets_no_answer_and_harms_nobody() {
    use phoenix_wire::MessageKind::{Binary, Text};
    let mut world = World::default();
    let a = world.member("room", json!({}));
    for (kind, bytes) in [
        (Text, &b""[..]),
        (Text, b"{"),
        (Text, b"[1,2,3,4]"),
        (Binary, b"\x09"),
        (Binary, b"\x03"),
    ] {
        assert!(!world.send_frame(a, kind, bytes));
    }
    assert_eq!(world.read(a).len(), 0);
    world.publish(false, "room", "{}");
    assert_eq!(world.read(a).len(), 1);
}
