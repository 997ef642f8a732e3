//! The event names that mean something to the protocol. Any other name passes through as it is.

/// Client: open a channel. Source: protocol-spec/wire.md, section 6.
pub const JOIN: &str = "phx_join";
/// Client: close a channel.
pub const LEAVE: &str = "phx_leave";
/// Client, on [`PHOENIX_TOPIC`]: the connection is alive.
pub const HEARTBEAT: &str = "heartbeat";
/// Client: a new token for the channel. Never answered.
pub const ACCESS_TOKEN: &str = "access_token";
/// Client: track or untrack presence.
pub const PRESENCE: &str = "presence";
/// Both ways: a message of the application.
pub const BROADCAST: &str = "broadcast";
/// Server: the answer to a push.
pub const REPLY: &str = "phx_reply";
/// Server: the channel is closed in good order.
pub const CLOSE: &str = "phx_close";
/// Server: the channel is gone by a failure.
pub const ERROR: &str = "phx_error";
/// Server: a notice about the channel.
pub const SYSTEM: &str = "system";
/// Server: everybody who is present.
pub const PRESENCE_STATE: &str = "presence_state";
/// Server: who came and who went.
pub const PRESENCE_DIFF: &str = "presence_diff";
/// Server: a change of a row.
pub const POSTGRES_CHANGES: &str = "postgres_changes";

/// The topic of heartbeats; never a channel.
pub const PHOENIX_TOPIC: &str = "phoenix";
/// What the topic of every channel starts with. The rest is the sub-topic.
pub const TOPIC_PREFIX: &str = "realtime:";

/// The sub-topic of a channel's topic; `None` for a topic that is no channel's.
pub fn sub_topic(topic: &str) -> Option<&str> {
    topic.strip_prefix(TOPIC_PREFIX)
}
