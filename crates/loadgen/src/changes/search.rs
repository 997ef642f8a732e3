//! The most rows per second that hold: found in steps, then confirmed over a longer stretch.
//!
//! A rate holds if every row arrived, the slowest hundredth of deliveries within a second of its commit, and the last
//! one soon after it was written: a backlog that only grows slowly would pass for a while. Where the database cannot
//! take more rows, what it took is what was carried.

use super::arrivals::Reach;
use super::audience::Audience;
use super::stage::Stage;
use super::trial::{Outcome, Trial, run};
use super::writer::{Pace, Writer};
use crate::{Result, failed};
use std::time::Duration;

/// Longest p99 of a rate that holds. Milliseconds.
const P99_MAX_MS: f64 = 1000.0;
/// How much longer than the writing it may take until everything arrived.
const BEHIND_MAX: f64 = 1.05;
/// And how much longer in any case: what shares the cores may have had them when the last rows were written.
const BEHIND: Duration = Duration::from_millis(250);
/// The share of a rate that is written where the database does not bound it.
const WRITTEN: f64 = 0.95;
const STEP: f64 = 1.5;
const STEPS_UP_MAX: usize = 16;
const STEPS_DOWN_MAX: usize = 6;
const CONFIRMATIONS_MAX: usize = 10;
/// How much lower the next try is when a rate does not hold for longer.
const RETREAT: f64 = 0.85;
/// Transactions per second if they hold several rows.
const TRANSACTIONS_PER_SECOND: f64 = 100.0;

/// How rows are put into transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each is a transaction.
    Single,
    /// A hundred transactions per second, whatever the rate.
    Batches,
}

impl Shape {
    /// Rows at `rate` for `duration`.
    pub(super) fn pace(self, rate: f64, duration: Duration) -> Pace {
        let rows_each = match self {
            Shape::Single => 1,
            Shape::Batches => (rate / TRANSACTIONS_PER_SECOND).round().max(1.0) as u64,
        };
        Pace::new(rate, rows_each, duration)
    }
}

/// What is searched for.
pub(super) struct Search<'a> {
    /// Gathers the listeners; again after a load that was too much.
    pub(super) gather: &'a dyn Fn(&Stage) -> Result<Audience>,
    /// Writes the rows.
    pub(super) writer: &'a Writer,
    /// How.
    pub(super) shape: Shape,
    /// Who hears of them.
    pub(super) reach: Reach,
    /// Rows per second to begin with.
    pub(super) from: f64,
}

impl Search<'_> {
    /// The stretch that confirmed the highest rate. An error if a row is lost, or if no rate holds.
    pub(super) fn highest(&self, stage: &mut Stage) -> Result<Trial> {
        let step = stage.stretch(3.0);
        let mut audience = None;
        let (mut holds, mut fails) = (None, None);
        let (mut rate, mut carried) = (self.from, 0.0);
        for _ in 0..STEPS_UP_MAX + STEPS_DOWN_MAX {
            let trial = self.held(stage, &mut audience, rate, step)?;
            if let Some(trial) = trial {
                holds = Some(rate);
                let rows = trial.rows_per_second();
                if rows < WRITTEN * rate && rows < carried / WRITTEN {
                    eprintln!(
                        "loadgen: {rows:.0} of {rate:.0} rows/s were written: the database takes no more"
                    );
                    break;
                }
                carried = rows;
            } else {
                fails = Some(rate);
            }
            rate = match (holds, fails) {
                (Some(_), Some(_)) => break,
                (Some(held), None) => held * STEP,
                (None, _) => rate / 2.0,
            };
        }
        let Some(mut rate) = holds else {
            return failed(format!("not even {rate:.0} rows/s hold"));
        };
        if let Some(mut above) = fails {
            for _ in 0..if stage.quick { 1 } else { 2 } {
                let middle = f64::midpoint(rate, above);
                match self.held(stage, &mut audience, middle, step)? {
                    Some(_) => rate = middle,
                    None => above = middle,
                }
            }
        }
        for _ in 0..CONFIRMATIONS_MAX {
            if let Some(trial) = self.held(stage, &mut audience, rate, stage.stretch(9.0))? {
                return Ok(trial);
            }
            rate *= RETREAT;
        }
        failed(format!("{rate:.0} rows/s hold only for a moment"))
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
                let holds = p99 <= P99_MAX_MS && trial.wall <= trial.writing.mul_f64(BEHIND_MAX) + BEHIND;
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
