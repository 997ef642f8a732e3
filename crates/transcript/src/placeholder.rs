//! Placeholders: `${…}` inside strings, and what they become in something that is sent.
//!
//! Two families share the notation. *Values* are known before anything arrives (`${jwt:anon}`, `${now_ms-60000}`,
//! `${fill:x:1000}`, `${tenant}`, `${host}`, `${secret}`); *captures* stand for something a server made up (`${uuid}`,
//! `${int:id1}`, …) and may have a name. A named capture is bound by the first match ([`crate::matcher`]) and is a
//! value from then on. Source: `protocol-spec/transcripts/FORMAT.md`, "Placeholders in what is sent".

use std::collections::BTreeMap;
use std::fmt;

use crate::json::Value;
use crate::number::Number;

/// Most bytes one `${fill:…}` may expand to: above every frame limit there is.
pub const FILL_BYTES_MAX: usize = 64 << 20;

/// A string taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Text that stands for itself.
    Literal(&'a str),
    /// One `${…}`.
    Placeholder(Placeholder<'a>),
}

/// One `${…}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholder<'a> {
    /// `${jwt:name}`: a token of the header.
    Token(&'a str),
    /// `${now_ms}`, `${now_ms-60000}`: milliseconds since the epoch.
    NowMs(i64),
    /// `${now}`, `${now+60}`: seconds since the epoch.
    Now(i64),
    /// `${fill:x:1000}`: a character, many times.
    Fill(char, usize),
    /// `${tenant}`: the tenant's name.
    Tenant,
    /// `${host}`: the `Host` the tenant is reached under.
    Host,
    /// `${secret}`: what the tenant's tokens are signed with.
    Secret,
    /// `${uuid}`, `${int:id1}`, …
    Capture(Kind, Option<&'a str>),
}

/// What a capture stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A UUID in lower case.
    Uuid,
    /// An integer number; inside a string, digits.
    Int,
    /// Letters, digits and `_-+/=`, at least one: a `phx_ref`.
    Ref,
    /// An ISO 8601 timestamp with `Z` or an offset.
    Time,
    /// Any text.
    Text,
    /// Any value.
    Any,
}

/// Why a placeholder means nothing, or nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderError {
    /// Not one of the notation's.
    #[error("unknown placeholder ${{{0}}}")]
    Unknown(String),
    /// `${` without `}`.
    #[error("placeholder without an end: {0}")]
    Unclosed(String),
    /// `${fill:…}` beyond [`FILL_BYTES_MAX`].
    #[error("${{{0}}} is longer than {FILL_BYTES_MAX} bytes")]
    TooLong(String),
    /// A token the header does not have.
    #[error("no token is named {0}")]
    NoToken(String),
    /// A name nothing was bound to yet.
    #[error("{0} is not bound yet")]
    Unbound(String),
    /// A capture without a name in something that is sent.
    #[error("${{{0}}} has no name, so there is nothing to send")]
    Nameless(Kind),
    /// The time in an expectation: nobody knows it.
    #[error("the time cannot be expected, only sent; use ${{int}} or ${{time}}")]
    TimeExpected,
}

/// The values placeholders stand for in one replay.
#[derive(Clone)]
pub struct Environment {
    /// The tenant's name.
    pub tenant: String,
    /// The `Host` it is reached under.
    pub host: String,
    /// What its tokens are signed with.
    pub secret: String,
    /// The tokens of the header by name, signed.
    pub tokens: BTreeMap<String, String>,
}

/// Without secret and tokens.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("tenant", &self.tenant)
            .field("host", &self.host)
            .field("tokens", &self.tokens.keys())
            .finish_non_exhaustive()
    }
}

/// What named captures were matched with so far.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    bound: Vec<(Kind, String, Value)>,
}

impl Bindings {
    /// What the name stands for. Names of different kinds are different names.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.bound
            .iter()
            .find(|(k, n, _)| *k == kind && n == name)
            .map(|(_, _, value)| value)
    }

    /// All of them: kind, name, value, in the order they were bound.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &str, &Value)> {
        self.bound
            .iter()
            .map(|(kind, name, value)| (*kind, name.as_str(), value))
    }

    pub(crate) fn bind(&mut self, kind: Kind, name: &str, value: Value) {
        self.bound.push((kind, name.to_owned(), value));
    }

    /// A point to [`rewind`](Self::rewind) to.
    pub(crate) fn mark(&self) -> usize {
        self.bound.len()
    }

    pub(crate) fn rewind(&mut self, mark: usize) {
        self.bound.truncate(mark);
    }
}

/// Takes a string apart.
///
/// # Errors
///
/// [`PlaceholderError::Unknown`], [`Unclosed`](PlaceholderError::Unclosed) or
/// [`TooLong`](PlaceholderError::TooLong).
pub(crate) fn parts(text: &str) -> Result<Vec<Part<'_>>, PlaceholderError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if !before.is_empty() {
            parts.push(Part::Literal(before));
        }
        let (placeholder, after) = split_placeholder(after)?;
        parts.push(Part::Placeholder(placeholder));
        rest = after;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Ok(parts)
}

/// `after` is what follows `${`. The character of a fill may itself be a closing brace.
fn split_placeholder(after: &str) -> Result<(Placeholder<'_>, &str), PlaceholderError> {
    let search_from = match after.strip_prefix("fill:").and_then(|fill| fill.chars().next()) {
        Some(character) => "fill:".len() + character.len_utf8(),
        None => 0,
    };
    let end = after
        .get(search_from..)
        .and_then(|tail| tail.find('}'))
        .map(|at| at + search_from);
    let Some((inside, rest)) = end.and_then(|end| Some((after.get(..end)?, after.get(end + 1..)?))) else {
        let start: String = after.chars().take(40).collect();
        return Err(PlaceholderError::Unclosed(format!("${{{start}")));
    };
    Ok((Placeholder::parse(inside)?, rest))
}

impl<'a> Placeholder<'a> {
    fn parse(inside: &'a str) -> Result<Self, PlaceholderError> {
        let unknown = || PlaceholderError::Unknown(inside.to_owned());
        let (word, argument) = match inside.split_once(':') {
            Some((word, argument)) => (word, Some(argument)),
            None => (inside, None),
        };
        let kind = match (word, argument) {
            ("tenant", None) => return Ok(Self::Tenant),
            ("host", None) => return Ok(Self::Host),
            ("secret", None) => return Ok(Self::Secret),
            ("jwt", Some(name)) if !name.is_empty() => return Ok(Self::Token(name)),
            ("fill", Some(argument)) => return Self::parse_fill(inside, argument),
            ("uuid", _) => Kind::Uuid,
            ("int", _) => Kind::Int,
            ("ref", _) => Kind::Ref,
            ("time", _) => Kind::Time,
            ("text", _) => Kind::Text,
            ("any", _) => Kind::Any,
            _ => return Self::parse_now(inside).ok_or_else(unknown),
        };
        match argument {
            Some("") => Err(unknown()),
            name => Ok(Self::Capture(kind, name)),
        }
    }

    fn parse_fill(inside: &str, argument: &str) -> Result<Self, PlaceholderError> {
        let mut characters = argument.chars();
        let count = characters.next().and_then(|character| {
            Some((
                character,
                characters.as_str().strip_prefix(':')?.parse::<usize>().ok()?,
            ))
        });
        match count {
            None => Err(PlaceholderError::Unknown(inside.to_owned())),
            Some((character, count)) if count > FILL_BYTES_MAX / character.len_utf8() => {
                Err(PlaceholderError::TooLong(inside.to_owned()))
            }
            Some((character, count)) => Ok(Self::Fill(character, count)),
        }
    }

    fn parse_now(inside: &str) -> Option<Self> {
        let (make, offset): (fn(i64) -> Self, &str) = match inside.strip_prefix("now_ms") {
            Some(offset) => (Self::NowMs, offset),
            None => (Self::Now, inside.strip_prefix("now")?),
        };
        let offset = match offset.as_bytes().first() {
            None => 0,
            // `parse` takes a sign of its own, so this is `+60` or `-60`, never a second sign.
            Some(b'+' | b'-') => offset.parse().ok()?,
            Some(_) => return None,
        };
        Some(make(offset))
    }

    /// The text of a value that needs neither time nor bindings; `None` for the time and for captures.
    pub(crate) fn constant(&self, environment: &Environment) -> Result<Option<String>, PlaceholderError> {
        Ok(Some(match self {
            Self::Token(name) => match environment.tokens.get(*name) {
                Some(token) => token.clone(),
                None => return Err(PlaceholderError::NoToken((*name).to_owned())),
            },
            Self::Fill(character, count) => character.to_string().repeat(*count),
            Self::Tenant => environment.tenant.clone(),
            Self::Host => environment.host.clone(),
            Self::Secret => environment.secret.clone(),
            Self::NowMs(_) | Self::Now(_) | Self::Capture(..) => return Ok(None),
        }))
    }
}

/// Everything that turns a string with placeholders into one without.
#[derive(Clone, Copy, Debug)]
pub struct Expansion<'a> {
    /// The values that hold for the whole replay.
    pub environment: &'a Environment,
    /// What was captured so far.
    pub bindings: &'a Bindings,
    /// The time. Milliseconds since the epoch.
    pub unix_ms: i64,
}

impl Expansion<'_> {
    /// A string with its placeholders replaced.
    ///
    /// # Errors
    ///
    /// Any [`PlaceholderError`].
    pub fn text(&self, text: &str) -> Result<String, PlaceholderError> {
        let mut out = String::new();
        for part in parts(text)? {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Placeholder(placeholder) => match self.value_of(placeholder)? {
                    Value::String(text) => out.push_str(&text),
                    other => out.push_str(&other.to_string()),
                },
            }
        }
        Ok(out)
    }

    /// A JSON value with the placeholders in its strings and member names replaced. A string that is nothing but one
    /// placeholder becomes what that stands for, which may be a number.
    ///
    /// # Errors
    ///
    /// Any [`PlaceholderError`].
    pub fn value(&self, value: &Value) -> Result<Value, PlaceholderError> {
        Ok(match value {
            Value::String(text) => match parts(text)?.as_slice() {
                [Part::Placeholder(placeholder)] => self.value_of(*placeholder)?,
                _ => Value::String(self.text(text)?),
            },
            Value::Array(elements) => Value::Array(
                elements
                    .iter()
                    .map(|element| self.value(element))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| Ok((self.text(name)?, self.value(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            plain => plain.clone(),
        })
    }

    fn value_of(&self, placeholder: Placeholder<'_>) -> Result<Value, PlaceholderError> {
        Ok(match placeholder {
            Placeholder::NowMs(offset) => Number::from(self.unix_ms.saturating_add(offset)).into(),
            Placeholder::Now(offset) => {
                Number::from(self.unix_ms.div_euclid(1000).saturating_add(offset)).into()
            }
            Placeholder::Capture(kind, None) => return Err(PlaceholderError::Nameless(kind)),
            Placeholder::Capture(kind, Some(name)) => match self.bindings.get(kind, name) {
                Some(value) => value.clone(),
                None => return Err(PlaceholderError::Unbound(format!("${{{kind}:{name}}}"))),
            },
            other => Value::String(other.constant(self.environment)?.unwrap_or_default()),
        })
    }
}

/// Checks that every placeholder of something that is sent is known, without knowing any value.
pub(crate) fn check_sent(value: &Value) -> Result<(), PlaceholderError> {
    each_string(value, &mut |text| {
        for part in parts(text)? {
            if let Part::Placeholder(Placeholder::Capture(kind, None)) = part {
                return Err(PlaceholderError::Nameless(kind));
            }
        }
        Ok(())
    })
}

/// Checks that every placeholder of an expectation is known.
pub(crate) fn check_expected(value: &Value) -> Result<(), PlaceholderError> {
    each_string(value, &mut |text| {
        for part in parts(text)? {
            if let Part::Placeholder(Placeholder::Now(_) | Placeholder::NowMs(_)) = part {
                return Err(PlaceholderError::TimeExpected);
            }
        }
        Ok(())
    })
}

/// Calls `visit` with every string and member name.
pub(crate) fn each_string<E>(value: &Value, visit: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    match value {
        Value::String(text) => visit(text),
        Value::Array(elements) => elements
            .iter()
            .try_for_each(|element| each_string(element, visit)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            visit(name)?;
            each_string(value, visit)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uuid => "uuid",
            Self::Int => "int",
            Self::Ref => "ref",
            Self::Time => "time",
            Self::Text => "text",
            Self::Any => "any",
        })
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, PlaceholderError> {
        let mut bindings = Bindings::default();
        bindings.bind(Kind::Int, "id1", Number::from(42_u64).into());
        bindings.bind(Kind::Uuid, "u1", Value::text("0000"));
        let environment = Environment {
            tenant: "main".into(),
            host: "main.localhost".into(),
            secret: "hush".into(),
            tokens: BTreeMap::from([("anon".into(), "h.c.s".into())]),
        };
        let expansion = Expansion {
            environment: &environment,
            bindings: &bindings,
            unix_ms: 1_700_000_000_123,
        };
        Ok(expansion
            .value(&Value::parse(text).expect("the test is JSON"))?
            .to_string())
    }

    #[test]
    fn values_are_put_into_strings_and_member_names() {
        for (text, expanded) in [
            (r#""Bearer ${jwt:anon}""#, r#""Bearer h.c.s""#),
            (
                r#""${tenant}@${host}:${secret}""#,
                r#""main@main.localhost:hush""#,
            ),
            (
                r#""${fill:x:3}${fill:::2}${fill:}:2}${fill:é:1}${fill:z:0}""#,
                r#""xxx::}}é""#,
            ),
            (r#"{"a${int:id1}":"${uuid:u1}!"}"#, r#"{"a42":"0000!"}"#),
            (r#""at ${now}""#, r#""at 1700000000""#),
            (r#""""#, r#""""#),
            (r#""$ { } $5""#, r#""$ { } $5""#),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expanded));
        }
    }

    #[test]
    fn a_string_that_is_nothing_but_a_number_becomes_one() {
        for (text, expanded) in [
            (r#"["${now_ms}"]"#, "[1700000000123]"),
            (r#"["${now_ms-60000}"]"#, "[1699999940123]"),
            (r#"["${now+60}"]"#, "[1700000060]"),
            (r#"["${int:id1}"]"#, "[42]"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expanded));
        }
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (text, reason) in [
            (r#""${nonsense}""#, "unknown placeholder ${nonsense}"),
            (r#""${now_ms-}""#, "unknown placeholder ${now_ms-}"),
            (r#""${nowhere}""#, "unknown placeholder ${nowhere}"),
            (r#""${now--5}""#, "unknown placeholder ${now--5}"),
            (r#""${fill:x}""#, "unknown placeholder ${fill:x}"),
            (r#""${tenant:x}""#, "unknown placeholder ${tenant:x}"),
            (r#""${uuid:}""#, "unknown placeholder ${uuid:}"),
            (r#""a ${int""#, "placeholder without an end: ${int"),
            (
                r#""${fill:x:99999999999}""#,
                "${fill:x:99999999999} is longer than 67108864 bytes",
            ),
            (r#""${jwt:nobody}""#, "no token is named nobody"),
            (r#""${int:id2}""#, "${int:id2} is not bound yet"),
            (r#""${uuid:id1}""#, "${uuid:id1} is not bound yet"),
            (r#""${uuid}""#, "${uuid} has no name, so there is nothing to send"),
        ] {
            assert_eq!(expand(text).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn neither_secret_nor_tokens_show_in_debug() {
        let environment = Environment {
            tenant: "main".into(),
            host: "h".into(),
            secret: "hush".into(),
            tokens: BTreeMap::from([("anon".into(), "h.c.s".into())]),
        };
        let shown = format!("{environment:?}");
        assert!(!shown.contains("hush") && !shown.contains("h.c.s"), "{shown}");
    }
}
