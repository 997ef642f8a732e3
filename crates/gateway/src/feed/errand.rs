//! What is found out for a subscription beside the stream: what the catalog says, whether the database takes the values of
//! a filter, and the rows that are there already. The stream goes on meanwhile; what comes back waits until no change is
//! being asked about.

use std::collections::VecDeque;
use std::time::Duration;

use changes::{SnapshotOf, Unproven};
use database::rows::CurrentRows;
use database::{Error, Snapshot};
use phoenix_wire::payload::changes::Exception;
use session::ChangesOutcome;
use tokio::time::Instant;
use tracing::warn;

use super::Subscribe;
use super::catalog::Reading;
use super::run::Feed;
use super::subscribers::{Key, rejected};

/// Something that has been found out.
#[derive(Debug)]
pub(super) enum Ready {
    /// What the catalog says, for those who wait to be subscribed.
    Read(Vec<Subscribe>, Result<Reading, Error>),
    /// Whether the database takes the conditions of a subscription: if not, which binding is rejected, and with what.
    Checked(Subscribe, Result<Result<(), (usize, Exception)>, Error>),
    /// How much log the slot keeps. Bytes.
    Weighed(u64),
    /// The rows of each table that a subscription asked for.
    Rows(Key, Vec<SnapshotOf>, Result<(Snapshot, Vec<CurrentRows>), Error>),
}

impl Feed {
    /// Reads the catalog for subscriptions.
    pub(super) fn read_for(&mut self, waiting: Vec<Subscribe>) {
        let (pool, publication) = (self.pool.clone(), self.publication.clone());
        self.under_way.extend(
            waiting
                .iter()
                .map(|subscribe| (subscribe.key(), subscribe.role())),
        );
        let roles = self.roles();
        self.errands.spawn(async move {
            let made = Reading::make(&pool, &publication, roles).await;
            Ready::Read(waiting, made)
        });
    }

    /// Asks how much log the slot keeps.
    pub(super) fn weigh_slot(&mut self) {
        self.weigh_at = None;
        let (pool, slot) = (self.pool.clone(), self.link.slot().to_owned());
        self.errands.spawn(async move {
            let state = pool.slot(&slot).await;
            // If there is no answer, there will be at the next look.
            Ready::Weighed(state.ok().flatten().map_or(0, |slot| slot.bytes_kept))
        });
    }

    /// Refuses those who have waited for too long because the stream waits for an answer.
    pub(super) fn refuse_ready(&mut self) {
        self.ready_until = None;
        let mut kept = VecDeque::new();
        for ready in std::mem::take(&mut self.ready) {
            let refused = match ready {
                Ready::Read(waiting, made) => {
                    // Whoever has a subscription keeps it until the new one stands.
                    let (keep, refuse) = waiting
                        .into_iter()
                        .partition(|subscribe| subscribe.replaces.is_some());
                    kept.push_back(Ready::Read(keep, made));
                    refuse
                }
                Ready::Checked(subscribe, _) if subscribe.replaces.is_none() => vec![subscribe],
                other => {
                    kept.push_back(other);
                    continue;
                }
            };
            let mut refused: Vec<Subscribe> = refused;
            refused.retain(|subscribe| self.under_way.remove(&subscribe.key()).is_some());
            self.refuse(refused);
        }
        self.ready = kept;
    }

    /// Goes on with what has been found out.
    pub(super) fn settle(&mut self, ready: Ready) {
        match ready {
            Ready::Read(waiting, made) => {
                self.is_reading = false;
                self.subscribe_all(waiting, made);
            }
            Ready::Checked(subscribe, checked) => {
                if self.under_way.remove(&subscribe.key()).is_none() {
                    return;
                }
                match checked {
                    Ok(Ok(())) => self.register(&subscribe),
                    Ok(Err((binding, exception))) => {
                        let refusal = rejected(&subscribe, binding, &exception);
                        self.tell((subscribe.key(), ChangesOutcome::Rejected(refusal)));
                    }
                    Err(error) => {
                        warn!(%error, "a subscription is refused: its filter cannot be checked");
                        self.tell((subscribe.key(), ChangesOutcome::Unavailable));
                    }
                }
            }
            // Dealt with as it comes.
            Ready::Weighed(_) => {}
            Ready::Rows(key, of, read) => {
                if self.under_way.remove(&key).is_some() {
                    self.catch_up(key, of, read);
                }
            }
        }
    }

    fn subscribe_all(&mut self, mut waiting: Vec<Subscribe>, made: Result<Reading, Error>) {
        // Those who went away meanwhile are not there any more.
        waiting.retain(|subscribe| self.under_way.remove(&subscribe.key()).is_some());
        if !self.link.is_streaming() {
            // What commits from now on would not be streamed: they wait for the next connection.
            return self.waiting.append(&mut waiting);
        }
        match made {
            Ok(reading) => self.adopt(reading),
            Err(error) => {
                warn!(%error, "subscriptions to changes are refused: the catalog cannot be read");
                let (keep, refuse) = waiting
                    .into_iter()
                    .partition(|subscribe| subscribe.replaces.is_some());
                self.waiting.extend::<Vec<_>>(keep);
                self.read_again_at = Some(Instant::now() + READ_AGAIN_PAUSE);
                self.refuse(refuse);
                return;
            }
        }
        for subscribe in waiting {
            match self.subscribers.unproven(&subscribe) {
                Ok(unproven) if unproven.is_empty() => self.register(&subscribe),
                Ok(unproven) => self.check(subscribe, unproven),
                Err(refusal) => self.tell((subscribe.key(), ChangesOutcome::Rejected(refusal))),
            }
        }
    }

    /// Has the database look at conditions that cannot be evaluated here.
    fn check(&mut self, subscribe: Subscribe, unproven: Vec<Unproven>) {
        self.under_way.insert(subscribe.key(), subscribe.role());
        let pool = self.pool.clone();
        self.errands.spawn(async move {
            for condition in unproven {
                match pool.check_condition(&condition).await {
                    Ok(()) => {}
                    Err(Error::Statement(said)) => {
                        let exception = condition.refused(&said.sqlstate, &said.message);
                        return Ready::Checked(subscribe, Ok(Err((condition.binding, exception))));
                    }
                    Err(error) => return Ready::Checked(subscribe, Err(error)),
                }
            }
            Ready::Checked(subscribe, Ok(Ok(())))
        });
    }

    /// Registers a subscription, then tells its channel.
    fn register(&mut self, subscribe: &Subscribe) {
        // A channel that is subscribed anew has got everything for its former subscription before it is told.
        self.outgoing.mail(None);
        if !self.link.is_streaming() {
            return self.waiting.push(subscribe.clone());
        }
        match self.subscribers.insert(subscribe, self.hold.holds()) {
            Ok(key) => {
                self.tell((key, ChangesOutcome::Live));
                if self.subscribers.waits_for_rows(key) {
                    self.read_rows(key);
                }
            }
            Err(refusal) => self.tell((subscribe.key(), ChangesOutcome::Rejected(refusal))),
        }
    }

    /// Reads the rows a subscription asked for.
    fn read_rows(&mut self, key: Key) {
        let wanted = self.subscribers.rows_wanted(key, self.snapshot_rows_max);
        let pool = self.pool.clone();
        let Some(subscriber) = self.subscribers.known.get(&key) else {
            return;
        };
        self.under_way.insert(key, subscriber.subscription.role.clone());
        let snapshots = self.snapshots.clone();
        self.errands.spawn(async move {
            // It is never closed.
            let _permit = snapshots.acquire_owned().await;
            let (of, rows): (Vec<_>, Vec<_>) =
                wanted.into_iter().map(|wanted| (wanted.of, wanted.rows)).unzip();
            let read = pool.current_rows(&rows).await;
            Ready::Rows(key, of, read)
        });
    }

    /// The rows are there: they are told, and what has been held behind them.
    fn catch_up(&mut self, key: Key, of: Vec<SnapshotOf>, read: Result<(Snapshot, Vec<CurrentRows>), Error>) {
        let (read, snapshot) = match read {
            Ok((snapshot, rows)) => (Ok(of.into_iter().zip(rows).collect()), snapshot),
            Err(error) => {
                warn!(%error, "a snapshot cannot be read");
                (Err(of), Snapshot::default())
            }
        };
        let notices = self.subscribers.catch_up(key, read, snapshot, &mut self.outgoing);
        self.outgoing.mail(None);
        for notice in notices {
            self.tell((key, ChangesOutcome::Incomplete(notice)));
        }
    }
}

/// Pause after the catalog could not be read for those who have a subscription already.
const READ_AGAIN_PAUSE: Duration = Duration::from_secs(1);
