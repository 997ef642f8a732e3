//! The placeholders of a file, from the server's side.
//!
//! A transcript is written from the client's side: what it sends has values where what arrives has blanks. Here it is the
//! other way round. [`pattern`] makes blanks of what only the recorded client knew, and [`Blanks`] fills those of the server
//! in: with what the client was matched with under that name, else with values made up. What is made up is the same
//! in every run, nothing here is random and nothing reads the clock.

use std::collections::BTreeMap;

use transcript::{Bindings, Environment, Expansion, Kind, Matcher, Mismatch, Number, Numbers, Value};

/// What names stand for in one run, and how many values were made up.
#[derive(Clone, Debug)]
pub(crate) struct Blanks {
    environment: Environment,
    bindings: Bindings,
    made: u64,
}

impl Blanks {
    pub(crate) fn new() -> Self {
        Self {
            environment: Environment {
                tenant: "roost".to_owned(),
                host: "localhost".to_owned(),
                secret: String::new(),
                tokens: BTreeMap::new(),
            },
            bindings: Bindings::default(),
            made: 0,
        }
    }

    /// Whether a value was made up.
    pub(crate) fn has_made_any(&self) -> bool {
        self.made > 0
    }

    /// Holds what came against a [`pattern`], and binds its names.
    ///
    /// # Errors
    ///
    /// Where they differ.
    pub(crate) fn compare(&mut self, pattern: &Value, actual: &Value) -> Result<(), Mismatch> {
        let matcher = Matcher {
            environment: &self.environment,
            numbers: Numbers::Decimal,
        };
        matcher.value(pattern, actual, &mut self.bindings)
    }

    /// Lets go of the names in this pattern, so that the next client can bring other values.
    pub(crate) fn forget(&mut self, pattern: &Value) {
        let mut kept = Self {
            environment: self.environment.clone(),
            bindings: Bindings::default(),
            made: self.made,
        };
        for (kind, name, value) in self.bindings.iter() {
            let placeholder = format!("${{{kind}:{name}}}");
            if !contains(pattern, &placeholder) {
                // It was bound under this name before, so nothing can differ.
                let _ = kept.compare(&Value::String(placeholder), value);
            }
        }
        *self = kept;
    }

    /// A value without blanks.
    pub(crate) fn fill(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill_text(text),
            Value::Array(elements) => {
                Value::Array(elements.iter().map(|element| self.fill(element)).collect())
            }
            Value::Object(members) => match members.as_slice() {
                [(name, elements @ Value::Array(_))] if name == UNORDERED => self.fill(elements),
                _ => Value::Object(
                    members
                        .iter()
                        .map(|(name, value)| (shown(&self.fill_text(name)), self.fill(value)))
                        .collect(),
                ),
            },
            plain => plain.clone(),
        }
    }

    fn fill_text(&mut self, text: &str) -> Value {
        let pieces = pieces(text);
        if let [Piece::Placeholder(inside)] = pieces.as_slice() {
            return self.value_of(inside);
        }
        let mut filled = String::new();
        for piece in pieces {
            match piece {
                Piece::Literal(literal) => filled.push_str(literal),
                Piece::Placeholder(inside) => filled.push_str(&shown(&self.value_of(inside))),
            }
        }
        Value::String(filled)
    }

    fn value_of(&mut self, inside: &str) -> Value {
        let (word, name) = match inside.split_once(':') {
            Some((word, name)) => (word, Some(name)),
            None => (inside, None),
        };
        let Some(kind) = kind(word) else {
            let expansion = Expansion {
                environment: &self.environment,
                bindings: &self.bindings,
                unix_ms: 0,
            };
            let literal = format!("${{{inside}}}");
            return Value::String(expansion.text(&literal).unwrap_or(literal));
        };
        if let Some(bound) = name.and_then(|name| self.bindings.get(kind, name)) {
            return bound.clone();
        }
        let value = self.make(kind);
        if name.is_some() {
            // It is of the kind the name asks for, so nothing can differ.
            let _ = self.compare(&Value::String(format!("${{{inside}}}")), &value);
        }
        value
    }

    fn make(&mut self, kind: Kind) -> Value {
        self.made += 1;
        let number = self.made;
        match kind {
            Kind::Uuid => Value::String(format!("00000000-0000-4000-8000-{number:012x}")),
            Kind::Int => Value::Number(Number::from(number)),
            Kind::Ref => Value::String(format!("made-{number}")),
            Kind::Time => Value::String(format!(
                "2024-01-01T{:02}:{:02}:{:02}.000Z",
                number / 3600 % 24,
                number / 60 % 60,
                number % 60
            )),
            Kind::Text => Value::text("text"),
            Kind::Any => Value::Null,
        }
    }
}

/// What a client has to say, from what the recorded client said: tokens and times are blanks.
pub(crate) fn pattern(sent: &Value) -> Value {
    match sent {
        Value::String(text) => Value::String(
            pieces(text)
                .into_iter()
                .map(|piece| match piece {
                    Piece::Literal(literal) => literal.to_owned(),
                    Piece::Placeholder(inside) if inside.starts_with("jwt:") => "${text}".to_owned(),
                    Piece::Placeholder(inside) if inside.starts_with("now") => "${int}".to_owned(),
                    Piece::Placeholder(inside) => format!("${{{inside}}}"),
                })
                .collect(),
        ),
        Value::Array(elements) => Value::Array(elements.iter().map(pattern).collect()),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), pattern(value)))
                .collect(),
        ),
        plain => plain.clone(),
    }
}

/// Whether a text stands in a string or member name of the value.
fn contains(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(elements) => elements.iter().any(|element| contains(element, text)),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains(text) || contains(value, text)),
        _ => false,
    }
}

enum Piece<'a> {
    Literal(&'a str),
    /// What is between the braces.
    Placeholder(&'a str),
}

/// A string taken apart; the file was read, so every placeholder has its end.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        // The character of a fill may itself be a closing brace.
        let skipped = if after.starts_with("fill:}") {
            "fill:}".len()
        } else {
            0
        };
        let end = after.get(skipped..).and_then(|tail| tail.find('}'));
        let Some((inside, behind)) =
            end.and_then(|end| Some((after.get(..skipped + end)?, after.get(skipped + end + 1..)?)))
        else {
            break;
        };
        if !before.is_empty() {
            found.push(Piece::Literal(before));
        }
        found.push(Piece::Placeholder(inside));
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Piece::Literal(rest));
    }
    found
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "uuid" => Kind::Uuid,
        "int" => Kind::Int,
        "ref" => Kind::Ref,
        "time" => Kind::Time,
        "text" => Kind::Text,
        "any" => Kind::Any,
        _ => return None,
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A name that stands for an array whose order is open.
const UNORDERED: &str = "$unordered";

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    #[test]
    fn what_is_made_up_is_the_same_in_every_run() {
        let template = json(
            r#"{"${uuid}":["${int:id1}","${ref:r}","${time}","${text}","${any}","${int:id1}","n ${int:id1}!"]}"#,
        );
        let one = Blanks::new().fill(&template);
        assert_eq!(one, Blanks::new().fill(&template));
        assert_eq!(
            one,
            json(
                r#"{"00000000-0000-4000-8000-000000000001":[2,"made-3","2024-01-01T00:00:04.000Z","text",null,2,"n 2!"]}"#
            )
        );
    }

    #[test]
    fn what_the_client_said_comes_back() {
        let mut blanks = Blanks::new();
        let pattern = json(r#"{"at":"${time:t}","body":"${any:b}"}"#);
        let said = json(r#"{"at":"2025-05-05T05:05:05Z","body":[1,{"x":2}]}"#);
        assert_eq!(blanks.compare(&pattern, &said), Ok(()));
        assert_eq!(blanks.fill(&pattern), said);
        assert!(blanks.compare(&pattern, &json(r#"{"at":"","body":1}"#)).is_err());
    }

    #[test]
    fn what_is_forgotten_can_be_said_anew() {
        let mut blanks = Blanks::new();
        let made = blanks.fill(&json(r#"["${int:id}"]"#));
        let pattern = json(r#"{"at":"at ${text:t}!"}"#);
        assert_eq!(blanks.compare(&pattern, &json(r#"{"at":"at one!"}"#)), Ok(()));
        assert!(blanks.compare(&pattern, &json(r#"{"at":"at two!"}"#)).is_err());
        blanks.forget(&pattern);
        assert_eq!(blanks.compare(&pattern, &json(r#"{"at":"at two!"}"#)), Ok(()));
        assert_eq!(blanks.fill(&json(r#"["${int:id}"]"#)), made);
    }

    #[test]
    fn tokens_and_times_of_the_recorded_client_are_blanks() {
        let sent = json(
            r#"{"t":"${jwt:anon}","n":"${now_ms-5}","s":"at ${now}","f":"${fill:x:3}","u":"${uuid:u}"}"#,
        );
        assert_eq!(
            pattern(&sent),
            json(r#"{"t":"${text}","n":"${int}","s":"at ${int}","f":"${fill:x:3}","u":"${uuid:u}"}"#)
        );
    }

    #[test]
    fn an_open_order_is_an_order_and_fills_are_filled() {
        let template = json(r#"[{"$unordered":[2,1]},"${fill:}:3}","${"]"#);
        assert_eq!(Blanks::new().fill(&template), json(r#"[[2,1],"}}}","${"]"#));
    }
}
