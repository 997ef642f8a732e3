//! All time of a session: a small heap of deadlines, cancelled by being ignored.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The refusal of a join is to be sent.
    Refusal,
    /// A channel's token has expired or is to be checked again.
    Token,
    /// A channel has waited long enough for broadcasts from the database to flow.
    Replication,
}

/// A deadline of the channel with this serial. It counts only as long as the channel still expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(crate) at: Duration,
    pub(crate) serial: u32,
    pub(crate) timer: Timer,
}

/// Deadlines of channels, live ones and such as nobody expects any more.
#[derive(Debug, Default)]
pub(crate) struct TimerTable {
    due: BinaryHeap<Reverse<Deadline>>,
}

impl TimerTable {
    pub(crate) fn arm(&mut self, deadline: Deadline) {
        self.due.push(Reverse(deadline));
    }

    /// The next deadline that has passed.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Deadline> {
        let &Reverse(deadline) = self.due.peek()?;
        (deadline.at <= now).then(|| {
            self.due.pop();
            deadline
        })
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse(deadline)| deadline.at)
    }

    /// Keeps only the deadlines that `live` yields, when there are many more than `channels` can expect.
    pub(crate) fn prune<I: Iterator<Item = Deadline>>(&mut self, channels: usize, live: impl FnOnce() -> I) {
        if self.due.len() > PER_CHANNEL * channels + SLACK {
            self.due = live().map(Reverse).collect();
        }
    }
}

/// Deadlines a channel may expect at a time.
const PER_CHANNEL: usize = 2;
/// Dead deadlines a session may hold besides its live ones.
const SLACK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(seconds: u64, serial: u32, timer: Timer) -> Deadline {
        Deadline {
            at: Duration::from_secs(seconds),
            serial,
            timer,
        }
    }

    #[test]
    fn deadlines_come_in_order_and_only_when_due() {
        let mut timers = TimerTable::default();
        timers.arm(deadline(5, 1, Timer::Refusal));
        timers.arm(deadline(3, 2, Timer::Token));
        assert_eq!(timers.next(), Some(Duration::from_secs(3)));
        assert_eq!(timers.pop_due(Duration::from_secs(2)), None);
        assert_eq!(
            timers.pop_due(Duration::from_secs(6)),
            Some(deadline(3, 2, Timer::Token))
        );
        assert_eq!(
            timers.pop_due(Duration::from_secs(6)),
            Some(deadline(5, 1, Timer::Refusal))
        );
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn rejoining_for_ever_does_not_pile_up_deadlines() {
        let mut timers = TimerTable::default();
        for serial in 0..1_000 {
            let live = deadline(3600, serial, Timer::Token);
            timers.arm(live);
            timers.prune(1, || [live].into_iter());
        }
        assert!(timers.due.len() <= PER_CHANNEL + SLACK);
    }
}
