//! What other threads send to a worker: one queue, swapped out whole, so a burst costs one lock and one wake-up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hub::{Courier, Delivery, SocketId, WorkerId};
use session::{Completion, Connection, Ticket};
use tokio::sync::mpsc;
use websocket::Frame;

use crate::tenant::TenantRuntime;

/// A message to a worker.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A connection for it to serve.
    Connection(std::net::TcpStream),
    /// A socket that sits better with it.
    Seat(Newcomer),
    /// A publication for its listeners.
    Deliver(Delivery),
    /// Work that one of its sockets asked for is done.
    Complete(SocketRef, Completion),
    /// Changes for channels of its sockets. The receipt is dropped when they have been written.
    Changes(Vec<ChangeFrame>, Option<Arc<Receipt>>),
    /// Close every socket and stop.
    Drain,
}

/// A socket without channels, and what its client has sent.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) early: Bytes,
    pub(crate) tenant: Arc<TenantRuntime>,
    pub(crate) connection: Connection,
}

impl Mail {
    /// What it puts into outboxes, as far as that is much. Bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Changes(frames, _) => frames.iter().map(|change| change.frame.len()).sum(),
            _ => 0,
        }
    }
}

/// Names a socket across threads; stale once the socket is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SocketRef {
    /// Its worker.
    pub(crate) worker: WorkerId,
    /// Its slot there.
    pub(crate) socket: SocketId,
    /// Which user of the slot.
    pub(crate) generation: u32,
}

/// One change, finished for one channel.
#[derive(Debug)]
pub(crate) struct ChangeFrame {
    /// Whose.
    pub(crate) socket: SocketRef,
    /// The channel's subscription.
    pub(crate) ticket: Ticket,
    /// The frame, shared by all channels of one serializer, topic and ids.
    pub(crate) frame: Frame,
}

/// Says that mail has been dealt with, once everybody who got some of it has dropped it: changes that are in the hands of
/// the kernel survive a crash of the process. What waits for a client that does not read is not waited for.
#[derive(Debug)]
pub(crate) struct Receipt {
    number: u64,
    to: mpsc::UnboundedSender<u64>,
}

impl Receipt {
    /// A receipt that sends its number.
    pub(crate) fn new(number: u64, to: mpsc::UnboundedSender<u64>) -> Self {
        Self { number, to }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        // Nobody wants it any more when the server stops.
        let _ = self.to.send(self.number);
    }
}

/// The mailboxes of all workers.
#[derive(Debug)]
pub(crate) struct Ports {
    ports: Box<[Port]>,
}

/// One worker's mailbox.
#[derive(Debug, Default)]
struct Port {
    waiting: Mutex<Waiting>,
    length: AtomicUsize,
    /// Sockets of the worker.
    sockets: AtomicUsize,
    /// Of the changes that wait. Bytes.
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    mail: Vec<Mail>,
    receiver: Option<Waker>,
    senders: Vec<Waker>,
}

impl Ports {
    /// Mailboxes for `workers` workers.
    pub(crate) fn new(workers: u16) -> Arc<Self> {
        Arc::new(Self {
            ports: (0..workers).map(|_| Port::default()).collect(),
        })
    }

    /// Every worker.
    pub(crate) fn workers(&self) -> impl ExactSizeIterator<Item = WorkerId> + use<> {
        (0..u16::try_from(self.ports.len()).unwrap_or(u16::MAX)).map(WorkerId)
    }

    /// Queues `mail` for `worker`. Never blocks; senders of many mails await [`Ports::poll_relaxed`] between them.
    pub(crate) fn send(&self, worker: WorkerId, mail: Mail) {
        let port = self.port(worker);
        let bytes = mail.bytes();
        let receiver = {
            let mut waiting = port.lock();
            waiting.mail.push(mail);
            port.length.store(waiting.mail.len(), Ordering::Relaxed);
            port.bytes.fetch_add(bytes, Ordering::Relaxed);
            waiting.receiver.take()
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// Exchanges the worker's queue for `empty`; pending while there is no mail.
    pub(crate) fn poll_receive(
        &self,
        worker: WorkerId,
        cx: &mut Context<'_>,
        empty: &mut Vec<Mail>,
    ) -> Poll<()> {
        let port = self.port(worker);
        let mut waiting = port.lock();
        if waiting.mail.is_empty() {
            waiting.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        }
        std::mem::swap(&mut waiting.mail, empty);
        port.length.store(0, Ordering::Relaxed);
        port.bytes.store(0, Ordering::Relaxed);
        let senders = std::mem::take(&mut waiting.senders);
        drop(waiting);
        senders.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }

    /// Whether mail waits for the worker.
    pub(crate) fn has_mail(&self, worker: WorkerId) -> bool {
        self.port(worker).length.load(Ordering::Relaxed) > 0
    }

    /// Pending while some worker is [`MAIL_RELAXED_MAX`] mails or [`CHANGES_RELAXED_MAX`] bytes of changes behind: the back-pressure that bounds the queues. A
    /// socket sends at most one read buffer of messages between two looks, a request over HTTP at most one batch.
    pub(crate) fn poll_relaxed(&self, cx: &mut Context<'_>) -> Poll<()> {
        for port in &self.ports {
            if port.is_behind() {
                let mut waiting = port.lock();
                // It may have caught up meanwhile, and would not wake anybody any more.
                if port.is_behind() {
                    waiting.senders.push(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    /// Notes that the worker has a socket more.
    pub(crate) fn add_socket(&self, worker: WorkerId) {
        self.port(worker).sockets.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the worker has a socket less.
    pub(crate) fn remove_socket(&self, worker: WorkerId) {
        self.port(worker).sockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the worker has about as few sockets as any.
    pub(crate) fn has_room(&self, worker: WorkerId) -> bool {
        let sockets = |port: &Port| port.sockets.load(Ordering::Relaxed);
        let least = self.ports.iter().map(sockets).min().unwrap_or_default();
        sockets(self.port(worker)) <= least + SOCKETS_APART_MAX
    }

    fn port(&self, worker: WorkerId) -> &Port {
        &self.ports[usize::from(worker.0)]
    }
}

impl Port {
    fn is_behind(&self) -> bool {
        self.length.load(Ordering::Relaxed) > MAIL_RELAXED_MAX
            || self.bytes.load(Ordering::Relaxed) > CHANGES_RELAXED_MAX
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Courier for Ports {
    fn deliver(&self, worker: WorkerId, delivery: Delivery) {
        self.send(worker, Mail::Deliver(delivery));
    }
}

/// Bytes of changes a worker may be behind before publishers wait for it.
const CHANGES_RELAXED_MAX: usize = 16 << 20;
/// Sockets a worker may have more than another before new connections pass it by.
const SOCKETS_APART_MAX: usize = 64;
/// Mails a worker may be behind before publishers wait for it.
const MAIL_RELAXED_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_comes_in_order_and_in_one_swap() {
        let ports = Ports::new(2);
        let mut cx = Context::from_waker(Waker::noop());
        let mut mail = Vec::new();
        assert!(ports.poll_receive(WorkerId(1), &mut cx, &mut mail).is_pending());
        ports.send(WorkerId(1), Mail::Changes(Vec::new(), None));
        ports.send(WorkerId(1), Mail::Drain);
        assert!(ports.poll_receive(WorkerId(1), &mut cx, &mut mail).is_ready());
        assert!(matches!(mail[..], [Mail::Changes(..), Mail::Drain]));
        assert!(
            ports
                .poll_receive(WorkerId(0), &mut cx, &mut Vec::new())
                .is_pending()
        );
    }

    #[test]
    fn a_worker_far_behind_holds_publishers_until_it_takes_its_mail() {
        let ports = Ports::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..=MAIL_RELAXED_MAX {
            assert!(ports.poll_relaxed(&mut cx).is_ready());
            ports.send(WorkerId(0), Mail::Drain);
        }
        assert!(ports.poll_relaxed(&mut cx).is_pending());
        assert!(
            ports
                .poll_receive(WorkerId(0), &mut cx, &mut Vec::new())
                .is_ready()
        );
        assert!(ports.poll_relaxed(&mut cx).is_ready());
    }
}
