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
//! - While the database is asked about a change, nothing behind it leaves, and nobody is registered: whoever was matched
//!   is still known when the answer comes, unless it has gone.
//! - A commit is acknowledged only when all its frames are in the mail; to a durable slot, when they have been written.
//! - A worker that is far behind makes the feed wait, and the feed the database.
//! - When nothing is asked and nothing changes, nothing runs but the answers to the server's keepalives.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use database::{Broadcast, Computed, Pool};
use session::{ChangesOutcome, Completion};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::asking::{Answered, Asking};
use super::backlog::{Arrival, Backlog, Continuity, Piece};
use super::errand::Ready;
use super::figures::Figures;
use super::hold::Hold;
use super::link::{Link, Step};
use super::messages::Messages;
use super::outgoing::Outgoing;
use super::receipts::Receipts;
use super::round::{Entry, Round};
use super::subscribers::{Key, Notice, Subscribers};
use super::transactions::{Transactions, committed_at};
use super::{Command, Subscribe};
use crate::clock::since_unix_epoch;
use crate::worker::mail::{Mail, Ports};

/// The state of a feed.
pub(super) struct Feed {
    pub(super) figures: Arc<Figures>,
    pub(super) ports: Arc<Ports>,
    pub(super) pool: Arc<Pool>,
    pub(super) publication: Arc<str>,
    /// Rows of a table that one binding is given at most before its changes.
    pub(super) snapshot_rows_max: usize,
    pub(super) link: Link,
    pub(super) backlog: Backlog,
    /// Why the backlog is not taken for a while.
    pub(super) hold: Hold,
    pub(super) transactions: Transactions,
    pub(super) round: Round,
    /// Questions find no server to ask.
    pub(super) trouble: Arc<Notify>,
    /// What the database is asked while the stream waits.
    pub(super) asking: Option<Asking>,
    /// The generated columns of the row that is taken next, if they had to be asked for.
    pub(super) computed: Option<Computed>,
    pub(super) subscribers: Subscribers,
    pub(super) outgoing: Outgoing,
    pub(super) messages: Messages,
    pub(super) receipts: Receipts,
    /// Who wants to know when the slot streams, and since when.
    pub(super) awaiting: Vec<(Instant, Key)>,
    /// Subscriptions that wait for the connection, or for the reading after the one under way.
    pub(super) waiting: Vec<Subscribe>,
    /// When they are refused.
    pub(super) waiting_until: Option<Instant>,
    /// When the catalog is read again after it could not be.
    pub(super) read_again_at: Option<Instant>,
    /// When what has been found out is of no use any more to those who wait for it.
    pub(super) ready_until: Option<Instant>,
    /// When the database is asked how much log the slot keeps: while the stream is not read, it does not say.
    pub(super) weigh_at: Option<Instant>,
    /// Snapshots that may be read yet.
    pub(super) snapshots: Arc<Semaphore>,
    /// What is being found out for subscriptions, beside the stream.
    pub(super) errands: JoinSet<Ready>,
    /// The subscriptions an errand is run for, with their roles.
    pub(super) under_way: HashMap<Key, Arc<str>>,
    /// Whether the catalog is being read for subscriptions.
    pub(super) is_reading: bool,
    /// What has been found out and waits for the round to end.
    pub(super) ready: VecDeque<Ready>,
}

impl Feed {
    /// Runs until the server is gone. Then the slot is told what has been delivered.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Subscribe(subscribe)) => self.waiting.push(subscribe),
                    Some(Command::Forget(key)) => self.forget(key),
                    Some(Command::AwaitStreaming(key)) => self.await_streaming(key),
                    Some(Command::Stop) | None => break,
                },
                Some(errand) = self.errands.join_next() => self.note(errand),
                answered = answer(&mut self.asking) => self.take_answer(answered),
                step = self.link.step(), if !(self.backlog.is_full() && self.link.is_streaming()) => self.arrive(step),
                () = self.trouble.notified() => self.link.break_off(),
                piece = self.receipts.next() => self.link.acknowledge(&piece),
                () = self.outgoing.relaxed() => {}
                () = self.hold.over() => self.hold.expire(),
                () = patience(self.waiting_until) => self.refuse_waiting(),
                () = patience(self.read_again_at) => self.read_again_at = None,
                () = patience(self.ready_until) => self.refuse_ready(),
                () = patience(self.weigh_at) => self.weigh_slot(),
            }
            self.advance();
            // After that, for what has been settled may let others come to their turn.
            self.serve_waiting(&mut commands);
            // Whoever has come back in time is waited for.
            if self.hold.has_expired() && self.waiting.is_empty() && self.under_way.is_empty() {
                self.hold.end();
                self.advance();
            }
            self.figures.subscriptions.set(self.subscribers.len() as u64);
            self.waiting_until = deadline(!self.waiting.is_empty(), self.waiting_until, PATIENCE);
            self.ready_until = deadline(!self.ready.is_empty(), self.ready_until, PATIENCE);
            let is_stuck = self.link.is_durable() && self.backlog.is_full();
            self.weigh_at = deadline(is_stuck, self.weigh_at, WEIGH_PAUSE);
        }
        self.take_receipts().await;
        self.link.finish().await;
    }

    /// Waits for what has been mailed to be written, so that a slot that stays does not repeat it.
    async fn take_receipts(&mut self) {
        let until = Instant::now() + RECEIPTS_MAX;
        while !self.receipts.are_all_back()
            && let Ok(piece) = timeout_at(until, self.receipts.next()).await
        {
            self.link.acknowledge(&piece);
        }
    }

    /// Starts a reading for those who wait, together with all who have asked meanwhile.
    fn serve_waiting(&mut self, commands: &mut UnboundedReceiver<Command>) {
        if self.is_reading || self.waiting.is_empty() || self.read_again_at.is_some() {
            return;
        }
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Subscribe(subscribe) => self.waiting.push(subscribe),
                Command::Forget(key) => self.forget(key),
                Command::AwaitStreaming(key) => self.await_streaming(key),
                // The next command is the end of the channel.
                Command::Stop => commands.close(),
            }
        }
        if self.link.is_down() {
            self.refuse_waiting();
        } else if self.link.is_streaming() && !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.is_reading = true;
            self.read_for(waiting);
        }
    }

    pub(super) fn refuse(&self, refused: Vec<Subscribe>) {
        for subscribe in refused {
            self.tell((subscribe.key(), ChangesOutcome::Unavailable));
        }
    }

    fn await_streaming(&mut self, key: Key) {
        if self.link.is_streaming() {
            self.say_ready(key);
        } else {
            let now = Instant::now();
            self.awaiting
                .retain(|(since, _)| now.duration_since(*since) < AWAITING_MAX);
            self.awaiting.push((now, key));
        }
    }

    fn say_ready(&self, Key { socket, ticket }: Key) {
        let completion = Completion::ReplicationReady(ticket);
        self.ports.send(socket.worker, Mail::Complete(socket, completion));
    }

    pub(super) fn refuse_waiting(&mut self) {
        // Whoever has a subscription keeps it until the new one stands.
        let (keep, refuse) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|subscribe| subscribe.replaces.is_some());
        self.waiting = keep;
        self.refuse(refuse);
        self.waiting_until = None;
    }

    /// Takes what has arrived, as far as that is possible without waiting.
    fn advance(&mut self) {
        while self.asking.is_none() && !self.outgoing.is_held_up() {
            if !self.round.is_open() {
                while let Some(ready) = self.ready.pop_front() {
                    self.settle(ready);
                }
            }
            let arrival = if self.hold.holds() {
                None
            } else {
                self.backlog.pop()
            };
            match arrival {
                // What comes behind may be read otherwise than what is in the round, which may have to be read again.
                Some(arrival) if self.round.is_open() && arrival.changes_reading() => {
                    self.backlog.put_back(arrival);
                    self.asking = Some(self.ask_visibility());
                }
                Some(Arrival::Piece(piece)) => self.take(piece),
                Some(Arrival::Connected(continuity)) => self.restart(continuity),
                None if self.round.is_open() => self.asking = Some(self.ask_visibility()),
                None => return,
            }
            if self.round.is_full() && self.asking.is_none() {
                self.asking = Some(self.ask_visibility());
            }
        }
    }

    fn take(&mut self, piece: Piece) {
        match self.take_piece(&piece) {
            Ok(None) if self.round.is_open() => self.round.keep(piece),
            Ok(None) => {}
            Ok(Some(asking)) => {
                self.backlog.put_back(Arrival::Piece(piece));
                // What came before it leaves before it.
                self.asking = Some(if self.round.is_open() {
                    self.ask_visibility()
                } else {
                    asking
                });
            }
            Err(error) => {
                if self.drop_arrivals() {
                    self.restart(Continuity::Gap);
                }
                self.link.give_up(&error);
            }
        }
    }

    /// Gives up what has arrived and has not been told: it cannot be understood, or not be asked about any more. A slot
    /// that stays brings it again.
    ///
    /// Returns whether there was a gap among it of which nobody has been told.
    fn drop_arrivals(&mut self) -> bool {
        self.asking = None;
        self.computed = None;
        if let (Some(mark), _) = self.round.give_up() {
            self.transactions.go_back(mark);
        }
        std::mem::take(&mut self.backlog).has_gap()
    }

    /// Another connection streams from here on.
    fn restart(&mut self, continuity: Continuity) {
        self.transactions.restart(continuity == Continuity::Seamless);
        if continuity == Continuity::Gap {
            self.figures.gaps.add(1);
            // Whoever is subscribed now was so before the connection was lost.
            for notice in self.subscribers.after_gap() {
                self.tell(notice);
            }
        }
    }

    fn take_answer(&mut self, answered: Answered) {
        match answered {
            Answered::Catalog(reading) => self.adopt(reading),
            Answered::Conditions(answers) => self.subscribers.learn(answers),
            Answered::Computed(computed) => self.computed = Some(computed),
            Answered::Visibility(answers)
                if Some(&answers.version) != self.subscribers.reading.version.as_ref() =>
            {
                info!("roles or functions of policies have changed: reading the catalog");
                let (mark, pieces) = self.round.give_up();
                for piece in pieces.into_iter().rev() {
                    self.backlog.put_back(Arrival::Piece(piece));
                }
                if let Some(mark) = mark {
                    self.transactions.go_back(mark);
                }
                self.asking = Some(self.ask_catalog(None));
            }
            Answered::Visibility(answers) => {
                for (_, error) in answers.failures() {
                    warn!(%error, "policies fail for a viewer, who is told of no change");
                }
                self.figures.rounds.add(1);
                self.figures.checks_in_memory.add(self.round.judged());
                self.figures.checks_asked.add(self.round.checks());
                for entry in self.round.close() {
                    match entry {
                        Entry::Told(told) => {
                            let notices = self.subscribers.tell(&told, &answers, &mut self.outgoing);
                            notices.into_iter().for_each(|notice| self.tell(notice));
                        }
                        Entry::Broadcast(broadcast) => self.broadcast(&broadcast),
                        Entry::Commit(piece) => self.commit(&piece),
                    }
                }
                self.outgoing.mail(None);
            }
        }
    }

    /// A broadcast from the database leaves.
    pub(super) fn broadcast(&mut self, broadcast: &Broadcast) {
        self.messages.publish(broadcast);
        self.outgoing.note_publication();
    }

    /// The changes of a transaction leave.
    pub(super) fn commit(&mut self, piece: &Piece) {
        self.figures.see_commit(committed_at(piece), since_unix_epoch());
        if self.link.is_durable() {
            let receipt = self.receipts.issue(piece);
            self.outgoing.mail(Some(&receipt));
        } else {
            self.outgoing.mail(None);
            self.link.acknowledge(piece);
        }
    }

    pub(super) fn adopt(&mut self, reading: super::catalog::Reading) {
        for notice in self.subscribers.adopt(reading) {
            self.tell(notice);
        }
        self.transactions.forget_mappings();
        self.computed = None;
    }

    /// The roles whose privileges matter, those included who are being subscribed.
    pub(super) fn roles(&self) -> BTreeSet<Arc<str>> {
        let mut roles = self.subscribers.roles();
        roles.extend(self.under_way.values().cloned());
        roles
    }

    pub(super) fn tell(&self, (key, outcome): Notice) {
        let completion = Completion::ChangesSubscribed(key.ticket, outcome);
        self.ports
            .send(key.socket.worker, Mail::Complete(key.socket, completion));
    }

    fn forget(&mut self, key: Key) {
        self.subscribers.remove(key);
        self.under_way.remove(&key);
        self.waiting.retain(|subscribe| subscribe.key() != key);
    }

    fn arrive(&mut self, step: Step) {
        match step {
            Step::Connected(connected) => {
                if connected.is_other_system {
                    // Nobody can be asked about what another server has told; that there is a gap is said anyway.
                    _ = self.drop_arrivals();
                }
                if connected.is_resumed {
                    self.hold.start(connected.log_end);
                } else {
                    self.hold.waive();
                }
                self.backlog.push(Arrival::Connected(connected.continuity));
                std::mem::take(&mut self.awaiting)
                    .into_iter()
                    .for_each(|(_, key)| self.say_ready(key));
            }
            Step::Piece(piece) => {
                self.hold.see_message();
                self.backlog.push(Arrival::Piece(piece));
            }
            Step::Keepalive(end) => self.hold.reach(end),
            Step::Lost => {
                let subscribers = self.subscribers.len();
                if subscribers > 0 && !self.link.is_durable() {
                    warn!(
                        subscribers,
                        "changes committed until the next connection are not delivered"
                    );
                }
            }
        }
    }

    /// An errand is back.
    fn note(&mut self, errand: Result<Ready, JoinError>) {
        match errand {
            Ok(Ready::Weighed(bytes_kept)) => self.link.take_weight(bytes_kept),
            Ok(ready) => self.ready.push_back(ready),
            Err(error) => warn!(%error, "an errand for a subscription failed"),
        }
    }
}

/// The answer to a question; pending while there is none.
async fn answer(asking: &mut Option<Asking>) -> Answered {
    match asking {
        Some(question) => {
            let answered = question.as_mut().await;
            *asking = None;
            answered
        }
        None => std::future::pending().await,
    }
}

/// The deadline of something that `is_awaited`: as it was, or that much from now.
fn deadline(is_awaited: bool, before: Option<Instant>, pause: Duration) -> Option<Instant> {
    is_awaited.then(|| before.unwrap_or_else(|| Instant::now() + pause))
}

/// Until the time has come; pending if there is none.
async fn patience(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// How long the workers may take to write what has been mailed when the feed ends.
const RECEIPTS_MAX: Duration = Duration::from_secs(1);
/// How long anybody waits for the slot to stream; a channel gives up after a minute.
const AWAITING_MAX: Duration = Duration::from_secs(61);
/// Pause between two looks at a slot that is not read.
const WEIGH_PAUSE: Duration = Duration::from_secs(5);
/// How long a subscription waits for a connection that is being made: less than a client waits for its join.
const PATIENCE: Duration = Duration::from_secs(8);
