//! What went wrong, told so that nobody has to run it again to understand it.

use std::collections::VecDeque;
use std::fmt;

use crate::matcher::Arrived;
use crate::step::{Expectation, Expected};

/// Entries of a conversation that are kept for a report; older ones are only counted.
pub const LISTED_ENTRIES_MAX: usize = 60;
/// What stands for the middle of a long text.
pub(crate) const CUT: &str = " … ";
/// Characters of a frame or value that are shown.
const SHOWN_CHARS_MAX: usize = 600;

/// Where two values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where, from `$`, the whole frame.
    pub path: String,
    /// What was expected there.
    pub expected: String,
    /// What was there.
    pub got: String,
}

impl Mismatch {
    pub(crate) fn new(path: String, expected: &str, got: &str) -> Self {
        Self {
            path,
            expected: shortened(expected),
            got: shortened(got),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at {}: expected {}, got {}",
            self.path, self.expected, self.got
        )
    }
}

/// What was sent and received so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    left_out: usize,
    entries: VecDeque<String>,
}

impl Conversation {
    /// The client said something, on a connection or elsewhere.
    pub fn sent(&mut self, whom: &str, what: &str) {
        self.push(format!("{whom} ─▶ {}", shortened(what)));
    }

    /// The server said something.
    pub fn received(&mut self, whom: &str, what: &str) {
        self.push(format!("{whom} ◀─ {}", shortened(what)));
    }

    /// The same with every entry changed.
    pub(crate) fn map(self, change: impl Fn(&str) -> String) -> Self {
        Self {
            entries: self.entries.iter().map(|entry| change(entry)).collect(),
            ..self
        }
    }

    fn push(&mut self, entry: String) {
        if self.entries.len() == LISTED_ENTRIES_MAX {
            self.entries.pop_front();
            self.left_out += 1;
        }
        self.entries.push_back(entry);
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left_out > 0 {
            writeln!(f, "    ({} earlier)", self.left_out)?;
        }
        self.entries
            .iter()
            .try_for_each(|entry| writeln!(f, "    {entry}"))
    }
}

/// Why a replay stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub file: String,
    /// The line of the step, from 1.
    pub line: usize,
    /// The text of that line.
    pub step: String,
    /// What is wrong, in a sentence.
    pub problem: String,
    /// Where values differ, if that is the problem.
    pub mismatch: Option<Mismatch>,
    /// The expected frame and the one that came beside each other, if that is the problem: lines that start with `-` for
    /// what was expected, `+` for what came, and a blank for what they have in common.
    pub contrast: Vec<String>,
    /// What to do about it, if somebody knows: one or more lines.
    pub advice: Option<String>,
    /// What led to it.
    pub conversation: Conversation,
}

/// Several lines: place and problem, mismatch, step, conversation.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.file, self.line, self.problem)?;
        if let Some(Mismatch { path, expected, got }) = &self.mismatch {
            writeln!(f, "  at {path}\n    expected {expected}\n    got      {got}")?;
        }
        if !self.contrast.is_empty() {
            writeln!(f, "  - expected, + got")?;
            self.contrast
                .iter()
                .try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        for line in self.advice.iter().flat_map(|advice| advice.lines()) {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "  step\n    {}", shortened(&self.step))?;
        write!(f, "  conversation\n{}", self.conversation)
    }
}

/// For reports; long ones are cut.
impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { text, .. } => f.write_str(&shortened(text)),
            Self::Binary { bytes, view: None } => write!(f, "binary {}", shortened(&hex(bytes))),
            Self::Binary { view: Some(view), .. } => write!(f, "binary {}", shortened(&view.to_string())),
            Self::Pong(payload) => write!(f, "pong {:?}", String::from_utf8_lossy(payload)),
            Self::Closed { code } => write!(f, "close {code}"),
        }
    }
}

/// For reports; long ones are cut.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.frame {
            Expected::Text(json) => f.write_str(&shortened(&json.to_string())),
            Expected::Bytes(bytes) => write!(f, "binary {}", shortened(&hex(bytes))),
            Expected::View(view) => write!(f, "binary {}", shortened(&view.to_string())),
            Expected::Pong(text) => write!(f, "pong {text:?}"),
        }
    }
}

/// A long text with its middle left out.
pub(crate) fn shortened(text: &str) -> String {
    shortened_to(text, SHOWN_CHARS_MAX)
}

/// A text of more characters than that with its middle left out.
pub(crate) fn shortened_to(text: &str, chars_max: usize) -> String {
    let characters = text.chars().count();
    if characters <= chars_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars_max / 2).collect();
    let tail: String = text.chars().skip(characters - chars_max / 4).collect();
    format!("{head}{CUT}{tail} ({} bytes)", text.len())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_whole_story() {
        let mut conversation = Conversation::default();
        conversation.sent("a", r#"["1"]"#);
        conversation.received("a", r#"["2"]"#);
        let failure = Failure {
            file: "join.jsonl".into(),
            line: 3,
            step: r#"{"recv":"a","text":["1"]}"#.into(),
            problem: "another frame came".into(),
            mismatch: Some(Mismatch::new("$[0]".into(), r#""1""#, r#""2""#)),
            contrast: vec!["- \"1\"".into(), "+ \"2\"".into()],
            advice: Some("one\ntwo".into()),
            conversation,
        };
        let told = concat!(
            "join.jsonl:3: another frame came\n",
            "  at $[0]\n    expected \"1\"\n    got      \"2\"\n",
            "  - expected, + got\n    - \"1\"\n    + \"2\"\n",
            "  one\n  two\n",
            "  step\n    {\"recv\":\"a\",\"text\":[\"1\"]}\n",
            "  conversation\n    a ─▶ [\"1\"]\n    a ◀─ [\"2\"]\n",
        );
        assert_eq!(failure.to_string(), told);
    }

    #[test]
    fn a_conversation_keeps_its_end() {
        let mut conversation = Conversation::default();
        for n in 0..LISTED_ENTRIES_MAX + 2 {
            conversation.sent("a", &n.to_string());
        }
        let told = conversation.to_string();
        assert_eq!(told.lines().count(), LISTED_ENTRIES_MAX + 1);
        assert!(told.starts_with("    (2 earlier)\n    a ─▶ 2\n"), "{told}");
    }

    #[test]
    fn long_texts_lose_their_middle() {
        let long = format!("{}{}", "ä".repeat(5000), "end");
        let shown = shortened(&long);
        assert!(shown.chars().count() < SHOWN_CHARS_MAX + 30, "{shown}");
        assert!(shown.contains("end (10003 bytes)"));
        assert_eq!(shortened("short"), "short");
    }

    #[test]
    fn frames_are_shown_by_what_they_say() {
        for (frame, shown) in [
            (Arrived::text(b"[1]"), "[1]"),
            (
                Arrived::Binary {
                    bytes: vec![4, 255],
                    view: None,
                },
                "binary 04ff",
            ),
            (Arrived::Pong(b"p".to_vec()), "pong \"p\""),
            (Arrived::Closed { code: 1006 }, "close 1006"),
        ] {
            assert_eq!(frame.to_string(), shown);
        }
    }
}
