//! A whole file: one JSON object per line, the header first.

use std::fmt;

use crate::fields::Reason;
use crate::header::Header;
use crate::json::Value;
use crate::step::{Action, Step};

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// What it was read from, as it is shown.
    pub file: String,
    /// The first line.
    pub header: Header,
    /// The other lines.
    pub steps: Vec<Step>,
    /// The text of every line, for whoever explains a failure.
    lines: Vec<String>,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FormatError {
    /// Which file.
    pub file: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

impl Transcript {
    /// Reads a file; `file` is its name, for errors. Blank lines are passed over.
    ///
    /// # Errors
    ///
    /// The first line that says something unknown, or says it in the wrong place. Whether the steps make sense one after
    /// the other is not looked at, see [`Transcript::problems`].
    pub fn parse(file: &str, text: &str) -> Result<Self, FormatError> {
        let mut reader = Reader::new(file);
        for line in text.lines() {
            reader.line(line.as_bytes());
        }
        reader.form().map_err(|mut problems| problems.remove(0))
    }

    /// What makes no sense although each line is well-formed: connections that are not open, names that nothing is bound
    /// to, tokens that the header does not have.
    pub fn problems(&self) -> Vec<FormatError> {
        let at = |(line, reason)| FormatError {
            file: self.file.clone(),
            line,
            reason,
        };
        crate::meaning::problems(self).into_iter().map(at).collect()
    }

    /// Every line with its number, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.lines.iter().map(String::as_str))
    }

    /// The text of a line, by its number from 1; empty if there is none.
    pub fn line(&self, number: usize) -> &str {
        number
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .map_or("", String::as_str)
    }
}

/// Reads a file a line at a time and collects everything that is wrong with it.
///
/// It sees lines without their line breaks and takes each as it comes, so whoever reads the file needs to hold one line,
/// of at most [`LINE_BYTES_MAX`].
///
/// ```
/// let mut reader = transcript::Reader::new("sleep.jsonl");
/// reader.line(br#"{"transcript":1,"name":"sleep","area":"a","title":"t","shows":"s","vsn":[],"tenant":"main","takes_ms":5,"reference":{"server":"x","version":"1","commit":"c"}}"#);
/// reader.line(br#"{"sleeep":5}"#);
/// let problems = reader.finish().unwrap_err();
/// assert!(problems[0].to_string().starts_with("sleep.jsonl:2: unknown step sleeep"));
/// ```
#[derive(Debug)]
pub struct Reader {
    file: String,
    header: Option<Header>,
    steps: Vec<Step>,
    lines: Vec<String>,
    problems: Vec<FormatError>,
    /// What follows is not worth a look: this is something else than a transcript.
    is_given_up: bool,
    /// The number of a line that stops in its middle.
    cut_off: Option<usize>,
}

impl Reader {
    /// Nothing read yet; `file` is the name of the file, for problems.
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            header: None,
            steps: Vec::new(),
            lines: Vec::new(),
            problems: Vec::new(),
            is_given_up: false,
            cut_off: None,
        }
    }

    /// Takes the next line, without its line break.
    pub fn line(&mut self, bytes: &[u8]) {
        if self.is_given_up {
            return;
        }
        let number = self.lines.len() + 1;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            // It stops within a character.
            Err(error) if error.error_len().is_none() => bytes
                .get(..error.valid_up_to())
                .and_then(|whole| std::str::from_utf8(whole).ok())
                .unwrap_or_default(),
            Err(_) => {
                self.is_given_up = true;
                self.problem(
                    number,
                    "not UTF-8: a transcript is lines of JSON, this file is something else or damaged".into(),
                );
                return;
            }
        };
        let text = text.strip_suffix('\r').unwrap_or(text);
        self.lines.push(text.to_owned());
        if text.trim().is_empty() {
            return;
        }
        if let Err(reason) = self.parse(number, text) {
            // Without a header nothing is known of what follows.
            self.is_given_up = self.header.is_none();
            self.problem(number, reason);
        }
    }

    /// The reader has met a line it will not hold; nothing of the file is looked at any more.
    pub fn line_too_long(&mut self) {
        self.is_given_up = true;
        self.problem(
            self.lines.len() + 1,
            format!("a line of more than {LINE_BYTES_MAX} bytes: no message is that long, so this is no transcript"),
        );
    }

    /// Whether nothing more of the file is looked at, because it is something else than a transcript.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// The file is over.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, of form and of meaning; at most [`PROBLEMS_MAX`].
    pub fn finish(self) -> Result<Transcript, Vec<FormatError>> {
        let transcript = self.form()?;
        let problems = transcript.problems();
        if problems.is_empty() {
            Ok(transcript)
        } else {
            Err(problems)
        }
    }

    fn form(mut self) -> Result<Transcript, Vec<FormatError>> {
        // A recorder that was killed was perhaps writing; one that came to an end says how long it took.
        let was_killed = self.header.as_ref().is_some_and(|header| header.takes_ms == 0);
        if was_killed && self.cut_off == Some(self.lines.len()) {
            let last = self.lines.len();
            self.problems.retain(|problem| problem.line != last);
        }
        match self.header.take() {
            Some(header) if self.problems.is_empty() => Ok(Transcript {
                file: self.file,
                header,
                steps: self.steps,
                lines: self.lines,
            }),
            header => {
                if header.is_none() && self.problems.is_empty() {
                    self.problem(1, "the header is missing: the file is empty".into());
                }
                Err(self.problems)
            }
        }
    }

    fn parse(&mut self, number: usize, text: &str) -> Result<(), Reason> {
        let value = Value::parse(text).map_err(|error| {
            let error = error.to_string();
            if error.starts_with("EOF") {
                self.cut_off = Some(number);
                format!("{error}: the line is cut off; copy or record the file again, or delete the line")
            } else {
                format!("no JSON: {error}")
            }
        })?;
        match &self.header {
            None => self.header = Some(Header::parse(&value)?),
            Some(header) => {
                let step = Step::parse(number, &value)?;
                if step.at_ms.is_some() && header.version == 1 {
                    return Err(
                        "at_ms is not in version 1 of the format: write \"transcript\":2 in the header"
                            .into(),
                    );
                }
                if matches!(step.action, Action::Fault(_)) && header.version == 1 {
                    return Err(
                        "faults are not in version 1 of the format: write \"transcript\":2 in the header"
                            .into(),
                    );
                }
                self.steps.push(step);
            }
        }
        Ok(())
    }

    fn problem(&mut self, line: usize, reason: Reason) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(FormatError {
                file: self.file.clone(),
                line,
                reason,
            });
        }
    }
}

/// Longest line that is read. Bytes.
pub const LINE_BYTES_MAX: usize = 64 << 20;
/// Problems of one file that are told.
pub const PROBLEMS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = concat!(
        r#"{"transcript":1,"name":"n","area":"a","title":"t","shows":"s","#,
        r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5}"#
    );

    #[test]
    fn the_header_comes_first_and_blank_lines_do_not_count() {
        let transcript = Transcript::parse("n.jsonl", &format!("{HEADER}\n\n{{\"sleep\":1}}\n")).unwrap();
        assert_eq!(transcript.header.name, "n");
        assert_eq!(
            transcript.steps.iter().map(|step| step.line).collect::<Vec<_>>(),
            [3]
        );
        assert_eq!(transcript.line(3), "{\"sleep\":1}");
        assert_eq!((transcript.line(0), transcript.line(4)), ("", ""));
    }

    #[test]
    fn errors_name_file_and_line() {
        for (text, shown) in [
            (
                String::new(),
                "n.jsonl:1: the header is missing: the file is empty",
            ),
            (
                "{\"sleep\":1}".into(),
                r#"n.jsonl:1: transcript is missing: the first line of a transcript is its header, {"transcript":1,"name":…}"#,
            ),
            (
                format!("{HEADER}\n{{\"sleep\":1,\"x\":2}}"),
                "n.jsonl:2: unknown key x",
            ),
            (
                format!("{HEADER}\n\n{{\"sleep\":1"),
                "n.jsonl:3: EOF while parsing an object at column 10: the line is cut off; copy or record the file again, or delete the line",
            ),
            (
                format!("{HEADER}\n{{\"fault\":\"drop\"}}"),
                "n.jsonl:2: faults are not in version 1 of the format: write \"transcript\":2 in the header",
            ),
            (
                format!("{HEADER}\n{{\"sleep\":1,\"at_ms\":2}}"),
                "n.jsonl:2: at_ms is not in version 1 of the format: write \"transcript\":2 in the header",
            ),
        ] {
            assert_eq!(
                Transcript::parse("n.jsonl", &text).unwrap_err().to_string(),
                shown
            );
        }
    }

    fn problems(lines: &[&[u8]]) -> Vec<String> {
        let mut reader = Reader::new("n.jsonl");
        lines.iter().for_each(|line| reader.line(line));
        let problems = reader.finish().err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_line_that_is_wrong_is_told() {
        let header = HEADER.as_bytes();
        let told = problems(&[
            header,
            b"{\"sleep\":1}\r",
            b"[1",
            b"{\"jump\":1}",
            b"",
            b"{\"sleep\":x}",
        ]);
        let starts = [
            "n.jsonl:3: EOF while parsing",
            "n.jsonl:4: unknown step jump",
            "n.jsonl:6: no JSON: expected value",
        ];
        assert_eq!(told.len(), starts.len(), "{told:?}");
        for (told, start) in told.iter().zip(starts) {
            assert!(told.starts_with(start), "{told}");
        }
        let many = vec![b"{}".as_slice(); PROBLEMS_MAX + 5];
        assert_eq!(problems(&[vec![header], many].concat()).len(), PROBLEMS_MAX);
    }

    #[test]
    fn a_recording_that_was_killed_may_stop_within_its_last_line() {
        let killed = HEADER.replace("\"takes_ms\":5", "\"takes_ms\":0");
        let killed = killed.as_bytes();
        for last in [b"{\"sle".as_slice(), b"{\"send\":\"a\",\"raw\":\"\xc3"] {
            assert_eq!(problems(&[killed, b"{\"sleep\":1}", last]), [""; 0]);
            assert_eq!(problems(&[HEADER.as_bytes(), b"{\"sleep\":1}", last]).len(), 1);
            assert_eq!(problems(&[killed, last, b"{\"sleep\":1}"]).len(), 1);
        }
    }

    #[test]
    fn something_else_than_a_transcript_is_told_once() {
        for (lines, reason) in [
            (
                vec![b"\x1f\x8b\x08\0".as_slice(), b"\xff"],
                "n.jsonl:1: not UTF-8: ",
            ),
            (
                vec![b"#!/bin/sh".as_slice(), b"exit", b"exit"],
                "n.jsonl:1: no JSON: ",
            ),
            (
                vec![b"[]".as_slice(), b"[]"],
                "n.jsonl:1: an object is expected, not an array",
            ),
            (
                vec![HEADER.as_bytes(), b"\0\xff", b"\xff"],
                "n.jsonl:2: not UTF-8: ",
            ),
        ] {
            let told = problems(&lines);
            assert!(told.len() == 1 && told[0].starts_with(reason), "{told:?}");
        }
        let mut reader = Reader::new("n.jsonl");
        reader.line_too_long();
        assert!(
            reader.finish().unwrap_err()[0]
                .to_string()
                .starts_with("n.jsonl:1: a line of more than")
        );
    }
}
