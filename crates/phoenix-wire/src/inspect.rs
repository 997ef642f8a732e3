//! Values in the notation of the reference's language, which shows in some texts a client sees: `%{"a" => nil}`.
//!
//! Applications match on these texts, so the notation is part of them. Output is bounded: long strings, long
//! collections and deep nesting are cut short as the reference does.

use crate::json::{self, Kind};

/// Characters of a string that are shown.
const STRING_CHARS_MAX: usize = 4096;
/// Elements of a collection that are shown.
const ELEMENTS_MAX: usize = 50;
/// Nesting that is shown.
const DEPTH_MAX: usize = 16;

/// `"text"`, escaped; `<<1, 2>>` if a character is not printable.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::new();
    write_string(&mut out, text);
    out
}

/// `["a", "b"]`
pub(crate) fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    write_list(&mut out, texts, write_string);
    out
}

/// Checked JSON text as the term it decodes to.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::new();
    write_json(&mut out, text, 0);
    out
}

fn write_json(out: &mut String, text: &str, depth: usize) {
    match json::kind(text) {
        Kind::Null => out.push_str("nil"),
        Kind::Bool | Kind::Number => out.push_str(text),
        Kind::String => write_string(out, &json::string(text).unwrap_or_default()),
        Kind::Array | Kind::Object if depth == DEPTH_MAX => out.push_str("..."),
        Kind::Array => write_list(out, json::elements(text), |out, element| {
            write_json(out, element, depth + 1)
        }),
        Kind::Object => {
            let mut members: Vec<_> = json::members(text).collect();
            members.sort_unstable();
            out.push('%');
            write_sequence(out, ['{', '}'], members, |out, (name, value)| {
                write_string(out, &name);
                out.push_str(" => ");
                write_json(out, value, depth + 1);
            });
        }
    }
}

fn write_list<T>(out: &mut String, elements: impl IntoIterator<Item = T>, write: impl FnMut(&mut String, T)) {
    write_sequence(out, ['[', ']'], elements, write);
}

fn write_sequence<T>(
    out: &mut String,
    [open, close]: [char; 2],
    elements: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        if index == ELEMENTS_MAX {
            out.push_str("...");
            break;
        }
        write(out, element);
    }
    out.push(close);
}

fn write_string(out: &mut String, text: &str) {
    if !text.chars().take(STRING_CHARS_MAX).all(is_printable) {
        out.push('<');
        write_sequence(out, ['<', '>'], text.bytes(), |out, byte| {
            out.push_str(&byte.to_string())
        });
        out.push('>');
        return;
    }
    out.push('"');
    let mut chars = text.chars();
    let mut shown = chars.by_ref().take(STRING_CHARS_MAX).peekable();
    while let Some(char) = shown.next() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '#' if shown.peek() == Some(&'{') => out.push_str("\\#"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{7f}' => out.push_str("\\d"),
            '\u{7}' => out.push_str("\\a"),
            _ => out.push(char),
        }
    }
    out.push('"');
    if chars.next().is_some() {
        out.push_str(" <> ...");
    }
}

fn is_printable(char: char) -> bool {
    matches!(char,
        '\u{7}'..='\r' | '\u{1b}' | ' '..='\u{7f}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_values_become_terms() {
        for (text, shown) in [
            ("null", "nil"),
            ("true", "true"),
            ("-1.5", "-1.5"),
            ("{}", "%{}"),
            ("[]", "[]"),
            (
                r#"{"table":null,"event":"*","n":[1,{"x":"y"}]}"#,
                r#"%{"event" => "*", "n" => [1, %{"x" => "y"}], "table" => nil}"#,
            ),
        ] {
            assert_eq!(json(text), shown);
        }
    }

    #[test]
    fn strings_are_escaped_as_in_source_code() {
        assert_eq!(string("a\"b\\c\n#{x}#é"), r##""a\"b\\c\n\#{x}#é""##);
        assert_eq!(string("a\u{0}"), "<<97, 0>>");
        assert_eq!(strings(["foo", "hey"]), r#"["foo", "hey"]"#);
    }

    #[test]
    fn output_is_bounded() {
        assert!(string(&"x".repeat(STRING_CHARS_MAX + 1)).ends_with("x\" <> ..."));
        let long = format!("[{}1]", "1,".repeat(100));
        assert_eq!(json(&long), format!("[{}...]", "1, ".repeat(ELEMENTS_MAX)));
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(
            json(&deep),
            format!("{}...{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))
        );
    }
}
