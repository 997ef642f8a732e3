//! A change now and then, with one listener: what nothing but the way itself costs.

use super::{anybody, gather, read_bare, schema, writer};
use crate::Result;
use crate::staged::Scenario;
use crate::staged::arrivals::Reach;
use crate::staged::stage::Stage;
use crate::staged::trial;
use crate::staged::verdict::Figure;
use crate::staged::writer::Pace;

const ROWS_PER_SECOND: f64 = 5.0;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "lone",
    about: "a row every 200 ms, 1 listener",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    let writer = writer(stage, 1, schema::OPEN, 1)?;
    stage.stop_gateway()?;
    let pace = Pace::new(ROWS_PER_SECOND, 1, stage.stretch(6.0));
    let bare = read_bare(stage, &writer, pace)?;

    let mut audience = gather(stage, &anybody(schema::OPEN, 1, |_| None)?)?;
    let pace = Pace::new(ROWS_PER_SECOND, 1, stage.stretch(30.0));
    let trial = trial::measure(stage, &mut audience, &writer, pace, &Reach::all(1))?;
    let mut figures = trial.latencies(Some(2.0), Some(10.0));
    figures.push(Figure::new(
        "floor: commit to a bare reader, p50",
        bare.delays().ms(0.5),
        "ms",
    ));
    figures.extend(trial.shares());
    Ok(figures)
}
