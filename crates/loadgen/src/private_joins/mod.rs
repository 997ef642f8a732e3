//! What it takes to let users into private channels: each has a token of its own, and policies decide.

mod schema;
mod short;
mod storm;
mod stretch;
mod sustained;

pub use short::{PEAK as SHORT_PEAK, STEADY as SHORT};

use crate::staged::Suite;
use crate::staged::stage::token;
use crate::{Result, message};

/// All scenarios.
pub static SUITE: Suite = Suite {
    scenarios: &[sustained::CLAIMS, sustained::MEMBERS, storm::SCENARIO],
    tables: schema::tables,
};

/// Users who may join, each their topic.
#[derive(Clone, Copy)]
struct Crowd {
    /// What they are let in by.
    policy: &'static str,
    /// The topic of a user, without `realtime:`.
    topic: fn(u64) -> String,
}

/// The claims have the room.
const BY_CLAIM: Crowd = Crowd {
    policy: schema::BY_CLAIM,
    topic: |user| format!("room:{user}"),
};

/// A table has the members.
const BY_MEMBERSHIP: Crowd = Crowd {
    policy: schema::BY_MEMBERSHIP,
    topic: |user| format!("team:{}", user / schema::TEAM),
};

/// Joins of this user, with a token of their own, to the topic of another or their own; the number is told by the
/// answer.
fn join(crowd: &Crowd, user: u64, topic_of: u64, private: bool) -> Result<Vec<u8>> {
    let claims = [("sub", &*schema::user(user)), ("room", &*user.to_string())];
    let token = token("authenticated", &claims)?;
    let topic = (crowd.topic)(topic_of);
    Ok(message::numbered_join(user, &topic, &token, private))
}
