//! The most messages per second 200 pairs can exchange before the slowest hundredth takes more than 200 ms.

use super::{Figure, Scenario, Settings, figure, pairs};
use crate::Result;
use crate::measure;
use crate::pacer::Schedule;
use crate::server::Server;
use std::time::Duration;

const PAIRS: usize = 200;
const FIRST_RATE: f64 = 20_000.0;
const STEP: f64 = 1.25;
const STEPS_MAX: usize = 16;
const STRETCH: Duration = Duration::from_secs(2);
const P99_MAX_MS: f64 = 200.0;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pairs-peak",
    about: "200 pairs, ever more messages/s until p99 passes 200 ms",
    run,
    restarts: false,
    goal: None,
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let (mut swarm, mut senders) = pairs::open(server, settings, PAIRS)?;
    let (mut best, mut p99_ms) = (0.0, 0.0);
    let mut rate = FIRST_RATE;
    for _ in 0..STEPS_MAX {
        let reading = measure::run(server, &mut swarm, &mut senders, 1, Schedule::even(rate, STRETCH))?;
        if reading.delivered < reading.expected || reading.latency_ms(0.99) > P99_MAX_MS {
            break;
        }
        (best, p99_ms) = (reading.deliveries_per_second(), reading.latency_ms(0.99));
        rate *= STEP;
    }
    Ok(vec![
        figure("most messages per second", "1/s", best),
        figure("latency p99 there", "ms", p99_ms),
    ])
}
