//! Differences from the reference that are meant: `protocol-spec/deviations.toml`.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::outcome::{Outcome, Verdict};

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deviations {
    deviations: Vec<Deviation>,
}

/// One of them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// A short name of its own.
    pub id: String,
    /// What differs.
    pub what: String,
    /// What the reference does.
    pub reference: String,
    /// What we do.
    pub ours: String,
    /// Why.
    pub reason: String,
    /// Transcripts that fail because of it: `name`, or `name:line` if they fail at that line.
    #[serde(default)]
    pub transcripts: Vec<Place>,
}

/// Where a transcript fails.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Place {
    /// The transcript's name.
    pub transcript: String,
    /// The line of the step that fails; none if it may be any.
    pub line: Option<usize>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviationsError {
    /// It does not have the form it should have.
    #[error("deviations: {0}")]
    Form(#[from] toml::de::Error),
    /// Two have one name.
    #[error("deviations: {0} comes twice")]
    Twice(String),
}

/// An outcome in the light of the deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement<'a> {
    /// As the reference.
    Passed,
    /// Different, and not meant.
    Failed,
    /// Different, as meant by the deviation of this id.
    Deviates(&'a str),
    /// As the reference, although the deviation of this id says otherwise.
    UnexpectedPass(&'a str),
    /// Not tried.
    LeftOut,
}

impl Deviations {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`DeviationsError`]
    pub fn parse(text: &str) -> Result<Self, DeviationsError> {
        let File { deviations } = toml::from_str(text)?;
        let mut ids = BTreeSet::new();
        match deviations.iter().find(|deviation| !ids.insert(&deviation.id)) {
            Some(twice) => Err(DeviationsError::Twice(twice.id.clone())),
            None => Ok(Self { deviations }),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Deviation> {
        self.deviations.iter()
    }

    /// What to make of an outcome.
    pub fn judge(&self, outcome: &Outcome) -> Judgement<'_> {
        let mut listed = self.deviations.iter().flat_map(|deviation| {
            let places = deviation
                .transcripts
                .iter()
                .filter(|place| place.transcript == outcome.name);
            places.map(|place| (deviation.id.as_str(), place.line))
        });
        match &outcome.verdict {
            Verdict::LeftOut(_) => Judgement::LeftOut,
            Verdict::Passed => listed
                .next()
                .map_or(Judgement::Passed, |(id, _)| Judgement::UnexpectedPass(id)),
            Verdict::Failed(failure) => listed
                .find(|(_, line)| line.is_none_or(|line| line == failure.line))
                .map_or(Judgement::Failed, |(id, _)| Judgement::Deviates(id)),
        }
    }
}

impl Judgement<'_> {
    /// Whether somebody has to look at it.
    pub fn is_bad(self) -> bool {
        match self {
            Self::Failed | Self::UnexpectedPass(_) => true,
            Self::Passed | Self::Deviates(_) | Self::LeftOut => false,
        }
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None => Ok(Self {
                transcript: text,
                line: None,
            }),
            Some((transcript, line)) => match line.parse() {
                Ok(line) => Ok(Self {
                    transcript: transcript.to_owned(),
                    line: Some(line),
                }),
                Err(_) => Err(format!("{text} is neither a name nor name:line")),
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "deviation")]
    deviations: Vec<Deviation>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use transcript::{Conversation, Failure};

    const ONE: &str = r#"
[[deviation]]
id = "slow"
what = "w"
reference = "r"
ours = "o"
reason = "because"
transcripts = ["whole", "line:7"]
"#;

    fn failed(name: &str, line: usize) -> Outcome {
        let failure = Failure {
            file: String::new(),
            line,
            step: String::new(),
            problem: String::new(),
            mismatch: None,
            contrast: Vec::new(),
            advice: None,
            conversation: Conversation::default(),
        };
        outcome(name, Verdict::Failed(Box::new(failure)))
    }

    fn outcome(name: &str, verdict: Verdict) -> Outcome {
        Outcome {
            file: name.into(),
            name: name.into(),
            area: "a".into(),
            verdict,
            rewritten: None,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_listed_failure_is_meant_and_a_listed_pass_is_not() {
        let deviations = Deviations::parse(ONE).unwrap();
        for (outcome, judgement) in [
            (failed("whole", 1), Judgement::Deviates("slow")),
            (failed("line", 7), Judgement::Deviates("slow")),
            (failed("line", 8), Judgement::Failed),
            (failed("other", 7), Judgement::Failed),
            (
                outcome("line", Verdict::Passed),
                Judgement::UnexpectedPass("slow"),
            ),
            (outcome("other", Verdict::Passed), Judgement::Passed),
            (outcome("whole", Verdict::LeftOut("x".into())), Judgement::LeftOut),
        ] {
            assert_eq!(deviations.judge(&outcome), judgement, "{outcome:?}");
        }
    }

    #[test]
    fn the_file_is_read_strictly() {
        for text in [
            ONE.replace("what = \"w\"\n", ""),
            ONE.replace("what", "whatever"),
            ONE.replace("line:7", "line:x"),
            format!("{ONE}{ONE}"),
        ] {
            assert!(Deviations::parse(&text).is_err(), "{text}");
        }
        assert_eq!(Deviations::parse("").unwrap(), Deviations::default());
    }
}
