//! Secrets that a server has said are not repeated.

use crate::explain::{CUT, Failure, Mismatch};
use crate::json::Value;

/// Values that must not be shown, and what stands for each.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Longest first: one may be part of another.
    hidden: Vec<(String, String)>,
}

impl Secrets {
    /// Values with the placeholder that stands for each. Short ones are nobody's secret, and may be part of any text.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut hidden = Vec::new();
        for (value, placeholder) in values {
            // As it stands within a string of JSON.
            let quoted = Value::text(value.as_str()).to_string();
            let escaped = quoted.trim_matches('"').to_owned();
            if escaped != value {
                hidden.push((escaped, placeholder.clone()));
            }
            hidden.push((value, placeholder));
        }
        hidden.retain(|(value, _)| value.len() >= HIDDEN_BYTES_MIN);
        hidden.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Self { hidden }
    }

    /// The text without them, and without what is left of one where the middle of a long text was cut out.
    pub fn conceal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, placeholder) in &self.hidden {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), placeholder);
            }
            if text.contains(CUT) {
                text = without_ends(&text, value, placeholder);
            }
        }
        text
    }

    /// The same failure without them.
    pub fn conceal_failure(&self, failure: Failure) -> Failure {
        Failure {
            problem: self.conceal(&failure.problem),
            mismatch: failure.mismatch.map(|mismatch| Mismatch {
                path: self.conceal(&mismatch.path),
                expected: self.conceal(&mismatch.expected),
                got: self.conceal(&mismatch.got),
            }),
            contrast: failure.contrast.iter().map(|line| self.conceal(line)).collect(),
            conversation: failure.conversation.map(|entry| self.conceal(entry)),
            ..failure
        }
    }
}

/// Without the beginning of a value before a cut, and its end after one.
fn without_ends(text: &str, value: &str, placeholder: &str) -> String {
    let parts: Vec<(&str, &str)> = value
        .char_indices()
        .skip(1)
        .map(|(at, _)| value.split_at(at))
        .collect();
    let is_telling = |part: &&str| part.chars().count() >= PART_CHARS_MIN;
    // The longest first.
    let starts: Vec<&str> = parts
        .iter()
        .rev()
        .map(|(start, _)| *start)
        .filter(is_telling)
        .collect();
    let ends: Vec<&str> = parts.iter().map(|(_, end)| *end).filter(is_telling).collect();
    let pieces: Vec<&str> = text.split(CUT).collect();
    let last = pieces.len().saturating_sub(1);
    let pieces = pieces.iter().enumerate().map(|(index, piece)| {
        let mut piece = (*piece).to_owned();
        if index > 0
            && let Some(rest) = ends.iter().find_map(|end| piece.strip_prefix(end))
        {
            piece = format!("{placeholder}{rest}");
        }
        if index < last
            && let Some(rest) = starts.iter().find_map(|start| piece.strip_suffix(start))
        {
            piece = format!("{rest}{placeholder}");
        }
        piece
    });
    pieces.collect::<Vec<_>>().join(CUT)
}

/// A shorter value is not hidden.
const HIDDEN_BYTES_MIN: usize = 8;
/// A shorter part of a secret tells nothing.
const PART_CHARS_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{Conversation, shortened};

    fn secrets() -> Secrets {
        Secrets::new([
            ("hush-hush".to_owned(), "${jwt:a}".to_owned()),
            ("hush-hush-hush".to_owned(), "${jwt:b}".to_owned()),
            ("hush\"hush".to_owned(), "${jwt:c}".to_owned()),
            ("hush".to_owned(), "${jwt:d}".to_owned()),
        ])
    }

    #[test]
    fn the_longest_is_taken_first_and_quotes_do_not_hide_one() {
        for (text, concealed) in [
            ("hush-hush-hush, hush-hush, hush", "${jwt:b}, ${jwt:a}, hush"),
            (r#"{"x":"hush\"hush"} hush"hush"#, r#"{"x":"${jwt:c}"} ${jwt:c}"#),
            ("nothing", "nothing"),
        ] {
            assert_eq!(secrets().conceal(text), concealed);
        }
    }

    #[test]
    fn nothing_of_it_is_left_where_a_text_is_cut() {
        let secret = "0123456789abcdefghijklmnopqrstuvwxyz";
        let secrets = Secrets::new([(secret.to_owned(), "${jwt:k}".to_owned())]);
        for before in 270..300 {
            let long = format!("{}{secret}{}", " ".repeat(before), "-".repeat(1_000));
            let shown = secrets.conceal(&shortened(&long));
            assert!(!shown.contains("01234"), "{before}: {shown}");
            let long = format!("{}{secret}{}", "-".repeat(1_000), " ".repeat(before - 150));
            let shown = secrets.conceal(&shortened(&long));
            assert!(!shown.contains("vwxyz"), "{before}: {shown}");
        }
    }

    #[test]
    fn a_failure_is_told_without_them() {
        let mut conversation = Conversation::default();
        conversation.received("a", r#"{"token":"hush-hush"}"#);
        let failure = Failure {
            file: "f".into(),
            line: 1,
            step: "s".into(),
            problem: "hush-hush came".into(),
            mismatch: Some(Mismatch::new("$".into(), "1", "\"hush-hush\"")),
            contrast: vec!["+ \"hush-hush\"".into()],
            advice: None,
            conversation,
        };
        let told = secrets().conceal_failure(failure).to_string();
        assert!(!told.contains("hush"), "{told}");
        assert_eq!(told.matches("${jwt:a}").count(), 4);
    }
}
