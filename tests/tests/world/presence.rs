//! Presence: state, diffs, replies, keys.

use phoenix_wire::Version::V2;
use serde_json::{Value, json};
use session::{AuthorizeFailure, Grants};
use tests::world::{ALL, Client, World};

use crate::{error, join, joined, ok, shutdown};

const ROOM: &str = "realtime:room";
const NOTHING: [Value; 0] = [];

fn present(key: &str) -> Value {
    json!({ "presence": { "enabled": true, "key": key } })
}

fn private(key: &str) -> Value {
    json!({ "private": true, "presence": { "enabled": true, "key": key } })
}

fn track(world: &mut World, client: Client, reference: &str, payload: Value) {
    let push = json!({ "type": "presence", "event": "track", "payload": payload });
    world.push(client, Some("1"), reference, ROOM, "presence", push);
}

fn untrack(world: &mut World, client: Client, reference: &str) {
    world.push(
        client,
        Some("1"),
        reference,
        ROOM,
        "presence",
        json!({ "type": "presence", "event": "untrack" }),
    );
}

/// The diffs among what the client heard.
fn diffs(world: &World, client: Client) -> Vec<Value> {
    let heard = world.read(client).into_iter();
    heard
        .filter(|frame| frame[3] == "presence_diff")
        .map(|frame| frame[4].clone())
        .collect()
}

/// Trap 26: without the state JavaScript buffers every diff for ever; an empty room has one too.
#[test]
fn whoever_enables_presence_gets_the_state_once_after_the_reply() {
    let mut world = World::default();
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, present("ka"));
    assert_eq!(
        world.read(a),
        [
            joined("1", "1", ROOM),
            json!(["1", null, ROOM, "presence_state", {}])
        ]
    );
    track(&mut world, a, "2", json!({ "name": "A" }));
    world.read(a);
    let b = world.connect(V2);
    join(&mut world, b, "1", ROOM, present("kb"));
    let state = world.read(b).remove(1);
    assert_eq!(state[4]["ka"]["metas"][0]["name"], "A");
}

/// Traps 24 and 27: every meta has a ref, and diffs have both members whatever is in them.
#[test]
fn everybody_including_the_tracker_is_told_with_the_same_ref() {
    let mut world = World::default();
    let [a, b] = ["ka", "kb"].map(|key| world.member("room", present(key)));
    track(&mut world, a, "2", json!({ "name": "A" }));
    let heard = world.read(a);
    assert!(heard.contains(&ok("1", "2", ROOM)));
    assert_eq!(heard.len(), 2);
    let told = diffs(&world, b);
    let phx_ref = told[0]["joins"]["ka"]["metas"][0]["phx_ref"].clone();
    assert!(phx_ref.as_str().is_some_and(|text| !text.is_empty()));
    let meta = json!({ "phx_ref": phx_ref, "name": "A" });
    assert_eq!(
        told,
        [json!({ "joins": { "ka": { "metas": [meta] } }, "leaves": {} })]
    );
    assert!(heard.contains(&json!([null, null, ROOM, "presence_diff", told[0]])));
}

/// Trap 25: a join without the leave lists the member twice.
#[test]
fn an_update_leaves_and_joins_in_one_diff() {
    let mut world = World::default();
    let a = world.member("room", present("ka"));
    track(&mut world, a, "2", json!({ "n": 1 }));
    let first = diffs(&world, a)[0]["joins"]["ka"]["metas"][0].clone();
    track(&mut world, a, "3", json!({ "n": 2, "phx_ref": "mine" }));
    let told = diffs(&world, a);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["leaves"], json!({ "ka": { "metas": [first] } }));
    let second = &told[0]["joins"]["ka"]["metas"][0];
    assert_eq!(
        (&second["phx_ref_prev"], &second["n"]),
        (&first["phx_ref"], &json!(2))
    );
    assert!(second["phx_ref"] != first["phx_ref"] && second["phx_ref"] != "mine");
}

#[test]
fn the_same_payload_again_is_answered_and_told_to_nobody() {
    let mut world = World::default();
    let a = world.member("room", present("ka"));
    track(&mut world, a, "2", json!({ "n": 1 }));
    world.read(a);
    track(&mut world, a, "3", json!({ "n": 1 }));
    assert_eq!(world.read(a), [ok("1", "3", ROOM)]);
    untrack(&mut world, a, "4");
    track(&mut world, a, "5", json!({ "n": 1 }));
    assert_eq!(diffs(&world, a).len(), 2);
}

#[test]
fn untracking_twice_is_answered_twice_and_told_once() {
    let mut world = World::default();
    let a = world.member("room", present("ka"));
    track(&mut world, a, "2", json!({}));
    world.read(a);
    untrack(&mut world, a, "3");
    untrack(&mut world, a, "4");
    let heard = world.read(a);
    assert!(heard.contains(&ok("1", "3", ROOM)) && heard.contains(&ok("1", "4", ROOM)));
    assert_eq!(heard.len(), 3);
}

#[test]
fn every_way_of_going_is_a_leave_to_the_rest() {
    let mut world = World::default();
    let watcher = world.member("room", present("w"));
    for way in ["leave", "disconnect", "crash", "rejoin"] {
        let a = world.member("room", present(way));
        track(&mut world, a, "2", json!({}));
        diffs(&world, watcher);
        match way {
            "leave" => world.push(a, Some("1"), "3", ROOM, "phx_leave", json!({})),
            "disconnect" => world.disconnect(a),
            "crash" => world.push(a, Some("1"), "3", ROOM, "presence", json!({ "event": 7 })),
            _ => join(&mut world, a, "9", ROOM, present(way)),
        }
        let told = diffs(&world, watcher);
        assert_eq!(told.len(), 1, "{way}");
        assert_eq!(told[0]["joins"], json!({}));
        assert!(told[0]["leaves"][way].is_object(), "{way}");
    }
}

#[test]
fn two_channels_with_one_key_are_two_metas_in_order_of_arrival() {
    let mut world = World::default();
    let [a, b] = [(); 2].map(|()| world.member("room", present("same")));
    track(&mut world, a, "2", json!({ "from": "a" }));
    track(&mut world, b, "2", json!({ "from": "b" }));
    let c = world.connect(V2);
    join(&mut world, c, "1", ROOM, present("other"));
    let state = world.read(c).remove(1);
    let from: Vec<_> = state[4]["same"]["metas"]
        .as_array()
        .expect("metas")
        .iter()
        .map(|meta| &meta["from"])
        .collect();
    assert_eq!(from, ["a", "b"]);
    world.disconnect(a);
    let told = diffs(&world, c);
    assert_eq!(told[0]["leaves"]["same"]["metas"][0]["from"], "a");
}

#[test]
fn keys_are_generated_or_take_their_string_form() {
    let mut world = World::default();
    for (n, (key, expected)) in [
        (json!(null), None),
        (json!(""), None),
        (json!(7), Some("7")),
        (json!(true), Some("true")),
    ]
    .into_iter()
    .enumerate()
    {
        let name = n.to_string();
        let a = world.member(&name, json!({ "presence": { "enabled": true, "key": key } }));
        let push = json!({ "event": "track" });
        world.push(a, Some("1"), "2", &format!("realtime:{name}"), "presence", push);
        let joins = diffs(&world, a).remove(0)["joins"].clone();
        let found = joins
            .as_object()
            .and_then(|joins| joins.keys().next())
            .expect("one key")
            .clone();
        assert!(
            expected.map_or(!found.is_empty(), |expected| found == expected),
            "{found}"
        );
    }
}

#[test]
fn without_presence_there_is_no_state_but_there_are_diffs_and_one_may_track() {
    let mut world = World::default();
    let [a, b] = [(); 2].map(|()| world.connect(V2));
    for client in [a, b] {
        join(&mut world, client, "1", ROOM, json!({}));
        assert_eq!(world.read(client), [joined("1", "1", ROOM)]);
    }
    track(&mut world, a, "2", json!({}));
    assert_eq!((diffs(&world, a).len(), diffs(&world, b).len()), (1, 1));
}

#[test]
fn a_tenant_can_enable_presence_for_everybody() {
    let mut world = World::new(|policy| policy.presence_enabled = true);
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, json!({}));
    assert_eq!(world.read(a).len(), 2);
}

#[test]
fn replies_follow_the_table() {
    let mut world = World::new(|policy| policy.client_presence_calls_max = None);
    let a = world.member("room", present("ka"));
    let reject = json!(["1", "2", ROOM, "phx_reply", { "status": "error", "response": {} }]);
    for (payload, reply) in [
        (json!({}), ok("1", "2", ROOM)),
        (json!("text"), ok("1", "2", ROOM)),
        (json!({ "event": "dance" }), reject),
        (
            json!({ "event": "track", "payload": "text" }),
            error(Some("1"), "2", ROOM, "Presence track payload must be a map"),
        ),
        (json!({ "event": "UNTRACK" }), ok("1", "2", ROOM)),
    ] {
        world.push(a, Some("1"), "2", ROOM, "presence", payload);
        assert_eq!(world.read(a), [reply]);
    }
    world.push(a, Some("1"), "2", ROOM, "presence", json!({ "event": 7 }));
    assert_eq!(
        world.read(a),
        [json!(["1", "1", ROOM, "phx_error", { "reason": "channel_crash" }])]
    );
}

#[test]
fn a_track_that_is_too_large_ends_the_channel() {
    let mut world = World::new(|policy| policy.payload_bytes_max = Some(1_000));
    let a = world.member("room", present("ka"));
    track(&mut world, a, "2", json!({ "x": "y".repeat(1_000) }));
    assert_eq!(world.read(a), shutdown("1", ROOM, "Track message size exceeded"));
}

#[test]
fn who_may_not_write_presence_is_refused_and_may_still_untrack() {
    let mut world = World::default();
    let reject = json!(["1", "2", ROOM, "phx_reply", { "status": "error", "response": {} }]);
    for answer in [
        Ok(Grants {
            presence_write: Some(false),
            ..ALL
        }),
        Err(AuthorizeFailure::Policy),
    ] {
        world.grant(Ok(ALL));
        let a = world.member("room", private("ka"));
        world.grant(answer);
        track(&mut world, a, "2", json!({}));
        assert_eq!(world.read(a), std::slice::from_ref(&reject));
        untrack(&mut world, a, "3");
        assert_eq!(world.read(a), [ok("1", "3", ROOM)]);
        world.disconnect(a);
    }
}

#[test]
fn who_may_not_read_presence_gets_neither_state_nor_diffs() {
    let mut world = World::default();
    world.grant(Ok(Grants {
        presence_read: Some(false),
        ..ALL
    }));
    let a = world.connect(V2);
    join(&mut world, a, "1", ROOM, private("ka"));
    assert_eq!(world.read(a), [joined("1", "1", ROOM)]);
    world.grant(Ok(ALL));
    let b = world.member("room", private("kb"));
    track(&mut world, b, "2", json!({}));
    assert_eq!((diffs(&world, a), diffs(&world, b).len()), (vec![], 1));
}

/// Presence read is not asked for at a join with presence off; the first track asks for it.
#[test]
fn a_private_member_that_joined_without_presence_reads_it_from_its_first_track_on() {
    let mut world = World::default();
    world.grant(Ok(ALL));
    let a = world.member("room", json!({ "private": true }));
    let b = world.member("room", private("kb"));
    track(&mut world, b, "2", json!({}));
    assert_eq!(world.read(a), NOTHING);
    track(&mut world, a, "2", json!({}));
    assert_eq!(diffs(&world, a).len(), 1);
}

#[test]
fn a_storm_of_changes_is_merged_and_everybody_ends_with_the_same_picture() {
    let mut world = World::new(|policy| policy.client_presence_calls_max = None);
    let watcher = world.member("room", present("w"));
    let members: Vec<_> = (0..40)
        .map(|n| world.member("room", present(&n.to_string())))
        .collect();
    for (n, member) in members.iter().enumerate() {
        track(&mut world, *member, "2", json!({ "n": n }));
    }
    world.pass_seconds(1);
    let told = diffs(&world, watcher);
    assert!(told.len() < 40, "{}", told.len());
    let joins: usize = told
        .iter()
        .map(|diff| diff["joins"].as_object().map_or(0, serde_json::Map::len))
        .sum();
    assert_eq!(joins, 40);
}
