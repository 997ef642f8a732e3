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
}

/// Deadlines of channels, named by their serial. A deadline of a channel that is gone is harmless.
#[derive(Debug, Default)]
pub(crate) struct TimerTable {
    due: BinaryHeap<Reverse<(Duration, u32, Timer)>>,
}

impl TimerTable {
    /// Arms `timer` of channel `serial`.
    pub(crate) fn arm(&mut self, at: Duration, serial: u32, timer: Timer) {
        self.due.push(Reverse((at, serial, timer)));
    }

    /// The next deadline that has passed.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<(u32, Timer)> {
        let &Reverse((at, serial, timer)) = self.due.peek()?;
        (at <= now).then(|| {
            self.due.pop();
            (serial, timer)
        })
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Drops the deadlines of channels for which `is_live` is false, when there are many more than channels.
    pub(crate) fn prune(&mut self, channels: usize, is_live: impl Fn(u32) -> bool) {
        if self.due.len() > 2 * channels + SLACK {
            self.due.retain(|Reverse((_, serial, _))| is_live(*serial));
            self.due.shrink_to(2 * channels);
        }
    }
}

/// Dead deadlines a session may hold besides its live ones.
const SLACK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_only_when_due() {
        let mut timers = TimerTable::default();
        timers.arm(Duration::from_secs(5), 1, Timer::Refusal);
        timers.arm(Duration::from_secs(3), 2, Timer::Token);
        assert_eq!(timers.next(), Some(Duration::from_secs(3)));
        assert_eq!(timers.pop_due(Duration::from_secs(2)), None);
        assert_eq!(timers.pop_due(Duration::from_secs(6)), Some((2, Timer::Token)));
        assert_eq!(timers.pop_due(Duration::from_secs(6)), Some((1, Timer::Refusal)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn rejoining_for_ever_does_not_pile_up_deadlines() {
        let mut timers = TimerTable::default();
        for serial in 0..1_000 {
            timers.arm(Duration::from_secs(3600), serial, Timer::Token);
            timers.prune(1, |live| live == serial);
        }
        assert!(timers.due.len() <= SLACK + 3);
    }
}
