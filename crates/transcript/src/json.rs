//! JSON without loss: numbers keep their text, objects keep the order of their members and members that come twice.
//!
//! A transcript compares what a server wrote, so a value must not pass through a `f64` or a map on its way. Reading is
//! `serde_json`'s grammar, one level at a time over [`RawValue`]; building the tree is ours.

use std::fmt::{self, Write as _};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::number::Number;

/// Deepest nesting that is read. Each level scans its text once more, so this also bounds the time.
pub const DEPTH_MAX: usize = 512;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as it was written.
    Number(Number),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object, in the order of the text.
    Object(Vec<(String, Value)>),
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

impl Value {
    /// Reads one value that fills the whole text.
    ///
    /// # Errors
    ///
    /// What is wrong and in which column, or that the nesting exceeds [`DEPTH_MAX`].
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| describe(&error))?;
        build(raw, DEPTH_MAX)
    }

    /// As [`parse`](Self::parse), for bytes that may not even be UTF-8.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|error| JsonError(format!("not UTF-8: {error}")))?;
        Self::parse(text)
    }

    /// A string value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The first member of that name, if this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_object()?
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// What kind of value this is, with an article: "a number".
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

fn build(raw: &RawValue, levels_left: usize) -> Result<Value, JsonError> {
    let text = raw.get();
    let inner = || {
        levels_left
            .checked_sub(1)
            .ok_or_else(|| JsonError(format!("nested deeper than {DEPTH_MAX}")))
    };
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::String(serde_json::from_str(text).map_err(|error| describe(&error))?),
        Some(b'[') => {
            let left = inner()?;
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| describe(&error))?;
            Value::Array(
                elements
                    .into_iter()
                    .map(|element| build(element, left))
                    .collect::<Result<_, _>>()?,
            )
        }
        Some(b'{') => {
            let left = inner()?;
            let members = serde_json::Deserializer::from_str(text)
                .deserialize_map(Members)
                .map_err(|error| describe(&error))?;
            Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| Ok((name, build(value, left)?)))
                    .collect::<Result<_, _>>()?,
            )
        }
        _ => Value::Number(Number::parse(text).ok_or_else(|| JsonError(format!("not a number: {text}")))?),
    })
}

fn describe(error: &serde_json::Error) -> JsonError {
    let text = error.to_string();
    // Every text read here is one line, so "line 1" says nothing.
    JsonError(text.replace(" at line 1 column ", " at column "))
}

/// Collects the members of one object, in order and with those that come twice.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// The shortest text: no white space, and escapes only where JSON demands them.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(number.as_str()),
            Self::String(text) => write_string(f, text),
            Self::Array(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    write!(f, "{element}")?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    write_string(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..0x20 => "",
            _ => continue,
        };
        f.write_str(text.get(plain..at).unwrap_or_default())?;
        plain = at + 1;
        match escape {
            "" => write!(f, "\\u{byte:04x}")?,
            escape => f.write_str(escape)?,
        }
    }
    f.write_str(text.get(plain..).unwrap_or_default())?;
    f.write_char('"')
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(Number::from(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_written_again_without_white_space() {
        for text in [
            "null",
            "[true,false,null]",
            r#"{"b":1,"a":2,"b":3}"#,
            "[12345678901234567890.123456789000,1e400,-0.0,5E-1]",
            r#""\u0000\b\f\n\r\t\"\\ü😀/""#,
            r#"{"":{"":[]}}"#,
        ] {
            assert_eq!(Value::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Value::parse(" [ 1 , { } ] ").unwrap().to_string(), "[1,{}]");
        assert_eq!(Value::parse(r#""\ud83d\ude00\/""#).unwrap(), Value::text("😀/"));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_column() {
        for text in [
            "",
            "{",
            "[1,]",
            "01",
            "nul",
            "1 2",
            r#""\ud800""#,
            "{\"a\" 1}",
            "'a'",
        ] {
            assert!(Value::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Value::parse("[1,]").unwrap_err().to_string(),
            "expected value at column 4"
        );
        assert!(
            Value::parse_bytes(b"\"\xff\"")
                .unwrap_err()
                .to_string()
                .starts_with("not UTF-8")
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Value::parse(&nested(DEPTH_MAX)).is_ok());
        let error = Value::parse(&nested(DEPTH_MAX + 1)).unwrap_err();
        assert_eq!(error.to_string(), "nested deeper than 512");
    }
}
