//! A whole file: one JSON object per line, the header first.

use std::fmt;

use crate::fields::Reason;
use crate::header::Header;
use crate::json::Value;
use crate::step::Step;

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
    /// The first line that says something unknown, or says it in the wrong place.
    pub fn parse(file: &str, text: &str) -> Result<Self, FormatError> {
        let at = |line: usize, reason: Reason| FormatError {
            file: file.to_owned(),
            line,
            reason,
        };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut parsed = Vec::new();
        for (index, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let number = index + 1;
            parsed.push((
                number,
                Value::parse(line).map_err(|error| at(number, error.to_string()))?,
            ));
        }
        let mut parsed = parsed.into_iter();
        let (number, first) = parsed
            .next()
            .ok_or_else(|| at(1, "the header is missing".into()))?;
        let header = Header::parse(&first).map_err(|reason| at(number, reason))?;
        let steps = parsed
            .map(|(number, value)| Step::parse(number, &value).map_err(|reason| at(number, reason)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            file: file.to_owned(),
            header,
            steps,
            lines,
        })
    }

    /// The text of a line, by its number from 1; empty if there is none.
    pub fn line(&self, number: usize) -> &str {
        number
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .map_or("", String::as_str)
    }
}

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
            (String::new(), "n.jsonl:1: the header is missing"),
            ("{\"sleep\":1}".into(), "n.jsonl:1: transcript is missing"),
            (
                format!("{HEADER}\n{{\"sleep\":1,\"x\":2}}"),
                "n.jsonl:2: unknown key x",
            ),
            (
                format!("{HEADER}\n\n{{\"sleep\":1"),
                "n.jsonl:3: EOF while parsing an object at column 10",
            ),
        ] {
            assert_eq!(
                Transcript::parse("n.jsonl", &text).unwrap_err().to_string(),
                shown
            );
        }
    }
}
