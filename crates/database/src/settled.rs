//! Messages that have been streamed and cannot be seen yet.
//!
//! A commit is in the log, and may have been streamed, a moment before anybody sees it; with a synchronous standby the
//! moment may be long. Who reads messages in order to add what is streamed from now on would miss those.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::types::{ToSql, Type};

use crate::error::Error;
use crate::pool::Pool;

impl Pool {
    /// Waits until every message that has been streamed by now can be seen, or for so long. Returns whether they can.
    ///
    /// # Errors
    ///
    /// [`Error::Statement`] among others.
    pub async fn messages_settled(&self, at_most: Duration) -> Result<bool, Error> {
        let end = Instant::now() + at_most;
        let mut pause = PAUSE_MIN;
        let any: Option<Vec<String>> = None;
        let mut committing = self.transactions(&[(&any as _, Type::TEXT_ARRAY)]).await?;
        while !committing.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
            let those = [(&committing as _, Type::TEXT_ARRAY)];
            committing = self.transactions(&those).await?;
        }
        Ok(true)
    }

    /// Ids of transactions, as text.
    async fn transactions(&self, among: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<String>, Error> {
        let rows = self.query(COMMITTING, among).await?;
        rows.iter().map(|row| Ok(row.try_get("xid")?)).collect()
    }
}

/// Transactions, among those that are named if any are, that have written messages and may be about to be seen. Their locks
/// go when they are. One whose session waits for its client, for a lock or for time to pass has not got to its commit.
const COMMITTING: &str = "
select held.transactionid::text as xid
from pg_locks held left join pg_stat_activity a on a.pid = held.pid
where held.locktype = 'transactionid' and held.mode = 'ExclusiveLock' and held.granted
  and ($1::text[] is null or held.transactionid::text = any ($1))
  and a.wait_event_type is distinct from 'Client'
  and a.wait_event_type is distinct from 'Lock'
  and a.wait_event_type is distinct from 'Timeout'
  and exists (
    select from pg_locks written
      join pg_inherits i on i.inhrelid = written.relation
      join pg_class c on c.oid = i.inhparent
      join pg_namespace n on n.oid = c.relnamespace
    where written.pid = held.pid and written.locktype = 'relation' and written.mode = 'RowExclusiveLock'
      and written.database = (select oid from pg_database where datname = current_database())
      and n.nspname = 'realtime' and c.relname = 'messages'
  )";

/// First and longest pause between two looks.
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(50);
