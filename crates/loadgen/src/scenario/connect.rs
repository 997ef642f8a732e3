//! Sockets connect and join, each on a topic of its own, and then do nothing: what one costs, in CPU and memory.

use super::{Figure, OPEN_LIMIT, Scenario, Settings, WINDOW, figure, known};
use crate::goal::Goal;
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use crate::{Result, message};
use std::time::Duration;

const MEMORY: &str = "memory per idle socket";
const CPU: &str = "CPU per 1,000 joined";
/// The load tool shares the cores, so the wall clock tells of both. What a core of the server can do is what it does in
/// a second of its own CPU time.
const PER_CORE: &str = "joined per second of server CPU";
/// Time for the server to settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) const SCENARIO: Scenario = Scenario {
    name: "connect",
    about: "10,000 sockets connect, join a topic each and stay idle",
    run,
    restarts: false,
    paired: false,
    goals: &[
        Goal::at_most(MEMORY, 8.0),
        Goal::at_least(PER_CORE, 5_000.0),
        Goal::at_most(CPU, 0.15),
    ],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let sockets = settings
        .sockets_max
        .min(if settings.quick { 2_000 } else { 10_000 });
    // Memory that sockets of an earlier run left behind would serve these for nothing.
    server.renew()?;
    let (cpu_before, memory_before) = (server.cpu_time()?, server.resident_bytes()?);
    let mut swarm = Swarm::new(&server.target)?;
    let members =
        (0..sockets).map(|n| Member::new(message::join(&format!("own-{n}"), &server.target.token, false)));
    let wall = swarm.open(members, WINDOW, OPEN_LIMIT)?;
    let cpu = cpu_before
        .zip(server.cpu_time()?)
        .map(|(before, after)| after.saturating_sub(before).as_secs_f64());
    std::thread::sleep(SETTLE);
    let memory = memory_before
        .zip(server.resident_bytes()?)
        .map(|(before, after)| after.saturating_sub(before) as f64);
    let count = sockets as f64;
    let mut figures = vec![
        figure("sockets", "", count),
        figure(
            "joined per second, the load tool on the same cores",
            "1/s",
            count / wall.as_secs_f64(),
        ),
    ];
    figures.extend(known(PER_CORE, "1/s", cpu.map(|cpu| count / cpu.max(1e-9))));
    figures.extend(known(CPU, "s", cpu.map(|cpu| cpu * 1000.0 / count)));
    figures.extend(known(MEMORY, "kB", memory.map(|bytes| bytes / count / 1e3)));
    Ok(figures)
}
