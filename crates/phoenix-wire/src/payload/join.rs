//! The payload of `phx_join`. Source: protocol-spec/join.md, sections 2 and 3.

use std::fmt;

use super::{OPAQUE_KEY_PREFIX, RawBinding};
use crate::JsonText;
use crate::json::{self, Kind};

/// Most messages a replay yields, and how many it yields if the client does not say.
pub const REPLAY_LIMIT_MAX: u8 = 25;

/// Milliseconds since the epoch that a calendar with years of four digits, before or after year 0, can show.
const SINCE_MS: std::ops::RangeInclusive<i64> = -377_705_116_800_000..=253_402_300_799_999;

/// What a client asks for with a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinPayload {
    /// The token the channel runs on.
    pub token: TokenChoice,
    /// There is no `config`: the topic itself is a binding, see [`RawBinding::from_topic`].
    pub legacy: bool,
    /// The channel is subject to policies.
    pub private: bool,
    /// `config.broadcast`
    pub broadcast: BroadcastConfig,
    /// `config.presence`
    pub presence: PresenceConfig,
    /// `config.postgres_changes`, nulls dropped.
    pub changes: Vec<RawBinding>,
    /// The text of `config`, for opt-in members this type knows nothing of; `{}` if there is none.
    pub extensions: String,
}

/// Which token a channel runs on.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenChoice {
    /// The token of the connection.
    Connection,
    /// A token of its own. Any string, also an empty one, which then fails as malformed.
    Own(String),
}

impl fmt::Debug for TokenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "Connection",
            Self::Own(_) => "Own(…)",
        })
    }
}

/// `config.broadcast`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BroadcastConfig {
    /// Accepted broadcasts are answered.
    pub ack: bool,
    /// The sending channel gets its own broadcasts (`self` in the protocol).
    pub self_: bool,
    /// Messages of the past are wanted.
    pub replay: Replay,
    /// The client wants to know when broadcasts from the database flow.
    pub replication_ready: bool,
}

/// `config.broadcast.replay`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// The member is absent.
    #[default]
    Absent,
    /// Present, but no object: a private channel goes without replay. A public channel is refused even so.
    Ignored,
    /// An object that does not say what it wants: a private channel is refused.
    Invalid,
    /// The newest `limit` messages since an instant.
    Window {
        /// Milliseconds since the epoch.
        since_ms: i64,
        /// `1..=REPLAY_LIMIT_MAX`
        limit: u8,
    },
}

impl Replay {
    /// True if the member is there with any value, null included. Public channels are refused then.
    pub fn is_present(self) -> bool {
        self != Self::Absent
    }
}

/// `config.presence`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceConfig {
    /// The client wants the presence state. A tenant can switch this on for everybody.
    pub enabled: bool,
    /// The key the channel's metas stand under.
    pub key: PresenceKey,
}

/// `config.presence.key`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceKey {
    /// Absent, null or empty: the server makes one up.
    Generated,
    /// The client's key; a number or a boolean in its string form.
    Given(String),
}

/// A payload the join cannot be read from. Its text follows `UnknownErrorOnChannel: ` in the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {what} to be {expected}, got {got}")]
pub struct PayloadShape {
    what: &'static str,
    expected: &'static str,
    got: &'static str,
}

impl PayloadShape {
    fn new(what: &'static str, expected: &'static str, found: &str) -> Self {
        let got = match json::kind(found) {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        };
        Self { what, expected, got }
    }
}

impl JoinPayload {
    /// Reads the payload of `phx_join`.
    ///
    /// # Errors
    ///
    /// [`PayloadShape`] where a container has the wrong type and the reference fails too: the payload itself,
    /// `config`, `config.broadcast`, an entry of `config.postgres_changes`; and for a presence key that has no string
    /// form. Every other mistake falls back to a default.
    pub fn parse(payload: &JsonText<'_>) -> Result<Self, PayloadShape> {
        let text = payload.as_str();
        if !payload.is_object() {
            return Err(PayloadShape::new("the join payload", "an object", text));
        }
        let config = json::member(text, "config");
        let legacy = config.is_none();
        let config = object_or_null("config", config)?;
        let section = |name| json::member(config, name);

        Ok(Self {
            token: choose_token(text),
            legacy,
            private: flag(section("private")),
            broadcast: parse_broadcast(object_or_null("config.broadcast", section("broadcast"))?),
            presence: parse_presence(section("presence").unwrap_or(EMPTY))?,
            changes: parse_changes(section("postgres_changes").unwrap_or(EMPTY))?,
            extensions: config.to_owned(),
        })
    }
}

/// The response of an accepted join, given the echoes of its bindings ([`super::binding_with_id`]) in their order.
pub fn join_ok(bindings_with_ids: &[String]) -> String {
    format!(r#"{{"postgres_changes":[{}]}}"#, bindings_with_ids.join(","))
}

const EMPTY: &str = "{}";

fn object_or_null<'a>(what: &'static str, value: Option<&'a str>) -> Result<&'a str, PayloadShape> {
    match value {
        None | Some("null") => Ok(EMPTY),
        Some(value) if json::kind(value) == Kind::Object => Ok(value),
        Some(value) => Err(PayloadShape::new(what, "an object", value)),
    }
}

/// The first of `access_token` and `user_token` that is set decides whether an opaque key is meant; a token is taken
/// from `user_token` first. That is as odd as it is in the reference.
fn choose_token(payload: &str) -> TokenChoice {
    let access = json::member(payload, "access_token").filter(|value| json::is_truthy(value));
    let user = json::member(payload, "user_token").filter(|value| json::is_truthy(value));
    let as_string = |value: Option<&str>| value.and_then(json::string).map(|text| text.into_owned());

    let is_opaque = as_string(access.or(user)).is_some_and(|token| token.starts_with(OPAQUE_KEY_PREFIX));
    if is_opaque {
        return TokenChoice::Connection;
    }
    as_string(user)
        .or_else(|| as_string(access))
        .map_or(TokenChoice::Connection, TokenChoice::Own)
}

/// True for `true` and for the string `true` in any letter case; false for anything else.
fn flag(value: Option<&str>) -> bool {
    value.is_some_and(|value| {
        value == "true" || json::string(value).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    })
}

fn parse_broadcast(config: &str) -> BroadcastConfig {
    let member = |name| json::member(config, name);
    BroadcastConfig {
        ack: flag(member("ack")),
        self_: flag(member("self")),
        replay: member("replay").map_or(Replay::Absent, parse_replay),
        replication_ready: member("replication_ready").is_some_and(json::is_truthy),
    }
}

fn parse_replay(value: &str) -> Replay {
    if json::kind(value) != Kind::Object {
        return Replay::Ignored;
    }
    let since = json::member(value, "since").and_then(integer);
    let limit = match json::member(value, "limit").filter(|limit| json::is_truthy(limit)) {
        Some(limit) => integer(limit),
        None => Some(i128::from(REPLAY_LIMIT_MAX)),
    };
    let (Some(since), Some(limit)) = (since, limit) else {
        return Replay::Invalid;
    };
    match i64::try_from(since) {
        Ok(since_ms) if SINCE_MS.contains(&since_ms) => {
            let limit = limit.clamp(1, i128::from(REPLAY_LIMIT_MAX));
            Replay::Window {
                since_ms,
                limit: u8::try_from(limit).unwrap_or(REPLAY_LIMIT_MAX),
            }
        }
        _ => Replay::Invalid,
    }
}

/// An integer; one beyond 128 bits becomes the nearest that fits, which is as far out of every range.
fn integer(value: &str) -> Option<i128> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let beyond = if value.starts_with('-') {
        i128::MIN
    } else {
        i128::MAX
    };
    Some(value.parse().unwrap_or(beyond))
}

fn parse_presence(config: &str) -> Result<PresenceConfig, PayloadShape> {
    let key = match json::member(config, "key") {
        None | Some("null") => PresenceKey::Generated,
        Some(value) => match json::kind(value) {
            Kind::Array | Kind::Object => {
                return Err(PayloadShape::new("config.presence.key", "a string", value));
            }
            Kind::String => match json::string(value) {
                Some(text) if !text.is_empty() => PresenceKey::Given(text.into_owned()),
                _ => PresenceKey::Generated,
            },
            Kind::Null | Kind::Bool | Kind::Number => PresenceKey::Given(value.to_owned()),
        },
    };
    Ok(PresenceConfig {
        enabled: flag(json::member(config, "enabled")),
        key,
    })
}

fn parse_changes(value: &str) -> Result<Vec<RawBinding>, PayloadShape> {
    json::elements(value)
        .filter(|entry| *entry != "null")
        .map(|entry| {
            RawBinding::new(entry)
                .ok_or_else(|| PayloadShape::new("an entry of config.postgres_changes", "an object", entry))
        })
        .collect()
}
