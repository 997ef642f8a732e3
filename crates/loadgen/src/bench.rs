//! Runs a scenario on several servers in turn and compares what it costs them.
//!
//! The machine is shared and its speed drifts, so a figure alone says little: the servers take turns in rounds of a
//! few seconds, every other round in reverse order, and what is compared is the *ratio within a round*. Reported is
//! the median of the ratios, with the least and the most beside it. The first server is the yardstick.
//!
//! A run that lost messages measured less work than it was meant to: it is void, counted and repeated.

use crate::Result;
use crate::measure::Void;
use crate::scenario::{Figure, Scenario, Settings};
use crate::server::Server;

/// Void runs of one comparison that are repeated; one more fails it.
const VOID_RUNS_MAX: usize = 5;

/// A server that takes part, and what the report calls it.
pub struct Contestant {
    /// Heading of its column.
    pub name: String,
    /// The server.
    pub server: Server,
}

/// One scenario, as it went on all servers.
pub struct Comparison {
    /// What was run.
    pub scenario: &'static Scenario,
    /// Whole rounds.
    pub rounds: usize,
    /// Runs that lost messages and were repeated.
    pub void_runs: usize,
    /// One per figure, in the order of the scenario.
    pub rows: Vec<Row>,
}

/// One figure on all servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Median on the first server, where it is known.
    pub yardstick: Option<f64>,
    /// The other servers, in order.
    pub others: Vec<Column>,
}

/// One figure on one server besides the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Median over the rounds.
    pub value: Option<f64>,
    /// The same divided by the first server's, round by round; where both are known and above 0.
    pub ratio: Option<Spread>,
}

/// Where several values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

/// Runs `scenario` `rounds` times on each of `contestants`, alternating.
pub fn compare(
    scenario: &'static Scenario,
    contestants: &mut [Contestant],
    rounds: usize,
    settings: &Settings,
) -> Result<Comparison> {
    let mut void_runs = 0;
    let mut done = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let mut figures = vec![Vec::new(); contestants.len()];
        let mut turns: Vec<_> = contestants.iter_mut().zip(&mut figures).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (contestant, figures) in turns {
            *figures = run(scenario, contestant, settings, &mut void_runs)?;
        }
        done.push(figures);
    }
    Ok(Comparison {
        scenario,
        rounds,
        void_runs,
        rows: rows(&done),
    })
}

fn run(
    scenario: &Scenario,
    contestant: &mut Contestant,
    settings: &Settings,
    void_runs: &mut usize,
) -> Result<Vec<Figure>> {
    loop {
        match (scenario.run)(&mut contestant.server, settings) {
            Err(error) if error.is::<Void>() && *void_runs < VOID_RUNS_MAX => {
                *void_runs += 1;
                eprintln!("loadgen: {} on {}: void, {error}", scenario.name, contestant.name);
            }
            Err(error) => return Err(format!("{} on {}: {error}", scenario.name, contestant.name).into()),
            figures => return figures,
        }
    }
}

/// Medians over `rounds`, each of which holds the figures of every server, the first being the yardstick.
fn rows(rounds: &[Vec<Vec<Figure>>]) -> Vec<Row> {
    let value = |round: &[Vec<Figure>], server: usize, name: &str| {
        let figures = round.get(server)?;
        figures
            .iter()
            .find(|figure| figure.name == name)
            .map(|figure| figure.value)
    };
    let Some(first) = rounds.first() else {
        return Vec::new();
    };
    let names = first
        .iter()
        .max_by_key(|figures| figures.len())
        .map_or(&[][..], Vec::as_slice);
    let row = |figure: &Figure| {
        let values = |server| {
            rounds
                .iter()
                .filter_map(move |round| value(round, server, figure.name))
        };
        let ratios = |server| {
            rounds.iter().filter_map(move |round| {
                let (yardstick, other) = (value(round, 0, figure.name)?, value(round, server, figure.name)?);
                (yardstick > 0.0 && other > 0.0).then(|| other / yardstick)
            })
        };
        Row {
            name: figure.name,
            unit: figure.unit,
            yardstick: spread(values(0)).map(|spread| spread.median),
            others: (1..first.len())
                .map(|server| Column {
                    value: spread(values(server)).map(|spread| spread.median),
                    ratio: spread(ratios(server)),
                })
                .collect(),
        }
    };
    names.iter().map(row).collect()
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (
        sorted.get(sorted.len().checked_sub(1)? / 2)?,
        sorted.get(sorted.len() / 2)?,
    );
    Some(Spread {
        median: (low + high) / 2.0,
        least: *sorted.first()?,
        most: *sorted.last()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[(&'static str, f64)]) -> Vec<Figure> {
        values
            .iter()
            .map(|&(name, value)| Figure {
                name,
                unit: "µs",
                value,
            })
            .collect()
    }

    #[test]
    fn the_median_of_an_even_number_of_values_lies_between_the_middle_two() {
        let of = |values: &[f64]| spread(values.iter().copied());
        assert_eq!(
            of(&[3.0, 1.0, 2.0]),
            Some(Spread {
                median: 2.0,
                least: 1.0,
                most: 3.0
            })
        );
        assert_eq!(
            of(&[4.0, 1.0, 2.0, 3.0]),
            Some(Spread {
                median: 2.5,
                least: 1.0,
                most: 4.0
            })
        );
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_machine_that_slows_down_between_rounds_does_not_change_the_ratio() {
        let rounds: Vec<_> = [1.0, 3.0, 10.0]
            .into_iter()
            .map(|slowness| {
                vec![
                    figures(&[("CPU", 5.0 * slowness)]),
                    figures(&[("CPU", 6.0 * slowness)]),
                ]
            })
            .collect();
        let rows = rows(&rounds);
        let [
            Row {
                yardstick: Some(15.0),
                others,
                ..
            },
        ] = rows.as_slice()
        else {
            panic!("{rows:?}")
        };
        let ratio = others[0].ratio.unwrap();
        assert_eq!((others[0].value, ratio.median), (Some(18.0), 1.2));
        assert!(ratio.most - ratio.least < 1e-9);
    }

    #[test]
    fn a_figure_only_one_server_has_stands_without_a_ratio() {
        let rounds = [vec![
            figures(&[("wall", 1.0)]),
            figures(&[("CPU", 2.0), ("wall", 0.0)]),
        ]];
        let none = Column {
            value: Some(2.0),
            ratio: None,
        };
        let zero = Column {
            value: Some(0.0),
            ratio: None,
        };
        let expected = [("CPU", None, none), ("wall", Some(1.0), zero)];
        for (row, (name, yardstick, column)) in rows(&rounds).iter().zip(expected) {
            assert_eq!(
                (row.name, row.yardstick, row.others.as_slice()),
                (name, yardstick, &[column][..])
            );
        }
        assert_eq!(rows(&rounds).len(), 2);
    }
}
