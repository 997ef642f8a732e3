//! The one way to write a line: no white space, known keys in a fixed order, everything below them as it is.
//!
//! Two recordings of the same thing then differ only where they differ. What is said does not change: numbers keep their
//! notation, members below the known keys their order.

use crate::json::Value;

/// A line in canonical form: a header if it has a key `transcript`, a step otherwise. Of a step, the first key stays the
/// first, for it says what the step does.
pub fn canonical(line: &Value) -> Value {
    match line.get("transcript") {
        Some(_) => header(line),
        None => step(line),
    }
}

fn header(line: &Value) -> Value {
    let reference = |value: &Value| ordered(value, REFERENCE, &|_, value| value.clone());
    let token = |_: &str, value: &Value| ordered(value, TOKEN, &|_, value| value.clone());
    ordered(line, HEADER, &|name, value| match name {
        "reference" => reference(value),
        "jwt" => each(value, &token),
        _ => value.clone(),
    })
}

fn step(line: &Value) -> Value {
    let Some((first, others)) = line.as_object().and_then(<[_]>::split_first) else {
        return line.clone();
    };
    let others = ordered(&Value::Object(others.to_vec()), STEP, &|name, value| match name {
        "expect" | "refused" => ordered(value, ANSWER, &|_, value| value.clone()),
        "unordered" => match value.as_array() {
            Some(elements) => Value::Array(elements.iter().map(element).collect()),
            None => value.clone(),
        },
        _ => value.clone(),
    });
    let mut members = vec![first.clone()];
    members.extend(others.as_object().unwrap_or_default().iter().cloned());
    Value::Object(members)
}

fn element(value: &Value) -> Value {
    ordered(value, STEP, &|_, value| value.clone())
}

/// The members in this order, then those that are not in it.
fn ordered(value: &Value, order: &[&str], inner: &dyn Fn(&str, &Value) -> Value) -> Value {
    let Some(members) = value.as_object() else {
        return value.clone();
    };
    let mut members: Vec<_> = members
        .iter()
        .map(|(name, value)| (name.clone(), inner(name, value)))
        .collect();
    members.sort_by_key(|(name, _)| {
        order
            .iter()
            .position(|known| known == name)
            .unwrap_or(order.len())
    });
    Value::Object(members)
}

fn each(value: &Value, inner: &dyn Fn(&str, &Value) -> Value) -> Value {
    match value.as_object() {
        Some(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), inner(name, value)))
                .collect(),
        ),
        None => value.clone(),
    }
}

const HEADER: &[&str] = &[
    "transcript",
    "name",
    "area",
    "title",
    "shows",
    "reference",
    "vsn",
    "tenant",
    "fresh_tenant",
    "lock",
    "setup",
    "teardown",
    "jwt",
    "takes_ms",
];
const REFERENCE: &[&str] = &["server", "version", "commit"];
const TOKEN: &[&str] = &["raw", "alg", "key", "kid", "secret", "claims"];
const STEP: &[&str] = &[
    "vsn",
    "params",
    "query",
    "headers",
    "text",
    "raw",
    "bytes",
    "push",
    "ping",
    "pong",
    "opcode",
    "view",
    "unordered",
    "optional",
    "ms",
    "replies",
    "heartbeats",
    "on",
    "abrupt",
    "code",
    "reason",
    "response",
    "body",
    "hex",
    "host",
    "refused",
    "brief",
    "expect",
    "rows",
    "error",
    "at_ms",
    "after_ms",
    "timeout_ms",
    "numbers",
    "sample",
];
const ANSWER: &[&str] = &["status", "type", "body"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_have_an_order_and_the_rest_keeps_its_own() {
        for (line, form) in [
            (
                r#"{ "send": "a", "view": {"b":1,"a":2}, "bytes": "00" }"#,
                r#"{"send":"a","bytes":"00","view":{"b":1,"a":2}}"#,
            ),
            (
                r#"{"recv":"a","numbers":"exact","at_ms":3,"text":[1.50,{"b":1,"a":"\u00e9"}]}"#,
                r#"{"recv":"a","text":[1.50,{"b":1,"a":"é"}],"at_ms":3,"numbers":"exact"}"#,
            ),
            (
                r#"{"recv":"a","unordered":[{"optional":true,"text":1}]}"#,
                r#"{"recv":"a","unordered":[{"text":1,"optional":true}]}"#,
            ),
            (
                r#"{"http":"GET /","expect":{"body":{"z":1,"a":2},"status":200},"headers":{"z":"","a":""}}"#,
                r#"{"http":"GET /","headers":{"z":"","a":""},"expect":{"status":200,"body":{"z":1,"a":2}}}"#,
            ),
            (
                r#"{"name":"n","jwt":{"z":{"claims":{},"kid":"k"},"a":{"raw":""}},"transcript":1,"reference":{"commit":"c","server":"s"}}"#,
                r#"{"transcript":1,"name":"n","reference":{"server":"s","commit":"c"},"jwt":{"z":{"kid":"k","claims":{}},"a":{"raw":""}}}"#,
            ),
            ("[1]", "[1]"),
            ("{}", "{}"),
        ] {
            let formed = canonical(&Value::parse(line).unwrap());
            assert_eq!(formed.to_string(), form);
            assert_eq!(canonical(&formed), formed);
        }
    }
}
