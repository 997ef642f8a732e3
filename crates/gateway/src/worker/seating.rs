//! Where a socket sits: on the worker where the listeners of its first topic are.
//!
//! Connections are handed out in turn, before anybody knows what they are for. A message from one worker's socket to
//! another's costs mail and a wake-up, and two threads that write to many sockets at once get into each other's way in the
//! kernel. So the first message of a client is looked at before it is handled: if it joins a topic that has its listeners
//! elsewhere, the socket goes there, with everything it has sent. Nothing else is known of it yet, so nothing is lost.

use std::ops::ControlFlow;
use std::rc::Rc;

use bytes::Bytes;
use hub::WorkerId;
use phoenix_wire::{MessageKind, Name, decode, event};
use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;
use websocket::{Event, FrameReader, Role};

use super::Worker;
use super::mail::{Mail, Newcomer};
use super::socket::Socket;

/// Whether a socket stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// Until its first message says otherwise.
    Preliminary,
    /// Whatever it says.
    Final,
}

impl Worker {
    /// The worker where a socket sits better whose client began with `bytes`, masked as they came.
    pub(super) fn better_seat(&self, socket: &Socket, bytes: &[u8]) -> Option<WorkerId> {
        let mut glance = bytes.get(..GLANCE_BYTES_MAX.min(bytes.len()))?.to_vec();
        let mut seat = None;
        let mut look = |event: Event<'_>| {
            let (kind, message) = match event {
                Event::Text(message) => (MessageKind::Text, message),
                Event::Binary(message) => (MessageKind::Binary, message),
                Event::Ping(_) | Event::Pong(_) | Event::Close { .. } => return ControlFlow::Continue(()),
            };
            if let Ok(message) = decode(socket.version(), kind, message)
                && message.event == Name::text(event::JOIN)
                && let Name::Text(topic) = &message.topic
                && let Some(name) = event::sub_topic(topic)
            {
                seat = socket.tenant().hub().company(name, self.id);
            }
            ControlFlow::Break(())
        };
        // Whoever handles the bytes finds the error again.
        let _ = FrameReader::new(Role::Server, GLANCE_BYTES_MAX).feed(&mut glance, &mut look);
        seat
    }

    /// Gives a socket that has had no say yet to another worker. Returns whether it is gone.
    pub(super) fn give_away(&self, socket: &Rc<Socket>, bytes: &[u8], to: WorkerId) -> bool {
        if self.draining.get() || !socket.outbox().is_empty() {
            return false;
        }
        // A second descriptor: the first belongs to this thread's runtime.
        let Ok(stream) = SockRef::from(socket.stream()).try_clone() else {
            return false;
        };
        let Some(session) = socket.take_session() else {
            return false;
        };
        debug!(socket = %socket.reference(), to = to.0, "sits elsewhere");
        self.sockets.borrow_mut().remove(socket.reference());
        self.shared.ports.remove_socket(self.id);
        let newcomer = Newcomer {
            stream: stream.into(),
            early: Bytes::copy_from_slice(bytes),
            tenant: socket.tenant().clone(),
            connection: session.into_connection(),
        };
        self.shared.ports.send(to, Mail::Seat(newcomer));
        true
    }

    /// Takes a socket that another worker gave away.
    pub(super) fn welcome(self: &Rc<Self>, newcomer: Newcomer) {
        let Newcomer {
            stream,
            early,
            tenant,
            connection,
        } = newcomer;
        match TcpStream::from_std(stream) {
            Ok(stream) => self.seat(stream, early, tenant, connection, Seat::Final),
            Err(error) => {
                tenant.remove_socket();
                debug!(%error, "connection lost on its way to another worker");
            }
        }
    }
}

/// Most bytes a first message is looked for in. Tokens travel in joins.
const GLANCE_BYTES_MAX: usize = 16 * 1024;
