//! Texts as parts of statements.
//!
//! Whatever the text and whatever `standard_conforming_strings` is, what comes out is one constant or one name. A NUL
//! has to be sorted out before.

use postgres_protocol::escape;

/// No text of the database has a NUL, and no statement can carry one.
pub(crate) fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A name.
pub(crate) fn identifier(name: &str) -> String {
    escape::escape_identifier(name)
}

/// A constant.
pub(crate) fn literal(text: &str) -> String {
    escape::escape_literal(text)
}

/// An element of an array, as a part of the constant that [`array()`] makes.
pub(crate) fn element(text: &str) -> String {
    let mut element = String::with_capacity(text.len() + 2);
    element.push('"');
    for char in text.chars() {
        match char {
            // Once for the array, and all of that once more for the constant.
            '\\' => element.push_str(r"\\\\"),
            '"' => element.push_str(r#"\\""#),
            '\'' => element.push_str("''"),
            other => element.push(other),
        }
    }
    element.push('"');
    element
}

/// Appends a constant that is an array of elements that [`element`] has made.
pub(crate) fn array<'e>(statement: &mut String, elements: impl IntoIterator<Item = &'e str>) {
    statement.push_str("E'{");
    for (at, element) in elements.into_iter().enumerate() {
        if at > 0 {
            statement.push(',');
        }
        statement.push_str(element);
    }
    statement.push_str("}'");
}

/// The text of a composite value; `None` is NULL.
pub(crate) fn composite<'v>(values: impl IntoIterator<Item = Option<&'v str>>) -> String {
    let mut text = String::from("(");
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let Some(value) = value else { continue };
        text.push('"');
        for char in value.chars() {
            if matches!(char, '"' | '\\') {
                text.push(char);
            }
            text.push(char);
        }
        text.push('"');
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_for_every_level_they_are_read_at() {
        let mut text = String::new();
        let elements = [element(r"a'b"), element(r#"c"d\"#)];
        array(&mut text, elements.iter().map(String::as_str));
        assert_eq!(text, r#"E'{"a''b","c\\"d\\\\"}'"#);
        assert_eq!(
            composite([Some("a,b"), None, Some(r#"q"\"#)]),
            r#"("a,b",,"q""\\")"#
        );
        assert_eq!(composite([None]), "()");
    }
}
