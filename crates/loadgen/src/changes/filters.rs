//! Five hundred listeners with a filter each: first rows that one of them wants, then rows that all of them do.

use super::{anybody, gather, read_bare, schema, writer};
use crate::Result;
use crate::staged::Scenario;
use crate::staged::arrivals::Reach;
use crate::staged::stage::Stage;
use crate::staged::trial;
use crate::staged::verdict::Figure;
use crate::staged::writer::Pace;

const ROWS_PER_SECOND: f64 = 50.0;
/// At this rate hardly anything is woken up for one row alone.
const ROWS_PER_SECOND_BUSY: f64 = 2000.0;
const CONNECTIONS_BUSY: usize = 8;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "filters",
    about: "50 changes/s, 500 listeners with a filter each; every change is for one of them, or for all",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    let writer = writer(stage, 1, schema::OPEN, schema::USERS)?;
    let pace = Pace::new(ROWS_PER_SECOND, 1, stage.stretch(15.0));
    let listeners = |filter: fn(usize) -> String| {
        anybody(schema::OPEN, schema::USERS as usize, |number| {
            Some(filter(number))
        })
    };

    stage.stop_gateway()?;
    let bare = read_bare(stage, &writer, pace)?;
    let bare_us = bare.cpu.as_secs_f64() * 1e6 / pace.rows() as f64;

    let mut audience = gather(stage, &listeners(|number| format!("key=eq.{number}"))?)?;
    let own = Reach {
        sockets: 1,
        includes: |row, socket| row % schema::USERS == socket as u64,
    };
    let trial = trial::measure(stage, &mut audience, &writer, pace, &own)?;
    let mut figures = trial.latencies(Some(2.0), Some(10.0));
    let cpu = trial.gateway_us_per_delivery();
    figures.push(Figure::new("gateway CPU per delivery, one listener per change", cpu, "µs").at_most(15.0));
    figures.push(Figure::new(
        "floor: CPU of a bare reader per change",
        bare_us,
        "µs",
    ));
    figures.extend(trial.shares());

    let busy_writer = super::writer(stage, CONNECTIONS_BUSY, schema::OPEN, schema::USERS)?;
    let busy = Pace::new(ROWS_PER_SECOND_BUSY, 1, stage.stretch(6.0));
    let trial = trial::measure(stage, &mut audience, &busy_writer, busy, &own)?;
    let cpu = trial.gateway_us_per_delivery();
    figures.push(Figure::new("the same at 2,000 changes/s", cpu, "µs"));

    let mut audience = gather(stage, &listeners(|number| format!("key=gte.-{number}"))?)?;
    let all = Reach::all(schema::USERS);
    let trial = trial::measure(stage, &mut audience, &writer, pace, &all)?;
    let cpu = trial.gateway_us_per_delivery();
    figures.extend([
        Figure::new("gateway CPU per delivery, all listeners per change", cpu, "µs"),
        Figure::new("there: commit to socket, p50", trial.from_commit.ms(0.5), "ms"),
        Figure::new("there: commit to socket, p99", trial.from_commit.ms(0.99), "ms"),
    ]);
    Ok(figures)
}
