//! What changes of the database cost and how fast they arrive: a private PostgreSQL, the gateway on it, listeners on
//! real sockets and somebody who writes.
//!
//! A scenario that loses a row, or delivers one twice or to the wrong socket, is void: its figures would be those of
//! other work than was to be measured. One whose binding the gateway refuses is told of as refused.
//! What else ran on the machine stands beside most figures: where that is much, they say little.

mod arrivals;
mod audience;
mod bare_reader;
mod schema;
mod search;
mod stage;
mod trial;
mod verdict;
mod writer;

mod filters;
mod lone;
mod needle;
mod overhead;
mod peak;
mod quiet;
mod row_security;
mod steady;
mod unheard;

use crate::Result;
use audience::{Audience, Listener, Refused};
use stage::{Stage, token};
use std::path::PathBuf;
use verdict::Figure;
use writer::Writer;

/// One scenario.
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    run: fn(&mut Stage) -> Result<Vec<Figure>>,
}

/// All scenarios, in the order they are played.
pub static ALL: &[Scenario] = &[
    lone::SCENARIO,
    steady::SCENARIO,
    filters::SCENARIO,
    peak::BATCHES,
    peak::SINGLE,
    peak::WIDE,
    overhead::SCENARIO,
    row_security::OWN,
    row_security::SHARED,
    needle::SCENARIO,
    unheard::SCENARIO,
    quiet::SCENARIO,
];

/// The scenario of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// What to play, and with what.
pub struct Options {
    /// The gateway.
    pub roost: PathBuf,
    /// Which scenarios.
    pub scenarios: Vec<&'static Scenario>,
    /// Shorter stretches.
    pub quick: bool,
    /// Most sockets a scenario may open.
    pub sockets_max: usize,
}

/// Plays the scenarios and prints their figures as they come. Returns how many were void.
pub fn bench(options: Options) -> Result<usize> {
    let mut stage = Stage::set(options.roost, options.sockets_max, options.quick)?;
    println!("PostgreSQL: {}", stage.settings()?);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("Cores: {cores}, for PostgreSQL, gateway and load tool together\n");
    let mut void = 0;
    for scenario in options.scenarios {
        println!("{}: {}", scenario.name, scenario.about);
        match (scenario.run)(&mut stage) {
            Ok(figures) => figures.iter().for_each(|figure| println!("{figure}")),
            Err(error) if error.is::<Refused>() => println!("  refused: {error}"),
            Err(error) => {
                void += 1;
                println!("  VOID: {error}");
            }
        }
        println!();
    }
    Ok(void)
}

/// Listeners of a table, as anybody; `filter` makes each one's filter.
fn anybody(
    table: &'static str,
    count: usize,
    filter: impl Fn(usize) -> Option<String>,
) -> Result<Vec<Listener>> {
    let token = token("anon", None)?;
    let listener = |number| Listener {
        topic: format!("bench-{number}"),
        token: token.clone(),
        table,
        filter: filter(number),
    };
    Ok((0..count).map(listener).collect())
}

/// `listeners` on a gateway that was just started, each with a socket of its own.
fn gather(stage: &mut Stage, listeners: &[Listener]) -> Result<Audience> {
    let gateway = stage.start_gateway()?;
    Audience::gather(&gateway.target, listeners, 1)
}

/// A writer of rows of `table` with so many different keys.
fn writer(stage: &Stage, connections: usize, table: &str, keys: u64) -> Result<Writer> {
    Writer::open(stage.dsn(), connections, &schema::insertion(table, keys))
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
