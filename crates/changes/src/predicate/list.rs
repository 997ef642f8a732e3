//! Array literals as clients write them: `{a, "b,c", null}`.

/// Why a literal is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Not an array literal.
    Malformed,
    /// An array of more than one dimension, or with bounds.
    Nested,
}

/// The elements; `None` is NULL. Blanks around an element do not count unless they are quoted.
pub(super) fn parse(literal: &str) -> Result<Vec<Option<String>>, Problem> {
    let mut rest = literal.trim_matches(super::scale::is_space);
    if rest.starts_with('[') {
        return Err(Problem::Nested);
    }
    rest = rest.strip_prefix('{').ok_or(Problem::Malformed)?;
    let mut elements = Vec::new();
    if rest.trim_start_matches(super::scale::is_space) == "}" {
        return Ok(elements);
    }
    loop {
        let element;
        (element, rest) = parse_element(rest)?;
        elements.push(element);
        if let Some(found) = rest.strip_prefix(',') {
            rest = found;
        } else if rest == "}" {
            return Ok(elements);
        } else {
            return Err(Problem::Malformed);
        }
    }
}

/// The element the text starts with, and what follows it: a comma or a brace.
fn parse_element(text: &str) -> Result<(Option<String>, &str), Problem> {
    let text = text.trim_start_matches(super::scale::is_space);
    if text.starts_with('{') {
        return Err(Problem::Nested);
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = parse_quoted(quoted).ok_or(Problem::Malformed)?;
        return Ok((Some(value), rest.trim_start_matches(super::scale::is_space)));
    }
    let mut value = String::new();
    // How much of the value blanks at its end are not to be cut off from.
    let mut kept = 0;
    let mut was_escaped = false;
    let mut chars = text.char_indices();
    while let Some((at, found)) = chars.next() {
        match found {
            ',' | '}' => {
                let end = kept
                    + value
                        .get(kept..)
                        .unwrap_or_default()
                        .trim_end_matches(super::scale::is_space)
                        .len();
                value.truncate(end);
                let rest = text.get(at..).unwrap_or_default();
                return match value.as_str() {
                    "" => Err(Problem::Malformed),
                    word if !was_escaped && word.eq_ignore_ascii_case("null") => Ok((None, rest)),
                    _ => Ok((Some(value), rest)),
                };
            }
            '\\' => {
                let (_, escaped) = chars.next().ok_or(Problem::Malformed)?;
                value.push(escaped);
                kept = value.len();
                was_escaped = true;
            }
            '"' | '{' => return Err(Problem::Malformed),
            other => value.push(other),
        }
    }
    Err(Problem::Malformed)
}

/// The text up to the closing quote, and what follows that.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

/// How many elements the literal has at the outermost level; what it is otherwise does not matter.
pub(super) fn outer_len(literal: &str) -> usize {
    let mut separators = 0;
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut chars = literal.chars();
    while let Some(found) = chars.next() {
        match found {
            '\\' => {
                chars.next();
            }
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 1 => separators += 1,
            _ => {}
        }
    }
    separators + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_postgres_does() {
        let text = |text: &str| Some(text.to_owned());
        for (literal, elements) in [
            ("{}", vec![]),
            (" { } ", vec![]),
            ("{1,2}", vec![text("1"), text("2")]),
            ("{ a b , c }", vec![text("a b"), text("c")]),
            (r#"{"a,b", " c ", ""}"#, vec![text("a,b"), text(" c "), text("")]),
            (
                r#"{NULL,null,"null",\null}"#,
                vec![None, None, text("null"), text("null")],
            ),
            (
                r#"{"a\"b\\c",d\,e,f\ }"#,
                vec![text(r#"a"b\c"#), text("d,e"), text("f ")],
            ),
            ("{(a),b)}", vec![text("(a)"), text("b)")]),
        ] {
            assert_eq!(parse(literal), Ok(elements), "{literal}");
        }
    }

    #[test]
    fn other_texts_are_malformed_and_other_arrays_not_read() {
        for literal in [
            "", "1", "{", "{1", "{1,", "{1,}", "{,1}", "{1}2", "{\"a", "{\"a\"b}", "{a\"b\"}", "{a{b}",
            "{a\\",
        ] {
            assert_eq!(parse(literal), Err(Problem::Malformed), "{literal}");
        }
        for literal in ["{{1},{2}}", "{1,{2}}", "[0:1]={1,2}"] {
            assert_eq!(parse(literal), Err(Problem::Nested), "{literal}");
        }
    }

    #[test]
    fn outer_elements_are_counted_whatever_they_are() {
        for (literal, len) in [
            ("{{1,2},{3,4}}", 2),
            ("{1,2,3}", 3),
            (r#"{"a,b",c\,d,{"},",x}}"#, 3),
            ("[0:1]={1,2}", 2),
        ] {
            assert_eq!(outer_len(literal), len, "{literal}");
        }
    }
}
