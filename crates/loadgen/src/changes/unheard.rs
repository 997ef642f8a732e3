//! Many rows nobody listens to, all of one transaction, and then one somebody does.

use super::{anybody, gather, read_bare, schema, writer};
use crate::staged::Scenario;
use crate::staged::stage::{Cpu, Stage};
use crate::staged::verdict::Figure;
use crate::staged::writer::{Pace, Writer, micros_since};
use crate::{Result, failed};
use std::time::{Duration, Instant};

const ROWS: u64 = 200_000;
const ROWS_QUICK: u64 = 50_000;
const ROUNDS: usize = 3;
/// Longest wait for the row that is heard.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// Between a look at the CPU and the load: what opened the sockets is at rest.
const REST: Duration = Duration::from_millis(200);

pub(super) const SCENARIO: Scenario = Scenario {
    name: "unheard",
    about: "a transaction of many rows nobody listens to, until a row behind it is heard",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    let rows = if stage.quick { ROWS_QUICK } else { ROWS };
    let unheard = writer(stage, 1, schema::UNHEARD, 1)?;
    let heard = writer(stage, 1, schema::OPEN, 1)?;
    let mut rounds = Vec::new();
    let mut bare_rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(decode(stage, &unheard, &heard, rows)?);
        stage.stop_gateway()?;
        let bare = read_bare(stage, &unheard, Pace::unpaced(rows, 1))?;
        let returned = bare.commits.first().map_or(0, |commit| commit.returned);
        let wall = bare.rows.last().map_or(0, |last| last.saturating_sub(returned));
        bare_rounds.push((Duration::from_micros(wall.into()), bare.cpu));
    }
    // Whatever else the machine did can only have taken longer.
    let (wall, cpu) = (
        rounds.iter().map(|(wall, _)| *wall).min().unwrap_or_default(),
        rounds
            .iter()
            .map(|(_, cpu)| cpu.gateway)
            .min()
            .unwrap_or_default(),
    );
    let bare_wall = bare_rounds
        .iter()
        .map(|(wall, _)| *wall)
        .min()
        .unwrap_or_default();
    let bare_cpu = bare_rounds.iter().map(|(_, cpu)| *cpu).min().unwrap_or_default();
    let postgres = rounds
        .iter()
        .map(|(_, cpu)| cpu.postgres)
        .min()
        .unwrap_or_default();
    let per_second = |wall: Duration| rows as f64 / wall.as_secs_f64().max(1e-9);
    Ok(vec![
        Figure::new("rows decoded per second of gateway CPU", per_second(cpu), "1/s").at_least(50_000.0),
        Figure::new(
            "rows/s from the commit on until the next row is heard",
            per_second(wall),
            "1/s",
        ),
        Figure::new(
            "floor: rows per second of CPU of a bare reader",
            per_second(bare_cpu),
            "1/s",
        ),
        Figure::new(
            "floor: rows/s from the commit on, to a bare reader",
            per_second(bare_wall),
            "1/s",
        ),
        Figure::new(
            "CPU of PostgreSQL, the insert included",
            postgres.as_secs_f64(),
            "s",
        ),
    ])
}

/// From the commit of the unheard rows to the arrival of the heard one, and the CPU of the whole.
fn decode(stage: &mut Stage, unheard: &Writer, heard: &Writer, rows: u64) -> Result<(Duration, Cpu)> {
    let mut audience = gather(stage, &anybody(schema::OPEN, 1, |_| None)?)?;
    std::thread::sleep(REST);
    let (first, marker) = (stage.take_rows(rows), stage.take_rows(1));
    let before = stage.cpu()?;
    let epoch = Instant::now();
    unheard.write(Pace::unpaced(rows, 1), first, epoch)?;
    let committed = micros_since(epoch);
    heard.write(Pace::unpaced(1, 1), marker, epoch)?;
    let mut arrivals = audience.arrivals(marker, epoch);
    while arrivals.count() == 0 {
        audience.listen(Duration::from_millis(50), &mut arrivals)?;
        if epoch.elapsed() > ARRIVAL_MAX {
            return failed("the row behind them was lost");
        }
    }
    let wall = arrivals.last().duration_since(epoch);
    std::thread::sleep(REST);
    Ok((
        wall.saturating_sub(Duration::from_micros(committed.into())),
        stage.cpu()?.since(before),
    ))
}
