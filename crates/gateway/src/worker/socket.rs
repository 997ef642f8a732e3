//! One socket and the table of them.
//!
//! ```text
//!            close (ours) / close frame of the peer        outbox drained        peer's end, or a deadline
//!   Open ────────────────────────────────────────► Closing ──────────────► Shut ──────────────► Ended
//!     │ read or write error, end of stream, overflow                                             ▲
//!     └──────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hub::{Outbox, SocketId};
use phoenix_wire::Version;
use phoenix_wire::close::CloseReason;
use session::Session;
use tokio::io::Interest;
use tokio::net::TcpStream;
use websocket::Frame;

use super::Worker;
use super::listening::Listening;
use super::mail::SocketRef;
use crate::tenant::TenantRuntime;

/// A connected client.
pub(super) struct Socket {
    reference: SocketRef,
    stream: TcpStream,
    tenant: Arc<TenantRuntime>,
    version: Version,
    /// `None` once the socket is closing: it left all its channels.
    session: RefCell<Option<Session<Listening>>>,
    outbox: Rc<Outbox>,
    phase: Cell<Phase>,
    end_reason: Cell<EndReason>,
    /// Bytes of the first queued frame that are written already.
    written: Cell<usize>,
    /// Whether the kernel takes no more bytes for now.
    blocked: Cell<bool>,
    last_heard: Cell<Duration>,
    armed_for: Cell<Duration>,
    reader: Cell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A close frame is queued, or written and unanswered, since this time.
    Closing(Duration),
    Ended,
}

/// Why a socket is gone, for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    /// The peer closed it, or the connection broke.
    Peer,
    /// We closed it.
    Closed(CloseReason),
    /// The peer did not read what was sent to it.
    SlowConsumer,
}

impl EndReason {
    /// Whether it happens all the time and is nobody's fault.
    pub(super) fn is_ordinary(self) -> bool {
        match self {
            Self::Peer => true,
            Self::Closed(reason) => match reason {
                CloseReason::Idle | CloseReason::Restart | CloseReason::NoChannel => true,
                CloseReason::Refused
                | CloseReason::ProtocolError
                | CloseReason::MessageTooBig
                | CloseReason::SlowConsumer => false,
            },
            Self::SlowConsumer => false,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "peer",
            Self::Closed(reason) => reason.as_str(),
            Self::SlowConsumer => CloseReason::SlowConsumer.as_str(),
        })
    }
}

/// Why the reader of a socket is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    Readable,
    Writable,
    Ended,
}

impl Socket {
    pub(super) fn new(
        worker: &Worker,
        reference: SocketRef,
        stream: TcpStream,
        tenant: Arc<TenantRuntime>,
        session: Session<Listening>,
        now: Duration,
    ) -> Self {
        let outbox_bytes_max = worker.shared.settings.outbox_bytes_max;
        Self {
            outbox: Outbox::new(reference.socket, outbox_bytes_max, worker.dirty.clone()),
            reference,
            stream,
            tenant,
            version: session.version(),
            session: RefCell::new(Some(session)),
            phase: Cell::new(Phase::Open),
            end_reason: Cell::new(EndReason::Peer),
            written: Cell::new(0),
            blocked: Cell::new(false),
            last_heard: Cell::new(now),
            armed_for: Cell::new(Duration::MAX),
            reader: Cell::new(None),
        }
    }

    pub(super) fn reference(&self) -> SocketRef {
        self.reference
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn tenant(&self) -> &Arc<TenantRuntime> {
        &self.tenant
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn outbox(&self) -> &Rc<Outbox> {
        &self.outbox
    }

    /// Lets `act` at the session, unless it has ended.
    pub(super) fn with_session<T>(&self, act: impl FnOnce(&mut Session<Listening>) -> T) -> Option<T> {
        self.session.borrow_mut().as_mut().map(act)
    }

    pub(super) fn take_session(&self) -> Option<Session<Listening>> {
        self.session.borrow_mut().take()
    }

    /// Why the socket ended, for logs.
    pub(super) fn end_reason(&self) -> EndReason {
        self.end_reason.get()
    }

    /// Queues a close frame behind everything else; nothing is sent after it.
    pub(super) fn close(&self, reason: CloseReason, now: Duration) {
        if self.phase.get() == Phase::Open {
            self.end_reason.set(EndReason::Closed(reason));
            self.finish(&reason.frame(), now);
        }
    }

    /// Answers the peer's close frame with its own code.
    pub(super) fn close_as_asked(&self, answer: &Frame, now: Duration) {
        if self.phase.get() == Phase::Open {
            self.finish(answer, now);
        }
    }

    fn finish(&self, last: &Frame, now: Duration) {
        self.outbox.finish(Some(last));
        self.phase.set(Phase::Closing(now));
    }

    pub(super) fn is_closing(&self) -> bool {
        self.phase.get() != Phase::Open
    }

    pub(super) fn has_ended(&self) -> bool {
        self.phase.get() == Phase::Ended
    }

    /// Everything including the close frame is written: tells the peer that no more will come.
    pub(super) fn shut(&self) {
        if socket2::SockRef::from(&self.stream)
            .shutdown(Shutdown::Write)
            .is_err()
        {
            self.end(EndReason::Peer);
        }
    }

    /// The connection is of no more use.
    pub(super) fn end(&self, reason: EndReason) {
        if self.phase.get() == Phase::Open {
            self.end_reason.set(reason);
        }
        self.phase.set(Phase::Ended);
        self.wake_reader();
    }

    /// Bytes arrived.
    pub(super) fn heard(&self, now: Duration) {
        self.last_heard.set(now);
    }

    pub(super) fn is_idle(&self, now: Duration, timeout: Duration) -> bool {
        self.phase.get() == Phase::Open && now >= self.last_heard.get() + timeout
    }

    /// When the socket wants to be looked at.
    pub(super) fn next_look(&self, idle_timeout: Duration) -> Option<Duration> {
        match self.phase.get() {
            Phase::Open => {
                let session = self.session.borrow();
                let timeout = session
                    .as_ref()
                    .and_then(Session::next_timeout)
                    .unwrap_or(Duration::MAX);
                Some(timeout.min(self.last_heard.get() + idle_timeout))
            }
            Phase::Closing(since) => Some(since + CLOSE_TIMEOUT),
            Phase::Ended => None,
        }
    }

    /// Whether a closing peer has been waited for long enough.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        matches!(self.phase.get(), Phase::Closing(since) if now >= since + CLOSE_TIMEOUT)
    }

    /// When the earliest of its deadlines in the worker's heap is due.
    pub(super) fn armed_for(&self) -> Duration {
        self.armed_for.get()
    }

    pub(super) fn set_armed_for(&self, at: Duration) {
        self.armed_for.set(at);
    }

    pub(super) fn written(&self) -> usize {
        self.written.get()
    }

    pub(super) fn set_written(&self, bytes: usize) {
        self.written.set(bytes);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Everything has been read: to read once more, only to be told so, is spared until the kernel says that more came.
    pub(super) fn expect_more(&self) {
        self.await_the_kernel(Interest::READABLE);
    }

    /// The kernel took no more: the reader waits until it does.
    pub(super) fn expect_room(&self) {
        self.await_the_kernel(Interest::WRITABLE);
        if !self.blocked.replace(true) {
            self.wake_reader();
        }
    }

    /// Lets the runtime forget that the socket was ready, until the kernel says so again.
    fn await_the_kernel(&self, interest: Interest) {
        let nothing = || Err::<(), _>(ErrorKind::WouldBlock.into());
        // That error, or the same because it is known already.
        let _ = self.stream.try_io(interest, nothing);
    }

    /// The kernel takes bytes again.
    pub(super) fn unblock(&self) {
        self.blocked.set(false);
    }

    /// Pending until there is something to read, to write after a pause, or nothing to wait for any more.
    pub(super) fn poll_wake(&self, cx: &mut Context<'_>) -> Poll<Wake> {
        let known = self.reader.take().filter(|known| known.will_wake(cx.waker()));
        self.reader.set(Some(known.unwrap_or_else(|| cx.waker().clone())));
        if self.has_ended() {
            return Poll::Ready(Wake::Ended);
        }
        if self.blocked.get() && self.stream.poll_write_ready(cx).is_ready() {
            return Poll::Ready(Wake::Writable);
        }
        self.stream.poll_read_ready(cx).map(|_| Wake::Readable)
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Sockets by slot. A slot is reused, with another generation.
#[derive(Default)]
pub(super) struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    socket: Option<Rc<Socket>>,
}

impl Sockets {
    pub(super) fn insert(&mut self, make: impl FnOnce(SocketId, u32) -> Socket) -> Rc<Socket> {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("there are fewer file descriptors than that")
        });
        let slot = &mut self.slots[at as usize];
        slot.generation = slot.generation.wrapping_add(1);
        let socket = Rc::new(make(SocketId(at), slot.generation));
        slot.socket = Some(socket.clone());
        socket
    }

    pub(super) fn remove(&mut self, reference: SocketRef) {
        let at = reference.socket.0;
        if let Some(slot) = self.slots.get_mut(at as usize)
            && slot.generation == reference.generation
            && slot.socket.take().is_some()
        {
            self.free.push(at);
        }
    }

    pub(super) fn get(&self, id: SocketId) -> Option<Rc<Socket>> {
        self.slots.get(id.0 as usize)?.socket.clone()
    }

    pub(super) fn peek(&self, id: SocketId) -> Option<&Rc<Socket>> {
        self.slots.get(id.0 as usize)?.socket.as_ref()
    }

    /// As [`Sockets::get`]; `None` if the slot has another user by now.
    pub(super) fn find(&self, id: SocketId, generation: u32) -> Option<Rc<Socket>> {
        self.get(id)
            .filter(|socket| socket.reference.generation == generation)
    }

    pub(super) fn all(&self) -> Vec<Rc<Socket>> {
        self.slots.iter().filter_map(|slot| slot.socket.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }
}

/// The correlation id of a socket in logs: worker, slot, generation.
impl fmt::Display for SocketRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.worker.0, self.socket.0, self.generation)
    }
}

/// How long the peer may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
