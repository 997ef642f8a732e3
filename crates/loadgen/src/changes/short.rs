//! The short forms: a steady stream of changes beside the floor, and the most rows per second.

use super::{ROUTE, anybody, gather, schema, writer};
use crate::Result;
use crate::goal::Goal;
use crate::scenario::Figure;
use crate::staged::arrivals::Reach;
use crate::staged::audience::Audience;
use crate::staged::floor::Kind;
use crate::staged::search::{Search, Shape};
use crate::staged::short::{Floor, Short};
use crate::staged::stage::Stage;
use crate::staged::trial::{self, P50, P99};
use crate::staged::writer::Pace;

const LISTENERS: usize = 100;
const ROWS_PER_SECOND: f64 = 100.0;
/// One that waits for the disk does not hold up the next.
const CONNECTIONS: usize = 4;
const FROM: f64 = 3000.0;
const MOST: &str = "most rows per second";
/// What the gateway writes of a row of these tables.
const DELIVERY_BYTES: usize = 509;

/// A hundred changes per second, each to a hundred listeners.
pub static STEADY: Short = Short {
    name: "changes",
    about: "100 changes/s of a private PostgreSQL, a transaction each, 100 listeners; the floor reads the same stream",
    goals: &[Goal::at_most(P50, 2.0), Goal::at_most(P99, 10.0)],
    floor: Floor::Follows(schema::PUBLICATION, Kind::Changes, DELIVERY_BYTES),
    tables: schema::tables,
    run: |stage| {
        let writer = writer(stage, 1, schema::OPEN, 1)?;
        let mut audience = gather(stage, &anybody(schema::OPEN, LISTENERS, |_| None)?)?;
        let pace = Pace::new(ROWS_PER_SECOND, 1, stage.stretch(4.0));
        let reach = Reach::all(LISTENERS as u64);
        Ok(trial::measure(stage, &mut audience, &writer, pace, &reach)?.brief())
    },
};

/// The most that hold.
pub static PEAK: Short = Short {
    name: "changes-peak",
    about: "most rows/s to 100 listeners, 100 transactions/s of several rows over 4 connections",
    goals: &[Goal::at_least(MOST, 4000.0)],
    floor: Floor::Absent,
    tables: schema::tables,
    run: peak,
};

fn peak(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.start_gateway()?;
    let members = anybody(schema::OPEN, LISTENERS, |_| None)?;
    let writer = writer(stage, CONNECTIONS, schema::OPEN, 1)?;
    let search = Search {
        gather: &|stage| Audience::gather(&stage.gateway()?.target, &ROUTE, &members, 1),
        writer: &writer,
        shape: Shape::Batches,
        reach: Reach::all(LISTENERS as u64),
        from: FROM,
    };
    Ok(search.highest(stage)?.peak(MOST))
}
