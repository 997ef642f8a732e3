//! The words of an expression.

use super::Obstacle;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a name without quotes, in lower case.
    Name(String),
    /// A name in quotes.
    Quoted(String),
    /// A string.
    Text(String),
    /// A number without a sign.
    Number(String),
    /// `=`, `->>`, `::`.
    Operator(String),
    /// A bracket, a comma, a point, a semicolon.
    Mark(char),
}

/// Characters operators consist of.
const OPERATOR_CHARACTERS: &str = "+-*/<>=~!@#%^&|`?:";

/// Longest expression that is looked at. Bytes.
const EXPRESSION_BYTES_MAX: usize = 1 << 16;

/// Takes an expression apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Obstacle> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(Obstacle::new("it is too long"));
    }
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else {
            let (token, behind) = token(first, rest)?;
            found.push(token);
            rest = behind;
        }
        rest = rest.trim_start_matches(is_space);
    }
    Ok(found)
}

/// The token the text starts with, and what follows it.
fn token(first: char, text: &str) -> Result<(Token, &str), Obstacle> {
    match first {
        '\'' => {
            let (string, rest) = quoted(text, '\'')?;
            // Whether it escapes anything depends on a setting.
            if string.contains('\\') {
                return Err(Obstacle::new("it has a backslash in a string"));
            }
            Ok((Token::Text(string), rest))
        }
        'E' | 'e' if text.get(1..).is_some_and(|rest| rest.starts_with('\'')) => {
            let (string, rest) = quoted(text.get(1..).unwrap_or_default(), '\'')?;
            Ok((Token::Text(without_escapes(&string)?), rest))
        }
        '"' => quoted(text, '"').map(|(name, rest)| (Token::Quoted(name), rest)),
        '(' | ')' | '[' | ']' | ',' | '.' | ';' => {
            Ok((Token::Mark(first), text.get(1..).unwrap_or_default()))
        }
        '0'..='9' => {
            let (number, rest) = split(text, |found| found.is_ascii_alphanumeric() || found == '.');
            Ok((Token::Number(number.to_owned()), rest))
        }
        'a'..='z' | 'A'..='Z' | '_' => {
            let (name, rest) = split(text, |found| found.is_ascii_alphanumeric() || found == '_');
            // Beyond ASCII, which case a name is folded to depends on the locale. A string of another kind: b'1', U&'x'.
            if rest.starts_with(|next: char| !next.is_ascii() || matches!(next, '\'' | '$' | '&')) {
                return Err(Obstacle::unknown(text));
            }
            Ok((Token::Name(name.to_ascii_lowercase()), rest))
        }
        _ if OPERATOR_CHARACTERS.contains(first) => {
            let (operator, rest) = split(text, |found| OPERATOR_CHARACTERS.contains(found));
            // A comment ends an operator.
            match operator.find("--") {
                Some(at) => Ok((
                    Token::Operator(operator.get(..at).unwrap_or_default().to_owned()),
                    text.get(at..).unwrap_or_default(),
                )),
                None => Ok((Token::Operator(operator.to_owned()), rest)),
            }
        }
        _ => Err(Obstacle::unknown(text)),
    }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|found| !belongs(found)).unwrap_or(text.len());
    (
        text.get(..end).unwrap_or_default(),
        text.get(end..).unwrap_or_default(),
    )
}

/// What is between the quotes the text starts with; two of them inside are one.
fn quoted(text: &str, quote: char) -> Result<(String, &str), Obstacle> {
    let mut inside = String::new();
    let mut rest = text.get(1..).unwrap_or_default();
    while let Some((before, behind)) = rest.split_once(quote) {
        inside.push_str(before);
        match behind.strip_prefix(quote) {
            Some(behind) => {
                inside.push(quote);
                rest = behind;
            }
            None => return Ok((inside, behind)),
        }
    }
    Err(Obstacle::unknown(text))
}

/// Of a string the database has written, in which nothing but a backslash is escaped by one.
fn without_escapes(text: &str) -> Result<String, Obstacle> {
    let parts = text.split(r"\\");
    if parts.clone().any(|part| part.contains('\\')) {
        return Err(Obstacle::new("it has an escape in a string"));
    }
    Ok(parts.collect::<Vec<_>>().join(r"\"))
}

fn is_space(found: char) -> bool {
    matches!(found, ' ' | '\t' | '\n' | '\r' | '\x0C')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_taken_apart() {
        let found = tokens(
            "(auth.UID() = \"Odd \"\"name\"\"\") -- so\n AND x::text<>'it''s'::text || E'a\\\\b' [1.5]; a--b",
        )
        .unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|token| match token {
                Token::Name(name) => name.clone(),
                Token::Quoted(name) => format!("quoted {name}"),
                Token::Text(text) => format!("text {text}"),
                Token::Number(number) => format!("number {number}"),
                Token::Operator(operator) => operator.clone(),
                Token::Mark(mark) => mark.to_string(),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "(",
                "auth",
                ".",
                "uid",
                "(",
                ")",
                "=",
                "quoted Odd \"name\"",
                ")",
                "and",
                "x",
                "::",
                "text",
                "<>",
                "text it's",
                "::",
                "text",
                "||",
                "text a\\b",
                "[",
                "number 1.5",
                "]",
                ";",
                "a"
            ]
        );
    }

    #[test]
    fn what_depends_on_settings_is_not_read() {
        for text in [
            r"'a\b'", r"E'a\n'", "'open", "\"open", "é", "aé", "b'1'", "U&'x'", "$$x$$", "a$1", "N'x'",
        ] {
            assert!(tokens(text).is_err(), "{text}");
        }
        assert!(tokens(&" ".repeat(EXPRESSION_BYTES_MAX + 1)).is_err());
    }
}
