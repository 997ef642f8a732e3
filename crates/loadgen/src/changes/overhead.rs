//! What following its changes costs PostgreSQL: the same inserts with the gateway and without, in turn.

use super::{anybody, gather, schema, writer};
use crate::Result;
use crate::staged::Scenario;
use crate::staged::arrivals::Reach;
use crate::staged::stage::Stage;
use crate::staged::trial;
use crate::staged::verdict::Figure;
use crate::staged::writer::{Pace, Writer};
use std::time::{Duration, Instant};

const ROWS_PER_SECOND: f64 = 500.0;
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 3;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "overhead",
    about: "CPU of PostgreSQL for 500 changes/s to 1 listener, above that of the inserts; with and without in turn",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    let writer = writer(stage, 1, schema::OPEN, 1)?;
    let pace = Pace::new(ROWS_PER_SECOND, 1, stage.stretch(6.0));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..if stage.quick { ROUNDS_QUICK } else { ROUNDS } {
        without.push(inserts_alone(stage, &writer, pace)?);
        let mut audience = gather(stage, &anybody(schema::OPEN, 1, |_| None)?)?;
        let trial = trial::measure(stage, &mut audience, &writer, pace, &Reach::all(1))?;
        with.push(trial.cpu.postgres);
    }
    let per_thousand = |cpu: Duration| cpu.as_secs_f64() * 1e3 / pace.rows() as f64;
    let extra = with
        .iter()
        .zip(&without)
        .map(|(with, without)| per_thousand(*with) - per_thousand(*without));
    Ok(vec![
        Figure::new(
            "PostgreSQL CPU per 1,000 changes above the inserts",
            median(extra),
            "s",
        )
        .at_most(0.1),
        Figure::new(
            "PostgreSQL CPU per 1,000 inserts, with the gateway",
            median(with.iter().copied().map(per_thousand)),
            "s",
        ),
        Figure::new(
            "floor: the same without it",
            median(without.iter().copied().map(per_thousand)),
            "s",
        ),
    ])
}

/// CPU of PostgreSQL, with nobody following.
fn inserts_alone(stage: &mut Stage, writer: &Writer, pace: Pace) -> Result<Duration> {
    stage.stop_gateway()?;
    let first = stage.take_rows(pace.rows());
    let before = stage.cpu()?;
    writer.write(pace, first, Instant::now())?;
    Ok(stage.cpu()?.since(before).postgres)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
