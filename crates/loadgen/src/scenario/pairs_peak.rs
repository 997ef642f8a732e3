//! The most messages per second 200 pairs can exchange before the slowest hundredth takes more than 200 ms.

use super::{Figure, Scenario, Settings, climb, figure, pairs};
use crate::goal::Goal;
use crate::measure;
use crate::pacer::Schedule;
use crate::server::Server;
use crate::{Result, failed};
use std::time::Duration;

const PAIRS: usize = 200;
const FIRST_RATE: f64 = 30_000.0;
const STRETCH: Duration = Duration::from_millis(1500);
const STRETCH_QUICK: Duration = Duration::from_millis(750);
const MOST: &str = "most messages per second";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pairs-peak",
    about: "200 pairs, ever more messages/s until p99 passes 200 ms",
    run,
    restarts: false,
    paired: false,
    goals: &[Goal::at_least(MOST, 100_000.0)],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let (mut swarm, mut senders) = pairs::open(server, settings, PAIRS)?;
    let stretch = if settings.quick { STRETCH_QUICK } else { STRETCH };
    let peak = climb::highest(FIRST_RATE, settings.quick, &mut |rate| {
        let schedule = Schedule::even(rate, stretch);
        measure::run(server, &mut swarm, &mut senders, 1, schedule)
    })?;
    let Some((_, reading)) = peak else {
        return failed("no rate holds");
    };
    Ok(vec![
        figure(MOST, "1/s", reading.deliveries_per_second()),
        figure("latency p99 there", "ms", reading.latency_ms(0.99)),
    ])
}
