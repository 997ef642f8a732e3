//! Bindings to Postgres changes: the objects in `config.postgres_changes`, kept exactly as the client wrote them.
//!
//! Clients compare the echo of a binding with what they sent, member by member. So nothing is normalised, reordered or
//! filled in. Source: protocol-spec/join.md, section 6.

use crate::json::{self, Sink, write_string};

/// One binding: the checked text of a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBinding(Box<str>);

impl RawBinding {
    /// Keeps `text` if it is an object.
    pub(super) fn new(text: &str) -> Option<Self> {
        (json::kind(text) == json::Kind::Object).then(|| Self(text.into()))
    }

    /// The binding a join without `config` asks for: `schema`, `schema:table` or `schema:table:filter` as sub-topic.
    /// Source: protocol-spec/join.md, section 8.
    pub fn of_topic(sub_topic: &str) -> Self {
        let mut text =
            String::with_capacity(sub_topic.len() + r#"{"schema":"","table":"","filter":""}"#.len());
        text.put("{");
        for (index, (name, value)) in ["schema", "table", "filter"]
            .into_iter()
            .zip(sub_topic.splitn(3, ':'))
            .enumerate()
        {
            if index > 0 {
                text.put(",");
            }
            write_string(&mut text, name);
            text.put(":");
            write_string(&mut text, value);
        }
        text.put("}");
        Self(text.into())
    }

    /// The object's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text of a member's value; `None` if it is absent, which differs from null.
    pub fn member(&self, name: &str) -> Option<&str> {
        json::member(&self.0, name)
    }
}

/// Ids of bindings are `1..=ID_MAX`: 27 bits as in the reference, and never 0, which clients take for no id.
const ID_MAX: u64 = (1 << 27) - 1;

/// The number by which changes name the binding with this object text. Equal objects have equal ids, whatever the order
/// of their members, on every connection and in every release.
pub fn binding_id(raw: &str) -> u32 {
    let id = json::content_hash(raw) % ID_MAX + 1;
    id as u32
}

/// The echo of a binding: its members as they are, and `id`. A member `id` of the client's own gets the new value.
pub fn binding_with_id(raw: &str, id: u32) -> String {
    let id = id.to_string();
    let mut echo = String::with_capacity(raw.len() + id.len() + 8);
    let mut has_id = false;
    echo.put("{");
    for (index, (name, value)) in json::members(raw).enumerate() {
        if index > 0 {
            echo.put(",");
        }
        write_string(&mut echo, &name);
        echo.put(":");
        let is_id = name == "id";
        echo.put(if is_id { &id } else { value });
        has_id |= is_id;
    }
    if !has_id {
        if echo.len() > 1 {
            echo.put(",");
        }
        echo.put(r#""id":"#);
        echo.put(&id);
    }
    echo.put("}");
    echo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_keeps_order_and_spelling_of_values() {
        let raw = r#"{ "event":"INSERT", "filter" : null,"schema":7 ,"table":"t\u00e9" }"#;
        assert_eq!(
            binding_with_id(raw, 5),
            r#"{"event":"INSERT","filter":null,"schema":7,"table":"t\u00e9","id":5}"#
        );
        assert_eq!(binding_with_id("{}", 5), r#"{"id":5}"#);
        assert_eq!(binding_with_id(r#"{"id":"mine","a":1}"#, 5), r#"{"id":5,"a":1}"#);
    }

    #[test]
    fn ids_depend_on_content_alone_and_are_never_zero() {
        let a = binding_id(r#"{"event":"*","schema":"public"}"#);
        assert_eq!(a, binding_id(r#"{ "schema":"public", "event":"\u002a" }"#));
        assert_ne!(a, binding_id(r#"{"event":"*","schema":"private"}"#));
        for n in 0..10_000 {
            let id = binding_id(&format!(r#"{{"table":"t{n}"}}"#));
            assert!((1..1 << 27).contains(&id));
        }
    }

    #[test]
    fn a_topic_has_up_to_three_parts() {
        for (topic, text) in [
            ("room", r#"{"schema":"room"}"#),
            ("public:t", r#"{"schema":"public","table":"t"}"#),
            (
                "public:t:id=eq.1:2",
                r#"{"schema":"public","table":"t","filter":"id=eq.1:2"}"#,
            ),
            ("a\":", r#"{"schema":"a\"","table":""}"#),
        ] {
            assert_eq!(RawBinding::of_topic(topic).as_str(), text);
        }
    }
}
