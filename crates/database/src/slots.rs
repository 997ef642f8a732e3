//! Replication slots, as an operator or a feed that looks after its own wants to know of them.

use replication::Lsn;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Pool;

/// What the server says of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// It goes with the session that made it.
    pub temporary: bool,
    /// Somebody streams from it.
    pub active: bool,
    /// The process that serves them.
    pub active_pid: Option<i32>,
    /// `pgoutput`, `wal2json`; none for a physical slot.
    pub plugin: Option<String>,
    /// It is a slot of the database that was asked.
    pub is_of_this_database: bool,
    /// From where on the log is kept; none once it has been lost.
    pub restart_lsn: Option<Lsn>,
    /// Up to where its reader has confirmed what it got.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// How much of the log is kept for it; zero if it keeps none. Bytes.
    pub bytes_kept: u64,
}

impl SlotState {
    /// The log it has to go on with is gone. It is of no use any more.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
    }
}

impl Pool {
    /// Looks at a slot; `None` if there is no such slot.
    ///
    /// # Errors
    ///
    /// Those of any statement.
    pub async fn slot(&self, name: &str) -> Result<Option<SlotState>, Error> {
        let rows = self.query(SLOT, &[(&name, Type::TEXT)]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let lsn = |column: &str| -> Result<Option<Lsn>, Error> {
            let text: Option<String> = row.try_get(column)?;
            let read = |text: String| text.parse().map_err(|_| Error::Answer(text));
            text.map(read).transpose()
        };
        let kept: Option<i64> = row.try_get("kept")?;
        Ok(Some(SlotState {
            temporary: row.try_get("temporary")?,
            active: row.try_get("active")?,
            active_pid: row.try_get("active_pid")?,
            plugin: row.try_get("plugin")?,
            is_of_this_database: row.try_get("is_of_this_database")?,
            restart_lsn: lsn("restart_lsn")?,
            confirmed_flush_lsn: lsn("confirmed_flush_lsn")?,
            wal_status: row.try_get("wal_status")?,
            // The log that a standby has received may end before the place of the slot.
            bytes_kept: kept.and_then(|kept| u64::try_from(kept).ok()).unwrap_or(0),
        }))
    }
}

const SLOT: &str = "
select s.temporary, s.active, s.active_pid, s.plugin::text, s.restart_lsn::text, s.confirmed_flush_lsn::text, s.wal_status,
  s.database is not distinct from current_database() as is_of_this_database,
  (case when pg_is_in_recovery() then coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    else pg_current_wal_lsn() end - s.restart_lsn)::int8 as kept
from pg_replication_slots s where s.slot_name = $1";
