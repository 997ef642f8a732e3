//! Which values are personal: a small part of JSONPath.
//!
//! A path starts with `$`, the message, and goes on with
//!
//! | Segment | Means |
//! | --- | --- |
//! | `.name` | the member of that name |
//! | `[*]`, `.*` | every element of an array, every member of an object |
//! | `..name` | members of that name at any depth |
//!
//! A message has the members `join_ref`, `ref`, `topic`, `event` and `payload`, whatever serializer carries it. In a
//! broadcast and where a presence is tracked, `$` may also be the payload (`type`, `event`, `payload`), and in a body of
//! HTTP each of its messages; so `$.payload.email` finds the member of what was broadcast or tracked, also among the
//! presences that a server tells. In a token, `$` are its claims.

use std::str::FromStr;

/// One path of values to be redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Member(String),
    Each,
    Anywhere(String),
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no path that can be redacted: write $ and then .name, [*] or ..name, as in $.payload.email, \
     $.payload.users[*].name or $..email"
)]
pub struct RedactionError(String);

impl FromStr for Redaction {
    type Err = RedactionError;

    fn from_str(text: &str) -> Result<Self, RedactionError> {
        let error = || RedactionError(text.to_owned());
        let mut rest = text.strip_prefix('$').ok_or_else(error)?;
        let mut segments = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("[*]").or_else(|| rest.strip_prefix(".*")) {
                segments.push(Segment::Each);
                rest = after;
                continue;
            }
            let (make, after): (fn(String) -> Segment, _) = match rest.strip_prefix("..") {
                Some(after) => (Segment::Anywhere, after),
                None => (Segment::Member, rest.strip_prefix('.').ok_or_else(error)?),
            };
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() || name.contains(['*', ']', '"', '\'']) {
                return Err(error());
            }
            segments.push(make(name.to_owned()));
            rest = after;
        }
        if segments.is_empty() {
            return Err(error());
        }
        Ok(Self { segments })
    }
}

/// Where each path stands on the way down into a value: the index of the path, and how many segments are behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail(Vec<(usize, usize)>);

/// A step down into a value.
#[derive(Clone, Copy)]
pub(crate) enum Down<'a> {
    Member(&'a str),
    Element,
}

impl Trail {
    /// At the root of something.
    pub(crate) fn start(redactions: &[Redaction]) -> Self {
        Self((0..redactions.len()).map(|path| (path, 0)).collect())
    }

    /// Down into a child; `None` if a path ends there, so that the child is to be redacted.
    pub(crate) fn step(&self, redactions: &[Redaction], down: Down<'_>) -> Option<Self> {
        let mut next = Vec::new();
        for &(path, behind) in &self.0 {
            let segments = redactions
                .get(path)
                .map_or(&[][..], |redaction| &redaction.segments);
            let Some(segment) = segments.get(behind) else {
                continue;
            };
            let goes_on = match (segment, down) {
                (Segment::Each, _) => true,
                (Segment::Member(wanted) | Segment::Anywhere(wanted), Down::Member(name)) => wanted == name,
                (Segment::Member(_) | Segment::Anywhere(_), Down::Element) => false,
            };
            if goes_on && behind + 1 == segments.len() {
                return None;
            }
            if goes_on {
                next.push((path, behind + 1));
            }
            if let Segment::Anywhere(_) = segment {
                next.push((path, behind));
            }
        }
        Some(Self(next))
    }

    /// Both at once: paths may start here as well.
    pub(crate) fn and(mut self, other: Self) -> Self {
        for state in other.0 {
            if !self.0.contains(&state) {
                self.0.push(state);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transcript::Value;

    fn found(paths: &[&str], text: &str) -> String {
        let redactions: Vec<Redaction> = paths.iter().map(|path| path.parse().unwrap()).collect();
        let value = Value::parse(text).unwrap();
        redacted(&value, &Trail::start(&redactions), &redactions).to_string()
    }

    fn redacted(value: &Value, trail: &Trail, all: &[Redaction]) -> Value {
        let child = |value: &Value, down| match trail.step(all, down) {
            None => Value::text("-"),
            Some(trail) => redacted(value, &trail, all),
        };
        match value {
            Value::Array(elements) => {
                Value::Array(elements.iter().map(|value| child(value, Down::Element)).collect())
            }
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), child(value, Down::Member(name))))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    #[test]
    fn a_path_finds_members_elements_and_any_depth() {
        for (paths, text, expected) in [
            (
                vec!["$.payload.email"],
                r#"{"payload":{"email":1,"b":2},"email":3}"#,
                r#"{"payload":{"email":"-","b":2},"email":3}"#,
            ),
            (
                vec!["$.users[*].name"],
                r#"{"users":[{"name":1,"id":2},{"name":{}}]}"#,
                r#"{"users":[{"name":"-","id":2},{"name":"-"}]}"#,
            ),
            (
                vec!["$..email"],
                r#"{"email":1,"a":[{"email":[2]}]}"#,
                r#"{"email":"-","a":[{"email":"-"}]}"#,
            ),
            (
                vec!["$.a..b.c"],
                r#"{"a":{"x":{"b":{"c":1,"b":{"c":2}}}},"b":{"c":3}}"#,
                r#"{"a":{"x":{"b":{"c":"-","b":{"c":"-"}}}},"b":{"c":3}}"#,
            ),
            (vec!["$.*", "$..x"], r#"{"a":1,"x":2}"#, r#"{"a":"-","x":"-"}"#),
            (vec!["$.a[*]"], r#"{"a":[1,2]}"#, r#"{"a":["-","-"]}"#),
        ] {
            assert_eq!(found(&paths, text), expected, "{paths:?}");
        }
    }

    #[test]
    fn what_is_no_path_says_what_one_is() {
        for text in [
            "", "$", "payload", "$payload", "$.", "$..", "$.a[0]", "$.a['b']", "$.a...b",
        ] {
            let error = text.parse::<Redaction>().unwrap_err().to_string();
            assert!(error.contains("$.payload.email"), "{text}");
        }
    }
}
