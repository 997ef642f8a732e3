//! 1,000 messages per second to 100 subscribers, in bursts and evenly: what coalescing writes gains.
//!
//! A burst is 20 messages due at one moment, so a server that writes once per socket and burst can save nineteen of
//! twenty writes. Evenly spaced messages show what it does without being offered a batch.

use super::{Figure, Scenario, Settings, audience, figure, known};
use crate::Result;
use crate::goal::Goal;
use crate::measure::measure;
use crate::pacer::Schedule;
use crate::server::Server;

const SUBSCRIBERS: usize = 100;
const RATE: f64 = 1_000.0;
const BURST: u64 = 20;
const BURSTS: &str = "deliveries per CPU second, bursts of 20";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "burst",
    about: "1 publisher, 100 subscribers, 1,000 messages/s in bursts of 20, then evenly",
    run,
    restarts: false,
    paired: true,
    // The floor writes once per message, as a server without coalescing does.
    goals: &[Goal::at_least(BURSTS, 4.0).of_the_floor()],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let (mut swarm, mut senders) = audience(server, settings, "burst", SUBSCRIBERS)?;
    let stretch = settings.stretch(3);
    let receivers = SUBSCRIBERS as u64;
    let bursts = measure(
        server,
        &mut swarm,
        &mut senders,
        receivers,
        Schedule::bursts(RATE, BURST, stretch),
    )?;
    let even = measure(
        server,
        &mut swarm,
        &mut senders,
        receivers,
        Schedule::even(RATE, stretch),
    )?;
    let mut figures = Vec::from_iter(known(BURSTS, "1/s", bursts.deliveries_per_cpu_second()));
    figures.extend(known(
        "deliveries per CPU second, evenly",
        "1/s",
        even.deliveries_per_cpu_second(),
    ));
    figures.extend([
        figure("latency p99, bursts of 20", "ms", bursts.latency_ms(0.99)),
        figure("latency p99, evenly", "ms", even.latency_ms(0.99)),
    ]);
    Ok(figures)
}
