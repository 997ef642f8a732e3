//! The scenarios: each loads one server and returns named figures. One file each; this one is their list.

mod burst;
mod climb;
mod connect;
mod fanout;
mod http;
mod idle;
mod latency;
mod pairs;
mod pairs_peak;
mod presence;
mod reconnect;
mod scale;
mod stalled;
mod startup;

use crate::Result;
use crate::goal::Goal;
use crate::message::{self, Broadcast, Wire};
use crate::pacer::Sender;
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use std::time::Duration;

/// Joins under way at once while sockets are opened: below the listen queue of any server.
const WINDOW: usize = 256;
/// Longest wait for the sockets of a scenario to join.
const OPEN_LIMIT: Duration = Duration::from_secs(60);

/// One scenario.
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Loads the server and returns the figures; [`crate::measure::Void`] if messages were lost.
    pub run: fn(&mut Server, &Settings) -> Result<Vec<Figure>>,
    /// It has to start and kill the server, so one that was not started here cannot be measured.
    pub restarts: bool,
    /// Whether it runs on the floor in every round, for the sake of the ratios, or in the first only.
    pub paired: bool,
    /// What the project asks of its figures.
    pub goals: &'static [Goal],
}

/// What a run is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How broadcasts travel.
    pub wire: Wire,
    /// JSON payload of a broadcast. Bytes.
    pub payload_bytes: usize,
    /// Shorter stretches and fewer sockets.
    pub quick: bool,
    /// Most sockets one scenario may open: the limit of open files allows no more.
    pub sockets_max: usize,
}

impl Settings {
    /// A measured stretch: `seconds`, or 1 s in the quick benchmark.
    fn stretch(&self, seconds: u64) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { seconds })
    }

    fn broadcast(&self, topic: &str) -> Broadcast {
        Broadcast::new(self.wire, topic, self.payload_bytes)
    }
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name, unique within its scenario.
    pub name: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Value.
    pub value: f64,
}

/// All scenarios, in the order of a full benchmark.
pub static ALL: &[Scenario] = &[
    startup::SCENARIO,
    connect::SCENARIO,
    fanout::SCENARIO,
    scale::SCENARIO,
    pairs::SCENARIO,
    pairs::MANY,
    pairs_peak::SCENARIO,
    burst::SCENARIO,
    latency::SCENARIO,
    http::SCENARIO,
    presence::SCENARIO,
    stalled::SCENARIO,
    reconnect::SCENARIO,
    idle::SCENARIO,
];

/// The scenario of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

fn figure(name: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, value }
}

/// A figure that is only known where the server's process is.
fn known(name: &'static str, unit: &'static str, value: Option<f64>) -> Option<Figure> {
    value.map(|value| figure(name, unit, value))
}

/// A swarm of `subscribers` sockets on `topic` and one sender on the same topic.
fn audience(
    server: &Server,
    settings: &Settings,
    topic: &str,
    subscribers: usize,
) -> Result<(Swarm, Vec<Sender>)> {
    let mut swarm = Swarm::new(&server.target)?;
    let member = Member::new(message::join(topic, &server.target.token, false));
    swarm.open(std::iter::repeat_n(member, subscribers + 1), WINDOW, OPEN_LIMIT)?;
    let sender = Sender::new(swarm.detach(subscribers)?, settings.broadcast(topic))?;
    Ok((swarm, vec![sender]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        for scenario in ALL {
            assert!(
                std::ptr::eq(named(scenario.name).unwrap(), scenario),
                "{}",
                scenario.name
            );
        }
    }
}
