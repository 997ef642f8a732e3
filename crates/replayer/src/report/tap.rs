//! The Test Anything Protocol, version 14. Source: testanything.org, "TAP 14 specification".

use std::fmt::Write as _;

use serde_json::Value;

use crate::deviations::{Deviations, Judgement};
use crate::outcome::{Outcome, Verdict};

/// One test point for each transcript. What deviates as meant is a TODO, which may fail; what is left out is a SKIP.
pub fn tap(outcomes: &[Outcome], deviations: &Deviations) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", outcomes.len());
    for (number, outcome) in (1..).zip(outcomes) {
        let judgement = deviations.judge(outcome);
        let word = match judgement {
            Judgement::Passed | Judgement::LeftOut => "ok",
            Judgement::Failed | Judgement::Deviates(_) | Judgement::UnexpectedPass(_) => "not ok",
        };
        let directive = match (&outcome.verdict, judgement) {
            (Verdict::LeftOut(reason), _) => format!(" # SKIP {}", escaped(reason)),
            (_, Judgement::Deviates(id)) => format!(" # TODO deviates as meant: {}", escaped(id)),
            _ => String::new(),
        };
        let name = escaped(&format!("{}/{}", outcome.area, outcome.name));
        let _ = writeln!(text, "{word} {number} - {name}{directive}");
        let message = match (&outcome.verdict, judgement) {
            (Verdict::Failed(failure), _) => Some(failure.to_string()),
            (_, Judgement::UnexpectedPass(id)) => {
                Some(format!("it passes although it is listed as a deviation: {id}"))
            }
            _ => None,
        };
        // A JSON string is a YAML string.
        let quoted = |text: &str| Value::from(text).to_string();
        let _ = writeln!(text, "  ---\n  duration_ms: {}", outcome.took.as_millis());
        let _ = writeln!(text, "  file: {}", quoted(&outcome.file));
        if let Verdict::Failed(failure) = &outcome.verdict {
            let _ = writeln!(text, "  line: {}", failure.line);
        }
        if let Some(message) = message {
            let _ = writeln!(text, "  message: {}", quoted(&message));
        }
        text.push_str("  ...\n");
    }
    text
}

/// A description in which a number sign starts no directive.
fn escaped(text: &str) -> String {
    let one_line = text.replace(['\n', '\r'], " ");
    one_line.replace('\\', "\\\\").replace('#', "\\#")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcomes;

    #[test]
    fn every_transcript_is_a_test_point() {
        let (outcomes, deviations) = outcomes();
        let text = tap(&outcomes, &deviations);
        let points: Vec<&str> = text.lines().filter(|line| !line.starts_with("  ")).collect();
        let expected = [
            "TAP version 14",
            "1..5",
            "ok 1 - join/good",
            "not ok 2 - join/bad",
            "not ok 3 - leave/meant # TODO deviates as meant: meant",
            "not ok 4 - leave/gone",
            "ok 5 - leave/not # SKIP no \\# database",
        ];
        assert_eq!(points, expected);
        assert!(
            text.contains("  message: \"f:3: \\\"quoted\\\" & <odd> # \\\\ \\u0001]]>\\n"),
            "{text}"
        );
    }
}
