//! What each capture stands for, as a whole value and as part of a string.

use crate::json::Value;
use crate::number::Number;
use crate::placeholder::Kind;

impl Kind {
    /// Whether the whole value is one of this kind.
    pub(crate) fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (Self::Int, Value::Number(number)) => number.is_integer(),
            (Self::Int, _) => false,
            (_, Value::String(text)) => self.accepts_text(text),
            _ => false,
        }
    }

    /// The value that a part of a string stands for, if it is of this kind.
    pub(crate) fn read(self, part: &str) -> Option<Value> {
        if !self.accepts_text(part) {
            return None;
        }
        match self {
            Self::Int => Number::from_digits(part).map(Value::Number),
            _ => Some(Value::text(part)),
        }
    }

    /// Where a part of this kind may end that starts `text`, the longest first.
    pub(crate) fn ends(self, text: &str) -> Vec<usize> {
        let run = |is_part: fn(char) -> bool| text.find(|c| !is_part(c)).unwrap_or(text.len());
        match self {
            Self::Uuid => text
                .get(..UUID_BYTES)
                .filter(|part| is_uuid(part))
                .map_or(Vec::new(), |_| vec![UUID_BYTES]),
            Self::Int => (1..=run(|c| c.is_ascii_digit())).rev().collect(),
            Self::Ref => (1..=run(is_of_ref)).rev().collect(),
            Self::Time => {
                let longest =
                    run(|c| c.is_ascii_digit() || matches!(c, 'T' | ' ' | 'Z' | ':' | '.' | '+' | '-'));
                (1..=longest)
                    .rev()
                    .filter(|end| text.get(..*end).is_some_and(is_time))
                    .collect()
            }
            Self::Text | Self::Any => {
                let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                ends.push(text.len());
                ends.reverse();
                ends
            }
        }
    }

    fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::Uuid => is_uuid(text),
            Self::Int => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Ref => !text.is_empty() && text.chars().all(is_of_ref),
            Self::Time => is_time(text),
            Self::Text | Self::Any => true,
        }
    }
}

/// A UUID in lower case, with hyphens. Bytes.
const UUID_BYTES: usize = 36;

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_BYTES
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn is_of_ref(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '=')
}

/// `2024-01-31T12:00:00.123456+00:00`: date, `T` or a blank, time, an optional fraction, `Z` or an offset.
fn is_time(text: &str) -> bool {
    let Some(rest) = after_digits(text, "0000-00-00") else {
        return false;
    };
    let Some(rest) = rest
        .strip_prefix(['T', ' '])
        .and_then(|rest| after_digits(rest, "00:00:00"))
    else {
        return false;
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => rest,
    };
    if rest == "Z" {
        return true;
    }
    let Some(offset) = rest.strip_prefix(['+', '-']) else {
        return false;
    };
    ["00", "0000", "00:00"]
        .iter()
        .any(|shape| after_digits(offset, shape) == Some(""))
}

/// What follows a text of this shape, in which `0` stands for any digit.
fn after_digits<'a>(text: &'a str, shape: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(shape.len())?;
    let fits = start
        .bytes()
        .zip(shape.bytes())
        .all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            _ => byte == wanted,
        });
    fits.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, accepted: &[&str], refused: &[&str]) {
        for text in accepted {
            assert!(kind.accepts(&Value::parse(text).unwrap()), "{kind} {text}");
        }
        for text in refused {
            assert!(!kind.accepts(&Value::parse(text).unwrap()), "{kind} {text}");
        }
    }

    #[test]
    fn a_uuid_is_in_lower_case() {
        check(
            Kind::Uuid,
            &[r#""01234567-89ab-4cde-8f01-23456789abcd""#],
            &[
                r#""01234567-89AB-4cde-8f01-23456789abcd""#,
                r#""0123456789ab4cde8f0123456789abcd0000""#,
                r#""""#,
                "1",
            ],
        );
    }

    #[test]
    fn an_integer_is_a_number() {
        check(
            Kind::Int,
            &["0", "-7", "12345678901234567890", "1e3"],
            &[r#""7""#, "1.5", "null", "[1]"],
        );
    }

    #[test]
    fn a_ref_is_not_empty() {
        check(
            Kind::Ref,
            &[r#""F+a/b-c_d==""#, r#""1""#],
            &[r#""""#, r#""a b""#, r#""é""#, "1"],
        );
    }

    #[test]
    fn a_time_has_a_zone() {
        check(
            Kind::Time,
            &[
                r#""2024-01-31T12:00:00Z""#,
                r#""2024-01-31T12:00:00.123456Z""#,
                r#""2024-01-31 12:00:00+00""#,
                r#""2024-01-31T12:00:00.1-0330""#,
                r#""2024-01-31T12:00:00+05:30""#,
            ],
            &[
                r#""2024-01-31T12:00:00""#,
                r#""2024-01-31""#,
                r#""2024-01-31T12:00:00.Z""#,
                r#""2024-01-31T12:00:00+5""#,
                r#""2024-01-31T12:00:00ZZ""#,
                r#""24-01-31T12:00:00Z""#,
                r#""é024-01-31T12:00:00Z""#,
            ],
        );
    }

    #[test]
    fn text_is_any_string_and_any_is_anything() {
        check(Kind::Text, &[r#""""#, r#""x""#], &["1", "null", "{}"]);
        check(Kind::Any, &[r#""""#, "1", "null", "{}"], &[]);
    }

    #[test]
    fn a_part_may_end_where_its_kind_ends_and_before() {
        assert_eq!(Kind::Int.ends("12a"), [2, 1]);
        assert_eq!(Kind::Int.ends("a"), [0_usize; 0]);
        assert_eq!(Kind::Ref.ends("ab c"), [2, 1]);
        assert_eq!(Kind::Text.ends("é!"), [3, 2, 0]);
        assert_eq!(Kind::Uuid.ends("01234567-89ab-4cde-8f01-23456789abcdef"), [36]);
        assert_eq!(Kind::Time.ends("2024-01-31T12:00:00+00:00."), [25, 22]);
    }
}
