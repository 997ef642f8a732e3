//! Five thousand joined sockets that only send their heartbeats, one each 25 s.

use super::{Figure, OPEN_LIMIT, Scenario, Settings, WINDOW, figure, known};
use crate::goal::Goal;
use crate::pacer::Schedule;
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use crate::{Result, message};
use std::time::{Duration, Instant};

const SOCKETS: usize = 5_000;
const TOPIC_SOCKETS: usize = 10;
const HEARTBEAT: Duration = Duration::from_secs(25);
/// A part of the sockets is heard of in the quick benchmark, at the same rate.
const STRETCH_QUICK: Duration = Duration::from_secs(5);
const CPU: &str = "CPU";
/// What opening the sockets began has ended by then.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) const SCENARIO: Scenario = Scenario {
    name: "idle",
    about: "5,000 joined sockets, a heartbeat every 25 s each, nothing else",
    run,
    restarts: false,
    paired: false,
    goals: &[Goal::at_most(CPU, 0.5)],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let sockets = SOCKETS.min(settings.sockets_max);
    let mut swarm = Swarm::new(&server.target)?;
    let topic = |n: usize| format!("idle-{}", n / TOPIC_SOCKETS);
    let members = (0..sockets).map(|n| Member::new(message::join(&topic(n), &server.target.token, false)));
    swarm.open(members, WINDOW, OPEN_LIMIT)?;
    let heartbeats = Schedule::even(
        sockets as f64 / HEARTBEAT.as_secs_f64(),
        if settings.quick { STRETCH_QUICK } else { HEARTBEAT },
    );
    let heartbeat = message::heartbeat();
    swarm.pump_until(Instant::now() + SETTLE, &mut |_| ())?;
    let cpu_before = server.cpu_time()?;
    let begun = Instant::now();
    let mut answers = 0_u64;
    for n in 0..heartbeats.total {
        swarm.pump_until(begun + heartbeats.due(n), &mut |_| answers += 1)?;
        swarm.send(n as usize % sockets, &heartbeat)?;
    }
    swarm.pump_until(Instant::now() + Duration::from_millis(100), &mut |_| answers += 1)?;
    let wall = begun.elapsed().as_secs_f64();
    let cpu = cpu_before
        .zip(server.cpu_time()?)
        .map(|(before, after)| after.saturating_sub(before).as_secs_f64());
    let mut figures = Vec::from_iter(known(CPU, "% of a core", cpu.map(|cpu| cpu / wall * 100.0)));
    figures.push(figure(
        "heartbeats unanswered",
        "",
        heartbeats.total.saturating_sub(answers) as f64,
    ));
    figures.push(figure("sockets lost", "", swarm.counts().closed as f64));
    Ok(figures)
}
