//! Flags about private channels and the messages that SQL sends, and what they mean for a project.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use gateway::config::PrivateConfig;

use crate::cli::milliseconds;

/// How policies are asked and messages are kept; with a tenants file, for every project.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Private channels")]
pub(crate) struct PrivateArgs {
    /// Connections to the database that policies are asked over at a time. Up to forty questions share a transaction.
    #[arg(
        long,
        env = "ROOST_PRIVATE_POOL_SIZE",
        default_value = "4",
        value_name = "COUNT"
    )]
    pub(crate) private_pool_size: NonZeroUsize,
    /// How long the answers of policies are kept and given to whoever asks the same, in milliseconds; 0 keeps none. A
    /// policy or a table it reads that is changed meanwhile is noticed that much later.
    #[arg(long, env = "ROOST_AUTHORIZATION_CACHE_MS", default_value = "0", value_parser = milliseconds, value_name = "MS")]
    pub(crate) authorization_cache_ms: Duration,
    /// How long messages sent by SQL are kept to be replayed, in hours; days that are older are dropped as a whole.
    #[arg(
        long,
        env = "ROOST_MESSAGES_KEEP_HOURS",
        default_value_t = database::KEEP_HOURS,
        value_name = "HOURS"
    )]
    pub(crate) messages_keep_hours: u32,
}

impl PrivateArgs {
    /// For every project. `migrate`: whether the migrations are applied at the start.
    pub(crate) fn config(&self, migrate: bool) -> PrivateConfig {
        PrivateConfig {
            pool_size: self.private_pool_size,
            cache_for: self.authorization_cache_ms,
            keep_hours: self.messages_keep_hours,
            migrate,
        }
    }
}
