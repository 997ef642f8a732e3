//! One publisher, one topic, a thousand subscribers; messages far enough apart that each is written on its own.

use super::{Figure, Scenario, Settings, audience, figure, known};
use crate::Result;
use crate::goal::Goal;
use crate::measure::measure;
use crate::pacer::Schedule;
use crate::server::Server;

const SUBSCRIBERS: usize = 1_000;
const CPU: &str = "CPU per delivery";
const RATE: f64 = 50.0;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "fanout",
    about: "1 publisher, 1,000 subscribers, 50 messages/s",
    run,
    restarts: false,
    paired: true,
    goals: &[Goal::at_most(CPU, 1.15).of_the_floor()],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let (mut swarm, mut senders) = audience(server, settings, "fanout", SUBSCRIBERS)?;
    let schedule = Schedule::even(RATE, settings.stretch(2));
    let reading = measure(server, &mut swarm, &mut senders, SUBSCRIBERS as u64, schedule)?;
    let mut figures = Vec::from_iter(known(CPU, "µs", reading.cpu_us_per_delivery()));
    figures.extend([
        figure("latency p50", "ms", reading.latency_ms(0.5)),
        figure("latency p99", "ms", reading.latency_ms(0.99)),
        figure("payload per delivery", "B", reading.bytes_per_delivery()),
        figure(
            "CPU of the load tool per delivery",
            "µs",
            reading.tool_us_per_delivery(),
        ),
    ]);
    Ok(figures)
}
