//! Runs a scenario on several servers in turn and compares what it costs them.
//!
//! The machine is shared and its speed drifts, so a figure alone says little: the servers take turns in rounds of a
//! few seconds, every other round in reverse order, and what is compared is the *ratio within a round*. Reported is
//! the median of the ratios, with the least and the most beside it. The first server is the yardstick.
//!
//! A run that lost messages measured less work than it was meant to: it is void, counted and repeated.

use crate::Result;
use crate::goal::Goal;
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

/// What is to be compared, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Name of the scenario.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What is asked of its figures.
    pub goals: &'static [Goal],
    /// How often it runs on each server.
    pub rounds: usize,
    /// In how many of these rounds, the first ones, it also runs on the yardstick.
    pub yardstick_rounds: usize,
}

/// One scenario, as it went on all servers.
pub struct Comparison {
    /// Name of the scenario.
    pub name: &'static str,
    /// What was done, in a line.
    pub about: &'static str,
    /// What was asked of the figures.
    pub goals: &'static [Goal],
    /// Whole rounds.
    pub rounds: usize,
    /// Runs that lost messages and were repeated.
    pub void_runs: usize,
    /// Why it ended before its last round, if it did.
    pub failure: Option<String>,
    /// One per figure, in the order of the scenario; none if it failed.
    pub rows: Vec<Row>,
}

/// One figure on all servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// On the first server, where it is known.
    pub yardstick: Option<Spread>,
    /// The other servers, in order.
    pub others: Vec<Column>,
}

/// One figure on one server besides the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Over the rounds.
    pub value: Option<Spread>,
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

/// Runs `scenario` so many times on each of `contestants`, in turn, but for the yardstick if it is not paired.
pub fn compare_servers(
    scenario: &Scenario,
    contestants: &mut [Contestant],
    rounds: usize,
    settings: &Settings,
) -> Comparison {
    let plan = Plan {
        name: scenario.name,
        about: scenario.about,
        goals: scenario.goals,
        rounds,
        yardstick_rounds: if scenario.paired { rounds } else { 1 },
    };
    let names: Vec<String> = contestants
        .iter()
        .map(|contestant| contestant.name.clone())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    compare(&plan, &names, &mut |server| {
        let contestant = contestants.get_mut(server).ok_or("no such server")?;
        (scenario.run)(&mut contestant.server, settings)
    })
}

/// Runs what is planned on each of the servers called `names`, in turn, the first being the yardstick. `run` loads the
/// server of that index once. A failure ends the comparison and is told in it.
pub fn compare(plan: &Plan, names: &[&str], run: &mut dyn FnMut(usize) -> Result<Vec<Figure>>) -> Comparison {
    let mut void_runs = 0;
    let mut failure = None;
    let mut done = Vec::with_capacity(plan.rounds);
    while done.len() < plan.rounds && failure.is_none() {
        let round = done.len();
        eprintln!("loadgen: {}, round {} of {}", plan.name, round + 1, plan.rounds);
        let mut figures = vec![Vec::new(); names.len()];
        let mut turns: Vec<_> = figures.iter_mut().zip(names).enumerate().collect();
        turns.retain(|(server, _)| *server > 0 || round < plan.yardstick_rounds);
        if round % 2 == 1 {
            turns.reverse();
        }
        for (server, (figures, name)) in turns {
            match unless_void(plan, name, &mut void_runs, &mut || run(server)) {
                Ok(measured) => *figures = measured,
                Err(error) => {
                    eprintln!("loadgen: {} on {name} failed: {error}", plan.name);
                    failure = Some(format!("on {name}: {error}"));
                    break;
                }
            }
        }
        if failure.is_none() {
            done.push(figures);
        }
    }
    Comparison {
        name: plan.name,
        about: plan.about,
        goals: plan.goals,
        rounds: done.len(),
        void_runs,
        rows: if failure.is_none() {
            rows(&done)
        } else {
            Vec::new()
        },
        failure,
    }
}

fn unless_void(
    plan: &Plan,
    name: &str,
    void_runs: &mut usize,
    run: &mut dyn FnMut() -> Result<Vec<Figure>>,
) -> Result<Vec<Figure>> {
    loop {
        match run() {
            Err(error) if error.is::<Void>() && *void_runs < VOID_RUNS_MAX => {
                *void_runs += 1;
                eprintln!("loadgen: {} on {name}: void, {error}", plan.name);
            }
            result => return result,
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
            yardstick: spread(values(0)),
            others: (1..first.len())
                .map(|server| Column {
                    value: spread(values(server)),
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
        let [row] = rows.as_slice() else {
            panic!("{rows:?}")
        };
        let (value, ratio) = (row.others[0].value.unwrap(), row.others[0].ratio.unwrap());
        assert_eq!(
            (row.yardstick.unwrap().median, value.median, ratio.median),
            (15.0, 18.0, 1.2)
        );
        assert!(ratio.most - ratio.least < 1e-9);
    }

    #[test]
    fn a_figure_only_one_server_has_stands_without_a_ratio() {
        let rounds = [vec![
            figures(&[("wall", 1.0)]),
            figures(&[("CPU", 2.0), ("wall", 0.0)]),
        ]];
        let column = |value: f64| Column {
            value: spread([value].into_iter()),
            ratio: None,
        };
        let one = spread([1.0].into_iter());
        let expected = [("CPU", None, column(2.0)), ("wall", one, column(0.0))];
        for (row, (name, yardstick, column)) in rows(&rounds).iter().zip(expected) {
            assert_eq!(
                (row.name, row.yardstick, row.others.as_slice()),
                (name, yardstick, &[column][..])
            );
        }
        assert_eq!(rows(&rounds).len(), 2);
    }

    const PLAN: Plan = Plan {
        name: "test",
        about: "",
        goals: &[],
        rounds: 3,
        yardstick_rounds: 1,
    };

    #[test]
    fn servers_take_turns_and_the_yardstick_only_as_often_as_planned() {
        let mut order = Vec::new();
        let comparison = compare(&PLAN, &["floor", "one", "other"], &mut |server| {
            order.push(server);
            Ok(figures(&[("CPU", 1.0 + server as f64)]))
        });
        assert_eq!(order, [0, 1, 2, 2, 1, 1, 2]);
        assert_eq!((comparison.rounds, comparison.failure), (3, None));
        assert_eq!(comparison.rows[0].others[1].ratio.unwrap().median, 3.0);
    }

    #[test]
    fn a_void_run_is_repeated_and_any_other_failure_ends_the_comparison() {
        let mut runs = 0;
        let comparison = compare(&PLAN, &["floor", "server"], &mut |_| {
            runs += 1;
            match runs {
                1 => Err(Void {
                    expected: 2,
                    delivered: 1,
                }
                .into()),
                ..4 => Ok(figures(&[("CPU", 1.0)])),
                _ => crate::failed("gone"),
            }
        });
        assert_eq!((runs, comparison.void_runs, comparison.rounds), (4, 1, 1));
        assert_eq!(comparison.failure.as_deref(), Some("on server: gone"));
        assert!(comparison.rows.is_empty());
    }
}
