//! All timers of a worker in one heap, behind one timer of the runtime.
//!
//! A socket has one entry that counts, that of its earliest deadline. Entries that were overtaken by an earlier one are
//! recognised by their time when they come up, and dropped. A socket that keeps talking costs nothing here until its idle
//! deadline comes up, once a minute.

use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hub::{SocketId, Topic};

/// What a deadline is for.
#[derive(Debug, Clone)]
pub(super) enum Due {
    /// A socket wants to be looked at.
    Socket(SocketId, u32),
    /// A topic has presence changes that waited to be merged.
    Presence(Arc<Topic>),
}

/// The deadlines of one worker.
#[derive(Default)]
pub(super) struct Deadlines {
    heap: RefCell<BinaryHeap<Reverse<Entry>>>,
    sequence: Cell<u64>,
    waker: Cell<Option<Waker>>,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    sequence: u64,
    due: Due,
}

impl Deadlines {
    /// Adds a deadline.
    pub(super) fn arm(&self, at: Duration, due: Due) {
        let mut heap = self.heap.borrow_mut();
        let is_earliest = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        self.sequence.set(self.sequence.get() + 1);
        heap.push(Reverse(Entry {
            at,
            sequence: self.sequence.get(),
            due,
        }));
        if is_earliest && let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Removes the next deadline that has passed, and tells when it was.
    pub(super) fn pop(&self, now: Duration) -> Option<(Duration, Due)> {
        let mut heap = self.heap.borrow_mut();
        heap.peek().filter(|Reverse(first)| first.at <= now)?;
        heap.pop().map(|Reverse(entry)| (entry.at, entry.due))
    }

    /// When the next deadline is. `waker` is woken if an earlier one is added.
    pub(super) fn next(&self, waker: &Waker) -> Option<Duration> {
        self.waker.set(Some(waker.clone()));
        self.heap.borrow().peek().map(|Reverse(first)| first.at)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
