//! The short forms: messages that SQL sends one by one, beside the floor, and the most of them per second.

use super::{LISTENERS, ROUTE, clear, listeners, schema};
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
use crate::staged::writer::{Pace, Writer};

const MESSAGES_PER_SECOND: f64 = 100.0;
/// One that waits for the disk does not hold up the next.
const CONNECTIONS: usize = 4;
const FROM: f64 = 15_000.0;
const MOST: &str = "most messages per second";
/// What the gateway writes of one of these messages.
const DELIVERY_BYTES: usize = 236;

/// A hundred messages per second, each to ten listeners.
pub static STEADY: Short = Short {
    name: "db-broadcast",
    about: "100 realtime.send/s in a private PostgreSQL, a transaction each, 10 listeners; the floor reads the same stream",
    goals: &[Goal::at_most(P50, 1.0), Goal::at_most(P99, 3.0)],
    floor: Floor::Follows(schema::PUBLICATION, Kind::Broadcasts, DELIVERY_BYTES),
    tables: schema::tables,
    run: |stage| {
        clear(stage)?;
        let writer = Writer::open(stage.dsn(), 1, schema::SEND)?;
        let target = &stage.start_gateway()?.target;
        let mut audience = Audience::gather(target, &ROUTE, &listeners()?, 1)?;
        let pace = Pace::new(MESSAGES_PER_SECOND, 1, stage.stretch(4.0));
        let reach = Reach::all(LISTENERS as u64);
        Ok(trial::measure(stage, &mut audience, &writer, pace, &reach)?.brief())
    },
};

/// The most that hold.
pub static PEAK: Short = Short {
    name: "db-broadcast-peak",
    about: "most rows/s to 10 listeners, insert into realtime.messages … select generate_series, 100 transactions/s",
    goals: &[Goal::at_least(MOST, 20_000.0)],
    floor: Floor::Absent,
    tables: schema::tables,
    run: peak,
};

fn peak(stage: &mut Stage) -> Result<Vec<Figure>> {
    clear(stage)?;
    stage.start_gateway()?;
    let joins = listeners()?;
    let writer = Writer::open(stage.dsn(), CONNECTIONS, schema::INSERT)?;
    let search = Search {
        gather: &|stage| Audience::gather(&stage.gateway()?.target, &ROUTE, &joins, 1),
        writer: &writer,
        shape: Shape::Batches,
        reach: Reach::all(LISTENERS as u64),
        from: FROM,
    };
    Ok(search.highest(stage)?.peak(MOST))
}
