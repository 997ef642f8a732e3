//! A channel's place among the listeners of its topic, which may hold back what is published there: a channel that asked
//! for messages of the past listens before they are read, and hears afterwards.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::task::Waker;

use hub::{DirtyList, Outbox, OutboxState, SocketId, Subscription};
use websocket::Frame;

/// A subscription to a topic.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) subscription: Subscription,
    /// Where what is published waits, until it is released.
    pub(super) held: Option<Held>,
    /// What the member may read: broadcasts, and who is present. Of public channels everything.
    reads: Cell<(bool, bool)>,
}

impl Listening {
    pub(super) fn new(subscription: Subscription, held: Option<Held>) -> Self {
        Self {
            subscription,
            held,
            reads: Cell::new((true, true)),
        }
    }

    pub(super) fn set_reads(&self, broadcasts: bool, presence: bool) {
        self.reads.set((broadcasts, presence));
        self.subscription.set_reads(broadcasts, presence);
    }

    /// Puts another subscription in the place of the one there is, which is returned.
    pub(super) fn replace(&mut self, subscription: Subscription) -> Subscription {
        let (broadcasts, presence) = self.reads.get();
        subscription.set_reads(broadcasts, presence);
        std::mem::replace(&mut self.subscription, subscription)
    }
}

/// Frames that wait to be sent, as many bytes as may wait for a socket.
#[derive(Debug)]
pub(super) struct Held {
    outbox: Rc<Outbox>,
    dirty: Rc<DirtyList>,
}

impl Held {
    pub(super) fn new(socket: SocketId, bytes_max: usize) -> Self {
        let dirty = Rc::new(DirtyList::default());
        Self {
            outbox: Outbox::new(socket, bytes_max, dirty.clone()),
            dirty,
        }
    }

    pub(super) fn outbox(&self) -> &Rc<Outbox> {
        &self.outbox
    }

    /// Sends what has waited, but for messages with one of these ids. False if too much has waited.
    pub(super) fn release(
        &self,
        replayed: &HashSet<Box<str>>,
        version: phoenix_wire::Version,
        to: &Rc<Outbox>,
    ) -> bool {
        let is_news = |frame: &&Frame| {
            let id = session::broadcast::id_of(frame, version);
            id.is_none_or(|id| !replayed.contains(&*id))
        };
        self.outbox.drain(0, |frames| {
            frames.iter().filter(is_news).for_each(|frame| to.push(frame));
            frames.iter().map(Frame::len).sum()
        });
        self.outbox.state() != OutboxState::Overflowed
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The list holds the outbox, and the outbox the list.
        self.dirty.swap(&mut Vec::new(), Waker::noop());
    }
}
