//! A few connections to one database, made when needed and closed when not.
//!
//! Invariants:
//!
//! * Never more connections than the pool's size, those being made included.
//! * A connection returns to the pool only after an answer; one whose question was given up, or that broke, is closed.
//!   So nobody waits behind somebody else's statement.
//! * The pool does nothing by itself. Its owner closes idle connections.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use replication::Dsn;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::connect::connect;
use crate::error::Error;
use crate::prepared::Prepared;

/// Connections to one database.
#[derive(Debug)]
pub struct Pool {
    dsn: Dsn,
    size: usize,
    permits: Semaphore,
    /// The one used last at the end, which is taken first: those at the front grow old.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    client: Client,
    prepared: Prepared,
    since: Instant,
}

/// A connection lent out.
pub(crate) struct Lent<'a> {
    client: Client,
    prepared: Prepared,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

/// How long a question waits for a connection of the pool.
const CHECKOUT_MAX: Duration = Duration::from_secs(5);
/// Settings of the pool's sessions. The questions are small; one that takes longer is stuck behind a lock. Compiling a
/// question would take a hundred times as long as answering it.
const SESSION_SETTINGS: [(&str, &str); 2] = [("statement_timeout", "10s"), ("jit", "off")];

impl Pool {
    /// A pool of at most `size` connections, none of them open yet. At least one.
    pub fn new(dsn: Dsn, size: usize) -> Pool {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Pool {
            dsn,
            size,
            permits: Semaphore::new(size),
            idle: Mutex::default(),
        }
    }

    /// Closes the connections that have not been used for longer than `unused_for`, and returns how many are left idle.
    pub fn close_idle(&self, unused_for: Duration) -> usize {
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() <= unused_for && !idle.client.is_closed());
        idle.len()
    }

    /// One answer to one question.
    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let lent = self.lend().await?;
        let answer = lent.client.query_typed(statement, parameters).await;
        // Only the server's own words leave no doubt about the connection.
        if answer
            .as_ref()
            .err()
            .is_none_or(|error| error.as_db_error().is_some())
        {
            lent.give_back();
        }
        Ok(answer?)
    }

    /// A connection for several statements that belong together.
    pub(crate) async fn lend(&self) -> Result<Lent<'_>, Error> {
        let permit = match timeout(CHECKOUT_MAX, self.permits.acquire()).await {
            Ok(permit) => permit.expect("the semaphore is never closed"),
            Err(_) => {
                return Err(Error::PoolExhausted {
                    size: self.size,
                    seconds: CHECKOUT_MAX.as_secs(),
                });
            }
        };
        let (client, prepared) = match self.take_idle() {
            Some(idle) => (idle.client, idle.prepared),
            None => (connect(&self.dsn, &SESSION_SETTINGS).await?, Prepared::default()),
        };
        Ok(Lent {
            client,
            prepared,
            pool: self,
            _permit: permit,
        })
    }

    fn take_idle(&self) -> Option<Idle> {
        let mut all = self.idle();
        while let Some(idle) = all.pop() {
            if !idle.client.is_closed() {
                return Some(idle);
            }
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent<'_> {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What the session has prepared, for whoever prepares more.
    pub(crate) fn prepared(&mut self) -> (&Client, &mut Prepared) {
        (&self.client, &mut self.prepared)
    }

    /// After an answer, and outside a transaction. Without it, the connection is closed.
    pub(crate) fn give_back(self) {
        if !self.client.is_closed() {
            let since = Instant::now();
            self.pool.idle().push(Idle {
                client: self.client,
                prepared: self.prepared,
                since,
            });
        }
    }
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}
