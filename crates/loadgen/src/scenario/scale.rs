//! Whether a delivery costs more when ten times as many sockets listen: the same deliveries per second to 1,000 and
//! to 10,000 subscribers of one topic.

use super::{Figure, Scenario, Settings, audience, known};
use crate::Result;
use crate::goal::Goal;
use crate::measure::measure;
use crate::pacer::Schedule;
use crate::server::Server;

const DELIVERIES_PER_SECOND: f64 = 40_000.0;
const GROWTH: &str = "growth";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "scale",
    about: "40,000 deliveries/s to 1,000 and to 10,000 subscribers",
    run,
    restarts: false,
    paired: false,
    goals: &[Goal::at_most(GROWTH, 1.3)],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let few = cpu_per_delivery(server, settings, 1_000)?;
    let many = cpu_per_delivery(server, settings, settings.sockets_max.min(10_000))?;
    Ok([
        known("CPU per delivery, 1,000 sockets", "µs", few),
        known("CPU per delivery, 10,000 sockets", "µs", many),
        known(GROWTH, "×", few.zip(many).map(|(few, many)| many / few)),
    ]
    .into_iter()
    .flatten()
    .collect())
}

fn cpu_per_delivery(server: &Server, settings: &Settings, subscribers: usize) -> Result<Option<f64>> {
    let (mut swarm, mut senders) = audience(server, settings, "scale", subscribers)?;
    let schedule = Schedule::even(DELIVERIES_PER_SECOND / subscribers as f64, settings.stretch(4));
    let reading = measure(server, &mut swarm, &mut senders, subscribers as u64, schedule)?;
    Ok(reading.cpu_us_per_delivery())
}
