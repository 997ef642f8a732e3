//! How the changes of a tenant's database are followed.

use std::time::Duration;

/// How changes are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesConfig {
    /// The publication that names the tables whose changes are told.
    pub publication: String,
    /// What keeps the log until it has been read.
    pub slot: SlotConfig,
    /// Rows that a binding with `snapshot` is given at most.
    pub snapshot_rows_max: usize,
}

/// What keeps the log until it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotConfig {
    /// A slot that goes with the connection: what commits without one is not told.
    Temporary,
    /// A slot that stays: what commits while the gateway or the connection is down is told afterwards.
    Durable {
        /// Its name, which no other gateway on the database has.
        name: String,
        /// Log it may keep. Bytes; above, it is dropped and made anew.
        wal_bytes_max: u64,
        /// How long clients have for coming back after the gateway has started.
        resume_window: Duration,
    },
}

impl SlotConfig {
    /// Whether a slot keeps more log than it may. Bytes.
    pub fn is_over_budget(&self, bytes_kept: u64) -> bool {
        match self {
            Self::Temporary => false,
            Self::Durable { wal_bytes_max, .. } => bytes_kept > *wal_bytes_max,
        }
    }
}
