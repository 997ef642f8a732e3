//! How the policies of a tenant's database are asked, and its table of messages is kept.

use std::num::NonZeroUsize;
use std::time::Duration;

/// What private channels and broadcasts from the database need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateConfig {
    /// Connections that policies are asked over at a time, besides those for changes.
    pub pool_size: NonZeroUsize,
    /// How long the answers of policies are kept and given to whoever asks the same; not at all if it is zero.
    pub cache_for: Duration,
    /// How long messages are kept. Hours; whole days are dropped.
    pub keep_hours: u32,
    /// Whether the migrations are applied at the start.
    pub migrate: bool,
}
