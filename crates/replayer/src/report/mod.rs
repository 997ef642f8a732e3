//! What came of a replay, for people and for the tools of others.

mod junit;
mod pretty;
mod tap;

use serde_json::{Value, json};
use transcript::Failure;

use crate::deviations::{Deviations, Judgement};
use crate::outcome::{Outcome, Verdict};

pub use junit::junit;
pub use pretty::{line, summary};
pub use tap::tap;

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// As recorded.
    pub passed: usize,
    /// Different, as meant.
    pub deviating: usize,
    /// Different and not meant, or the other way round.
    pub bad: usize,
    /// Not tried.
    pub left_out: usize,
}

impl Counts {
    /// Of these outcomes.
    pub fn of<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>, deviations: &Deviations) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            *match deviations.judge(outcome) {
                Judgement::Passed => &mut counts.passed,
                Judgement::Deviates(_) => &mut counts.deviating,
                Judgement::Failed | Judgement::UnexpectedPass(_) => &mut counts.bad,
                Judgement::LeftOut => &mut counts.left_out,
            } += 1;
        }
        counts
    }
}

/// One JSON object with everything.
pub fn json(outcomes: &[Outcome], deviations: &Deviations) -> String {
    let counts = Counts::of(outcomes, deviations);
    let transcripts: Vec<Value> = outcomes
        .iter()
        .map(|outcome| of_outcome(outcome, deviations))
        .collect();
    let all = json!({
        "passed": counts.passed,
        "deviating": counts.deviating,
        "failed": counts.bad,
        "left_out": counts.left_out,
        "transcripts": transcripts,
    });
    format!("{all:#}\n")
}

fn of_outcome(outcome: &Outcome, deviations: &Deviations) -> Value {
    let judgement = deviations.judge(outcome);
    let (word, deviation) = match judgement {
        Judgement::Passed => ("passed", None),
        Judgement::Failed => ("failed", None),
        Judgement::Deviates(id) => ("deviates", Some(id)),
        Judgement::UnexpectedPass(id) => ("passed unexpectedly", Some(id)),
        Judgement::LeftOut => ("left out", None),
    };
    let (reason, failure) = match &outcome.verdict {
        Verdict::Passed => (Value::Null, Value::Null),
        Verdict::LeftOut(reason) => (json!(reason), Value::Null),
        Verdict::Failed(failure) => (json!(failure.problem), of_failure(failure)),
    };
    json!({
        "file": outcome.file,
        "name": outcome.name,
        "area": outcome.area,
        "outcome": word,
        "deviation": deviation,
        "reason": reason,
        "failure": failure,
        "updated_lines": outcome.rewritten.as_ref().map_or(0, |rewritten| rewritten.lines),
        "took_ms": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn of_failure(failure: &Failure) -> Value {
    let mismatch = failure.mismatch.as_ref().map(|mismatch| {
        json!({
            "path": mismatch.path,
            "expected": mismatch.expected,
            "got": mismatch.got,
        })
    });
    let conversation: Vec<String> = failure
        .conversation
        .to_string()
        .lines()
        .map(|line| line.trim_start().to_owned())
        .collect();
    json!({
        "line": failure.line,
        "step": failure.step,
        "problem": failure.problem,
        "mismatch": mismatch,
        "contrast": failure.contrast,
        "advice": failure.advice,
        "conversation": conversation,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;
    use transcript::Conversation;

    /// One of each kind, with everything in it that a format could trip over.
    pub(crate) fn outcomes() -> (Vec<Outcome>, Deviations) {
        let outcome = |name: &str, area: &str, verdict| Outcome {
            file: format!("folder/{name}.jsonl"),
            name: name.to_owned(),
            area: area.to_owned(),
            verdict,
            rewritten: None,
            took: Duration::from_millis(1_234),
        };
        let failed = |line| {
            Verdict::Failed(Box::new(Failure {
                file: "f".to_owned(),
                line,
                step: "{\"recv\":\"<a>\"}".to_owned(),
                problem: "\"quoted\" & <odd> # \\ \u{1}]]>".to_owned(),
                mismatch: None,
                contrast: vec!["- 1".to_owned(), "+ 2".to_owned()],
                advice: None,
                conversation: Conversation::default(),
            }))
        };
        let deviations = "[[deviation]]\nid = \"meant\"\nwhat = \"w\"\nreference = \"r\"\nours = \"o\"\nreason = \"x\"\ntranscripts = [\"meant\", \"gone\"]";
        let outcomes = vec![
            outcome("good", "join", Verdict::Passed),
            outcome("bad", "join", failed(3)),
            outcome("meant", "leave", failed(4)),
            outcome("gone", "leave", Verdict::Passed),
            outcome("not", "leave", Verdict::LeftOut("no # database".to_owned())),
        ];
        (outcomes, Deviations::parse(deviations).unwrap())
    }

    #[test]
    fn outcomes_are_counted() {
        let (outcomes, deviations) = outcomes();
        let counts = Counts {
            passed: 1,
            deviating: 1,
            bad: 2,
            left_out: 1,
        };
        assert_eq!(Counts::of(&outcomes, &deviations), counts);
    }

    #[test]
    fn everything_is_in_the_json() {
        let (outcomes, deviations) = outcomes();
        let all: Value = serde_json::from_str(&json(&outcomes, &deviations)).unwrap();
        assert_eq!(all["failed"], 2);
        let words: Vec<&str> = all["transcripts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["outcome"].as_str().unwrap())
            .collect();
        assert_eq!(
            words,
            ["passed", "failed", "deviates", "passed unexpectedly", "left out"]
        );
        assert_eq!(all["transcripts"][1]["failure"]["line"], 3);
        assert_eq!(all["transcripts"][4]["reason"], "no # database");
        assert_eq!(all["transcripts"][0]["took_ms"], 1_234);
    }
}
