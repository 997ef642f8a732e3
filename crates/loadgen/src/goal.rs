//! What the project asks of a figure, and whether a comparison meets it.

use crate::bench::Comparison;

/// A bound on one figure of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Name of the figure.
    pub figure: &'static str,
    /// The most it may be, in its unit or in multiples of the floor's.
    pub at_most: f64,
    /// What is bounded.
    pub of: Bounded,
}

/// What a goal bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// The server's figure.
    Value,
    /// The server's figure divided by the floor's of the same round.
    RatioToFloor,
}

impl Goal {
    /// What was measured of the bounded quantity (a median over the rounds), if the figure is known.
    pub fn measured(&self, comparison: &Comparison) -> Option<f64> {
        let row = comparison.rows.iter().find(|row| row.name == self.figure)?;
        let server = row.others.first()?;
        match self.of {
            Bounded::Value => server.value,
            Bounded::RatioToFloor => server.ratio.map(|ratio| ratio.median),
        }
    }

    /// Whether what was measured meets the goal.
    pub fn is_met_by(&self, measured: f64) -> bool {
        measured <= self.at_most
    }
}
