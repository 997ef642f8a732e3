//! Short forms of what the database takes part in, for the benchmark that compares everything with a floor: a few
//! seconds each, in rounds, the floor and the gateways in turn on the same PostgreSQL.
//!
//! Whoever does not run is stopped and has no slot: it would read the log along with the one that is measured.

use super::floor::Kind;
use super::stage::Stage;
use crate::Result;
use crate::bench::{Comparison, Plan, compare};
use crate::goal::Goal;
use crate::scenario::Figure;
use crate::server::Launch;
use std::path::{Path, PathBuf};

/// One of them.
pub struct Short {
    /// Name on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What the project asks of its figures.
    pub goals: &'static [Goal],
    /// In which rounds the floor takes part.
    pub floor: Floor,
    /// SQL that makes the tables. Those with the same share a database.
    pub(crate) tables: fn() -> String,
    /// Plays it with whoever is on the stage.
    pub(crate) run: fn(&mut Stage) -> Result<Vec<Figure>>,
}

/// The floor of one, and in which rounds it takes part.
#[derive(Clone, Copy, Debug)]
pub enum Floor {
    /// In every round: follows this publication and writes deliveries of that kind and size in bytes.
    Follows(&'static str, Kind, usize),
    /// In every round: answers joins.
    Answers,
    /// In none: the most a server carries is no matter of a ratio.
    Absent,
}

impl Floor {
    /// Whether it takes part.
    pub fn takes_part(self) -> bool {
        !matches!(self, Floor::Absent)
    }

    /// The arguments of `loadgen` that start it.
    fn arguments(self, dsn: &str) -> Vec<String> {
        let mut arguments = vec!["floor-staged".to_owned(), "127.0.0.1:{port}".to_owned()];
        if let Floor::Follows(publication, kind, payload_bytes) = self {
            let kind = match kind {
                Kind::Changes => "changes",
                Kind::Broadcasts => "broadcasts",
            };
            arguments.extend([dsn, publication, kind, &payload_bytes.to_string()].map(str::to_owned));
        }
        arguments
    }
}

/// All short forms, in the order of a full benchmark.
pub static ALL: [&Short; 6] = [
    &crate::changes::SHORT,
    &crate::changes::SHORT_PEAK,
    &crate::database_broadcasts::SHORT,
    &crate::database_broadcasts::SHORT_PEAK,
    &crate::private_joins::SHORT,
    &crate::private_joins::SHORT_PEAK,
];

/// The short form of that name.
pub fn named(name: &str) -> Option<&'static Short> {
    ALL.iter().find(|short| short.name == name).copied()
}

/// Plays short forms one after the other.
pub struct Player {
    programs: Vec<PathBuf>,
    sockets_max: usize,
    quick: bool,
    stage: Option<(fn() -> String, Stage)>,
}

impl Player {
    /// With these gateways. A scenario opens `sockets_max` sockets at most.
    pub fn new(programs: Vec<PathBuf>, sockets_max: usize, quick: bool) -> Player {
        Player {
            programs,
            sockets_max,
            quick,
            stage: None,
        }
    }

    /// Compares them with the floor; `names` are those of the floor and the gateways.
    pub fn compare(&mut self, short: &Short, rounds: usize, names: &[&str]) -> Comparison {
        let plan = Plan {
            name: short.name,
            about: short.about,
            goals: short.goals,
            rounds,
            yardstick_rounds: if short.floor.takes_part() { rounds } else { 0 },
        };
        compare(&plan, names, &mut |server| {
            let program = server
                .checked_sub(1)
                .map(|gateway| self.programs.get(gateway).cloned());
            let stage = self.stage(short)?;
            let launch = match program {
                Some(program) => stage.launch(&program.ok_or("no such server")?)?,
                None => Launch {
                    program: std::env::current_exe()?,
                    arguments: short.floor.arguments(stage.dsn()),
                    token: "none".to_owned(),
                },
            };
            stage.engage(launch);
            let figures = (short.run)(stage);
            stage.stop_gateway()?;
            figures
        })
    }

    /// The stage with its tables, set anew unless it stands.
    fn stage(&mut self, short: &Short) -> Result<&mut Stage> {
        let stands = |(tables, _): &(fn() -> String, Stage)| std::ptr::fn_addr_eq(*tables, short.tables);
        let standing = match self.stage.take().filter(stands) {
            Some(standing) => standing,
            None => {
                let roost: &Path = self.programs.first().ok_or("no gateway takes part")?;
                let tables = (short.tables)();
                let mut stage = Stage::set(roost.to_owned(), &tables, self.sockets_max, self.quick)?;
                stage.is_short = true;
                (short.tables, stage)
            }
        };
        Ok(&mut self.stage.insert(standing).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn every_short_form_has_a_name_that_no_other_scenario_has() {
        for short in ALL {
            assert!(std::ptr::eq(named(short.name).unwrap(), short), "{}", short.name);
            assert!(scenario::named(short.name).is_none(), "{}", short.name);
        }
    }
}
