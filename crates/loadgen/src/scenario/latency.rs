//! Latency at half of what the server can carry: 1 publisher, 100 subscribers.
//!
//! The load is raised step by step until deliveries fall behind; half of the highest rate that held is then measured.

use super::{Figure, Scenario, Settings, audience, climb, figure};
use crate::goal::Goal;
use crate::measure::{self, measure};
use crate::pacer::Schedule;
use crate::server::Server;
use crate::{Result, failed};
use std::time::Duration;

const SUBSCRIBERS: usize = 100;
const FIRST_RATE: f64 = 1_000.0;
const STRETCH: Duration = Duration::from_secs(1);
const P50: &str = "latency p50 at half of it";
const P99: &str = "latency p99 at half of it";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "latency",
    about: "1 publisher, 100 subscribers, at half of the rate that saturates the server",
    run,
    restarts: false,
    paired: false,
    goals: &[Goal::at_most(P50, 1.0), Goal::at_most(P99, 10.0)],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let receivers = SUBSCRIBERS as u64;
    let (mut swarm, mut senders) = audience(server, settings, "latency", SUBSCRIBERS)?;
    let saturation = climb::highest(FIRST_RATE, settings.quick, &mut |rate| {
        let schedule = Schedule::even(rate, STRETCH);
        measure::run(server, &mut swarm, &mut senders, receivers, schedule)
    })?;
    let Some((saturation, _)) = saturation else {
        return failed("no rate holds");
    };
    drop((swarm, senders));

    // New sockets: what the climb left unsent is no part of this.
    let (mut swarm, mut senders) = audience(server, settings, "latency-half", SUBSCRIBERS)?;
    let half = Schedule::even(saturation / 2.0, settings.stretch(5));
    let reading = measure(server, &mut swarm, &mut senders, receivers, half)?;
    Ok(vec![
        figure(
            "deliveries per second at saturation",
            "1/s",
            saturation * receivers as f64,
        ),
        figure(P50, "ms", reading.latency_ms(0.5)),
        figure(P99, "ms", reading.latency_ms(0.99)),
        figure(
            "CPU of the load tool at half of it",
            "% of a core",
            reading.tool_cpu.as_secs_f64() / reading.wall.as_secs_f64().max(1e-9) * 100.0,
        ),
    ])
}
