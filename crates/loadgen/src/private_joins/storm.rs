//! Everybody comes at once: each user connects, and joins a private channel.

use super::{BY_CLAIM, join, schema};
use crate::Result;
use crate::staged::Scenario;
use crate::staged::stage::Stage;
use crate::staged::verdict::Figure;
use crate::swarm::{Member, Swarm};
use std::time::Duration;

const USERS: u64 = 10_000;
const USERS_QUICK: u64 = 3000;
/// Users on their way at once.
const WINDOW: usize = 512;
/// Longest wait for all of them.
const JOIN_MAX: Duration = Duration::from_secs(120);

pub(super) const SCENARIO: Scenario = Scenario {
    name: "storm",
    about: "10,000 users, quick 3,000, connect and join a private channel each, 512 on their way at once; by claims",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.stop_gateway()?;
    stage.execute(&schema::put_in_force(BY_CLAIM.policy))?;
    let users = if stage.quick { USERS_QUICK } else { USERS }.min(stage.sockets_max as u64);
    let joins = (0..users).map(|user| join(&BY_CLAIM, user, user, true));
    let members = joins
        .map(|join| join.map(Member::new))
        .collect::<Result<Vec<_>>>()?;
    let target = stage.start_gateway()?.target.clone();
    let before = stage.cpu()?;
    let mut swarm = Swarm::new(&target)?;
    let wall = swarm.open(members, WINDOW, JOIN_MAX)?;
    let cpu = stage.cpu()?.since(before);
    let per_user = |cpu: Duration| cpu.as_secs_f64() * 1e6 / users as f64;
    let mut figures = vec![
        Figure::new(
            "users that connect and join per second",
            users as f64 / wall.as_secs_f64(),
            "1/s",
        ),
        Figure::new("gateway CPU per user", per_user(cpu.gateway), "µs"),
        Figure::new("PostgreSQL CPU per user", per_user(cpu.postgres), "µs"),
    ];
    figures.extend(cpu.shares(wall));
    Ok(figures)
}
