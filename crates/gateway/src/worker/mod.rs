//! A worker: one thread, one runtime, the sockets that belong to it and their subscriptions.
//!
//! Four kinds of task share a worker, and nothing of it is ever touched by another thread:
//!
//! - one task per socket ([`reader`]), which sleeps until the kernel has bytes and then feeds them to the session;
//! - the writer ([`writer`]), which drains the outboxes that became non-empty since its last turn;
//! - the mail task below, through which everything from other threads arrives ([`mail`]);
//! - the clock task below, which serves every deadline of every socket from one heap ([`deadlines`]).
//!
//! # Invariants
//!
//! - A session is borrowed only while it handles one event, and nothing it causes enters another session: overload
//!   and closing are noted and dealt with when the event is over ([`Worker::aftermath`]).
//! - A socket that is idle holds no buffer: bytes are read into one buffer per worker.
//! - No `await` while anything is borrowed.

mod deadlines;
mod driver;
mod listening;
pub(crate) mod mail;
mod reader;
mod seating;
mod socket;
mod writer;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hub::{DirtyList, Fanout, LocalHub, SocketId, WorkerId};
use phoenix_wire::close::CloseReason;
use presence::MemberId;
use session::{Connection, Now, Session};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tracing::{debug, info};

use self::deadlines::{Deadlines, Due};
use self::driver::Driver;
use self::mail::{ChangeFrame, Mail, Ports, Receipt, SocketRef};
use self::seating::Seat;
use self::socket::{EndReason, Socket, Sockets};
use crate::clock::Clock;
use crate::http;
use crate::tenant::{TenantRuntime, Tenants};

/// What all workers of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) ports: Arc<Ports>,
    pub(crate) tenants: Tenants,
    pub(crate) settings: Settings,
    /// Who may read the metrics.
    pub(crate) metrics: http::Readers,
}

/// Bounds and delays of every socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) outbox_bytes_max: usize,
    pub(crate) frame_bytes_max: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) handshake_refusal_delay: Duration,
}

/// One worker.
pub(crate) struct Worker {
    id: WorkerId,
    shared: Arc<Shared>,
    hub: LocalHub,
    dirty: Rc<DirtyList>,
    deadlines: Deadlines,
    sockets: RefCell<Sockets>,
    /// Channels that received a broadcast of an overloaded tenant and are to end for it.
    overloaded: RefCell<Vec<(SocketId, MemberId)>>,
    /// Of changes that wait to be written.
    receipts: RefCell<Vec<Arc<Receipt>>>,
    read_buffer: RefCell<Box<[u8]>>,
    draining: Cell<bool>,
}

/// Runs worker `id` on this thread until it is told to drain and its last socket is gone.
///
/// # Errors
///
/// The runtime could not be made.
pub(crate) fn run(shared: Arc<Shared>, id: WorkerId) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let dirty = Rc::new(DirtyList::default());
    let worker = Rc::new(Worker {
        id,
        shared,
        hub: LocalHub::new(id),
        dirty,
        deadlines: Deadlines::default(),
        sockets: RefCell::default(),
        overloaded: RefCell::default(),
        receipts: RefCell::default(),
        read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
        draining: Cell::new(false),
    });
    runtime.block_on(async {
        tokio::task::spawn_local(writer::run(worker.clone()));
        tokio::task::spawn_local(worker.clone().keep_time());
        worker.sort_mail().await;
    });
    Ok(())
}

impl Worker {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves a connection whose handshake is over. `early` is what the client sent behind its handshake.
    pub(crate) fn adopt(
        self: &Rc<Self>,
        stream: TcpStream,
        early: Bytes,
        tenant: Arc<TenantRuntime>,
        connection: Connection,
    ) {
        tenant.add_socket();
        let seat = if self.shared.ports.workers().len() > 1 {
            Seat::Preliminary
        } else {
            Seat::Final
        };
        self.seat(stream, early, tenant, connection, seat);
    }

    fn seat(
        self: &Rc<Self>,
        stream: TcpStream,
        early: Bytes,
        tenant: Arc<TenantRuntime>,
        connection: Connection,
        seat: Seat,
    ) {
        let now = self.shared.clock.now().elapsed;
        let session = Session::new(connection, tenant.session().clone());
        let socket = self.sockets.borrow_mut().insert(|id, generation| {
            Socket::new(
                self,
                SocketRef {
                    worker: self.id,
                    socket: id,
                    generation,
                },
                stream,
                tenant,
                session,
                now,
            )
        });
        self.shared.ports.add_socket(self.id);
        debug!(socket = %socket.reference(), tenant = %socket.tenant().name(), "connected");
        if self.draining.get() {
            socket.close(CloseReason::Restart, now);
        }
        self.rearm(&socket, now);
        tokio::task::spawn_local(reader::serve(self.clone(), socket, early, seat));
    }

    /// What has to happen after a session of `socket` had its say.
    fn aftermath(self: &Rc<Self>, socket: &Rc<Socket>, now: Now) {
        self.settle(socket, now);
        self.end_overloaded(now);
    }

    /// A closing socket lets go of everything; the others have their deadlines set.
    fn settle(self: &Rc<Self>, socket: &Rc<Socket>, now: Now) {
        if socket.is_closing() {
            self.end_session(socket, now);
        }
        self.rearm(socket, now.elapsed);
    }

    /// Ends the channels that received a broadcast of an overloaded tenant.
    fn end_overloaded(self: &Rc<Self>, now: Now) {
        loop {
            let next = self.overloaded.borrow_mut().pop();
            let Some((id, member)) = next else { return };
            let Some(socket) = self.sockets.borrow().get(id) else {
                continue;
            };
            socket.with_session(|session| {
                session.handle_overload(now, member.0, &mut Driver::new(self, &socket, now));
            });
            self.settle(&socket, now);
        }
    }

    fn end_session(self: &Rc<Self>, socket: &Rc<Socket>, now: Now) {
        if let Some(mut session) = socket.take_session() {
            session.end(&mut Driver::new(self, socket, now));
        }
    }

    /// The socket is gone.
    fn remove(self: &Rc<Self>, socket: &Rc<Socket>) {
        self.end_session(socket, self.shared.clock.now());
        self.sockets.borrow_mut().remove(socket.reference());
        self.shared.ports.remove_socket(self.id);
        socket.tenant().remove_socket();
        let (reference, tenant) = (socket.reference(), socket.tenant().name());
        match socket.end_reason() {
            reason if reason.is_ordinary() => debug!(socket = %reference, %tenant, %reason, "gone"),
            reason => info!(socket = %reference, %tenant, %reason, "gone"),
        }
        if self.draining.get() {
            // Wakes the mail task, which stops when the last socket is gone.
            self.shared.ports.send(self.id, Mail::Drain);
        }
    }

    /// Makes sure that the socket is looked at when its next deadline comes.
    fn rearm(&self, socket: &Socket, now: Duration) {
        let Some(at) = socket.next_look(self.shared.settings.idle_timeout) else {
            return;
        };
        let at = at.max(now);
        if at < socket.armed_for() {
            socket.set_armed_for(at);
            let reference = socket.reference();
            self.deadlines
                .arm(at, Due::Socket(reference.socket, reference.generation));
        }
    }

    /// Notes what a delivery came to.
    fn note(&self, fanout: Fanout) {
        if !fanout.overloaded.is_empty() {
            self.overloaded.borrow_mut().extend(fanout.overloaded);
        }
    }

    async fn keep_time(self: Rc<Self>) {
        let clock = self.shared.clock;
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            poll_fn(|cx| match self.deadlines.next(cx.waker()) {
                None => Poll::Pending,
                Some(at) if at <= clock.elapsed() => Poll::Ready(()),
                Some(at) => {
                    timer.as_mut().reset(clock.instant(at).into());
                    timer.as_mut().poll(cx)
                }
            })
            .await;
            while let Some((at, due)) = self.deadlines.pop(clock.elapsed()) {
                self.serve_deadline(at, due);
            }
        }
    }

    fn serve_deadline(self: &Rc<Self>, at: Duration, due: Due) {
        let now = self.shared.clock.now();
        match due {
            Due::Presence(topic) => {
                if let Some(at) = topic.flush_presence(now.elapsed) {
                    self.deadlines.arm(at, Due::Presence(topic));
                }
            }
            Due::Socket(id, generation) => {
                let Some(socket) = self.sockets.borrow().find(id, generation) else {
                    return;
                };
                if socket.armed_for() != at {
                    // An earlier deadline came in between and armed the next one.
                    return;
                }
                socket.set_armed_for(Duration::MAX);
                if socket.is_overdue(now.elapsed) {
                    socket.end(EndReason::Peer);
                } else if socket.is_idle(now.elapsed, self.shared.settings.idle_timeout) {
                    socket.close(CloseReason::Idle, now.elapsed);
                } else {
                    socket.with_session(|session| {
                        session.handle_timeout(now, &mut Driver::new(self, &socket, now));
                    });
                }
                self.aftermath(&socket, now);
            }
        }
    }

    async fn sort_mail(self: Rc<Self>) {
        let mut mail = Vec::new();
        loop {
            poll_fn(|cx| self.shared.ports.poll_receive(self.id, cx, &mut mail)).await;
            let (mut opened, mut bytes) = (0, 0);
            for mail in mail.drain(..) {
                opened += 1;
                bytes += mail.bytes();
                self.open(mail);
                if opened >= MAILS_PER_TURN || bytes >= BYTES_PER_TURN {
                    (opened, bytes) = (0, 0);
                    tokio::task::yield_now().await;
                }
            }
            if mail.capacity() > MAIL_SLOTS_KEPT {
                mail = Vec::new();
            }
            if self.draining.get() && self.sockets.borrow().is_empty() {
                return;
            }
            if self.shared.ports.has_mail(self.id) {
                // Readers and the writer come to their turn in between.
                tokio::task::yield_now().await;
            }
        }
    }

    fn open(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Connection(stream) => http::serve(self.clone(), stream),
            Mail::Seat(newcomer) => self.welcome(newcomer),
            Mail::Deliver(delivery) => {
                self.note(self.hub.deliver(&delivery));
                self.end_overloaded(self.shared.clock.now());
            }
            Mail::Complete(reference, completion) => {
                let Some(socket) = self.sockets.borrow().find(reference.socket, reference.generation) else {
                    return;
                };
                let now = self.shared.clock.now();
                socket.with_session(|session| {
                    session.handle_completion(now, completion, &mut Driver::new(self, &socket, now));
                });
                self.aftermath(&socket, now);
            }
            Mail::Changes(frames, receipt) => {
                frames.iter().for_each(|change| self.deliver_change(change));
                // If nothing waits to be written, it has been: the writer comes to its turn as a whole.
                if let Some(receipt) = receipt
                    && !self.dirty.is_empty()
                {
                    self.receipts.borrow_mut().push(receipt);
                }
            }
            Mail::Drain => self.drain(),
        }
    }

    fn deliver_change(&self, change: &ChangeFrame) {
        let SocketRef {
            socket, generation, ..
        } = change.socket;
        let Some(socket) = self.sockets.borrow().find(socket, generation) else {
            return;
        };
        if socket.with_session(|session| session.has_changes(change.ticket)) == Some(true) {
            socket.outbox().push(&change.frame);
        }
    }

    fn drain(self: &Rc<Self>) {
        if self.draining.replace(true) {
            return;
        }
        let now = self.shared.clock.now();
        let sockets = self.sockets.borrow().all();
        debug!(worker = self.id.0, sockets = sockets.len(), "draining");
        for socket in sockets {
            socket.close(CloseReason::Restart, now.elapsed);
            self.settle(&socket, now);
        }
    }
}

/// Bytes read from a socket at a time.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of changes put into outboxes before the writer comes to its turn: well below what one outbox holds.
const BYTES_PER_TURN: usize = 1 << 20;
/// Mails opened before the readers and the writer come to their turn.
const MAILS_PER_TURN: usize = 256;
/// Slots of the mail vector that are kept between batches.
const MAIL_SLOTS_KEPT: usize = 4_096;
