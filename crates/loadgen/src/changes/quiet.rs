//! A hundred listeners and no changes: what the gateway asks the database meanwhile. Counted in the database's log.

use super::{anybody, gather, schema};
use crate::staged::Scenario;
use crate::staged::stage::Stage;
use crate::staged::verdict::Figure;
use crate::{Result, failed};
use std::time::{Duration, Instant};

const LISTENERS: usize = 100;
const QUIET: Duration = Duration::from_secs(60);
const QUIET_QUICK: Duration = Duration::from_secs(10);
/// What the subscriptions began has ended by then.
const SETTLE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(25);
/// How the log tells of a statement, in either protocol of queries.
const STATEMENTS: [&str; 2] = ["LOG:  statement: ", "LOG:  execute "];

pub(super) const SCENARIO: Scenario = Scenario {
    name: "quiet",
    about: "statements on an idle database with 100 listeners, in 60 s or, quick, 10 s",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.execute("alter system set log_statement = 'all'; select pg_reload_conf();")?;
    let figures = listen(stage);
    stage.execute("alter system reset log_statement; select pg_reload_conf();")?;
    figures
}

fn listen(stage: &mut Stage) -> Result<Vec<Figure>> {
    let mut audience = gather(stage, &anybody(schema::OPEN, LISTENERS, |_| None)?)?;
    let settled = Instant::now() + SETTLE;
    let mut arrivals = audience.arrivals(0, Instant::now());
    while let Some(left) = settled.checked_duration_since(Instant::now()) {
        audience.listen(left, &mut arrivals)?;
    }
    let earlier = statements(&stage.log()?);
    if earlier.is_empty() {
        return failed("the database does not log statements");
    }
    let before = stage.cpu()?;
    let begun = Instant::now();
    let end = begun + if stage.quick { QUIET_QUICK } else { QUIET };
    let mut beat_at = begun + HEARTBEAT;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let until_beat = beat_at.saturating_duration_since(Instant::now());
        audience.listen(left.min(until_beat), &mut arrivals)?;
        if Instant::now() >= beat_at {
            audience.beat(LISTENERS)?;
            beat_at += HEARTBEAT;
        }
    }
    let cpu = stage.cpu()?.since(before);
    if let Some(reason) = audience.closed() {
        return failed(format!("a socket was closed: {reason}"));
    }
    let statements = statements(&stage.log()?).split_off(earlier.len());
    statements
        .iter()
        .take(3)
        .for_each(|statement| println!("  {statement}"));
    Ok(vec![
        Figure::new("statements", statements.len() as f64, "").at_most(0.0),
        Figure::new("CPU of the gateway", cpu.gateway.as_secs_f64() * 1e3, "ms"),
        Figure::new(
            "CPU of PostgreSQL, all its processes",
            cpu.postgres.as_secs_f64() * 1e3,
            "ms",
        ),
    ])
}

/// The lines of a log that tell of a statement.
fn statements(log: &str) -> Vec<String> {
    log.lines()
        .filter(|line| STATEMENTS.iter().any(|mark| line.contains(mark)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_either_protocol_are_counted_and_other_lines_are_not() {
        let log = "2026-01-01 00:00:00.000 UTC [7] LOG:  statement: select 1\n\
                   2026-01-01 00:00:00.000 UTC [7] LOG:  execute s1: select $1\n\
                   2026-01-01 00:00:00.000 UTC [7] DETAIL:  parameters: $1 = '1'\n\
                   2026-01-01 00:00:00.000 UTC [7] LOG:  starting logical decoding for slot \"x\"\n";
        assert_eq!(statements(log).len(), 2);
    }
}
