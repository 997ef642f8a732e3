//! Messages that SQL sends: how fast they arrive, and how many do.

mod bulk;
mod paced;
mod schema;
mod short;

pub use short::{PEAK as SHORT_PEAK, STEADY as SHORT};

use crate::staged::Suite;
use crate::staged::arrivals::Route;
use crate::staged::stage::{Stage, token};
use crate::{Result, message};

/// All scenarios.
pub static SUITE: Suite = Suite {
    scenarios: &[paced::HUNDRED, paced::THOUSAND, bulk::INSERTED, bulk::SENT],
    tables: schema::tables,
};

/// Sockets that hear of every message.
const LISTENERS: usize = 10;

/// In a payload the shortest name comes first: that is how `jsonb` is written.
static ROUTE: Route = Route {
    extension: "system",
    number_marker: r#"{"n":"#,
};

/// The joins of all listeners, each with a token of its own.
fn listeners() -> Result<Vec<Vec<u8>>> {
    let join = |number| {
        let sub = format!("00000000-0000-4000-8000-{number:012x}");
        let token = token("authenticated", &[("sub", &sub)])?;
        Ok(message::listening_join(schema::TOPIC, &token))
    };
    (0..LISTENERS).map(join).collect()
}

/// Stops the gateway and removes what earlier scenarios sent.
fn clear(stage: &mut Stage) -> Result<()> {
    stage.stop_gateway()?;
    stage.execute("truncate realtime.messages")?;
    Ok(())
}
