//! The highest rate a server holds: up in steps until one does not hold, then halfway between, some times. Down by
//! halves first if not even the first holds.

use crate::Result;
use crate::measure::Reading;

const STEP: f64 = 1.5;
const STEPS_MAX: usize = 12;
const HALVINGS: usize = 3;
const HALVINGS_QUICK: usize = 1;
/// A rate holds while the slowest hundredth of its deliveries takes no longer.
const P99_MAX_MS: f64 = 200.0;

/// The highest rate that holds and what it came to, beginning with rate `first`; `None` if none does. `run` plays one.
pub(super) fn highest(
    first: f64,
    quick: bool,
    run: &mut dyn FnMut(f64) -> Result<Reading>,
) -> Result<Option<(f64, Reading)>> {
    let mut best = None;
    let (mut rate, mut above) = (first, f64::INFINITY);
    for _ in 0..STEPS_MAX {
        let reading = run(rate)?;
        // What is missing now may come later, and would be taken for a delivery of the next run.
        if reading.delivered < reading.expected {
            return Ok(best);
        }
        let is_in_time = is_in_time(&reading);
        if is_in_time {
            best = Some((rate, reading));
        } else {
            above = rate;
        }
        rate = match (&best, above.is_finite()) {
            (Some(_), true) => break,
            (Some(_), false) => rate * STEP,
            (None, _) => rate / 2.0,
        };
    }
    for _ in 0..if quick { HALVINGS_QUICK } else { HALVINGS } {
        let Some((held, _)) = best.as_ref().filter(|_| above.is_finite()) else {
            break;
        };
        let middle = f64::midpoint(*held, above);
        let reading = run(middle)?;
        if reading.delivered < reading.expected {
            break;
        }
        if is_in_time(&reading) {
            best = Some((middle, reading));
        } else {
            above = middle;
        }
    }
    Ok(best)
}

fn is_in_time(reading: &Reading) -> bool {
    reading.latency_ms(0.99) <= P99_MAX_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use std::time::Duration;

    /// Of a server that is late above `late` and loses something above `lossy`.
    fn reading(rate: f64, late: f64, lossy: f64) -> Reading {
        let mut latency = Histogram::default();
        latency.record(if rate > late { 900_000 } else { 100 });
        Reading {
            expected: 10,
            delivered: if rate > lossy { 9 } else { 10 },
            wall: Duration::from_secs(1),
            server_cpu: None,
            tool_cpu: Duration::ZERO,
            payload_bytes: 0,
            latency,
        }
    }

    #[test]
    fn the_highest_rate_is_close_below_the_first_that_is_late() {
        for late in [100.0, 149.0, 1000.0, 5432.0] {
            let found = highest(100.0, false, &mut |rate| Ok(reading(rate, late, 1e9)));
            let (rate, _) = found.unwrap().unwrap();
            assert!(rate <= late && rate > late * 0.93, "{rate} of {late}");
        }
    }

    #[test]
    fn nothing_is_run_after_a_loss() {
        let mut runs = Vec::new();
        let found = highest(100.0, false, &mut |rate| {
            runs.push(rate);
            Ok(reading(rate, 1e9, 160.0))
        });
        assert_eq!(
            (found.unwrap().unwrap().0, runs),
            (150.0, vec![100.0, 150.0, 225.0])
        );
    }

    #[test]
    fn a_server_that_does_not_hold_the_first_rate_is_offered_less() {
        let found = highest(100.0, false, &mut |rate| Ok(reading(rate, 30.0, 1e9)));
        let (rate, _) = found.unwrap().unwrap();
        assert!(rate <= 30.0 && rate > 27.0, "{rate}");
        let none = highest(100.0, false, &mut |rate| Ok(reading(rate, 0.0, 1e9)));
        assert!(none.unwrap().is_none());
    }
}
