//! Looking into checked JSON text: members, elements, strings, as slices of the text.
//!
//! These functions expect text that [`super::check`] has accepted. Given anything else they still terminate and do
//! not panic, but what they yield means nothing.

use std::borrow::Cow;

use super::string::{decode, scan};

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// The type of the value a text starts with.
pub fn kind(text: &str) -> Kind {
    match text.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'-' | b'0'..=b'9') => Kind::Number,
        _ => Kind::Null,
    }
}

/// The value of a string; `None` for another type.
pub fn string(text: &str) -> Option<Cow<'_, str>> {
    let raw = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(decode(raw))
}

/// Whether a value counts as set in the reference's language: everything but `false` and `null`.
pub fn is_truthy(text: &str) -> bool {
    !matches!(text, "false" | "null")
}

/// The members of an object in their order; none for another type.
pub fn members(text: &str) -> Members<'_> {
    Members {
        walk: Walk::into_container(text, '{'),
    }
}

/// The value of the member with this name; `None` if there is none or the text is no object.
pub fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    members(text)
        .find(|(found, _)| found == name)
        .map(|(_, value)| value)
}

/// The elements of an array in their order; none for another type.
pub fn elements(text: &str) -> Elements<'_> {
    Elements {
        walk: Walk::into_container(text, '['),
    }
}

/// See [`members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    walk: Walk<'a>,
}

impl<'a> Iterator for Members<'a> {
    /// Name, unescaped, and value.
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.skip_separators();
        let name = string(self.walk.value()?)?;
        self.walk.skip_separators();
        Some((name, self.walk.value()?))
    }
}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    walk: Walk<'a>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.skip_separators();
        self.walk.value()
    }
}

/// A position inside a container.
#[derive(Clone, Debug)]
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn into_container(text: &'a str, bracket: char) -> Self {
        Self {
            text: text.strip_prefix(bracket).unwrap_or_default(),
            at: 0,
        }
    }

    /// Steps over white space, commas and colons: in checked text they are where they belong.
    fn skip_separators(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') = self.peek() {
            self.at += 1;
        }
    }

    /// The value that starts here; `None` at the end of the container.
    fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' | b'[' => self.skip_container(),
            b'}' | b']' => return None,
            _ => {
                while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') = self.peek() {
                    self.at += 1;
                }
            }
        }
        if self.at == start {
            None
        } else {
            self.text.get(start..self.at)
        }
    }

    fn skip_string(&mut self) {
        self.at = match scan(self.text, self.at) {
            Ok(found) => found.end(),
            Err(_) => self.text.len(),
        };
    }

    fn skip_container(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order_and_unescaped() {
        let text = r#"{ "a" : [1, {"x":"]}"}] ,"\u0062":-1.5E+3, "c":null,"":"\"" }"#;
        let found: Vec<_> = members(text)
            .map(|(name, value)| (name.into_owned(), value))
            .collect();
        let expected = [
            ("a", r#"[1, {"x":"]}"}]"#),
            ("b", "-1.5E+3"),
            ("c", "null"),
            ("", r#""\"""#),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn elements_come_in_order() {
        let found: Vec<_> = elements(r#"[[], {} , "a,b",true,0]"#).collect();
        assert_eq!(found, ["[]", "{}", r#""a,b""#, "true", "0"]);
        assert_eq!(elements("[ ]").count(), 0);
    }

    #[test]
    fn other_types_have_neither_members_nor_elements() {
        for text in ["7", "null", r#""{}""#, "[1]"] {
            assert_eq!(members(text).count(), 0, "{text}");
        }
        for text in ["7", "null", r#""[1]""#, r#"{"a":1}"#] {
            assert_eq!(elements(text).count(), 0, "{text}");
        }
    }

    #[test]
    fn nonsense_ends() {
        for text in [
            "{",
            "[",
            "[\"",
            "{\"a",
            "[}",
            "[]]",
            "{\"a\"\u{1}",
            "[é]",
            "[1é]",
            "{1:2}",
        ] {
            let _ = members(text).count() + elements(text).count();
        }
    }
}
