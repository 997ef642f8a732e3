//! What the project asks of a figure, and whether a comparison meets it.
//!
//! What is judged is the median over the rounds. A figure that is not known meets nothing.

use crate::bench::{Column, Comparison, Row, Spread};

/// A bound on one figure of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Name of the figure.
    pub figure: &'static str,
    /// What is bounded.
    pub of: Bounded,
    /// The bound, in the figure's unit or in multiples of the floor's.
    pub is: Bound,
}

/// What a goal bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// The server's figure.
    Value,
    /// The server's figure divided by the floor's of the same round.
    RatioToFloor,
}

/// How it is bounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// The most it may be.
    AtMost(f64),
    /// The least it has to be.
    AtLeast(f64),
    /// At most what the named figure came to in any round, of the server or of the floor. That figure tells how far apart
    /// measurements are that should not differ: what is no larger cannot be told from chance. Above [`CHANCE_MAX`]
    /// nothing can be told at all, and the figure counts as not measured.
    WithinChance(&'static str),
}

/// The most that measurements which should not differ may be apart, the larger divided by the smaller.
pub const CHANCE_MAX: f64 = 3.0;

/// What came of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What was asked for.
    Met,
    /// Less than that.
    Short,
    /// The figure is not known.
    NotMeasured,
}

impl Verdict {
    /// The word for it in a report.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Short => "short",
            Verdict::NotMeasured => "not measured",
        }
    }
}

impl Goal {
    /// The figure may be so much at most.
    pub const fn at_most(figure: &'static str, most: f64) -> Goal {
        Goal {
            figure,
            of: Bounded::Value,
            is: Bound::AtMost(most),
        }
    }

    /// The figure has to be so much at least.
    pub const fn at_least(figure: &'static str, least: f64) -> Goal {
        Goal {
            figure,
            of: Bounded::Value,
            is: Bound::AtLeast(least),
        }
    }

    /// The same of the ratio to the floor.
    pub const fn of_the_floor(self) -> Goal {
        Goal {
            figure: self.figure,
            of: Bounded::RatioToFloor,
            is: self.is,
        }
    }

    /// What was measured of the bounded quantity on a server, the first besides the floor being 0.
    pub fn measured(&self, comparison: &Comparison, server: usize) -> Option<Spread> {
        let (_, column) = column(comparison, self.figure, server)?;
        match self.of {
            Bounded::Value => column.value,
            Bounded::RatioToFloor => column.ratio,
        }
    }

    /// The bound as a number, for that server.
    pub fn limit(&self, comparison: &Comparison, server: usize) -> Option<f64> {
        match self.is {
            Bound::AtMost(limit) | Bound::AtLeast(limit) => Some(limit),
            Bound::WithinChance(figure) => {
                let (row, column) = column(comparison, figure, server)?;
                let most = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.most);
                Some(most(row.yardstick).max(column.value?.most))
            }
        }
    }

    /// Whether what was measured on that server meets the goal.
    pub fn verdict(&self, comparison: &Comparison, server: usize) -> Verdict {
        let measured = self.measured(comparison, server);
        match measured.zip(self.limit(comparison, server)) {
            None => Verdict::NotMeasured,
            Some((_, limit)) if matches!(self.is, Bound::WithinChance(_)) && limit > CHANCE_MAX => {
                Verdict::NotMeasured
            }
            Some((measured, limit)) if self.allows(measured.median, limit) => Verdict::Met,
            Some(_) => Verdict::Short,
        }
    }

    fn allows(&self, measured: f64, limit: f64) -> bool {
        match self.is {
            Bound::AtLeast(_) => measured >= limit,
            Bound::AtMost(_) | Bound::WithinChance(_) => measured <= limit,
        }
    }
}

fn column<'a>(comparison: &'a Comparison, figure: &str, server: usize) -> Option<(&'a Row, &'a Column)> {
    let row = comparison.rows.iter().find(|row| row.name == figure)?;
    Some((row, row.others.get(server)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(least: f64, median: f64, most: f64) -> Option<Spread> {
        Some(Spread { median, least, most })
    }

    fn comparison(rows: Vec<Row>) -> Comparison {
        Comparison {
            name: "test",
            about: "",
            goals: &[],
            rounds: 5,
            void_runs: 0,
            failure: None,
            rows,
        }
    }

    fn row(
        name: &'static str,
        yardstick: Option<Spread>,
        value: Option<Spread>,
        ratio: Option<Spread>,
    ) -> Row {
        Row {
            name,
            unit: "u",
            yardstick,
            others: vec![Column { value, ratio }],
        }
    }

    #[test]
    fn exactly_what_was_asked_is_enough_and_the_median_decides() {
        let comparison = comparison(vec![row(
            "a",
            spread(1.0, 1.0, 1.0),
            spread(1.0, 2.0, 9.0),
            spread(3.0, 4.0, 5.0),
        )]);
        for (goal, verdict) in [
            (Goal::at_most("a", 2.0), Verdict::Met),
            (Goal::at_most("a", 1.9), Verdict::Short),
            (Goal::at_least("a", 2.0), Verdict::Met),
            (Goal::at_least("a", 2.1), Verdict::Short),
            (Goal::at_least("a", 4.0).of_the_floor(), Verdict::Met),
            (Goal::at_most("a", 3.0).of_the_floor(), Verdict::Short),
            (Goal::at_most("b", 3.0), Verdict::NotMeasured),
        ] {
            assert_eq!(goal.verdict(&comparison, 0), verdict, "{goal:?}");
            assert_eq!(goal.verdict(&comparison, 1), Verdict::NotMeasured, "{goal:?}");
        }
    }

    #[test]
    fn an_effect_is_none_as_long_as_chance_alone_came_to_as_much() {
        let goal = Goal {
            figure: "effect",
            of: Bounded::Value,
            is: Bound::WithinChance("chance"),
        };
        let judge = |effect: f64, floor: Option<Spread>| {
            goal.verdict(
                &comparison(vec![
                    row("effect", None, spread(0.0, effect, 9.0), None),
                    row("chance", floor, spread(1.0, 1.1, 1.3), None),
                ]),
                0,
            )
        };
        assert_eq!(judge(1.3, None), Verdict::Met);
        assert_eq!(judge(1.31, None), Verdict::Short);
        assert_eq!(judge(1.31, spread(1.0, 1.2, 1.4)), Verdict::Met);
        assert_eq!(judge(1.31, spread(1.0, 1.2, 3.1)), Verdict::NotMeasured);
    }
}
