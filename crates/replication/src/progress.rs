//! How far a stream has come, and when to tell the server. No I/O, no clock.
//!
//! The server keeps its log from the position we report as flushed, and after a reconnect to the same slot streams what
//! committed from there on. Hence the invariants:
//!
//! * the flushed position only grows;
//! * it never reaches the commit of a transaction of which anything has been handed out and the commit not
//!   acknowledged, however late and out of step with the reading the acknowledgements come;
//! * while nothing is outstanding, it follows the server's keepalives, so that a database that is busy in unpublished
//!   tables does not pile up log;
//! * nothing is reported that could lie before the place where the slot stands already: older servers take the slot's
//!   place from what they are told, also backwards.
//!
//! Pieces of transactions do not come in the order of their positions: a transaction may begin before the commit that
//! precedes it in the stream. So what is outstanding is counted, not compared.

use std::time::{Duration, Instant};

use crate::lsn::Lsn;
use crate::message::StatusUpdate;

/// Shortest pause between a report and the next one that only an acknowledgement calls for. What is acknowledged within
/// it is reported together.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// The place of a piece of the stream. Given back to acknowledge everything up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    lsn: Lsn,
    /// Pieces handed out before and including this one.
    number: u64,
    /// The stream that handed it out.
    stream: u64,
}

impl Position {
    /// Where the piece is in the log. Of a commit, its end: the position a later reader of the log starts from.
    pub fn lsn(self) -> Lsn {
        self.lsn
    }
}

/// How far a stream is behind its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Up to where everything has arrived.
    pub received: Lsn,
    /// The furthest end of the log that the server has told of: when the stream was started, and as far as it has read
    /// its log since. A server that cannot send, because nobody reads, does not read on either, and has
    /// to be asked.
    pub server_end: Lsn,
    /// Up to where the server need not keep its log. [`Lsn::ZERO`] while that is not known, after a start from there.
    pub flushed: Lsn,
    /// From `flushed` to `server_end`; while `flushed` is not known, from where the stream began. Bytes of log.
    pub bytes_behind: u64,
}

/// What is known when a stream starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Tells this stream from others of the process.
    pub(crate) stream: u64,
    /// Everything that committed before it is done with; [`Lsn::ZERO`]: whatever the slot says.
    pub(crate) from: Lsn,
    /// End of the server's log.
    pub(crate) server_end: Lsn,
}

/// Received and flushed positions, and the feedback they are due in.
#[derive(Debug)]
pub(crate) struct Progress {
    stream: u64,
    received: Lsn,
    flushed: Lsn,
    server_end: Lsn,
    /// The first position heard of.
    first: Option<Lsn>,
    /// The slot stands nowhere beyond it.
    slot_max: Lsn,
    /// `flushed` is not before the place of the slot.
    is_certain: bool,
    /// Pieces handed out.
    handed_out: u64,
    /// Pieces that are done with. `<= handed_out`.
    settled: u64,
    /// The last keepalive: pieces handed out before it, and its position.
    keepalive: (u64, Lsn),
    feedback_interval: Duration,
    reported_at: Instant,
    feedback_at: Instant,
    /// Feedback is due at once.
    asked: bool,
    /// The next feedback asks the server for a sign of life.
    ask: bool,
}

impl Progress {
    /// A stream that has just started.
    pub(crate) fn new(start: Start, feedback_interval: Duration, now: Instant) -> Progress {
        let Start {
            stream,
            from,
            server_end,
        } = start;
        Progress {
            stream,
            received: from,
            flushed: from,
            server_end: server_end.max(from),
            first: None,
            slot_max: if from == Lsn::ZERO { server_end } else { from },
            is_certain: false,
            handed_out: 0,
            settled: 0,
            keepalive: (0, Lsn::ZERO),
            feedback_interval,
            reported_at: now,
            feedback_at: now + feedback_interval,
            asked: false,
            ask: false,
        }
    }

    /// A piece goes to the consumer.
    pub(crate) fn hand_out(&mut self, lsn: Lsn) -> Position {
        self.hear(lsn);
        self.handed_out += 1;
        Position {
            lsn,
            number: self.handed_out,
            stream: self.stream,
        }
    }

    /// The consumer is done with everything up to `commit`, the position of a commit. Returns whether feedback is due
    /// earlier now. A position of another stream means nothing here.
    #[must_use]
    pub(crate) fn acknowledge(&mut self, commit: Position) -> bool {
        if commit.stream != self.stream || commit.number <= self.settled {
            return false;
        }
        self.settled = commit.number;
        self.flushed = self.flushed.max(commit.lsn);
        // Of commits the slot has passed, none is streamed.
        self.is_certain = true;
        self.follow_keepalive();
        let report_at = self.reported_at + REPORT_INTERVAL;
        let is_earlier = report_at < self.feedback_at;
        self.feedback_at = self.feedback_at.min(report_at);
        is_earlier
    }

    /// The server has sent everything that committed before `end`.
    pub(crate) fn keepalive(&mut self, end: Lsn, reply_requested: bool) {
        self.hear(end);
        self.asked |= reply_requested;
        self.keepalive = (self.handed_out, end);
        self.follow_keepalive();
    }

    /// The next feedback is due at once and asks for an answer.
    pub(crate) fn ask_for_reply(&mut self) {
        self.asked = true;
        self.ask = true;
    }

    /// The feedback, if it is due.
    pub(crate) fn feedback(&mut self, now: Instant) -> Option<StatusUpdate> {
        (self.asked || now >= self.feedback_at).then(|| self.report(now))
    }

    /// The feedback, due or not.
    pub(crate) fn report(&mut self, now: Instant) -> StatusUpdate {
        self.asked = false;
        self.reported_at = now;
        self.feedback_at = now + self.feedback_interval;
        StatusUpdate {
            received: self.received,
            flushed: if self.is_certain { self.flushed } else { Lsn::ZERO },
            reply_requested: std::mem::take(&mut self.ask),
        }
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

    /// How far the stream is behind.
    pub(crate) fn lag(&self) -> Lag {
        let done = match self.flushed {
            Lsn::ZERO => self.first.unwrap_or(self.server_end),
            flushed => flushed,
        };
        Lag {
            received: self.received,
            server_end: self.server_end,
            flushed: self.flushed,
            bytes_behind: self.server_end.bytes_since(done),
        }
    }

    fn hear(&mut self, lsn: Lsn) {
        self.received = self.received.max(lsn);
        self.server_end = self.server_end.max(lsn);
        self.first.get_or_insert(lsn);
    }

    /// Once all that came before the last keepalive is done with, so is the log before it. A server that reads its log
    /// anew from where the slot needs it tells of places before that of the slot, too.
    fn follow_keepalive(&mut self) {
        let (handed_out, end) = self.keepalive;
        if self.settled == handed_out && end >= self.slot_max {
            self.flushed = self.flushed.max(end);
            self.is_certain = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    /// A stream of a slot that stood at the end of the log.
    fn progress() -> (Progress, Instant) {
        started(5, 5)
    }

    fn started(from: u64, server_end: u64) -> (Progress, Instant) {
        let start = Start {
            stream: 1,
            from: from.into(),
            server_end: server_end.into(),
        };
        let now = Instant::now();
        (Progress::new(start, INTERVAL, now), now)
    }

    /// What is reported as flushed, due or not.
    fn reported(progress: &mut Progress, now: Instant) -> u64 {
        progress.report(now).flushed.as_u64()
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
    fn an_acknowledgement_is_reported_at_once_and_those_after_it_together() {
        let (mut progress, start) = progress();
        let commits: Vec<_> = (1..=4).map(|n| progress.hand_out((10 * n).into())).collect();
        let now = start + INTERVAL / 2;
        assert!(progress.acknowledge(commits[0]), "sooner than before");
        assert_eq!(
            progress.feedback(now).expect("nothing was said for long").flushed,
            10.into()
        );
        assert_eq!(progress.feedback(now), None);

        assert!(progress.acknowledge(commits[1]), "sooner than before");
        assert!(!progress.acknowledge(commits[2]), "that is due already");
        assert_eq!(progress.feedback(now), None);
        assert_eq!(progress.feedback_deadline(), now + REPORT_INTERVAL);
        let now = now + REPORT_INTERVAL;
        assert_eq!(progress.feedback(now).expect("both are due").flushed, 30.into());

        assert!(!progress.acknowledge(commits[1]), "nothing new");
        assert_eq!(progress.feedback_deadline(), now + INTERVAL);
    }

    #[test]
    fn a_transaction_that_began_before_the_acknowledged_commit_holds_keepalives_back() {
        let (mut progress, _) = progress();
        progress.hand_out(10.into());
        let first = progress.hand_out(30.into());
        progress.hand_out(30.into());
        _ = progress.acknowledge(first);
        progress.keepalive(100.into(), false);
        assert_eq!((progress.flushed(), progress.received()), (30.into(), 100.into()));
    }

    #[test]
    fn an_idle_stream_follows_keepalives() {
        let (mut progress, now) = progress();
        progress.keepalive(100.into(), false);
        assert_eq!(progress.flushed(), 100.into());
        assert_eq!(reported(&mut progress, now), 100);
    }

    #[test]
    fn a_late_acknowledgement_catches_up_with_the_keepalive_that_came_before_it() {
        let (mut progress, _) = progress();
        let first = progress.hand_out(10.into());
        let second = progress.hand_out(20.into());
        progress.keepalive(100.into(), false);
        _ = progress.acknowledge(first);
        assert_eq!(progress.flushed(), 10.into());
        _ = progress.acknowledge(second);
        assert_eq!(progress.flushed(), 100.into());
    }

    #[test]
    fn a_late_acknowledgement_does_not_settle_what_came_after_the_keepalive() {
        let (mut progress, _) = progress();
        let first = progress.hand_out(10.into());
        progress.keepalive(100.into(), false);
        let begin = progress.hand_out(90.into());
        _ = progress.acknowledge(first);
        assert_eq!(
            progress.flushed(),
            100.into(),
            "the second commits after the keepalive"
        );
        progress.keepalive(150.into(), false);
        assert_eq!(progress.flushed(), 100.into());
        assert_eq!(begin.lsn(), 90.into());
    }

    #[test]
    fn a_position_of_another_stream_settles_nothing() {
        let (mut former, _) = progress();
        let (mut progress, _) = {
            let start = Start {
                stream: 2,
                from: 5.into(),
                server_end: 5.into(),
            };
            let now = Instant::now();
            (Progress::new(start, INTERVAL, now), now)
        };
        for n in 1..5 {
            former.hand_out((10 * n).into());
        }
        let commit = former.hand_out(50.into());
        progress.hand_out(10.into());
        assert!(!progress.acknowledge(commit));
        assert_eq!(progress.flushed(), 5.into());
        progress.keepalive(60.into(), false);
        assert_eq!(progress.flushed(), 5.into());
    }

    #[test]
    fn a_slot_is_not_moved_back_by_a_server_that_reads_its_log_anew() {
        // The slot stands at 80, and the log is read again from 20 for the sake of a transaction that runs long.
        let (mut progress, now) = started(0, 100);
        progress.keepalive(80.into(), false);
        progress.keepalive(20.into(), true);
        assert_eq!(reported(&mut progress, now), 0, "which servers take for nothing");
        progress.keepalive(100.into(), true);
        assert_eq!(reported(&mut progress, now), 100);

        let (mut progress, now) = started(0, 100);
        progress.keepalive(20.into(), true);
        let commit = progress.hand_out(90.into());
        _ = progress.acknowledge(commit);
        assert_eq!(
            reported(&mut progress, now),
            90,
            "only a slot before it streams it"
        );
    }

    #[test]
    fn a_place_to_start_from_is_not_reported_before_something_is_done() {
        // The slot may have come further than whoever starts there knows.
        let (mut progress, now) = started(50, 100);
        assert_eq!(progress.flushed(), 50.into());
        assert_eq!(reported(&mut progress, now), 0);
        progress.keepalive(60.into(), false);
        assert_eq!(reported(&mut progress, now), 60);
    }

    #[test]
    fn lag_counts_from_what_is_done_to_the_furthest_end_known() {
        let (mut progress, _) = started(0, 1000);
        assert_eq!(progress.lag().bytes_behind, 0, "nothing is known of the slot");
        progress.hand_out(400.into());
        assert_eq!(progress.lag().bytes_behind, 600, "from where the stream began");
        let commit = progress.hand_out(500.into());
        _ = progress.acknowledge(commit);
        let lag = progress.lag();
        let expected = Lag {
            received: 500.into(),
            server_end: 1000.into(),
            flushed: 500.into(),
            bytes_behind: 500,
        };
        assert_eq!(lag, expected);
        progress.keepalive(1200.into(), false);
        assert_eq!(progress.lag().bytes_behind, 0);
        progress.hand_out(1210.into());
        assert_eq!(progress.lag().bytes_behind, 10);
    }

    /// A stream as servers send it: transactions in the order of their commits, begun anywhere before.
    #[derive(Clone, Debug)]
    enum Step {
        /// A transaction of so many pieces before its commit, the first of them `back` before the log's end.
        Transaction { pieces: u8, back: u64, keepalive: bool },
        /// The log grows without anything for us.
        Keepalive { grown: u64, reply_requested: bool },
        /// The consumer is done with the oldest so many outstanding commits, and says so of each or of the last.
        Acknowledge { commits: usize, each: bool },
        /// It repeats what it said before.
        Repeat,
        /// It brings a position of the connection before.
        Stray { number: u64, lsn: u64 },
        /// Time passes.
        Feedback { millis: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..4u8, 0..50u64, any::<bool>()).prop_map(|(pieces, back, keepalive)| Step::Transaction {
                pieces,
                back,
                keepalive
            }),
            2 => (0..20u64, any::<bool>()).prop_map(|(grown, reply_requested)| Step::Keepalive {
                grown,
                reply_requested
            }),
            3 => (0..3usize, any::<bool>()).prop_map(|(commits, each)| Step::Acknowledge { commits, each }),
            1 => Just(Step::Repeat),
            1 => (0..100u64, 0..1000u64).prop_map(|(number, lsn)| Step::Stray { number, lsn }),
            2 => (0..15_000u64).prop_map(|millis| Step::Feedback { millis }),
            2 => (0..150u64).prop_map(|millis| Step::Feedback { millis }),
        ]
    }

    proptest! {
        /// The consumer reads on while older commits are outstanding, and acknowledges them whenever it likes.
        #[test]
        fn feedback_only_grows_and_never_passes_an_unacknowledged_commit(
            slot_at in 0..100u64,
            knows_slot in any::<bool>(),
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut end = 100;
            let (mut progress, mut now) = started(if knows_slot { slot_at } else { 0 }, end);
            // The server reads the log from where the slot needs it.
            progress.keepalive((slot_at / 2).into(), true);
            let mut outstanding: Vec<Position> = Vec::new();
            let mut last = None;
            let mut acknowledged_at = None;
            let mut reported = Lsn::ZERO;
            for step in steps {
                let before = progress.flushed();
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
                        prop_assert_eq!(progress.flushed(), before);
                    }
                    Step::Keepalive { grown, reply_requested } => {
                        end += grown;
                        progress.keepalive(end.into(), reply_requested);
                        if outstanding.is_empty() {
                            prop_assert_eq!(progress.flushed(), end.into());
                        } else {
                            prop_assert_eq!(progress.flushed(), before);
                        }
                    }
                    Step::Acknowledge { commits, each } => {
                        let done: Vec<_> = outstanding.drain(..commits.min(outstanding.len())).collect();
                        for position in done.iter().skip(if each { 0 } else { done.len().saturating_sub(1) }) {
                            _ = progress.acknowledge(*position);
                            prop_assert!(progress.flushed() >= position.lsn());
                            acknowledged_at.get_or_insert(now);
                            last = Some(*position);
                        }
                    }
                    Step::Repeat => {
                        if let Some(position) = last {
                            prop_assert!(!progress.acknowledge(position));
                            prop_assert_eq!(progress.flushed(), before);
                        }
                    }
                    Step::Stray { number, lsn } => {
                        let stray = Position { lsn: lsn.into(), number, stream: 0 };
                        prop_assert!(!progress.acknowledge(stray));
                        prop_assert_eq!(progress.flushed(), before);
                    }
                    Step::Feedback { millis } => {
                        now += Duration::from_millis(millis);
                        if let Some(update) = progress.feedback(now) {
                            prop_assert!(update.flushed >= reported);
                            prop_assert!(update.flushed <= update.received);
                            prop_assert!(update.flushed == Lsn::ZERO || update.flushed >= slot_at.into());
                            reported = update.flushed;
                            acknowledged_at = None;
                        }
                        prop_assert!(progress.feedback_deadline() > now);
                    }
                }
                if let Some(oldest) = outstanding.first() {
                    prop_assert!(progress.flushed() < oldest.lsn());
                }
                if let Some(at) = acknowledged_at {
                    prop_assert!(progress.feedback_deadline() <= at + REPORT_INTERVAL);
                    prop_assert!(progress.flushed() > reported);
                }
                let lag = progress.lag();
                prop_assert!(lag.flushed <= lag.received && lag.received <= lag.server_end);
                prop_assert!(lag.server_end >= end.into());
            }
        }
    }
}
