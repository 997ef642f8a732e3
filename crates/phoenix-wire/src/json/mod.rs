//! JSON as text: checked, measured, sliced, never built into a tree.
//!
//! Client payloads are relayed as they were written, so nobody needs their value; what is needed is the certainty that
//! the text is JSON, and how large its value is. [`check`] gives both in one pass, and takes the duplicate members out
//! on the way.
//!
//! # Invariants of checked text
//!
//! * The grammar of RFC 8259, no more: no comments, no byte order mark, nothing after the value.
//! * Valid UTF-8; no escape that spells half of a surrogate pair.
//! * Every number with a fraction or an exponent is within the range of a double; integers have any size.
//! * No object has two members of the same name, names compared unescaped: the first is kept.
//! * Nesting is at most [`DEPTH_MAX`].
//!
//! Checking neither recurses nor, for ordinary payloads, allocates, and takes `O(n log n)` for hostile ones.
//! The rules follow what the reference's JSON library accepts; protocol-spec/wire.md, section 3.

mod hash;
mod keys;
mod number;
mod scan;
mod string;
mod term;
mod walk;

use std::borrow::Cow;
use std::fmt;

pub use hash::content_hash;
pub(crate) use scan::{Scanner, Span, text_of};
pub use string::{Sink, write_string};
pub use walk::{Elements, Kind, Members, elements, is_truthy, kind, member, members, string};

/// Deepest nesting of arrays and objects in a value. The reference has no bound; no client comes near this one.
pub const DEPTH_MAX: usize = 1024;

/// Longest text accepted. Bytes. Far above the frame cap; it keeps every position and size within 32 bits.
pub const TEXT_BYTES_MAX: usize = 1 << 28;

/// Why a text is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Offset of the offending byte.
    pub at: usize,
}

/// What is wrong with a text that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// The text ends inside a value.
    #[error("unexpected end")]
    Truncated,
    /// A character that cannot stand here.
    #[error("unexpected character")]
    Unexpected,
    /// Not UTF-8.
    #[error("invalid UTF-8")]
    NotUtf8,
    /// A control character inside a string.
    #[error("control character in a string")]
    ControlCharacter,
    /// A backslash followed by nothing JSON knows.
    #[error("invalid escape")]
    BadEscape,
    /// An escape for half of a surrogate pair.
    #[error("lone surrogate")]
    LoneSurrogate,
    /// A number that is not one.
    #[error("invalid number")]
    BadNumber,
    /// A number no double can hold.
    #[error("number out of range")]
    NumberOutOfRange,
    /// Nested beyond [`DEPTH_MAX`].
    #[error("nested too deeply")]
    TooDeep,
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("text too long")]
    TooLong,
}

/// Checked JSON text; see the module for what that promises.
///
/// Borrowed from the frame it came in unless duplicate members had to be taken out.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText<'a> {
    text: Cow<'a, str>,
    /// External term size of the value without the version byte.
    term_size: u32,
}

impl<'a> JsonText<'a> {
    pub(crate) fn new(text: Cow<'a, str>, term_size: u32) -> Self {
        Self { text, term_size }
    }

    /// The text, without white space around it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.text.into_owned()
    }

    /// The text with the lifetime of the frame, if it is still the client's own.
    pub fn into_cow(self) -> Cow<'a, str> {
        self.text
    }

    /// The JSON type of the value.
    pub fn kind(&self) -> Kind {
        kind(&self.text)
    }

    /// True for an object.
    pub fn is_object(&self) -> bool {
        self.kind() == Kind::Object
    }

    /// Bytes the reference's runtime would need to send the value to another node (`erlang:external_size/1` of the
    /// decoded value, its version byte included). Payload limits are compared with it. Source:
    /// protocol-spec/errors-and-limits.md, section 6.
    pub fn term_size(&self) -> usize {
        1 + self.term_size as usize
    }
}

/// Shows the length only: a payload is somebody's data.
impl fmt::Debug for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.text.len())
    }
}

/// Checks that `bytes` are one JSON value.
///
/// # Errors
///
/// The first thing that is wrong, and its position.
pub fn check(bytes: &[u8]) -> Result<JsonText<'_>, JsonError> {
    let mut scanner = Scanner::new(text_of(bytes)?);
    let value = scanner.value()?;
    scanner.end()?;
    Ok(scanner.checked(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> (JsonErrorKind, usize) {
        let error = check(text).expect_err("not JSON");
        (error.kind, error.at)
    }

    /// Term size with the version byte, as the reference counts.
    fn size(text: &str) -> usize {
        check(text.as_bytes())
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .term_size()
    }

    #[test]
    fn json_passes_as_it_is_written() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "-0.0",
            "1E+2",
            "1e-400",
            "0.1e5",
            r#""""#,
            r#""\/\b\f\n\r\t\"\\""#,
            r#""\u0000""#,
            r#""\ud83d\ude00""#,
            r#""\uD83D\uDE00 é""#,
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[[],{},[{}]]",
            r#"{"":{"":[]}}"#,
            r#"{ "a" : [ 1 , 2 ] , "b" : null }"#,
            "\"\u{7f}\u{2028}\"",
        ] {
            assert_eq!(
                check(text.as_bytes()).map(JsonText::into_string),
                Ok(text.to_owned())
            );
        }
        assert_eq!(
            check(b" \t\r\n7 \n").map(JsonText::into_string),
            Ok("7".to_owned())
        );
    }

    #[test]
    fn what_the_grammar_does_not_know_is_refused() {
        use JsonErrorKind::*;
        for (text, kind, at) in [
            ("", Truncated, 0),
            (" ", Truncated, 1),
            ("hello", Unexpected, 0),
            ("{", Truncated, 1),
            ("[1", Truncated, 2),
            ("[1,", Truncated, 3),
            ("[1,]", Unexpected, 3),
            ("[,1]", Unexpected, 1),
            ("[1 2]", Unexpected, 3),
            ("[1}", Unexpected, 2),
            ("]", Unexpected, 0),
            (r#"{"a"}"#, Unexpected, 4),
            (r#"{"a":}"#, Unexpected, 5),
            (r#"{"a":1,}"#, Unexpected, 7),
            ("{1:2}", Unexpected, 1),
            (r#"{"a":1]"#, Unexpected, 6),
            ("nul", Truncated, 3),
            ("nulL", Unexpected, 3),
            ("truefalse", Unexpected, 4),
            ("1 1", Unexpected, 2),
            ("\u{feff}1", Unexpected, 0),
            ("// c\n1", Unexpected, 0),
            ("'a'", Unexpected, 0),
            ("-", Truncated, 1),
            ("-a", BadNumber, 1),
            ("01", BadNumber, 0),
            ("-01", BadNumber, 1),
            ("1.", Truncated, 2),
            ("[1.]", BadNumber, 3),
            (".5", Unexpected, 0),
            ("+1", Unexpected, 0),
            ("1e", Truncated, 2),
            ("1e+", Truncated, 3),
            ("0x10", Unexpected, 1),
            ("NaN", Unexpected, 0),
            (r#"""#, Truncated, 1),
            (r#""abc"#, Truncated, 4),
            ("\"a\nb\"", ControlCharacter, 2),
            ("\"12345678\u{0}\"", ControlCharacter, 9),
            (r#""\x""#, BadEscape, 1),
            (r#""\"#, Truncated, 2),
            (r#""\u12"#, Truncated, 1),
            (r#""\u12g4""#, BadEscape, 1),
            (r#""\ud83d""#, LoneSurrogate, 1),
            (r#""\ud83d\n""#, LoneSurrogate, 1),
            (r#""\ud83d\ud83d""#, LoneSurrogate, 1),
            (r#""\ude00\ud83d""#, LoneSurrogate, 1),
            (r#"{"\ud800":1}"#, LoneSurrogate, 2),
        ] {
            let found = match check(text.as_bytes()) {
                Ok(_) => panic!("{text} was accepted"),
                Err(error) => (error.kind, error.at),
            };
            // A cut-off text may be reported where it was cut or where its last token starts.
            let expected = if kind == Truncated {
                (kind, found.1)
            } else {
                (kind, at)
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn text_has_to_be_utf_8() {
        assert_eq!(error(b"\"\xff\""), (JsonErrorKind::NotUtf8, 1));
        assert_eq!(error(b"\"\xed\xa0\xbd\""), (JsonErrorKind::NotUtf8, 1));
        assert_eq!(error(b"\"\xc0\x80\""), (JsonErrorKind::NotUtf8, 1));
    }

    #[test]
    fn floats_have_to_fit_a_double_and_integers_need_not() {
        for text in [
            "1.7976931348623157e308",
            "1e308",
            "0.0001e311",
            "-1e-999999999999999999999",
            "0e400",
        ] {
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
        let long = "9".repeat(400);
        assert!(check(long.as_bytes()).is_ok());
        for text in [
            "1e400",
            "-1e309",
            "1.8e308",
            "123e999999999999999999999",
            &format!("{long}.0"),
            &format!("{long}e0"),
        ] {
            assert_eq!(
                error(text.as_bytes()),
                (JsonErrorKind::NumberOutOfRange, 0),
                "{text}"
            );
        }
    }

    #[test]
    fn nesting_is_bounded_and_not_recursed_into() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(nested(DEPTH_MAX).as_bytes()).is_ok());
        // The innermost array is empty and was never opened.
        assert!(check(nested(DEPTH_MAX + 1).as_bytes()).is_ok());
        assert_eq!(
            error(nested(DEPTH_MAX + 2).as_bytes()),
            (JsonErrorKind::TooDeep, DEPTH_MAX + 1)
        );
        assert_eq!(
            error("{\"a\":".repeat(1_000_000).as_bytes()).0,
            JsonErrorKind::TooDeep
        );
    }

    #[test]
    fn the_first_of_duplicate_members_is_kept() {
        for (text, kept) in [
            (r#"{"k":1,"k":2}"#, r#"{"k":1}"#),
            (r#"{"k":1,"k":2,"k":3}"#, r#"{"k":1}"#),
            (r#"{"a":1,"b":2,"a":3,"c":4}"#, r#"{"a":1,"b":2,"c":4}"#),
            (r#"{"a":1 , "\u0061" : [2] , "b":3}"#, r#"{"a":1 , "b":3}"#),
            (r#"{"":1,"":2}"#, r#"{"":1}"#),
            (
                r#"[{"a":{"x":1,"x":2},"a":{"x":1,"x":2}},{"y":1,"y":2 }]"#,
                r#"[{"a":{"x":1}},{"y":1}]"#,
            ),
            (
                r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#,
                r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#,
            ),
        ] {
            let checked = check(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(checked.as_str(), kept);
            assert_eq!(checked.term_size(), size(kept), "{text}");
        }
    }

    #[test]
    fn duplicates_are_found_in_objects_of_any_size() {
        for members in [2, 15, 16, 17, 18, 40, 1000] {
            let object = |names: &mut dyn Iterator<Item = usize>| {
                let members: Vec<_> = names.map(|n| format!(r#""member{n}":{n}"#)).collect();
                format!("{{{}}}", members.join(","))
            };
            let clean = object(&mut (0..members));
            assert_eq!(
                check(clean.as_bytes()).map(JsonText::into_string),
                Ok(clean.clone())
            );
            let twice = object(&mut (0..members).chain((0..members).rev()));
            assert_eq!(check(twice.as_bytes()).map(JsonText::into_string), Ok(clean));
        }
    }

    #[test]
    fn hostile_objects_take_no_quadratic_time() {
        // Each of these takes minutes if every pair of names is compared.
        let same: Vec<_> = (0..300_000).map(|_| r#""k":1"#.to_owned()).collect();
        let escaped: Vec<_> = (0..100_000).map(|n| format!(r#""\u006b{n}":1"#)).collect();
        let alike: Vec<_> = (0..50_000)
            .map(|n| format!(r#""\u0068ead{n:06}tail":1"#))
            .collect();
        for members in [same, escaped, alike] {
            let text = format!("{{{}}}", members.join(","));
            assert!(check(text.as_bytes()).is_ok());
        }
    }

    #[test]
    fn sizes_are_those_of_the_external_term_format() {
        for (text, bytes) in [
            ("0", 2),
            ("-0", 2),
            ("255", 2),
            ("256", 5),
            ("-1", 5),
            ("2147483647", 5),
            ("-2147483648", 5),
            ("2147483648", 3 + 4),
            ("-2147483649", 3 + 4),
            ("1099511627776", 3 + 6),
            ("18446744073709551615", 3 + 8),
            ("18446744073709551616", 3 + 9),
            ("-99999999999999999999999999999999999999", 3 + 16),
            ("0.0", 9),
            ("1e5", 9),
            ("true", 6),
            ("false", 7),
            ("null", 5),
            (r#""""#, 5),
            (r#""abc""#, 8),
            (r#""é""#, 7),
            (r#""\u00e9\n""#, 8),
            (r#""\ud83d\ude00""#, 9),
            ("[]", 1),
            ("[[]]", 6 + 1),
            ("[256]", 6 + 5),
            ("[1,2,3]", 3 + 3),
            ("[1,-2]", 6 + 2 + 5),
            ("[[],[1]]", 6 + 1 + 4),
            ("{}", 5),
            (r#"{"a":1}"#, 5 + 6 + 2),
            (r#"{"a":{"b":[{}]}}"#, 5 + 6 + 5 + 6 + 6 + 5),
        ] {
            assert_eq!(size(text), 1 + bytes, "{text}");
        }
    }

    #[test]
    fn a_list_of_bytes_counts_as_a_string_up_to_its_bound() {
        let list = |len: usize| format!("[{}0]", "0,".repeat(len - 1));
        assert_eq!(size(&list(65_534)), 1 + 3 + 65_534);
        assert_eq!(size(&list(65_535)), 1 + 6 + 2 * 65_535);
    }

    #[test]
    fn long_integers_are_measured_by_their_logarithm() {
        assert_eq!(size(&format!("1{}", "0".repeat(300))), 1 + 3 + 125);
        assert_eq!(size(&format!("1{}", "0".repeat(1000))), 1 + 6 + 416);
    }

    #[test]
    fn debug_output_shows_no_payload() {
        assert_eq!(
            format!("{:?}", check(br#""secret""#).unwrap()),
            "JsonText(8 bytes)"
        );
    }
}
