//! Keeps the database such that private channels and broadcasts from it work: its migrations, if that is allowed, and the
//! daily partitions of `realtime.messages`.
//!
//! Which day it is the database says, and the pauses are of the monotonic clock: a clock that is set changes nothing. The
//! partitions of some days to come are there already, so midnight is no moment of its own. Invariants:
//!
//! * A round runs before the first question, then about hourly, and whenever a partition turns out to be missing.
//! * There is one round at a time, and who finds one under way waits for it instead of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use database::{DAYS_AHEAD, Error, Partitions, PartitionsError, Pool, Set, migrate};
use replication::Dsn;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::config::PrivateConfig;

/// The keeper of one tenant's table of messages.
pub(super) struct Janitor {
    tenant: Arc<str>,
    dsn: Dsn,
    pool: Arc<Pool>,
    keep_hours: u32,
    migrate: bool,
    /// Whether migrations need not be waited for any more.
    prepared: watch::Sender<bool>,
    /// Whether a first attempt is over, whatever came of it.
    has_tried: watch::Sender<bool>,
    /// Held during a round.
    turn: Mutex<()>,
    rounds: AtomicU64,
}

impl Janitor {
    pub(super) fn new(
        tenant: Arc<str>,
        dsn: Dsn,
        pool: Arc<Pool>,
        config: &PrivateConfig,
        prepared: watch::Sender<bool>,
    ) -> Self {
        Self {
            tenant,
            dsn,
            pool,
            keep_hours: config.keep_hours,
            migrate: config.migrate,
            prepared,
            has_tried: watch::Sender::new(false),
            turn: Mutex::default(),
            rounds: AtomicU64::new(0),
        }
    }

    /// Keeps the database, for ever.
    pub(super) async fn run(&self) {
        if self.migrate {
            self.set_up().await;
            self.prepared.send_replace(true);
        }
        let mut is_first = true;
        loop {
            let pause = {
                let _turn = self.turn.lock().await;
                self.round(&mut is_first).await
            };
            self.has_tried.send_replace(true);
            // A connection nobody else needs is not kept for the next round.
            let unused = pause.min(UNUSED_MAX);
            sleep(unused).await;
            self.pool.close_idle(UNUSED_MAX);
            sleep(pause.saturating_sub(unused)).await;
        }
    }

    /// Waits until the first attempt is over.
    pub(super) async fn tried(&self) {
        // The sender is ours.
        let _ = self.has_tried.subscribe().wait_for(|has_tried| *has_tried).await;
    }

    /// Makes partitions that are missing.
    pub(super) async fn repair(&self) {
        let before = self.rounds.load(Ordering::Acquire);
        let _turn = self.turn.lock().await;
        if self.rounds.load(Ordering::Acquire) == before {
            warn!(tenant = %self.tenant, "a partition of realtime.messages is missing");
            self.round(&mut false).await;
        }
    }

    /// One round. Returns how long the next may wait.
    async fn round(&self, is_first: &mut bool) -> Duration {
        let done = self
            .pool
            .maintain_partitions(None, DAYS_AHEAD, self.keep_hours)
            .await;
        self.rounds.fetch_add(1, Ordering::Release);
        let tenant = &self.tenant;
        match done {
            Ok(done) => {
                self.tell(&done);
                if std::mem::take(is_first) {
                    info!(%tenant, "private channels are on");
                }
                if done.failed.is_empty() { HOUR } else { SOON }
            }
            Err(PartitionsError::NoMessages) => {
                warn!(
                    %tenant,
                    "private channels and broadcasts from the database are off: the database has no table \
                     realtime.messages. `roost migrate` makes it, and so does --migrate"
                );
                SOON
            }
            Err(reason @ PartitionsError::NotOwner { .. }) => {
                warn!(%tenant, %reason, "partitions of realtime.messages cannot be made or dropped");
                HOUR
            }
            Err(PartitionsError::Database(reason)) => {
                warn!(%tenant, %reason, "partitions of realtime.messages cannot be looked at");
                AGAIN
            }
        }
    }

    fn tell(&self, done: &Partitions) {
        let tenant = &self.tenant;
        if !done.created.is_empty() {
            info!(%tenant, partitions = done.created.join(" "), "partitions of realtime.messages made");
        }
        if !done.dropped.is_empty() {
            info!(%tenant, partitions = done.dropped.join(" "), "partitions of realtime.messages dropped");
        }
        for (partition, reason) in &done.failed {
            warn!(%tenant, partition, %reason, "a partition of realtime.messages could be neither made nor dropped");
        }
    }

    /// Applies the migrations: until it is done, or an operator has to act.
    async fn set_up(&self) {
        let tenant = &self.tenant;
        loop {
            match migrate(&self.dsn, Set::Tenant).await {
                Ok(report) => {
                    let applied = report.applied.join(" ");
                    return info!(%tenant, applied, "the database is set up");
                }
                Err(reason @ (Error::Unreachable(_) | Error::LackOfConnections { .. })) => {
                    warn!(%tenant, %reason, "the database cannot be set up yet");
                    self.has_tried.send_replace(true);
                    sleep(AGAIN).await;
                }
                Err(reason) => {
                    return error!(%tenant, %reason, "the database cannot be set up");
                }
            }
        }
    }
}

/// Pause after a round with nothing left to do.
const HOUR: Duration = Duration::from_secs(3600);
/// Pause after one that was not done with everything.
const SOON: Duration = Duration::from_secs(300);
/// Pause after an attempt that did not get to the database.
const AGAIN: Duration = Duration::from_secs(5);
/// A connection that has not been used for longer is closed.
const UNUSED_MAX: Duration = Duration::from_secs(60);
