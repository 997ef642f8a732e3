//! What a feed counts, for its operator.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use changes::Timestamp;

/// The figures of one feed. Written by the feed alone, read by whoever wants to know.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The slot streams.
    pub(crate) is_streaming: Flag,
    /// Channels that are subscribed.
    pub(crate) subscriptions: Figure,
    /// What the database has written and the feed has not acknowledged. Bytes of the log.
    pub(crate) bytes_behind: Figure,
    /// From the commit of the transaction delivered last to its frames being mailed, by both clocks. Microseconds.
    pub(crate) delay_micros: Figure,
    /// Transactions delivered.
    pub(crate) transactions: Figure,
    /// Changes of rows read.
    pub(crate) changes: Figure,
    /// Frames mailed.
    pub(crate) deliveries: Figure,
    /// Answers of policies that were evaluated in memory.
    pub(crate) checks_in_memory: Figure,
    /// Answers of policies that the database was asked for.
    pub(crate) checks_asked: Figure,
    /// Rounds of asking.
    pub(crate) rounds: Figure,
    /// Times that changes may have been lost.
    pub(crate) gaps: Figure,
    /// Broadcasts from the database that were published.
    pub(crate) messages: Figure,
    /// Broadcasts from the database that were dropped.
    pub(crate) messages_dropped: Figure,
    /// Changes that were too large to be read.
    pub(crate) oversized: Figure,
}

impl Figures {
    /// A transaction is delivered. `committed` is when the database committed it, `wall` the time since the Unix epoch.
    pub(crate) fn see_commit(&self, committed: Option<Timestamp>, wall: Duration) {
        self.transactions.add(1);
        if let Some(Timestamp(micros)) = committed {
            let wall = i64::try_from(wall.as_micros()).unwrap_or(i64::MAX);
            let delay = wall.saturating_sub(MICROS_TO_2000).saturating_sub(micros);
            // Clocks that differ can make it negative.
            self.delay_micros.set(u64::try_from(delay).unwrap_or(0));
        }
    }
}

/// A count or a measure.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

/// A yes or no.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Figure {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Flag {
    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// From the Unix epoch to 2000-01-01, from which PostgreSQL counts. Microseconds.
const MICROS_TO_2000: i64 = 946_684_800_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_that_of_the_last_transaction_and_never_negative() {
        let figures = Figures::default();
        let wall = Duration::from_secs(946_684_800 + 10);
        for (committed, delay) in [(9_000_000, 1_000_000), (10_000_001, 0), (-1, 10_000_001)] {
            figures.see_commit(Some(Timestamp(committed)), wall);
            assert_eq!(figures.delay_micros.get(), delay);
        }
        figures.see_commit(None, wall);
        assert_eq!(
            (figures.transactions.get(), figures.delay_micros.get()),
            (4, 10_000_001)
        );
    }
}
