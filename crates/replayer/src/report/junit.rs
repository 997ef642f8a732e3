//! JUnit's XML, as the tools of continuous integration read it: a suite for each area, a case for each transcript.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Counts;
use crate::deviations::{Deviations, Judgement};
use crate::outcome::{Outcome, Verdict};

/// The whole document. What deviates as meant passes, with a note in its output.
pub fn junit(outcomes: &[Outcome], deviations: &Deviations) -> String {
    let mut areas: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        areas.entry(&outcome.area).or_default().push(outcome);
    }
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites name=\"transcripts\" {}>",
        attributes(outcomes.iter(), deviations)
    );
    for (area, outcomes) in areas {
        let attributes = attributes(outcomes.iter().copied(), deviations);
        let _ = writeln!(text, "  <testsuite name=\"{}\" {attributes}>", escaped(area));
        for outcome in outcomes {
            case(&mut text, outcome, deviations);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn attributes<'o>(outcomes: impl Iterator<Item = &'o Outcome> + Clone, deviations: &Deviations) -> String {
    let counts = Counts::of(outcomes.clone(), deviations);
    let tests = outcomes.clone().count();
    let took: Duration = outcomes.map(|outcome| outcome.took).sum();
    format!(
        "tests=\"{tests}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{}\"",
        counts.bad,
        counts.left_out,
        seconds(took)
    )
}

fn case(text: &mut String, outcome: &Outcome, deviations: &Deviations) {
    let judgement = deviations.judge(outcome);
    let inside = match (&outcome.verdict, judgement) {
        (Verdict::LeftOut(reason), _) => format!("<skipped message=\"{}\"/>", escaped(reason)),
        (_, Judgement::Deviates(id)) => {
            format!("<system-out>deviates as meant: {}</system-out>", escaped(id))
        }
        (Verdict::Failed(failure), _) => format!(
            "<failure type=\"difference\" message=\"line {}: {}\">{}</failure>",
            failure.line,
            escaped(&failure.problem),
            escaped(&failure.to_string())
        ),
        (Verdict::Passed, Judgement::UnexpectedPass(id)) => {
            let message = format!("it passes although it is listed as a deviation: {}", escaped(id));
            format!("<failure type=\"unexpected-pass\" message=\"{message}\"/>")
        }
        (Verdict::Passed, _) => String::new(),
    };
    let _ = write!(
        text,
        "    <testcase name=\"{}\" classname=\"transcripts.{}\" file=\"{}\" time=\"{}\"",
        escaped(&outcome.name),
        escaped(&outcome.area),
        escaped(&outcome.file),
        seconds(outcome.took)
    );
    let _ = if inside.is_empty() {
        writeln!(text, "/>")
    } else {
        writeln!(text, ">\n      {inside}\n    </testcase>")
    };
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// For attributes and for text. Characters that XML cannot have at all become the replacement character. Source: XML 1.0,
/// section 2.2.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' | '\r' => escaped.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcomes;

    #[test]
    fn suites_are_areas_and_cases_are_transcripts() {
        let (outcomes, deviations) = outcomes();
        let text = junit(&outcomes, &deviations);
        for line in [
            r#"<testsuites name="transcripts" tests="5" failures="2" errors="0" skipped="1" time="6.170">"#,
            r#"  <testsuite name="join" tests="2" failures="1" errors="0" skipped="0" time="2.468">"#,
            r#"    <testcase name="good" classname="transcripts.join" file="folder/good.jsonl" time="1.234"/>"#,
            "      <system-out>deviates as meant: meant</system-out>",
            "      <skipped message=\"no # database\"/>",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        let message = "message=\"line 3: &quot;quoted&quot; &amp; &lt;odd&gt; # \\ \u{fffd}]]&gt;\"";
        assert!(text.contains(message), "{text}");
    }

    #[test]
    fn every_tag_is_closed() {
        let (outcomes, deviations) = outcomes();
        let text = junit(&outcomes, &deviations);
        let mut open: Vec<&str> = Vec::new();
        for tag in text.split('<').skip(2) {
            let (tag, _) = tag.split_once('>').unwrap();
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
            }
        }
        assert!(open.is_empty());
    }
}
