//! Takes an SQL script apart into its statements, by PostgreSQL's lexical rules.

/// The statements of a script, without the semicolons that end them; blank ones are left out.
///
/// Known are strings, quoted names, dollar quotes and both kinds of comments. An unfinished one reaches to the end.
pub(crate) fn statements(script: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(rest) = script.get(at..).filter(|rest| !rest.is_empty()) {
        at += token_bytes(rest);
        if rest.starts_with(';') {
            statements.extend(script.get(start..at - 1));
            start = at;
        }
    }
    statements.extend(script.get(start..));
    statements.retain(|statement| !is_blank(statement));
    statements
}

/// Bytes of the token that starts a text which is not empty.
fn token_bytes(text: &str) -> usize {
    let through = |skip: usize, end: &str| {
        let found = text.get(skip..).and_then(|rest| rest.find(end));
        found.map_or(text.len(), |found| skip + found + end.len())
    };
    if text.starts_with("--") {
        return through(2, "\n");
    }
    if text.starts_with("/*") {
        return through(2, "*/");
    }
    match text.chars().next() {
        // A doubled quote ends one string and starts the next, which comes to the same.
        Some('\'') => through(1, "'"),
        Some('"') => through(1, "\""),
        Some('$') => match dollar_tag(text) {
            Some(tag) => through(tag.len(), tag),
            None => 1,
        },
        Some(first) if is_of_word(first) => text.find(|c| !is_of_word(c)).unwrap_or(text.len()),
        Some(first) => first.len_utf8(),
        None => 0,
    }
}

/// `$$` or `$name$`.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text.get(1..)?.find('$')? + 1;
    let name = text.get(1..end)?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    is_name.then(|| text.get(..=end)).flatten()
}

/// A dollar sign may be inside a word, where it quotes nothing.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_blank(statement: &str) -> bool {
    let mut rest = statement.trim_start();
    while rest.starts_with("--") || rest.starts_with("/*") {
        rest = rest.get(token_bytes(rest)..).unwrap_or_default().trim_start();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_semicolon_ends_a_statement() {
        for (script, expected) in [
            ("select 1; select 2", vec!["select 1", " select 2"]),
            ("select ';', 'it''s;'; x", vec!["select ';', 'it''s;'", " x"]),
            (r#"select ";" ; y"#, vec![r#"select ";" "#, " y"]),
            ("do $$ a; b; $$; z", vec!["do $$ a; b; $$", " z"]),
            ("as $f_1$ a; $$ ; $f_1$; z", vec!["as $f_1$ a; $$ ; $f_1$", " z"]),
            ("-- one; two\nselect 1;\n-- end;\n", vec!["-- one; two\nselect 1"]),
            ("/* a; */ b;", vec!["/* a; */ b"]),
            ("select $1; select $2", vec!["select $1", " select $2"]),
            ("select 'é;';;; ;", vec!["select 'é;'"]),
            ("select 'open; end", vec!["select 'open; end"]),
            ("", vec![]),
        ] {
            assert_eq!(statements(script), expected, "{script}");
        }
    }
}
