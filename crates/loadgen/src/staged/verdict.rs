//! What was measured, what was asked, and whether that is enough.

use std::fmt;

const NAME_COLUMNS: usize = 62;

/// A bound on a figure, in its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// The most it may be.
    AtMost(f64),
    /// The least it has to be.
    AtLeast(f64),
}

impl Goal {
    /// Whether `value` is good enough.
    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            Goal::AtMost(most) => value <= most,
            Goal::AtLeast(least) => value >= least,
        }
    }
}

/// One measured value. Printed with its goal and the verdict, if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What is asked of it.
    pub(crate) goal: Option<Goal>,
}

impl Figure {
    /// A figure nothing is asked of.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure {
            name: name.into(),
            value,
            unit,
            goal: None,
        }
    }

    /// The same with a bound from above.
    pub(crate) fn at_most(self, most: f64) -> Figure {
        Figure {
            goal: Some(Goal::AtMost(most)),
            ..self
        }
    }

    /// The same with a bound from below.
    pub(crate) fn at_least(self, least: f64) -> Figure {
        Figure {
            goal: Some(Goal::AtLeast(least)),
            ..self
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure {
            name,
            value,
            unit,
            goal,
        } = self;
        let verdict = match goal {
            None => "",
            Some(goal) if goal.is_met_by(*value) => "PASS",
            Some(_) => "SHORT",
        };
        write!(
            f,
            "  {verdict:5} {name:NAME_COLUMNS$} {:>9} {unit}",
            number(*value)
        )?;
        match goal {
            None => Ok(()),
            Some(Goal::AtMost(most)) => write!(f, "  (goal at most {})", number(*most)),
            Some(Goal::AtLeast(least)) => write!(f, "  (goal at least {})", number(*least)),
        }
    }
}

/// Three significant digits, but never fewer than all before the point.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        ..1.0 if value != 0.0 => 3,
        ..10.0 if value != value.trunc() => 2,
        10.0..100.0 if value != value.trunc() => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_exactly_what_was_asked_is_enough() {
        assert!(Goal::AtMost(2.0).is_met_by(2.0) && !Goal::AtMost(2.0).is_met_by(2.1));
        assert!(Goal::AtLeast(640.0).is_met_by(640.0) && !Goal::AtLeast(640.0).is_met_by(639.9));
    }

    #[test]
    fn the_verdict_stands_first_and_the_goal_last() {
        let text = |figure: Figure| {
            figure
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let figure = Figure::new("p50", 1.234, "ms");
        assert_eq!(text(figure.clone()), "p50 1.23 ms");
        assert_eq!(
            text(figure.clone().at_most(2.0)),
            "PASS p50 1.23 ms (goal at most 2)"
        );
        assert_eq!(
            text(figure.at_least(4000.0)),
            "SHORT p50 1.23 ms (goal at least 4000)"
        );
    }
}
