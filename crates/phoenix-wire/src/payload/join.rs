//! The payload of `phx_join`. Source: protocol-spec/join.md, sections 2 and 3.

use super::{RawBinding, Replay, TokenChoice};
use crate::JsonText;
use crate::json::{self, Kind};

/// Most bindings of a join. The reference has no bound; each costs a row in the database and an entry in the reply.
pub const BINDINGS_MAX: usize = 1000;

/// What a client asks for with a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinPayload {
    /// The token the channel runs on.
    pub token: TokenChoice,
    /// There is no `config`: the topic itself is a binding, see [`RawBinding::of_topic`].
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
    /// form, and for more than [`BINDINGS_MAX`] bindings. Every other mistake falls back to a default.
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
            token: TokenChoice::parse(text),
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
        replay: Replay::parse(member("replay")),
        replication_ready: member("replication_ready").is_some_and(json::is_truthy),
    }
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
    let entries = || json::elements(value).filter(|entry| *entry != "null");
    if entries().nth(BINDINGS_MAX).is_some() {
        return Err(PayloadShape {
            what: "config.postgres_changes",
            expected: "an array of at most 1000 entries",
            got: "more",
        });
    }
    entries()
        .map(|entry| {
            RawBinding::new(entry)
                .ok_or_else(|| PayloadShape::new("an entry of config.postgres_changes", "an object", entry))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<JoinPayload, String> {
        let payload = json::check(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        JoinPayload::parse(&payload).map_err(|shape| shape.to_string())
    }

    fn join(text: &str) -> JoinPayload {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn key(value: &str) -> PresenceKey {
        join(&format!(r#"{{"config":{{"presence":{{"key":{value}}}}}}}"#))
            .presence
            .key
    }

    fn given(key: &str) -> PresenceKey {
        PresenceKey::Given(key.to_owned())
    }

    #[test]
    fn nothing_is_required() {
        let expected = JoinPayload {
            token: TokenChoice::Connection,
            legacy: false,
            private: false,
            broadcast: BroadcastConfig::default(),
            presence: PresenceConfig {
                enabled: false,
                key: PresenceKey::Generated,
            },
            changes: Vec::new(),
            extensions: "{}".to_owned(),
        };
        for text in [r#"{"config":{}}"#, r#"{"config":null}"#] {
            assert_eq!(join(text), expected, "{text}");
        }
        for text in [
            r#"{"config":{"broadcast":null,"presence":null,"postgres_changes":null}}"#,
            r#"{"config":{"future":{"x":1},"broadcast":{},"presence":{}},"version":"realtime-js/9","other":[1]}"#,
        ] {
            let found = join(text);
            assert_eq!(
                JoinPayload {
                    extensions: "{}".to_owned(),
                    ..found.clone()
                },
                expected,
                "{text}"
            );
            assert_eq!(Some(found.extensions.as_str()), json::member(text, "config"));
        }
        assert_eq!(
            join("{}"),
            JoinPayload {
                legacy: true,
                ..expected
            }
        );
    }

    #[test]
    fn a_complete_config_is_read() {
        let join = join(
            r#"{"config":{"private":true,
                "broadcast":{"ack":true,"self":true,"replay":{"since":5,"limit":3},"replication_ready":true},
                "presence":{"key":"me","enabled":true},
                "postgres_changes":[{"event":"INSERT","schema":"public"},null,{"event":"*"}]}}"#,
        );
        assert!(
            join.private && join.broadcast.ack && join.broadcast.self_ && join.broadcast.replication_ready
        );
        assert_eq!(
            join.broadcast.replay,
            Replay::Window {
                since_ms: 5,
                limit: 3
            }
        );
        assert_eq!(
            join.presence,
            PresenceConfig {
                enabled: true,
                key: given("me")
            }
        );
        let changes: Vec<_> = join.changes.iter().map(RawBinding::as_str).collect();
        assert_eq!(
            changes,
            [r#"{"event":"INSERT","schema":"public"}"#, r#"{"event":"*"}"#]
        );
    }

    #[test]
    fn flags_are_flexible_and_fall_back_to_false() {
        for (value, set) in [
            ("true", true),
            (r#""true""#, true),
            (r#""TRUE""#, true),
            (r#""True""#, true),
            ("false", false),
            (r#""false""#, false),
            (r#""FALSE""#, false),
            ("null", false),
            ("1", false),
            (r#""yes""#, false),
            (r#""""#, false),
            (r#""1""#, false),
            ("{}", false),
            ("[true]", false),
        ] {
            let join = join(&format!(
                r#"{{"config":{{"private":{value},"broadcast":{{"ack":{value},"self":{value}}},"presence":{{"enabled":{value}}}}}}}"#
            ));
            let flags = [
                join.private,
                join.broadcast.ack,
                join.broadcast.self_,
                join.presence.enabled,
            ];
            assert_eq!(flags, [set; 4], "{value}");
        }
    }

    #[test]
    fn one_bad_flag_leaves_the_others_alone() {
        let join = join(r#"{"config":{"private":"yes","broadcast":{"ack":"test","self":true}}}"#);
        assert_eq!(
            (join.private, join.broadcast.ack, join.broadcast.self_),
            (false, false, true)
        );
    }

    #[test]
    fn replication_ready_is_on_for_anything_set() {
        for (value, on) in [
            ("true", true),
            (r#""false""#, true),
            ("0", true),
            ("{}", true),
            ("false", false),
            ("null", false),
        ] {
            let text = format!(r#"{{"config":{{"broadcast":{{"replication_ready":{value}}}}}}}"#);
            assert_eq!(join(&text).broadcast.replication_ready, on, "{value}");
        }
    }

    #[test]
    fn containers_of_the_wrong_type_end_the_join() {
        for text in [
            "7",
            "null",
            "[]",
            r#""x""#,
            r#"{"config":["x"]}"#,
            r#"{"config":"x"}"#,
            r#"{"config":7}"#,
            r#"{"config":false}"#,
            r#"{"config":[]}"#,
            r#"{"config":{"broadcast":"str"}}"#,
            r#"{"config":{"broadcast":[]}}"#,
            r#"{"config":{"broadcast":false}}"#,
            r#"{"config":{"postgres_changes":["x"]}}"#,
            r#"{"config":{"postgres_changes":[{},7]}}"#,
            r#"{"config":{"presence":{"key":{}}}}"#,
            r#"{"config":{"presence":{"key":[1]}}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse(r#"{"config":{"postgres_changes":["x"]}}"#),
            Err("expected an entry of config.postgres_changes to be an object, got a string".to_owned())
        );
    }

    #[test]
    fn bindings_are_bounded() {
        let bindings = |count: usize| {
            let entries = vec![r#"{"event":"*"}"#; count].join(",null,");
            parse(&format!(r#"{{"config":{{"postgres_changes":[{entries}]}}}}"#))
        };
        assert_eq!(
            bindings(BINDINGS_MAX).map(|join| join.changes.len()),
            Ok(BINDINGS_MAX)
        );
        assert!(bindings(BINDINGS_MAX + 1).is_err_and(|error| error.contains(&BINDINGS_MAX.to_string())));
    }

    #[test]
    fn other_containers_of_the_wrong_type_count_as_absent() {
        for text in [
            r#"{"config":{"presence":"str"}}"#,
            r#"{"config":{"presence":[]}}"#,
            r#"{"config":{"postgres_changes":{}}}"#,
            r#"{"config":{"postgres_changes":"x"}}"#,
            r#"{"config":{"postgres_changes":[null]}}"#,
        ] {
            let join = join(text);
            assert_eq!(
                (join.changes.len(), join.presence.key),
                (0, PresenceKey::Generated),
                "{text}"
            );
        }
    }

    #[test]
    fn presence_keys_become_text() {
        for (value, expected) in [
            ("null", PresenceKey::Generated),
            (r#""""#, PresenceKey::Generated),
            (r#""a""#, given("a")),
            (r#""\u00e9""#, given("é")),
            (r#"" ""#, given(" ")),
            ("7", given("7")),
            ("1.50", given("1.50")),
            ("false", given("false")),
        ] {
            assert_eq!(key(value), expected, "{value}");
        }
    }

    #[test]
    fn debug_output_shows_no_token() {
        assert!(!format!("{:?}", join(r#"{"access_token":"secret"}"#)).contains("secret"));
    }

    #[test]
    fn an_accepted_join_echoes_its_bindings() {
        assert_eq!(join_ok(&[]), r#"{"postgres_changes":[]}"#);
        assert_eq!(
            join_ok(&[r#"{"id":1}"#.to_owned(), r#"{"id":2}"#.to_owned()]),
            r#"{"postgres_changes":[{"id":1},{"id":2}]}"#
        );
    }
}
