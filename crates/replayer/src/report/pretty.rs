//! For people: a line for each transcript, what went wrong at length, and a table at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Counts;
use crate::deviations::{Deviations, Judgement};
use crate::outcome::{Outcome, Verdict};

/// What came of one transcript: a line, and after it the failure if somebody has to look at it.
pub fn line(outcome: &Outcome, deviations: &Deviations) -> String {
    let judgement = deviations.judge(outcome);
    let (mark, note) = match (&outcome.verdict, judgement) {
        (Verdict::LeftOut(reason), _) => ("left out", reason.clone()),
        (_, Judgement::Deviates(id)) => ("deviates", format!("as meant: {id}")),
        (Verdict::Failed(failure), _) => ("FAILED", format!("line {}: {}", failure.line, failure.problem)),
        (Verdict::Passed, Judgement::UnexpectedPass(id)) => {
            ("PASSED", format!("although it is listed: {id}"))
        }
        (Verdict::Passed, _) => ("ok", String::new()),
    };
    let note = match &outcome.rewritten {
        Some(rewritten) => format!("lines that are others: {}", rewritten.lines),
        None => note,
    };
    let took = outcome.took.as_secs_f32();
    let head = format!(
        "{mark:<8} {:<10} {:<32} {took:6.1} s  {note}",
        outcome.area, outcome.name
    );
    let mut text = format!("{}\n", head.trim_end());
    if let (Verdict::Failed(failure), Judgement::Failed) = (&outcome.verdict, judgement) {
        for line in failure.to_string().lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// How many there are of each kind, by area.
pub fn summary(outcomes: &[Outcome], deviations: &Deviations) -> String {
    let mut areas: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        areas.entry(&outcome.area).or_default().push(outcome);
    }
    let mut text = format!(
        "{:<12} {:>11} {:>9} {:>9} {:>9}\n",
        "area", "as recorded", "deviate", "failed", "left out"
    );
    let mut row = |name: &str, counts: Counts| {
        let Counts {
            passed,
            deviating,
            bad,
            left_out,
        } = counts;
        let _ = writeln!(
            text,
            "{name:<12} {passed:>11} {deviating:>9} {bad:>9} {left_out:>9}"
        );
    };
    let has_several = areas.len() > 1;
    for (area, outcomes) in areas {
        row(area, Counts::of(outcomes, deviations));
    }
    if has_several {
        row("all", Counts::of(outcomes, deviations));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcomes;

    #[test]
    fn there_is_a_line_for_each_and_a_table() {
        let (outcomes, deviations) = outcomes();
        let lines: Vec<String> = outcomes
            .iter()
            .map(|outcome| line(outcome, &deviations))
            .collect();
        assert_eq!(
            lines[0],
            "ok       join       good                                1.2 s\n"
        );
        assert!(
            lines[1].starts_with("FAILED   join") && lines[1].contains("\n    - expected, + got\n"),
            "{}",
            lines[1]
        );
        assert!(
            lines[2].ends_with("as meant: meant\n") && lines[3].ends_with("although it is listed: meant\n")
        );
        assert!(lines[4].ends_with("no # database\n"));
        let table = "\
area         as recorded   deviate    failed  left out
join                   1         0         1         0
leave                  0         1         1         1
all                    1         1         2         1
";
        assert_eq!(summary(&outcomes, &deviations), table);
    }
}
