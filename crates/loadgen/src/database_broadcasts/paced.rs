//! Messages one by one, at a steady rate: a transaction that calls `realtime.send` each.

use super::{LISTENERS, ROUTE, clear, listeners, schema};
use crate::Result;
use crate::staged::arrivals::Reach;
use crate::staged::audience::Audience;
use crate::staged::stage::Stage;
use crate::staged::verdict::Figure;
use crate::staged::writer::{Pace, Writer};
use crate::staged::{Scenario, bare_reader, trial};

pub(super) const HUNDRED: Scenario = Scenario {
    name: "hundred",
    about: "100 realtime.send/s, a transaction each, 10 listeners",
    run: |stage| paced(stage, 100.0, 1, Some(1.0), 3.0),
};

pub(super) const THOUSAND: Scenario = Scenario {
    name: "thousand",
    about: "1,000 realtime.send/s, a transaction each over 8 connections, 10 listeners",
    run: |stage| paced(stage, 1000.0, 8, None, 10.0),
};

fn paced(
    stage: &mut Stage,
    rate: f64,
    connections: usize,
    p50_max: Option<f64>,
    p99_max: f64,
) -> Result<Vec<Figure>> {
    clear(stage)?;
    let writer = Writer::open(stage.dsn(), connections, schema::SEND)?;
    let pace = Pace::new(rate, 1, stage.stretch(6.0));
    let bare = bare_reader::read(stage, schema::PUBLICATION, &writer, pace)?;

    let pace = Pace::new(rate, 1, stage.stretch(15.0));
    let target = &stage.start_gateway()?.target;
    let mut audience = Audience::gather(target, &ROUTE, &listeners()?, 1)?;
    let reach = Reach::all(LISTENERS as u64);
    let trial = trial::measure(stage, &mut audience, &writer, pace, &reach)?;
    let mut figures = trial.latencies(p50_max, Some(p99_max));
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        figures.push(Figure::new(
            format!("floor: commit to a bare reader, {name}"),
            bare.delays().ms(share),
            "ms",
        ));
    }
    figures.push(Figure::new(
        "gateway CPU per message",
        trial.gateway_us_per_delivery() * LISTENERS as f64,
        "µs",
    ));
    figures.extend(trial.shares());
    Ok(figures)
}
