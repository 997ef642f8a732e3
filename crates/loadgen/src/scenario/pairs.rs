//! Many small topics: one sender and one receiver in each, 1,000 messages per second over all of them.

use super::{Figure, OPEN_LIMIT, Scenario, Settings, WINDOW, figure, known};
use crate::Result;
use crate::goal::Goal;
use crate::measure::measure;
use crate::message;
use crate::pacer::{Schedule, Sender};
use crate::server::Server;
use crate::swarm::{Member, Swarm};

const CPU: &str = "CPU per delivery";
const RATE: f64 = 1_000.0;
const GOALS: &[Goal] = &[Goal::at_most(CPU, 1.5).of_the_floor()];

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pairs",
    about: "200 topics of one sender and one receiver, 1,000 messages/s in all",
    run: |server, settings| run(server, settings, 200),
    restarts: false,
    paired: true,
    goals: GOALS,
};

pub(super) const MANY: Scenario = Scenario {
    name: "pairs-10k",
    about: "10,000 topics, quick 2,000, of one sender and one receiver, 1,000 messages/s in all",
    run: |server, settings| run(server, settings, if settings.quick { 2_000 } else { 10_000 }),
    restarts: false,
    paired: true,
    goals: GOALS,
};

fn run(server: &mut Server, settings: &Settings, pairs: usize) -> Result<Vec<Figure>> {
    let pairs = pairs.min(settings.sockets_max / 2);
    let (mut swarm, mut senders) = open(server, settings, pairs)?;
    let reading = measure(
        server,
        &mut swarm,
        &mut senders,
        1,
        Schedule::even(RATE, settings.stretch(3)),
    )?;
    let mut figures = vec![figure("topics", "", pairs as f64)];
    figures.extend(known(CPU, "µs", reading.cpu_us_per_delivery()));
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

/// `pairs` receivers in a swarm and their senders.
pub(super) fn open(server: &Server, settings: &Settings, pairs: usize) -> Result<(Swarm, Vec<Sender>)> {
    let mut swarm = Swarm::new(&server.target)?;
    let topic = |n: usize| format!("pair-{}", n % pairs);
    let members = (0..2 * pairs).map(|n| Member::new(message::join(&topic(n), &server.target.token, false)));
    swarm.open(members, WINDOW, OPEN_LIMIT)?;
    let senders = (pairs..2 * pairs)
        .map(|n| Ok(Sender::new(swarm.detach(n)?, settings.broadcast(&topic(n)))?))
        .collect::<Result<_>>()?;
    Ok((swarm, senders))
}
