//! Latency at half of what the server can carry: 1 publisher, 100 subscribers.
//!
//! The load is raised step by step until deliveries fall behind; half of the last rate that held is then measured.

use super::{Figure, Scenario, Settings, audience, figure};
use crate::Result;
use crate::measure::{self, measure};
use crate::pacer::Schedule;
use crate::server::Server;
use std::time::Duration;

const SUBSCRIBERS: usize = 100;
const FIRST_RATE: f64 = 500.0;
const STEP: f64 = 1.4;
const STEPS_MAX: usize = 14;
const STRETCH: Duration = Duration::from_millis(1500);
/// A rate holds while the slowest hundredth of its deliveries takes no longer.
const P99_MAX_MS: f64 = 200.0;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "latency",
    about: "1 publisher, 100 subscribers, at half of the rate that saturates the server",
    run,
    restarts: false,
    goal: None,
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let (mut swarm, mut senders) = audience(server, settings, "latency", SUBSCRIBERS)?;
    let receivers = SUBSCRIBERS as u64;
    let (mut rate, mut held) = (FIRST_RATE, 0.0);
    for _ in 0..STEPS_MAX {
        let reading = measure::run(
            server,
            &mut swarm,
            &mut senders,
            receivers,
            Schedule::even(rate, STRETCH),
        )?;
        if reading.delivered < reading.expected || reading.latency_ms(0.99) > P99_MAX_MS {
            break;
        }
        held = rate;
        rate *= STEP;
    }
    let half = Schedule::even((held / 2.0).max(1.0), settings.stretch(5));
    let reading = measure(server, &mut swarm, &mut senders, receivers, half)?;
    Ok(vec![
        figure(
            "deliveries per second at saturation",
            "1/s",
            held * receivers as f64,
        ),
        figure("latency p50 at half of it", "ms", reading.latency_ms(0.5)),
        figure("latency p99 at half of it", "ms", reading.latency_ms(0.99)),
    ])
}
