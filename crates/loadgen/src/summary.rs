//! The end of a benchmark: every goal with what was measured and the verdict, as one table for people, the same as
//! Markdown, and everything as JSON for programs.

use crate::bench::{Comparison, Spread};
use crate::goal::{Bound, Bounded, Goal, Verdict};
use crate::report::number;
use serde_json::{Value, json};

/// All goals of these comparisons. The first of `names` is the floor, which is not judged.
pub struct Summary<'a> {
    comparisons: &'a [Comparison],
    names: &'a [&'a str],
}

impl<'a> Summary<'a> {
    /// Of these comparisons of these servers.
    pub fn of(comparisons: &'a [Comparison], names: &'a [&'a str]) -> Summary<'a> {
        Summary { comparisons, names }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let rows = self.cells();
        let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len))
            .map(|at| {
                rows.iter()
                    .filter_map(|row| row.get(at))
                    .map(|cell| cell.chars().count())
                    .max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        let line = |cells: &Vec<String>| {
            let padded = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            format!("{}\n", line.trim_end())
        };
        rows.iter().map(line).collect()
    }

    /// As a Markdown table.
    pub fn markdown(&self) -> String {
        let rows = self.cells();
        let line = |cells: &Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        if let Some(head) = rows.first() {
            lines.insert(1, line(&vec!["---".to_owned(); head.len()]));
        }
        lines.concat()
    }

    /// Goals that the first server besides the floor does not meet, those that could not be measured included.
    pub fn not_met(&self) -> usize {
        self.goals()
            .filter(|(comparison, goal)| goal.verdict(comparison, 0) != Verdict::Met)
            .count()
    }

    /// Everything that was measured, and the goals.
    pub fn json(&self) -> Value {
        let goals = self.goals().map(|(comparison, goal)| {
            let servers = self.judged().map(|(server, name)| {
                json!({
                    "server": name,
                    "limit": goal.limit(comparison, server),
                    "measured": spread(goal.measured(comparison, server)),
                    "verdict": goal.verdict(comparison, server).word(),
                })
            });
            json!({
                "scenario": comparison.name,
                "figure": goal.figure,
                "of": match goal.of { Bounded::Value => "value", Bounded::RatioToFloor => "ratio to the floor" },
                "goal": asked(goal, comparison),
                "servers": servers.collect::<Vec<_>>(),
            })
        });
        json!({
            "cores": std::thread::available_parallelism().ok(),
            "scenarios": self.comparisons.iter().map(|comparison| self.scenario(comparison)).collect::<Vec<_>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    }

    fn scenario(&self, comparison: &Comparison) -> Value {
        let figures = comparison.rows.iter().map(|row| {
            let yardstick = self
                .names
                .first()
                .map(|name| json!({ "server": name, "value": spread(row.yardstick) }));
            let others = row.others.iter().zip(self.names.iter().skip(1));
            let others = others.map(|(column, name)| {
                json!({ "server": name, "value": spread(column.value), "ratio": spread(column.ratio) })
            });
            let servers: Vec<Value> = yardstick.into_iter().chain(others).collect();
            json!({ "name": row.name, "unit": row.unit, "servers": servers })
        });
        json!({
            "name": comparison.name,
            "about": comparison.about,
            "rounds": comparison.rounds,
            "void_runs": comparison.void_runs,
            "failure": comparison.failure,
            "figures": figures.collect::<Vec<_>>(),
        })
    }

    /// Head and rows. With several servers each has its columns, named after it.
    fn cells(&self) -> Vec<Vec<String>> {
        let several = self.names.len() > 2;
        let mut head = vec!["scenario".to_owned(), "figure".to_owned(), "goal".to_owned()];
        for (_, name) in self.judged() {
            let measured = if several { name } else { "measured" };
            head.extend([measured, "least–most", "verdict"].map(str::to_owned));
        }
        let mut rows = vec![head];
        for (comparison, goal) in self.goals() {
            let mut row = vec![
                comparison.name.to_owned(),
                goal.figure.to_owned(),
                asked(goal, comparison),
            ];
            for (server, _) in self.judged() {
                let measured = goal.measured(comparison, server);
                row.extend([
                    measured.map_or("–".to_owned(), |spread| number(spread.median)),
                    measured.map_or("–".to_owned(), |spread| {
                        format!("{}–{}", number(spread.least), number(spread.most))
                    }),
                    goal.verdict(comparison, server).word().to_owned(),
                ]);
            }
            rows.push(row);
        }
        rows
    }

    /// The servers besides the floor.
    fn judged(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.names.iter().skip(1).copied().enumerate()
    }

    fn goals(&self) -> impl Iterator<Item = (&'a Comparison, &'a Goal)> {
        self.comparisons
            .iter()
            .flat_map(|comparison| comparison.goals.iter().map(move |goal| (comparison, goal)))
    }
}

/// What is asked, in words: `≤ 1.15 × floor`.
fn asked(goal: &Goal, comparison: &Comparison) -> String {
    let row = comparison.rows.iter().find(|row| row.name == goal.figure);
    let unit = match goal.of {
        Bounded::RatioToFloor => "× floor",
        Bounded::Value => row.map_or("", |row| row.unit),
    };
    let text = match goal.is {
        Bound::AtMost(most) => format!("≤ {} {unit}", number(most)),
        Bound::AtLeast(least) => format!("≥ {} {unit}", number(least)),
        Bound::WithinChance(_) => {
            let limit = goal.limit(comparison, 0).map_or("–".to_owned(), number);
            format!("no more than chance, {limit} {unit}")
        }
    };
    text.trim_end().to_owned()
}

fn spread(spread: Option<Spread>) -> Value {
    spread.map_or(
        Value::Null,
        |spread| json!({ "median": spread.median, "least": spread.least, "most": spread.most }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Column, Row};

    static GOALS: [Goal; 2] = [
        Goal::at_most("CPU per delivery", 1.15).of_the_floor(),
        Goal::at_least("messages", 15_000.0),
    ];

    fn spread_of(median: f64) -> Option<Spread> {
        Some(Spread {
            median,
            least: median / 2.0,
            most: median * 2.0,
        })
    }

    /// CPU ratios of two servers; the other figure is missing.
    fn comparisons() -> [Comparison; 1] {
        let column = |ratio| Column {
            value: spread_of(6.0),
            ratio: spread_of(ratio),
        };
        [Comparison {
            name: "fanout",
            about: "",
            goals: &GOALS,
            rounds: 5,
            void_runs: 0,
            failure: None,
            rows: vec![Row {
                name: "CPU per delivery",
                unit: "µs",
                yardstick: spread_of(5.0),
                others: vec![column(1.2), column(1.1)],
            }],
        }]
    }

    #[test]
    fn every_goal_is_a_row_with_figure_goal_measured_spread_and_verdict() {
        let comparisons = comparisons();
        let summary = Summary::of(&comparisons, &["floor", "roost"]);
        let markdown = summary.markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(
            lines,
            [
                "| scenario | figure | goal | measured | least–most | verdict |",
                "| --- | --- | --- | --- | --- | --- |",
                "| fanout | CPU per delivery | ≤ 1.15 × floor | 1.20 | 0.60–2.40 | short |",
                "| fanout | messages | ≥ 15,000 | – | – | not measured |",
            ]
        );
        assert_eq!(summary.not_met(), 2);
        assert_eq!(summary.text().lines().count(), 3);
    }

    #[test]
    fn a_further_server_has_columns_of_its_own() {
        let comparisons = comparisons();
        let text = Summary::of(&comparisons, &["floor", "roost", "roost 2"]).text();
        let second = text.lines().nth(1).unwrap();
        assert!(second.contains("short") && second.ends_with("met"), "{text}");
        assert!(text.lines().next().unwrap().contains("roost 2"), "{text}");
    }

    #[test]
    fn json_names_the_server_of_every_value_and_verdict() {
        let comparisons = comparisons();
        let json = Summary::of(&comparisons, &["floor", "roost", "roost 2"]).json();
        let servers = &json["scenarios"][0]["figures"][0]["servers"];
        assert_eq!(
            (&servers[0]["server"], &servers[0]["value"]["median"]),
            (&"floor".into(), &5.0.into())
        );
        assert_eq!(
            (&servers[1]["server"], &servers[1]["ratio"]["median"]),
            (&"roost".into(), &1.2.into())
        );
        let judged = &json["goals"][0]["servers"];
        assert_eq!(
            (&judged[0]["verdict"], &judged[1]["verdict"]),
            (&"short".into(), &"met".into())
        );
        assert_eq!(json["goals"][1]["servers"][0]["verdict"], "not measured");
    }
}
