//! The most changes per second that are delivered without falling behind, each to all listeners.

use super::{ROUTE, anybody, schema, writer};
use crate::Result;
use crate::staged::Scenario;
use crate::staged::arrivals::Reach;
use crate::staged::audience::Audience;
use crate::staged::climb::Carried;
use crate::staged::search::{Search, Shape};
use crate::staged::stage::Stage;
use crate::staged::verdict::Figure;
use crate::staged::writer::{Pace, Writer};

const LISTENERS: usize = 100;
const LISTENERS_WIDE: usize = 500;
/// Writers of single rows.
const CONNECTIONS: usize = 8;
/// Writers of batches: one that waits for the disk does not hold up the next.
const CONNECTIONS_BATCHES: usize = 4;

pub(super) const BATCHES: Scenario = Scenario {
    name: "peak-batches",
    about: "most rows/s to 100 listeners, 100 transactions/s of several rows over 4 connections",
    run: |stage| {
        let writer = writer(stage, CONNECTIONS_BATCHES, schema::OPEN, 1)?;
        let inserts = writer.alone(stage, Pace::unpaced(40, 500))?;
        let mut figures = peak(stage, &writer, LISTENERS, Shape::Batches, 2000.0, 4000.0)?;
        figures.push(Figure::new(
            "floor: rows/s in transactions of 40, without a gateway",
            inserts,
            "1/s",
        ));
        Ok(figures)
    },
};

pub(super) const SINGLE: Scenario = Scenario {
    name: "peak-single",
    about: "most rows/s to 100 listeners, a transaction each over 8 connections",
    run: |stage| {
        let writer = writer(stage, CONNECTIONS, schema::OPEN, 1)?;
        let inserts = writer.alone(stage, Pace::unpaced(1, 10_000))?;
        let mut figures = peak(stage, &writer, LISTENERS, Shape::Single, 2000.0, 4000.0)?;
        figures.push(Figure::new(
            "floor: rows/s in transactions of 1, without a gateway",
            inserts,
            "1/s",
        ));
        Ok(figures)
    },
};

pub(super) const WIDE: Scenario = Scenario {
    name: "wide",
    about: "most rows/s to 500 listeners, a transaction each over 8 connections",
    run: |stage| {
        let writer = writer(stage, CONNECTIONS, schema::OPEN, 1)?;
        peak(stage, &writer, LISTENERS_WIDE, Shape::Single, 300.0, 640.0)
    },
};

fn peak(
    stage: &mut Stage,
    writer: &Writer,
    listeners: usize,
    shape: Shape,
    from: f64,
    goal: f64,
) -> Result<Vec<Figure>> {
    stage.start_gateway()?;
    let members = anybody(schema::OPEN, listeners, |_| None)?;
    let search = Search {
        gather: &|stage| Audience::gather(&stage.gateway()?.target, &ROUTE, &members, 1),
        writer,
        shape,
        reach: Reach::all(listeners as u64),
        from,
    };
    let trial = search.highest(stage)?;
    let mut figures = vec![
        Figure::new("rows/s", trial.per_second(), "1/s").at_least(goal),
        Figure::new("deliveries/s", trial.per_second() * listeners as f64, "1/s"),
        Figure::new("rows of one transaction", trial.pace.rows_each as f64, ""),
    ];
    figures.extend(trial.latencies(None, None));
    figures.push(Figure::new(
        "gateway CPU per delivery",
        trial.gateway_us_per_delivery(),
        "µs",
    ));
    figures.extend(trial.shares());
    Ok(figures)
}
