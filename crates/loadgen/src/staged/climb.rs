//! The highest rate that holds: found in steps, then confirmed over a longer stretch.
//!
//! What holding means is the caller's to say, but for being late ([`holds`]). Where no more can be offered than was,
//! what was carried of it is the rate to confirm.

use super::stage::Stage;
use crate::{Result, failed};
use std::time::Duration;

/// The share of a rate that is offered where nothing bounds it.
const OFFERED: f64 = 0.95;
const STEP: f64 = 1.5;
const STEPS_UP_MAX: usize = 16;
const STEPS_DOWN_MAX: usize = 6;
const CONFIRMATIONS_MAX: usize = 10;
/// How much lower the next try is when a rate does not hold for longer.
const RETREAT: f64 = 0.85;

/// Longest p99 of a rate that holds. Milliseconds.
const P99_MAX_MS: f64 = 1000.0;
/// How much longer than the offering it may take until everything is done.
const BEHIND_MAX: f64 = 1.05;
/// And how much longer in any case: what shares the cores may have had them when the last was offered.
const BEHIND: Duration = Duration::from_millis(250);

/// Whether a rate holds at which the slowest hundredth took longer than `p99_ms`, and what was offered in `offering`
/// was all done after `wall`: a backlog that only grows slowly would pass for a while.
pub(crate) fn holds(p99_ms: f64, offering: Duration, wall: Duration) -> bool {
    p99_ms <= P99_MAX_MS && wall <= offering.mul_f64(BEHIND_MAX) + BEHIND
}

/// A search for the highest rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Climb {
    /// What is counted, e.g. `rows/s`.
    unit: &'static str,
    from: f64,
    /// Length of a step.
    step: Duration,
    /// Length of the stretch that confirms.
    confirmation: Duration,
    halvings: usize,
}

/// What a stretch came to.
pub(crate) trait Carried {
    /// How many per second it carried.
    fn per_second(&self) -> f64;
}

impl Climb {
    /// In stretches of the length that suits the stage, beginning with rate `from`.
    pub(crate) fn new(stage: &Stage, unit: &'static str, from: f64) -> Climb {
        let (step, confirmation) = if stage.is_short {
            (Duration::from_secs(1), Duration::from_secs(2))
        } else {
            (stage.stretch(3.0), stage.stretch(9.0))
        };
        Climb {
            unit,
            from,
            step,
            confirmation,
            halvings: if stage.quick || stage.is_short { 1 } else { 2 },
        }
    }

    /// The stretch that confirmed the highest rate; `held` plays one and returns what it came to, if the rate held.
    /// An error if no rate does.
    pub(crate) fn highest<T: Carried>(
        &self,
        held: &mut dyn FnMut(f64, Duration) -> Result<Option<T>>,
    ) -> Result<T> {
        let unit = self.unit;
        let (mut holds, mut fails) = (None, None);
        let (mut rate, mut carried) = (self.from, 0.0);
        for _ in 0..STEPS_UP_MAX + STEPS_DOWN_MAX {
            if let Some(stretch) = held(rate, self.step)? {
                holds = Some(rate);
                let now = stretch.per_second();
                if now < OFFERED * rate && now < carried / OFFERED {
                    eprintln!("loadgen: {now:.0} of {rate:.0} {unit} were offered: there will be no more");
                    holds = Some(now);
                    break;
                }
                carried = now;
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
            return failed(format!("not even {rate:.0} {unit} hold"));
        };
        if let Some(mut above) = fails {
            for _ in 0..self.halvings {
                let middle = f64::midpoint(rate, above);
                match held(middle, self.step)? {
                    Some(_) => rate = middle,
                    None => above = middle,
                }
            }
        }
        for _ in 0..CONFIRMATIONS_MAX {
            if let Some(stretch) = held(rate, self.confirmation)? {
                return Ok(stretch);
            }
            rate *= RETREAT;
        }
        failed(format!("{rate:.0} {unit} hold only for a moment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Carried for f64 {
        fn per_second(&self) -> f64 {
            *self
        }
    }

    const CLIMB: Climb = Climb {
        unit: "rows/s",
        from: 100.0,
        step: Duration::from_secs(3),
        confirmation: Duration::from_secs(9),
        halvings: 2,
    };

    #[test]
    fn the_highest_rate_is_close_below_the_first_that_does_not_hold() {
        for limit in [10.0, 90.0, 100.0, 101.0, 5000.0] {
            let found = CLIMB
                .highest(&mut |rate, _| Ok((rate <= limit).then_some(rate)))
                .unwrap();
            assert!(found <= limit && found > limit * 0.75, "{found} of {limit}");
        }
    }

    #[test]
    fn a_rate_that_does_not_hold_for_longer_is_given_up_for_a_lower_one() {
        let mut held = |rate: f64, stretch: Duration| {
            let limit = if stretch == CLIMB.step { 1000.0 } else { 500.0 };
            Ok((rate <= limit).then_some(rate))
        };
        let found = CLIMB.highest(&mut held).unwrap();
        assert!(found <= 500.0 && found > 400.0, "{found}");
    }

    #[test]
    fn nothing_that_holds_is_an_error_and_no_more_being_offered_an_end() {
        assert!(CLIMB.highest::<f64>(&mut |_, _| Ok(None)).is_err());
        let mut tries = 0;
        let found = CLIMB.highest(&mut |rate: f64, _| {
            tries += 1;
            Ok(Some(rate.min(130.0)))
        });
        assert!(found.unwrap() == 130.0 && tries < 8);
    }
}
