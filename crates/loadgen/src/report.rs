//! What a benchmark prints: tables for people, JSON for programs, and the goals with a verdict each.

use crate::bench::{Column, Comparison};
use crate::goal::{Bounded, Goal};
use serde_json::{Value, json};
use std::fmt::Write;

const NAME_COLUMNS: usize = 46;

/// The figures of one comparison as a table; `names` are those of the servers, the yardstick first.
pub fn table(comparison: &Comparison, names: &[&str]) -> String {
    let mut text = String::new();
    let Comparison {
        scenario,
        rounds,
        void_runs,
        rows,
    } = comparison;
    line(&mut text, format_args!("{}: {}", scenario.name, scenario.about));
    line(
        &mut text,
        format_args!("medians over rounds: {rounds}; void runs repeated: {void_runs}"),
    );
    let mut head = format!("  {:NAME_COLUMNS$}", "");
    for (at, name) in names.iter().enumerate() {
        let _ = write!(head, " {name:>13}");
        if at > 0 {
            let _ = write!(head, "  {:22}", "ratio (least–most)");
        }
    }
    line(&mut text, format_args!("{}", head.trim_end()));
    for row in rows {
        let name = if row.unit.is_empty() {
            row.name.to_owned()
        } else {
            format!("{}, {}", row.name, row.unit)
        };
        let mut cells = format!("  {name:NAME_COLUMNS$} {:>13}", number(row.yardstick));
        for column in &row.others {
            let _ = write!(cells, " {:>13}  {:22}", number(column.value), ratio(column));
        }
        line(&mut text, format_args!("{}", cells.trim_end()));
    }
    text
}

/// One line per goal of the comparisons: met or short, what was asked, what was measured.
pub fn verdicts(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for (comparison, goal) in with_goals(comparisons) {
        let (verdict, measured) = match goal.measured(comparison) {
            Some(measured) if goal.is_met_by(measured) => ("met  ", number(Some(measured))),
            Some(measured) => ("short", number(Some(measured))),
            None => ("not measured", "unknown".to_owned()),
        };
        let unit = comparison
            .rows
            .iter()
            .find(|row| row.name == goal.figure)
            .map_or("", |row| row.unit);
        let unit = match goal.of {
            Bounded::Value => unit,
            Bounded::RatioToFloor => "× the floor",
        };
        line(
            &mut text,
            format_args!(
                "{verdict}  {}: {} {measured} {unit}, goal at most {} {unit}",
                comparison.scenario.name, goal.figure, goal.at_most
            ),
        );
    }
    text
}

/// Everything of [`table`] and [`verdicts`].
pub fn json(comparisons: &[Comparison], names: &[&str]) -> Value {
    let scenario = |comparison: &Comparison| {
        let figures = comparison.rows.iter().map(|row| {
            let yardstick = names
                .first()
                .map(|name| json!({ "server": name, "value": row.yardstick }));
            let others = row.others.iter().zip(names.iter().skip(1)).map(|(column, name)| {
                let ratio = column
                    .ratio
                    .map(|r| json!({ "median": r.median, "least": r.least, "most": r.most }));
                json!({ "server": name, "value": column.value, "ratio": ratio })
            });
            let servers: Vec<Value> = yardstick.into_iter().chain(others).collect();
            json!({ "name": row.name, "unit": row.unit, "servers": servers })
        });
        json!({
            "name": comparison.scenario.name,
            "about": comparison.scenario.about,
            "rounds": comparison.rounds,
            "void_runs": comparison.void_runs,
            "figures": figures.collect::<Vec<_>>(),
        })
    };
    let goals = with_goals(comparisons).map(|(comparison, goal)| {
        let measured = goal.measured(comparison);
        json!({
            "scenario": comparison.scenario.name,
            "figure": goal.figure,
            "of": match goal.of { Bounded::Value => "value", Bounded::RatioToFloor => "ratio to the floor" },
            "at_most": goal.at_most,
            "measured": measured,
            "met": measured.map(|measured| goal.is_met_by(measured)),
        })
    });
    json!({
        "cores": std::thread::available_parallelism().ok(),
        "scenarios": comparisons.iter().map(scenario).collect::<Vec<_>>(),
        "goals": goals.collect::<Vec<_>>(),
    })
}

fn with_goals(comparisons: &[Comparison]) -> impl Iterator<Item = (&Comparison, Goal)> {
    comparisons
        .iter()
        .filter_map(|comparison| Some((comparison, comparison.scenario.goal?)))
}

fn ratio(column: &Column) -> String {
    let ratio = column
        .ratio
        .map(|ratio| format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most));
    ratio.unwrap_or_default()
}

/// Three significant digits, but never fewer than all before the point.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "–".to_owned();
    };
    let decimals = match value.abs() {
        ..10.0 if value != value.trunc() => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Row, Spread};
    use crate::scenario;

    fn comparison(name: &str, figure: &'static str, value: f64, ratio: f64) -> Comparison {
        let spread = Spread {
            median: ratio,
            least: ratio,
            most: ratio,
        };
        let column = Column {
            value: Some(value),
            ratio: Some(spread),
        };
        Comparison {
            scenario: scenario::named(name).unwrap(),
            rounds: 7,
            void_runs: 0,
            rows: vec![Row {
                name: figure,
                unit: "u",
                yardstick: Some(value / ratio),
                others: vec![column],
            }],
        }
    }

    #[test]
    fn a_goal_is_judged_by_the_ratio_or_the_value_whichever_it_bounds() {
        let judge = |comparison| {
            verdicts(&[comparison])
                .split_whitespace()
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(judge(comparison("fanout", "CPU per delivery", 99.0, 1.3)), "met");
        assert_eq!(
            judge(comparison("fanout", "CPU per delivery", 0.1, 1.31)),
            "short"
        );
        assert_eq!(
            judge(comparison("connect", "memory per idle socket", 12.0, 9.0)),
            "met"
        );
        assert_eq!(
            judge(comparison("connect", "memory per idle socket", 12.1, 0.5)),
            "short"
        );
    }

    #[test]
    fn a_goal_without_its_figure_is_not_called_met() {
        let text = verdicts(&[comparison("fanout", "latency p50", 1.0, 1.0)]);
        assert!(text.starts_with("not measured"), "{text}");
        let json = json(
            &[comparison("fanout", "latency p50", 1.0, 1.0)],
            &["floor", "server"],
        );
        assert_eq!(json["goals"][0]["met"], Value::Null);
    }

    #[test]
    fn json_names_the_server_of_every_value() {
        let json = json(
            &[comparison("fanout", "CPU per delivery", 6.0, 1.2)],
            &["floor", "roost"],
        );
        let servers = &json["scenarios"][0]["figures"][0]["servers"];
        assert_eq!(
            (servers[0]["server"].as_str(), servers[0]["value"].as_f64()),
            (Some("floor"), Some(5.0))
        );
        assert_eq!(
            (
                servers[1]["server"].as_str(),
                servers[1]["ratio"]["median"].as_f64()
            ),
            (Some("roost"), Some(1.2))
        );
        assert_eq!(json["goals"][0]["met"], true);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [
            (1.234, "1.23"),
            (12.34, "12.3"),
            (1234.5, "1234"),
            (0.0, "0"),
            (3.0, "3"),
        ];
        for (value, text) in cases {
            assert_eq!(number(Some(value)), text);
        }
        assert_eq!(number(None), "–");
    }
}
