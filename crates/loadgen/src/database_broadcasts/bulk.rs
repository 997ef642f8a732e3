//! The most messages per second that hold, many in a transaction.

use super::{LISTENERS, ROUTE, clear, listeners, schema};
use crate::Result;
use crate::staged::arrivals::Reach;
use crate::staged::audience::Audience;
use crate::staged::climb::Carried;
use crate::staged::search::{Search, Shape};
use crate::staged::stage::Stage;
use crate::staged::verdict::Figure;
use crate::staged::writer::{Pace, Writer};
use crate::staged::{Scenario, bare_reader};

/// One that waits for the disk does not hold up the next.
const CONNECTIONS: usize = 4;
const GOAL: f64 = 20_000.0;
/// What the floors are measured with: transactions like those of the goal.
const FLOOR: Pace = Pace {
    rate: f64::INFINITY,
    rows_each: 200,
    transactions: 300,
};

pub(super) const INSERTED: Scenario = Scenario {
    name: "bulk-insert",
    about: "most rows/s to 10 listeners, insert into realtime.messages … select generate_series, 100 transactions/s",
    run: |stage| bulk(stage, schema::INSERT, 8000.0),
};

pub(super) const SENT: Scenario = Scenario {
    name: "bulk-send",
    about: "most rows/s to 10 listeners, select realtime.send(…) from generate_series, 100 transactions/s",
    run: |stage| bulk(stage, schema::SEND, 8000.0),
};

fn bulk(stage: &mut Stage, statement: &str, from: f64) -> Result<Vec<Figure>> {
    clear(stage)?;
    let writer = Writer::open(stage.dsn(), CONNECTIONS, statement)?;
    let alone = writer.alone(stage, FLOOR)?;
    let bare = bare_reader::read(stage, schema::PUBLICATION, &writer, FLOOR)?;
    clear(stage)?;

    stage.start_gateway()?;
    let joins = listeners()?;
    let search = Search {
        gather: &|stage| Audience::gather(&stage.gateway()?.target, &ROUTE, &joins, 1),
        writer: &writer,
        shape: Shape::Batches,
        reach: Reach::all(LISTENERS as u64),
        from,
    };
    let trial = search.highest(stage)?;
    let mut figures = vec![
        Figure::new("rows/s", trial.per_second(), "1/s").at_least(GOAL),
        Figure::new("deliveries/s", trial.per_second() * LISTENERS as f64, "1/s"),
        Figure::new("rows of one transaction", trial.pace.rows_each as f64, ""),
    ];
    figures.extend(trial.latencies(None, Some(1000.0)));
    figures.extend([
        Figure::new(
            "floor: rows/s in transactions of 200, to a bare reader",
            bare.rows_per_second(),
            "1/s",
        ),
        Figure::new("floor: the same with nobody following", alone, "1/s"),
        Figure::new(
            "gateway CPU per row",
            trial.gateway_us_per_delivery() * LISTENERS as f64,
            "µs",
        ),
    ]);
    figures.extend(trial.shares());
    Ok(figures)
}
