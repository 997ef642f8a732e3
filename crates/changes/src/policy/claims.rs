//! The claims of a viewer, as `json` and `jsonb` have them.

use std::sync::Arc;

use phoenix_wire::json::{self, Kind};

/// A JSON value that `json` and `jsonb` agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(Box<str>),
    Text(Box<str>),
    /// Nobody looks into it.
    Array,
    /// No two members have the same name.
    Object(Arc<[(Box<str>, Json)]>),
}

/// Deepest nesting that is followed.
const DEPTH_MAX: usize = 32;
/// Longest number; a longer one may be none to the database.
const NUMBER_BYTES_MAX: usize = 40;

impl Json {
    /// Reads a value. `None` if it is none, or if there is any doubt about what the database makes of it: members of the
    /// same name, a NUL, numbers with an exponent, deep nesting.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let checked = json::check(text.as_bytes()).ok()?.into_cow();
        // Members of the same name would have been taken out.
        match checked {
            std::borrow::Cow::Borrowed(checked) => Self::build(checked, 0),
            std::borrow::Cow::Owned(_) => None,
        }
    }

    fn build(text: &str, depth: usize) -> Option<Self> {
        if depth > DEPTH_MAX {
            return None;
        }
        Some(match json::kind(text) {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool(text == "true"),
            Kind::Number => Self::Number(number(text)?.into()),
            Kind::String => Self::Text(printable(json::string(text)?.into())?),
            Kind::Array => {
                for element in json::elements(text) {
                    Self::build(element, depth + 1)?;
                }
                Self::Array
            }
            Kind::Object => {
                let members = json::members(text)
                    .map(|(name, value)| Some((printable(name.into())?, Self::build(value, depth + 1)?)));
                Self::Object(members.collect::<Option<_>>()?)
            }
        })
    }

    /// `->`: the member of an object; `None` is NULL.
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        let Self::Object(members) = self else {
            return None;
        };
        let found = members.iter().find(|(found, _)| **found == *name);
        found.map(|(_, value)| value)
    }

    /// What `->>` makes of the value: `Some(None)` is NULL, `None` what the database would have to print.
    pub(super) fn text(&self) -> Option<Option<Box<str>>> {
        Some(match self {
            Self::Null => None,
            Self::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
            // `jsonb` has no negative zero.
            Self::Number(text)
                if text.starts_with('-') && !text.contains(|digit| matches!(digit, '1'..='9')) =>
            {
                return None;
            }
            Self::Number(text) | Self::Text(text) => Some(text.clone()),
            Self::Array | Self::Object(_) => return None,
        })
    }
}

/// A number without an exponent, which `numeric` prints as it is written.
fn number(text: &str) -> Option<&str> {
    let is_plain = text.len() <= NUMBER_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    is_plain.then_some(text)
}

/// No text of the database holds a NUL.
fn printable(text: Box<str>) -> Option<Box<str>> {
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_told_as_text() {
        let claims = Json::parse(
            r#" {"sub":"\u00e9\"","n":1.50,"t":true,"z":null,"o":{"in":{"x":"y"}},"a":[1,{}],"m":-0.0,"":""} "#,
        )
        .unwrap();
        let text = |name: &str| claims.member(name).map(Json::text);
        assert_eq!(text("sub"), Some(Some(Some("é\"".into()))));
        assert_eq!(text("n"), Some(Some(Some("1.50".into()))));
        assert_eq!(text("t"), Some(Some(Some("true".into()))));
        assert_eq!(text("z"), Some(Some(None)));
        assert_eq!(text("nothing"), None);
        assert_eq!(text(""), Some(Some(Some("".into()))));
        assert_eq!(text("o"), Some(None));
        assert_eq!(text("a"), Some(None));
        assert_eq!(text("m"), Some(None));
        let inner = claims.member("o").and_then(|o| o.member("in"));
        assert_eq!(
            inner.and_then(|inner| inner.member("x")),
            Some(&Json::Text("y".into()))
        );
        assert_eq!(claims.member("t").unwrap().member("x"), None);
    }

    #[test]
    fn what_the_database_may_read_otherwise_is_not_read() {
        for text in [
            "",
            "{",
            r#"{"a":1,"a":2}"#,
            r#"{"o":{"a":1,"\u0061":1}}"#,
            r#"{"a":"\u0000"}"#,
            r#"{"\u0000":1}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e3}"#,
            r#"{"a":[1E-400000]}"#,
            &format!(r#"{{"a":{}}}"#, "9".repeat(NUMBER_BYTES_MAX + 1)),
            &format!("{}{}", "[".repeat(DEPTH_MAX + 2), "]".repeat(DEPTH_MAX + 2)),
        ] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
    }
}
