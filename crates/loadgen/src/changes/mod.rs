//! What changes of the database cost and how fast they arrive.

mod schema;

mod filters;
mod lone;
mod needle;
mod overhead;
mod peak;
mod quiet;
mod row_security;
mod short;
mod steady;
mod unheard;

pub use short::{PEAK as SHORT_PEAK, STEADY as SHORT};

use crate::staged::Suite;
use crate::staged::arrivals::Route;
use crate::staged::audience::Audience;
use crate::staged::bare_reader::{self, Reading};
use crate::staged::stage::{Stage, token};
use crate::staged::writer::{Pace, Writer};
use crate::{Result, message};

/// All scenarios.
pub static SUITE: Suite = Suite {
    scenarios: &[
        lone::SCENARIO,
        steady::SCENARIO,
        filters::SCENARIO,
        peak::BATCHES,
        peak::SINGLE,
        peak::WIDE,
        overhead::SCENARIO,
        row_security::OWN,
        row_security::SHARED,
        needle::SCENARIO,
        unheard::SCENARIO,
        quiet::SCENARIO,
    ],
    tables: schema::tables,
};

/// In a row the primary key is the shortest name, so it comes first.
static ROUTE: Route = Route {
    extension: "postgres_changes",
    number_marker: r#""record":{"id":"#,
};

/// Subscriptions of a table, as anybody; `filter` makes each one's filter.
fn anybody(
    table: &'static str,
    count: usize,
    filter: impl Fn(usize) -> Option<String>,
) -> Result<Vec<Vec<u8>>> {
    let token = token("anon", &[])?;
    let join = |number| {
        let topic = format!("bench-{number}");
        message::subscription(&topic, &token, table, filter(number).as_deref())
    };
    Ok((0..count).map(join).collect())
}

/// Listeners on a gateway that was just started, each with a socket of its own.
fn gather(stage: &mut Stage, joins: &[Vec<u8>]) -> Result<Audience> {
    let gateway = stage.start_gateway()?;
    Audience::gather(&gateway.target, &ROUTE, joins, 1)
}

/// A writer of rows of `table` with so many different keys.
fn writer(stage: &Stage, connections: usize, table: &str, keys: u64) -> Result<Writer> {
    Writer::open(stage.dsn(), connections, &schema::insertion(table, keys))
}

/// Writes at `pace` while a bare reader follows what the gateway would.
fn read_bare(stage: &mut Stage, writer: &Writer, pace: Pace) -> Result<Reading> {
    bare_reader::read(stage, schema::PUBLICATION, writer, pace)
}
