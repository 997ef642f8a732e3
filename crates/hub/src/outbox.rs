//! What waits to be written to one socket: bounded in bytes, drained by the worker that owns the socket.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use websocket::Frame;

/// Index of a socket in its worker's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(pub u32);

/// Where an outbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxState {
    /// Takes frames.
    Open,
    /// Takes no more frames; what is queued is still written, then the socket closes.
    Closing,
    /// The byte budget was spent: the queue was discarded and the socket is to be closed.
    Overflowed,
}

/// The queue of frames for one socket.
///
/// ```text
///            push over budget
///   Open ───────────────────────► Overflowed
///    │ finish
///    └──────────► Closing
/// ```
#[derive(Debug)]
pub struct Outbox {
    socket: SocketId,
    bytes_max: usize,
    bytes: Cell<usize>,
    state: Cell<OutboxState>,
    listed: Cell<bool>,
    queue: RefCell<VecDeque<Frame>>,
    dirty: Rc<DirtyList>,
}

impl Outbox {
    /// An empty outbox that closes its socket rather than hold more than `bytes_max` bytes.
    pub fn new(socket: SocketId, bytes_max: usize, dirty: Rc<DirtyList>) -> Rc<Self> {
        Rc::new(Self {
            socket,
            bytes_max,
            bytes: Cell::new(0),
            state: Cell::new(OutboxState::Open),
            listed: Cell::new(false),
            queue: RefCell::new(VecDeque::new()),
            dirty,
        })
    }

    /// Queues a frame; one reference count and one slot. A frame that exceeds the budget spends it.
    pub fn push(self: &Rc<Self>, frame: &Frame) {
        if self.state.get() != OutboxState::Open {
            return;
        }
        let bytes = self.bytes.get() + frame.len();
        if bytes > self.bytes_max {
            self.overflow();
            return;
        }
        self.bytes.set(bytes);
        self.queue.borrow_mut().push_back(frame.clone());
        self.list();
    }

    /// Queues a last frame and refuses all that come after it.
    pub fn finish(self: &Rc<Self>, last: Option<&Frame>) {
        if self.state.get() != OutboxState::Open {
            return;
        }
        if let Some(frame) = last {
            self.bytes.set(self.bytes.get() + frame.len());
            self.queue.borrow_mut().push_back(frame.clone());
        }
        self.state.set(OutboxState::Closing);
        self.list();
    }

    /// The socket this outbox belongs to.
    pub fn socket(&self) -> SocketId {
        self.socket
    }

    /// Where the outbox stands.
    pub fn state(&self) -> OutboxState {
        self.state.get()
    }

    /// Bytes waiting to be written.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Calls `write` with the waiting frames; `write` returns how many bytes of them it took from the front, where
    /// `skipped` bytes of the first frame had been taken before. Returns the bytes now taken of the new first frame.
    pub fn drain(&self, skipped: usize, write: impl FnOnce(&VecDeque<Frame>) -> usize) -> usize {
        let mut queue = self.queue.borrow_mut();
        let mut taken = skipped + write(&queue);
        while let Some(first) = queue.front() {
            if taken < first.len() {
                return taken;
            }
            taken -= first.len();
            self.bytes.set(self.bytes.get() - first.len());
            queue.pop_front();
        }
        if queue.capacity() > IDLE_SLOTS_MAX {
            queue.shrink_to(IDLE_SLOTS_MAX);
        }
        0
    }

    /// Takes the outbox off the dirty list's books; the worker calls it when it starts to drain.
    pub fn unlist(&self) {
        self.listed.set(false);
    }

    fn overflow(self: &Rc<Self>) {
        self.state.set(OutboxState::Overflowed);
        *self.queue.borrow_mut() = VecDeque::new();
        self.bytes.set(0);
        self.list();
    }

    fn list(self: &Rc<Self>) {
        if !self.listed.replace(true) {
            self.dirty.push(self.clone());
        }
    }
}

/// Outboxes of one worker with something to write, in the order in which they became so.
///
/// An outbox is listed at most once, so the list is bounded by the number of sockets.
#[derive(Default)]
pub struct DirtyList {
    outboxes: RefCell<Vec<Rc<Outbox>>>,
    waker: Cell<Option<Waker>>,
}

impl DirtyList {
    /// Whether every outbox has been taken.
    pub fn is_empty(&self) -> bool {
        self.outboxes.borrow().is_empty()
    }

    /// Exchanges the list for `empty` (whose capacity is reused); registers `waker` when there was nothing.
    pub fn swap(&self, empty: &mut Vec<Rc<Outbox>>, waker: &Waker) {
        debug_assert!(empty.is_empty());
        let mut outboxes = self.outboxes.borrow_mut();
        if outboxes.is_empty() {
            let known = self.waker.take().filter(|known| known.will_wake(waker));
            self.waker.set(Some(known.unwrap_or_else(|| waker.clone())));
        } else {
            std::mem::swap(&mut *outboxes, empty);
        }
    }

    fn push(&self, outbox: Rc<Outbox>) {
        let mut outboxes = self.outboxes.borrow_mut();
        outboxes.push(outbox);
        if outboxes.len() == 1
            && let Some(waker) = self.waker.take()
        {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }
}

impl std::fmt::Debug for DirtyList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirtyList").finish_non_exhaustive()
    }
}

/// Queue slots an idle outbox may keep allocated. A slot is 32 bytes.
const IDLE_SLOTS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use websocket::{FrameBuilder, Opcode};

    fn frame(len: usize) -> Frame {
        let mut builder = FrameBuilder::new(Opcode::Text, len);
        builder.extend_from_slice(&vec![b'x'; len]);
        builder.finish()
    }

    fn outbox(bytes_max: usize) -> (Rc<Outbox>, Rc<DirtyList>) {
        let dirty = Rc::new(DirtyList::default());
        (Outbox::new(SocketId(7), bytes_max, dirty.clone()), dirty)
    }

    fn listed(dirty: &DirtyList) -> Vec<Rc<Outbox>> {
        let mut list = Vec::new();
        dirty.swap(&mut list, Waker::noop());
        list
    }

    #[test]
    fn an_outbox_is_listed_once_however_much_is_pushed() {
        let (outbox, dirty) = outbox(1000);
        outbox.push(&frame(10));
        outbox.push(&frame(10));
        assert_eq!(listed(&dirty).len(), 1);
        outbox.unlist();
        outbox.push(&frame(10));
        assert_eq!(listed(&dirty).len(), 1);
    }

    #[test]
    fn spending_the_budget_discards_the_queue_and_asks_for_the_close() {
        let (outbox, dirty) = outbox(30);
        outbox.push(&frame(10));
        outbox.push(&frame(20));
        assert_eq!(outbox.state(), OutboxState::Overflowed);
        assert_eq!((outbox.bytes(), outbox.is_empty()), (0, true));
        assert_eq!(listed(&dirty).len(), 1);
        outbox.push(&frame(1));
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_partial_write_keeps_the_rest_of_the_first_frame() {
        let (outbox, _dirty) = outbox(1000);
        outbox.push(&frame(10)); // 12 bytes with its header
        outbox.push(&frame(10));
        let taken = outbox.drain(0, |queue| {
            assert_eq!(queue.len(), 2);
            15
        });
        assert_eq!((taken, outbox.bytes()), (3, 12));
        assert_eq!(outbox.drain(taken, |_| 9), 0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn nothing_follows_the_last_frame() {
        let (outbox, _dirty) = outbox(1000);
        outbox.finish(Some(&frame(1)));
        outbox.push(&frame(1));
        outbox.drain(0, |queue| {
            assert_eq!(queue.len(), 1);
            0
        });
    }
}
