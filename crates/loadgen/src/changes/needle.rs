//! Ten thousand subscriptions that differ in the value they want, and rows that one of them wants.

use super::{ROUTE, anybody, schema, writer};
use crate::Result;
use crate::staged::Scenario;
use crate::staged::arrivals::Reach;
use crate::staged::audience::Audience;
use crate::staged::climb::Carried;
use crate::staged::search::{Search, Shape};
use crate::staged::stage::Stage;
use crate::staged::verdict::Figure;

const SUBSCRIPTIONS: usize = 10_000;
const CONNECTIONS: usize = 4;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "needle",
    about: "most rows/s to the one that wants them among 10,000 eq filters, 100 transactions/s",
    run,
};

fn run(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.start_gateway()?;
    // All rows have key 0.
    let listeners = anybody(schema::OPEN, SUBSCRIPTIONS, |number| {
        Some(format!("key=eq.{number}"))
    })?;
    let channels_each = SUBSCRIPTIONS.div_ceil(stage.sockets_max.min(SUBSCRIPTIONS));
    let writer = writer(stage, CONNECTIONS, schema::OPEN, 1)?;
    let search = Search {
        gather: &|stage| Audience::gather(&stage.gateway()?.target, &ROUTE, &listeners, channels_each),
        writer: &writer,
        shape: Shape::Batches,
        reach: Reach {
            sockets: 1,
            includes: |_, socket| socket == 0,
        },
        from: 4000.0,
    };
    let trial = search.highest(stage)?;
    let rows = trial.per_second();
    let mut figures = vec![
        Figure::new("matched rows/s", rows, "1/s").at_least(5000.0),
        Figure::new("rows of one transaction", trial.pace.rows_each as f64, ""),
        Figure::new("channels of one socket", channels_each as f64, ""),
        Figure::new(
            "gateway CPU per matched row",
            trial.gateway_us_per_delivery(),
            "µs",
        ),
    ];
    figures.extend(trial.latencies(None, None));
    figures.extend(trial.shares());
    Ok(figures)
}
