//! Behaviours of a tenant's sockets, seen through their frames. No server, no database, no waiting.
//!
//! *Trap n* in a test's comment names a way to break real clients without a message: their list is in
//! protocol-spec/clients.md.

mod broadcast;
mod join;
mod limits;
mod presence;
mod rejoin;
mod replay;
mod token;
mod transcripts;

use serde_json::{Value, json};
use tests::world::{Client, World};

/// An ok reply with an empty response.
fn ok(join_ref: &str, reference: &str, topic: &str) -> Value {
    json!([join_ref, reference, topic, "phx_reply", { "status": "ok", "response": {} }])
}

/// The ok reply to a join without bindings.
fn joined(join_ref: &str, reference: &str, topic: &str) -> Value {
    json!([join_ref, reference, topic, "phx_reply", { "status": "ok", "response": { "postgres_changes": [] } }])
}

/// An error reply with a reason.
fn error(join_ref: Option<&str>, reference: &str, topic: &str, reason: &str) -> Value {
    json!([join_ref, reference, topic, "phx_reply", { "status": "error", "response": { "reason": reason } }])
}

/// The frames by which the server ends a channel: why, and that it is over.
fn shutdown(join_ref: &str, topic: &str, message: &str) -> [Value; 2] {
    let channel = topic.strip_prefix("realtime:").expect("a channel's topic");
    let notice = json!({ "extension": "system", "status": "error", "message": message, "channel": channel });
    [
        json!([join_ref, null, topic, "system", notice]),
        closed(join_ref, topic),
    ]
}

/// `phx_close` of the channel joined with `join_ref`.
fn closed(join_ref: &str, topic: &str) -> Value {
    json!([join_ref, join_ref, topic, "phx_close", {}])
}

/// Joins with `reference` as both refs.
fn join(world: &mut World, client: Client, reference: &str, topic: &str, config: Value) {
    world.push(
        client,
        Some(reference),
        reference,
        topic,
        "phx_join",
        json!({ "config": config }),
    );
}

/// A frame that fans out: it belongs to no join.
fn live(topic: &str, event: &str, payload: Value) -> Value {
    json!([null, null, topic, event, payload])
}
