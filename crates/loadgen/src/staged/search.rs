//! The most rows per second that hold: every row arrives, and neither deliveries nor the last of them are late.

use super::arrivals::Reach;
use super::audience::Audience;
use super::climb::{self, Climb};
use super::stage::Stage;
use super::trial::{Outcome, Trial, run};
use super::writer::{Pace, Writer};
use crate::Result;
use std::time::Duration;

/// Transactions per second if they hold several rows.
const TRANSACTIONS_PER_SECOND: f64 = 100.0;

/// How rows are put into transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each is a transaction.
    Single,
    /// A hundred transactions per second, whatever the rate.
    Batches,
}

impl Shape {
    /// Rows at `rate` for `duration`.
    pub(crate) fn pace(self, rate: f64, duration: Duration) -> Pace {
        let rows_each = match self {
            Shape::Single => 1,
            Shape::Batches => (rate / TRANSACTIONS_PER_SECOND).round().max(1.0) as u64,
        };
        Pace::new(rate, rows_each, duration)
    }
}

/// What is searched for.
pub(crate) struct Search<'a> {
    /// Gathers the listeners; again after a load that was too much.
    pub(crate) gather: &'a dyn Fn(&Stage) -> Result<Audience>,
    /// Writes the rows.
    pub(crate) writer: &'a Writer,
    /// How.
    pub(crate) shape: Shape,
    /// Who hears of them.
    pub(crate) reach: Reach,
    /// Rows per second to begin with.
    pub(crate) from: f64,
}

impl Search<'_> {
    /// The stretch that confirmed the highest rate. An error if a row is lost, or if no rate holds.
    pub(crate) fn highest(&self, stage: &mut Stage) -> Result<Trial> {
        let climb = Climb::new(stage, "rows/s", self.from);
        let mut audience = None;
        climb.highest(&mut |rate, duration| self.held(stage, &mut audience, rate, duration))
    }

    /// The stretch at that rate, if it holds.
    fn held(
        &self,
        stage: &mut Stage,
        audience: &mut Option<Audience>,
        rate: f64,
        duration: Duration,
    ) -> Result<Option<Trial>> {
        let mut listeners = match audience.take() {
            Some(listeners) => listeners,
            None => (self.gather)(stage)?,
        };
        let pace = self.shape.pace(rate, duration);
        match run(stage, &mut listeners, self.writer, pace, &self.reach)? {
            Outcome::TooMuch(reason) => {
                eprintln!("loadgen: {rate:.0} rows/s do not hold: {reason}");
                Ok(None)
            }
            Outcome::Whole(trial) => {
                *audience = Some(listeners);
                let p99 = trial.from_commit.ms(0.99);
                let holds = climb::holds(p99, trial.writing, trial.wall);
                if !holds {
                    eprintln!(
                        "loadgen: {rate:.0} rows/s do not hold: written in {:.2?}, delivered in {:.2?}, p99 {p99:.0} ms",
                        trial.writing, trial.wall
                    );
                }
                Ok(holds.then_some(trial))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_a_hundredth_of_a_second_of_rows_and_at_least_one() {
        let second = Duration::from_secs(1);
        let pace = Shape::Batches.pace(4000.0, second);
        assert_eq!((pace.rows_each, pace.transactions), (40, 100));
        assert_eq!(Shape::Batches.pace(20.0, second).rows_each, 1);
        assert_eq!(Shape::Single.pace(4000.0, second).transactions, 4000);
    }
}
