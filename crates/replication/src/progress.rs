//! How far a stream has come, and when to tell the server. No I/O, no clock.
//!
//! The server keeps its log from the position we report as flushed, and after a reconnect to the same slot streams what
//! committed from there on. Hence the invariants:
//!
//! * the flushed position only grows;
//! * it never reaches the commit of a transaction of which anything has been handed out and the commit not
//!   acknowledged;
//! * while nothing is outstanding, it follows the server's keepalives, so that a database that is busy in unpublished
//!   tables does not pile up log.
//!
//! Pieces of transactions do not come in the order of their positions: a transaction may begin before the commit that
//! precedes it in the stream. So what is outstanding is counted, not compared.

use std::time::{Duration, Instant};

use crate::lsn::Lsn;
use crate::message::StatusUpdate;

/// The place of a piece of the stream. Given back to acknowledge everything up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    lsn: Lsn,
    /// Pieces handed out before and including this one.
    number: u64,
}

impl Position {
    /// Where the piece is in the log. Of a commit, its end: the position a later reader of the log starts from.
    pub fn lsn(self) -> Lsn {
        self.lsn
    }
}

/// Received and flushed positions, and the feedback they are due in.
#[derive(Debug)]
pub(crate) struct Progress {
    received: Lsn,
    flushed: Lsn,
    /// Pieces handed out.
    handed_out: u64,
    /// Pieces that are done with. `<= handed_out`.
    settled: u64,
    feedback_interval: Duration,
    feedback_at: Instant,
    /// Feedback is due at once.
    asked: bool,
    /// The next feedback asks the server for a sign of life.
    ask: bool,
}

impl Progress {
    /// A stream that starts at `start`.
    pub(crate) fn new(start: Lsn, feedback_interval: Duration, now: Instant) -> Progress {
        Progress {
            received: start,
            flushed: start,
            handed_out: 0,
            settled: 0,
            feedback_interval,
            feedback_at: now + feedback_interval,
            asked: false,
            ask: false,
        }
    }

    /// A piece goes to the consumer.
    pub(crate) fn hand_out(&mut self, lsn: Lsn) -> Position {
        self.received = self.received.max(lsn);
        self.handed_out += 1;
        Position {
            lsn,
            number: self.handed_out,
        }
    }

    /// The consumer is done with everything up to `commit`, the position of a commit.
    pub(crate) fn acknowledge(&mut self, commit: Position) {
        if commit.number > self.settled {
            self.settled = commit.number;
            self.flushed = self.flushed.max(commit.lsn);
        }
    }

    /// The server has sent everything before `end`.
    pub(crate) fn keepalive(&mut self, end: Lsn, reply_requested: bool) {
        self.received = self.received.max(end);
        self.asked |= reply_requested;
        if self.settled == self.handed_out {
            self.flushed = self.flushed.max(end);
        }
    }

    /// The next feedback is due at once and asks for an answer.
    pub(crate) fn ask_for_reply(&mut self) {
        self.asked = true;
        self.ask = true;
    }

    /// The feedback, if it is due.
    pub(crate) fn feedback(&mut self, now: Instant) -> Option<StatusUpdate> {
        if !self.asked && now < self.feedback_at {
            return None;
        }
        self.asked = false;
        self.feedback_at = now + self.feedback_interval;
        Some(StatusUpdate {
            received: self.received,
            flushed: self.flushed,
            reply_requested: std::mem::take(&mut self.ask),
        })
    }

    /// When feedback is due if nothing happens.
    pub(crate) fn feedback_deadline(&self) -> Instant {
        self.feedback_at
    }

    /// Up to where everything has arrived.
    pub(crate) fn received(&self) -> Lsn {
        self.received
    }

    /// Up to where the server need not keep its log.
    pub(crate) fn flushed(&self) -> Lsn {
        self.flushed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn progress() -> (Progress, Instant) {
        let now = Instant::now();
        (Progress::new(Lsn::ZERO, INTERVAL, now), now)
    }

    #[test]
    fn feedback_is_due_every_interval_and_when_asked_for() {
        let (mut progress, now) = progress();
        assert_eq!(progress.feedback(now), None);
        assert_eq!(progress.feedback_deadline(), now + INTERVAL);
        assert!(progress.feedback(now + INTERVAL).is_some());
        assert_eq!(progress.feedback_deadline(), now + 2 * INTERVAL);

        progress.keepalive(5.into(), true);
        let update = progress.feedback(now + INTERVAL).expect("it was asked for");
        assert!(!update.reply_requested);
        assert_eq!(progress.feedback(now + INTERVAL), None);

        progress.ask_for_reply();
        let update = progress.feedback(now + INTERVAL).expect("we ask ourselves");
        assert!(update.reply_requested);
    }

    #[test]
    fn a_transaction_that_began_before_the_acknowledged_commit_holds_keepalives_back() {
        let (mut progress, _) = progress();
        progress.hand_out(10.into());
        let first = progress.hand_out(30.into());
        progress.hand_out(30.into());
        progress.acknowledge(first);
        progress.keepalive(100.into(), false);
        assert_eq!((progress.flushed(), progress.received()), (30.into(), 100.into()));
    }

    #[test]
    fn an_idle_stream_follows_keepalives() {
        let (mut progress, _) = progress();
        progress.keepalive(100.into(), false);
        assert_eq!(progress.flushed(), 100.into());
    }

    /// A stream as servers send it: transactions in the order of their commits, begun anywhere before.
    #[derive(Clone, Debug)]
    enum Step {
        /// A transaction of so many pieces before its commit, the first of them `back` before the log's end.
        Transaction { pieces: u8, back: u64, keepalive: bool },
        /// The log grows without anything for us.
        Keepalive { grown: u64, reply_requested: bool },
        /// The consumer is done with the oldest so many outstanding commits, or repeats an old acknowledgement.
        Acknowledge { commits: usize },
        /// Time passes.
        Feedback { seconds: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4u8, 0..50u64, any::<bool>()).prop_map(|(pieces, back, keepalive)| Step::Transaction {
                pieces,
                back,
                keepalive
            }),
            (0..20u64, any::<bool>()).prop_map(|(grown, reply_requested)| Step::Keepalive {
                grown,
                reply_requested
            }),
            (0..3usize).prop_map(|commits| Step::Acknowledge { commits }),
            (0..15u64).prop_map(|seconds| Step::Feedback { seconds }),
        ]
    }

    proptest! {
        #[test]
        fn feedback_only_grows_and_never_passes_an_unacknowledged_commit(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let (mut progress, mut now) = progress();
            let mut end = 0;
            let mut outstanding: Vec<Position> = Vec::new();
            let mut last = None;
            let mut reported = Lsn::ZERO;
            for step in steps {
                match step {
                    Step::Transaction { pieces, back, keepalive } => {
                        let begun = end - back.min(end);
                        end += 10;
                        for piece in 0..u64::from(pieces) {
                            progress.hand_out(Lsn::from(begun + piece));
                            if keepalive {
                                // The log has been read to the commit before its transaction is sent.
                                progress.keepalive(end.into(), false);
                                prop_assert!(progress.flushed() < end.into());
                            }
                        }
                        outstanding.push(progress.hand_out(end.into()));
                    }
                    Step::Keepalive { grown, reply_requested } => {
                        end += grown;
                        progress.keepalive(end.into(), reply_requested);
                        if outstanding.is_empty() {
                            prop_assert_eq!(progress.flushed(), end.into());
                        }
                    }
                    Step::Acknowledge { commits } => {
                        let done: Vec<_> = outstanding.drain(..commits.min(outstanding.len())).collect();
                        last = done.last().copied().or(last);
                        if let Some(position) = last {
                            progress.acknowledge(position);
                            prop_assert!(progress.flushed() >= position.lsn());
                        }
                    }
                    Step::Feedback { seconds } => {
                        now += Duration::from_secs(seconds);
                        if let Some(update) = progress.feedback(now) {
                            prop_assert!(update.flushed >= reported);
                            prop_assert!(update.flushed <= update.received);
                            reported = update.flushed;
                        }
                        prop_assert!(progress.feedback_deadline() > now);
                    }
                }
                if let Some(oldest) = outstanding.first() {
                    prop_assert!(progress.flushed() < oldest.lsn());
                }
            }
        }
    }
}
