//! Whether what a client says is what the recorded client said: by meaning, not by text.
//!
//! * A join is compared by its `config`. What the file does not mention may be anything, but for `private` and
//!   `postgres_changes`, whose absence means none: they decide what the server would answer. What the client leaves out has
//!   its default. Tokens and what else a library sends beside `config` do not count.
//! * Of any other message the members of the payload count that the file has, all but `type`.
//! * Refs are never compared.

use phoenix_wire::event;
use transcript::{Mismatch, Value};

use crate::blanks::Blanks;
use crate::message::Message;

/// Compares, and binds the names of the file.
///
/// # Errors
///
/// Where the payloads differ. Topic and event are not looked at.
pub(crate) fn compare(recorded: &Message, said: &Message, blanks: &mut Blanks) -> Result<(), Mismatch> {
    if recorded.event == event::JOIN {
        let (expected, actual) = configs(&recorded.payload, &said.payload);
        return blanks.compare(&expected, &actual);
    }
    match (&recorded.payload, &said.payload) {
        (Value::Object(expected), Value::Object(actual)) => {
            let counts = |name: &str| name != "type";
            let expected: Vec<_> = expected
                .iter()
                .filter(|(name, _)| counts(name))
                .cloned()
                .collect();
            let has_blank_name = expected.iter().any(|(name, _)| name.contains("${"));
            let is_wanted = |name: &str| has_blank_name || expected.iter().any(|(wanted, _)| wanted == name);
            let actual = actual
                .iter()
                .filter(|(name, _)| counts(name) && is_wanted(name))
                .cloned()
                .collect();
            blanks.compare(&Value::Object(expected), &Value::Object(actual))
        }
        (expected, actual) => blanks.compare(expected, actual),
    }
}

/// The part of both configurations that has to be equal.
fn configs(recorded: &Value, said: &Value) -> (Value, Value) {
    let nothing = Value::Object(Vec::new());
    let recorded = recorded.get("config").unwrap_or(&nothing);
    let said = said.get("config").unwrap_or(&nothing);
    let (mut expected, mut actual) = (Vec::new(), Vec::new());
    for (name, default) in [
        ("private", Value::Bool(false)),
        ("postgres_changes", Value::Array(Vec::new())),
    ] {
        let of = |config: &Value| without_nulls(present(config, name).unwrap_or(&default));
        expected.push((name.to_owned(), of(recorded)));
        actual.push((name.to_owned(), of(said)));
    }
    for (name, value) in recorded.as_object().unwrap_or_default() {
        let known = expected.iter().any(|(known, _)| known == name);
        if known || *value == Value::Null {
            continue;
        }
        let other = present(said, name);
        let Some(members) = value.as_object() else {
            actual.push((name.clone(), other.cloned().unwrap_or(Value::Null)));
            expected.push((name.clone(), value.clone()));
            continue;
        };
        let (mut wanted, mut there) = (Vec::new(), Vec::new());
        for (member, value) in members.iter().filter(|(_, value)| *value != Value::Null) {
            let given = other.and_then(|other| present(other, member));
            let given = given.cloned().unwrap_or_else(|| default_of(member));
            wanted.push((member.clone(), value.clone()));
            there.push((member.clone(), given));
        }
        expected.push((name.clone(), Value::Object(wanted)));
        actual.push((name.clone(), Value::Object(there)));
    }
    (Value::Object(expected), Value::Object(actual))
}

/// A member that is there and not null.
fn present<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|member| **member != Value::Null)
}

/// Bindings with a null where another library has nothing.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(elements) => Value::Array(elements.iter().map(without_nulls).collect()),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(_, value)| *value != Value::Null)
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect(),
        ),
        plain => plain.clone(),
    }
}

/// What a part of a configuration is if nobody says it. Source: protocol-spec/join.md.
fn default_of(member: &str) -> Value {
    match member {
        "ack" | "self" | "enabled" => Value::Bool(false),
        "key" => Value::text(""),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: &str, payload: &str) -> Message {
        Message {
            join_ref: None,
            reference: Value::Null,
            topic: "realtime:t".into(),
            event: event.into(),
            payload: Value::parse(payload).unwrap(),
        }
    }

    fn differs(event: &str, recorded: &str, said: &str) -> Option<String> {
        compare(
            &message(event, recorded),
            &message(event, said),
            &mut Blanks::new(),
        )
        .err()
        .map(|mismatch| mismatch.path)
    }

    #[test]
    fn a_join_is_compared_by_what_the_file_says_of_it() {
        let full = r#"{"config":{"broadcast":{"ack":false,"self":true},"presence":{"key":"k","enabled":true},
            "postgres_changes":[{"event":"*","schema":"public","table":"notes","filter":null}],"private":false},
            "access_token":"hush","version":"js"}"#;
        for (recorded, place) in [
            (full, None),
            (
                r#"{"config":{"postgres_changes":[{"event":"*","schema":"public","table":"notes"}]}}"#,
                None,
            ),
            (r#"{"config":{}}"#, Some("$.postgres_changes")),
            (
                r#"{"config":{"private":true,"postgres_changes":[{"event":"*","schema":"public","table":"notes"}]}}"#,
                Some("$.private"),
            ),
            (
                r#"{"config":{"presence":{"key":"other"},"postgres_changes":[{"event":"*","schema":"public","table":"notes"}]}}"#,
                Some("$.presence.key"),
            ),
        ] {
            assert_eq!(
                differs(event::JOIN, recorded, full).as_deref(),
                place,
                "{recorded}"
            );
        }
    }

    #[test]
    fn what_a_client_leaves_out_has_its_default() {
        let recorded =
            r#"{"config":{"broadcast":{"ack":false,"self":false},"presence":{"key":"","enabled":false}}}"#;
        assert_eq!(differs(event::JOIN, recorded, "{}"), None);
        assert_eq!(
            differs(
                event::JOIN,
                r#"{"config":{"broadcast":{"ack":true}}}"#,
                r#"{"config":{}}"#
            )
            .as_deref(),
            Some("$.broadcast.ack")
        );
    }

    #[test]
    fn of_another_message_what_the_file_has_counts() {
        let recorded = r#"{"type":"broadcast","event":"e","payload":{"at":"${time:t}","n":1.0}}"#;
        let said = r#"{"event":"e","payload":{"n":1,"at":"2024-01-01T00:00:00Z"},"private":false}"#;
        assert_eq!(differs(event::BROADCAST, recorded, said), None);
        let other = r#"{"event":"f","payload":{"n":1,"at":"2024-01-01T00:00:00Z"}}"#;
        assert_eq!(
            differs(event::BROADCAST, recorded, other).as_deref(),
            Some("$.event")
        );
        let more = r#"{"event":"e","payload":{"n":1,"at":"2024-01-01T00:00:00Z","more":1}}"#;
        assert!(differs(event::BROADCAST, recorded, more).is_some());
        assert!(differs(event::PRESENCE, "[1]", "[2]").is_some());
    }
}
