//! The server is killed and started again: how long until 10,000 sockets that all come back at once have rejoined.

use super::{Figure, OPEN_LIMIT, Scenario, Settings, WINDOW, figure};
use crate::goal::Goal;
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use crate::{Result, failed, message};
use std::time::{Duration, Instant};

/// Sockets on their way back at once: the listen queue of a default server.
const STORM_WINDOW: usize = 1_000;
const TOPIC_SOCKETS: usize = 100;
const REJOINED: &str = "all rejoined after the port was back";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "reconnect",
    about: "kill and restart the server under 10,000 joined sockets",
    run,
    restarts: true,
    paired: false,
    goals: &[Goal::at_most(REJOINED, 5.0)],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let sockets = settings.sockets_max.min(10_000);
    let token = server.target.token.clone();
    let members = |count: usize| {
        let token = token.clone();
        (0..count).map(move |n| {
            Member::new(message::join(
                &format!("storm-{}", n / TOPIC_SOCKETS),
                &token,
                false,
            ))
        })
    };
    let mut swarm = Swarm::new(&server.target)?;
    swarm.open(members(sockets), WINDOW, OPEN_LIMIT)?;
    server.kill();
    let killed = Instant::now();
    while swarm.counts().closed < sockets {
        swarm.pump(Duration::from_millis(50), &mut |_| ())?;
        if killed.elapsed() > OPEN_LIMIT {
            return failed("not every socket noticed the end of the server");
        }
    }
    let noticed = killed.elapsed();
    drop(swarm);
    server.restart()?;
    let mut back = Swarm::new(&server.target)?;
    let rejoined = back.open(members(sockets), STORM_WINDOW, OPEN_LIMIT)?;
    Ok(vec![
        figure("sockets", "", sockets as f64),
        figure("all sockets noticed the end after", "s", noticed.as_secs_f64()),
        figure(REJOINED, "s", rejoined.as_secs_f64()),
    ])
}
