//! A hundred changes per second, each to a hundred listeners.

use super::{anybody, gather, schema, writer};
use crate::Result;
use crate::staged::Scenario;
use crate::staged::arrivals::Reach;
use crate::staged::stage::Stage;
use crate::staged::trial;
use crate::staged::verdict::Figure;
use crate::staged::writer::Pace;

const LISTENERS: usize = 100;
const ROWS_PER_SECOND: f64 = 100.0;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "steady",
    about: "100 changes/s, 100 listeners",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    let mut audience = gather(stage, &anybody(schema::OPEN, LISTENERS, |_| None)?)?;
    let writer = writer(stage, 1, schema::OPEN, 1)?;
    let pace = Pace::new(ROWS_PER_SECOND, 1, stage.stretch(15.0));
    let reach = Reach::all(LISTENERS as u64);
    let trial = trial::measure(stage, &mut audience, &writer, pace, &reach)?;
    let mut figures = trial.latencies(Some(2.0), Some(10.0));
    figures.push(Figure::new(
        "gateway CPU per delivery",
        trial.gateway_us_per_delivery(),
        "µs",
    ));
    figures.extend(trial.shares());
    Ok(figures)
}
