//! Benchmarks on a private PostgreSQL, with goals in units of their own: what all of them share. There is a gateway on
//! it, listeners on real sockets and somebody who writes; a suite brings the tables and the scenarios.
//!
//! A scenario that loses something, or gets it twice or in the wrong place, is void: its figures would be those of
//! other work than was to be measured. One whose subscription the gateway refuses is told of as refused.
//! What else ran on the machine stands beside most figures: where that is much, they say little.

pub(crate) mod arrivals;
pub(crate) mod audience;
pub(crate) mod bare_reader;
pub(crate) mod climb;
pub mod floor;
pub(crate) mod search;
pub mod short;
pub(crate) mod stage;
pub(crate) mod trial;
pub(crate) mod verdict;
pub(crate) mod writer;

use crate::Result;
use audience::Refused;
use stage::Stage;
use std::path::PathBuf;
use verdict::Figure;

/// Scenarios that are played on the same tables.
pub struct Suite {
    /// In the order they are played.
    pub scenarios: &'static [Scenario],
    /// SQL that makes the tables.
    pub(crate) tables: fn() -> String,
}

/// One scenario.
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    pub(crate) run: fn(&mut Stage) -> Result<Vec<Figure>>,
}

/// What to play, and with what.
pub struct Options {
    /// The gateway.
    pub roost: PathBuf,
    /// Only these scenarios of the suite; all if there are none.
    pub only: Vec<&'static Scenario>,
    /// Shorter stretches.
    pub quick: bool,
    /// Most sockets a scenario may open.
    pub sockets_max: usize,
}

impl Suite {
    /// The scenario of that name.
    pub fn named(&self, name: &str) -> Option<&'static Scenario> {
        self.scenarios.iter().find(|scenario| scenario.name == name)
    }

    /// Plays the scenarios and prints their figures as they come. Returns how many were void.
    pub fn play(&self, options: Options) -> Result<usize> {
        let tables = (self.tables)();
        let mut stage = Stage::set(options.roost, &tables, options.sockets_max, options.quick)?;
        println!("PostgreSQL: {}", stage.settings()?);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("Cores: {cores}, for PostgreSQL, gateway and load tool together\n");
        let scenarios = if options.only.is_empty() {
            self.scenarios.iter().collect()
        } else {
            options.only
        };
        let mut void = 0;
        for scenario in scenarios {
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
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_scenario_of_a_suite_has_a_name_of_its_own() {
        for suite in [
            &crate::changes::SUITE,
            &crate::private_joins::SUITE,
            &crate::database_broadcasts::SUITE,
        ] {
            for scenario in suite.scenarios {
                let found = suite.named(scenario.name).unwrap();
                assert!(std::ptr::eq(found, scenario), "{}", scenario.name);
            }
        }
    }
}
