//! Facts about a tenant's traffic, counted where it happens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters of one tenant. The hub only counts; what a rate means and when it trips is decided elsewhere
/// (`session::limits`), which also sets [`Tally::set_overloaded`].
#[derive(Debug, Default)]
pub struct Tally {
    broadcasts: AtomicU64,
    presence_diffs: AtomicU64,
    overloaded: AtomicBool,
}

impl Tally {
    /// Adds `count` broadcast events: sent, delivered, or unknown client events.
    pub fn add_broadcasts(&self, count: u64) {
        self.broadcasts.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds `count` presence events: snapshots, tracks, delivered diffs.
    pub fn add_presence(&self, count: u64) {
        self.presence_diffs.fetch_add(count, Ordering::Relaxed);
    }

    /// Broadcast events since the last call.
    pub fn take_broadcasts(&self) -> u64 {
        self.broadcasts.swap(0, Ordering::Relaxed)
    }

    /// Presence events since the last call.
    pub fn take_presence(&self) -> u64 {
        self.presence_diffs.swap(0, Ordering::Relaxed)
    }

    /// Whether channels that receive a broadcast are to be shut down (broadcast.md, section 10).
    pub fn is_overloaded(&self) -> bool {
        self.overloaded.load(Ordering::Relaxed)
    }

    /// Records the outcome of the last rate tick.
    pub fn set_overloaded(&self, overloaded: bool) {
        self.overloaded.store(overloaded, Ordering::Relaxed);
    }
}
