//! The task of a feed: one loop over what sockets ask and what the database sends.
//!
//! # Why a join reply is true
//!
//! A subscription is registered while the slot streams, before its outcome is mailed. Whatever commits after the client
//! sees the reply commits after the registration, so it is streamed after it, and found. What could be seen when the
//! catalog was read for the subscription is not told: the reading carries its snapshot, and transactions visible in it
//! are passed over for this subscriber.
//!
//! # Invariants
//!
//! - One task per database; changes leave in commit order.
//! - A commit is acknowledged only when all its frames are in the mail.
//! - A worker that is far behind makes the feed wait, and the feed the database.
//! - When nothing is asked and nothing changes, nothing runs but the answers to the server's keepalives.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use database::{Error, Pool};
use session::{ChangesOutcome, Completion, Ticket};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tracing::warn;

use super::catalog::Reading;
use super::link::{Link, Step};
use super::subscribers::Subscribers;
use super::transactions::Transactions;
use super::{Command, Subscribe};
use crate::worker::mail::{Mail, Ports, SocketRef};

/// The state of a feed.
pub(super) struct Feed {
    pub(super) ports: Arc<Ports>,
    pub(super) pool: Arc<Pool>,
    pub(super) publication: Arc<str>,
    pub(super) link: Link,
    pub(super) subscribers: Subscribers,
    pub(super) transactions: Transactions,
    /// Subscriptions that wait for the connection, or for the reading after the one under way.
    pub(super) waiting: Vec<Subscribe>,
    /// When they are refused.
    pub(super) waiting_until: Option<Instant>,
    /// Subscriptions that wait for the reading under way, and that reading.
    pub(super) reading: Option<(Vec<Subscribe>, ReadingUnderWay)>,
}

/// A reading of the catalog under way.
pub(super) type ReadingUnderWay = Pin<Box<dyn Future<Output = Result<Reading, Error>> + Send>>;

impl Feed {
    /// Runs until the server is gone.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Subscribe(subscribe)) => self.waiting.push(subscribe),
                    Some(Command::Forget(socket, ticket)) => self.forget(socket, ticket),
                    None => return,
                },
                made = read(&mut self.reading) => self.answer(made),
                step = self.link.step() => self.take(step).await,
                () = patience(self.waiting_until) => self.refuse_waiting(),
            }
            self.serve_waiting(&mut commands);
            self.waiting_until = match (self.waiting.is_empty(), self.waiting_until) {
                (true, _) => None,
                (false, Some(until)) => Some(until),
                (false, None) => Some(Instant::now() + PATIENCE),
            };
        }
    }

    /// Starts a reading for those who wait, together with all who have asked meanwhile.
    fn serve_waiting(&mut self, commands: &mut UnboundedReceiver<Command>) {
        if self.reading.is_some() || self.waiting.is_empty() {
            return;
        }
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Subscribe(subscribe) => self.waiting.push(subscribe),
                Command::Forget(socket, ticket) => self.forget(socket, ticket),
            }
        }
        if self.link.is_down() {
            self.refuse_waiting();
        } else if self.link.stream().is_some() && !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            let mut roles = self.subscribers.roles();
            roles.extend(
                waiting
                    .iter()
                    .filter_map(|subscribe| subscribe.claims.role().map(Into::into)),
            );
            self.reading = Some((waiting, self.start_reading(roles)));
        }
    }

    fn refuse_waiting(&mut self) {
        for subscribe in std::mem::take(&mut self.waiting) {
            self.complete(&subscribe, ChangesOutcome::Unavailable);
        }
        self.waiting_until = None;
    }

    pub(super) fn start_reading(&self, roles: BTreeSet<Arc<str>>) -> ReadingUnderWay {
        let (pool, publication) = (self.pool.clone(), self.publication.clone());
        Box::pin(async move { Reading::make(&pool, &publication, roles).await })
    }

    /// The catalog was read for those who wait: they are registered, then told.
    fn answer(&mut self, made: Result<Reading, Error>) {
        let Some((mut waiting, _)) = self.reading.take() else {
            return;
        };
        if self.link.stream().is_none() {
            // What commits from now on would not be streamed: they wait for the next connection.
            return self.waiting.append(&mut waiting);
        }
        // A channel that is subscribed anew has got everything for its former subscription before it is told.
        self.transactions.outgoing.mail();
        match made {
            Ok(reading) => self.adopt(reading),
            Err(error) => {
                warn!(%error, "subscriptions to changes are refused: the catalog cannot be read");
                for subscribe in &waiting {
                    self.complete(subscribe, ChangesOutcome::Unavailable);
                }
                return;
            }
        }
        for subscribe in &waiting {
            let outcome = match self.subscribers.insert(subscribe) {
                Ok(()) => ChangesOutcome::Live,
                Err(text) => ChangesOutcome::Rejected(text),
            };
            self.complete(subscribe, outcome);
        }
    }

    fn complete(&self, subscribe: &Subscribe, outcome: ChangesOutcome) {
        self.tell(subscribe.socket, subscribe.ticket, outcome);
    }

    pub(super) fn tell(&self, socket: SocketRef, ticket: Ticket, outcome: ChangesOutcome) {
        let completion = Completion::ChangesSubscribed(ticket, outcome);
        self.ports.send(socket.worker, Mail::Complete(socket, completion));
    }

    fn forget(&mut self, socket: SocketRef, ticket: Ticket) {
        self.subscribers.remove(socket, ticket);
        let stays = |subscribe: &Subscribe| (subscribe.socket, subscribe.ticket) != (socket, ticket);
        self.waiting.retain(stays);
        if let Some((waiting, _)) = &mut self.reading {
            waiting.retain(stays);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Connected => {
                self.transactions.restart();
                // Whoever is subscribed now was so before the connection was lost.
                for (socket, ticket, outcome) in self.subscribers.after_gap() {
                    self.tell(socket, ticket, outcome);
                }
            }
            Step::Event(event) => {
                if let Err(error) = self.take_event(event).await {
                    self.link.give_up(&error);
                }
            }
            Step::Lost => {
                let subscribers = self.subscribers.len();
                if subscribers > 0 {
                    warn!(
                        subscribers,
                        "changes committed until the next connection are not delivered"
                    );
                }
            }
        }
    }
}

/// The outcome of a reading; pending while there is none.
async fn read(reading: &mut Option<(Vec<Subscribe>, ReadingUnderWay)>) -> Result<Reading, Error> {
    match reading {
        Some((_, reading)) => reading.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Until the time has come; pending if there is none.
async fn patience(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// How long a subscription waits for a connection that is being made: less than a client waits for its join.
const PATIENCE: Duration = Duration::from_secs(8);
