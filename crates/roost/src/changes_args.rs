//! Flags about Postgres changes, and what they mean for a project.

use std::time::Duration;

use clap::{Args, ValueEnum};
use gateway::config::{ChangesConfig, SlotConfig};

/// The publication clients can follow unless told otherwise.
pub(crate) const PUBLICATION: &str = "supabase_realtime";

/// How changes are followed; with a tenants file, for every project.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Postgres changes")]
pub(crate) struct ChangesArgs {
    /// Publication whose tables clients can follow.
    #[arg(long, env = "ROOST_PUBLICATION", default_value = PUBLICATION, value_name = "NAME")]
    pub(crate) publication: String,
    /// What keeps the log until it has been read.
    #[arg(long, env = "ROOST_SLOT", default_value = "temporary", value_name = "KIND")]
    pub(crate) slot: SlotKind,
    /// Name of a durable slot; every gateway on a database needs its own. With a tenants file, `_` and the label follow.
    #[arg(long, env = "ROOST_SLOT_NAME", default_value = "roost", value_parser = slot_name, value_name = "NAME")]
    pub(crate) slot_name: String,
    /// Log that a durable slot may keep, in megabytes of 2^20 bytes. Above, it is made anew: what it kept is not delivered,
    /// and the channels are told.
    #[arg(
        long,
        env = "ROOST_SLOT_WAL_MB_MAX",
        default_value_t = 4_096,
        value_name = "MB"
    )]
    pub(crate) slot_wal_mb_max: u64,
    /// After a start on a durable slot: how long clients have for coming back before they are told what has been committed
    /// meanwhile, in milliseconds.
    #[arg(
        long,
        env = "ROOST_SLOT_RESUME_MS",
        default_value_t = 10_000,
        value_name = "MS"
    )]
    pub(crate) slot_resume_ms: u64,
    /// Rows that a binding with `snapshot: true` is given at most.
    #[arg(
        long,
        env = "ROOST_SNAPSHOT_ROWS_MAX",
        default_value_t = 1_000,
        value_name = "COUNT"
    )]
    pub(crate) snapshot_rows_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SlotKind {
    /// Goes with the connection: what is committed while the gateway or the connection is down is not told.
    Temporary,
    /// Stays in the database, which keeps the log until it has been read: nothing is lost over restarts.
    Durable,
}

impl ChangesArgs {
    /// For the project under `label`, or for the only one.
    pub(crate) fn config(&self, label: Option<&str>) -> ChangesConfig {
        let slot = match self.slot {
            SlotKind::Temporary => SlotConfig::Temporary,
            SlotKind::Durable => SlotConfig::Durable {
                name: name_for(&self.slot_name, label),
                wal_bytes_max: self.slot_wal_mb_max.saturating_mul(1 << 20),
                resume_window: Duration::from_millis(self.slot_resume_ms),
            },
        };
        ChangesConfig {
            publication: self.publication.clone(),
            slot,
            snapshot_rows_max: self.snapshot_rows_max,
        }
    }
}

/// Slots are named with lower-case letters, digits and underscores: any other byte of a label becomes its code.
fn name_for(name: &str, label: Option<&str>) -> String {
    let mut name = name.to_owned();
    if let Some(label) = label {
        name.push('_');
        for byte in label.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' => name.push(char::from(byte)),
                other => name.push_str(&format!("_{other:02x}")),
            }
        }
        name.truncate(SLOT_NAME_BYTES_MAX);
    }
    name
}

fn slot_name(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.is_empty() || text.len() > SLOT_NAME_BYTES_MAX || !text.bytes().all(is_allowed) {
        return Err(format!(
            "lower-case letters, digits and underscores are expected, at most {SLOT_NAME_BYTES_MAX}"
        ));
    }
    Ok(text.to_owned())
}

/// PostgreSQL's limit.
const SLOT_NAME_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_several_projects_have_different_names() {
        assert_eq!(name_for("roost", None), "roost");
        assert_eq!(name_for("roost", Some("acme")), "roost_acme");
        assert_eq!(name_for("roost", Some("a-b")), "roost_a_2db");
        assert_ne!(name_for("roost", Some("A")), name_for("roost", Some("a")));
        assert_eq!(name_for("roost", Some(&"x".repeat(99))).len(), 63);
        assert!(slot_name("Roost").is_err() && slot_name("").is_err() && slot_name("a-b").is_err());
    }
}
