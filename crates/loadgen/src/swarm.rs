//! Many client sockets on one thread: they open, join one channel each, and hand over what is delivered.
//!
//! Edge-triggered epoll through `mio`, one shared read buffer, no buffer per socket while no frame is incomplete, no
//! parsing beyond frame boundaries once a socket has joined. A read that does not fill the buffer has emptied the
//! socket (epoll(7)), so a delivery costs one system call here.

use crate::frame::{CLOSE, Frame, Inbox};
use crate::target::Target;
use crate::{Result, failed};
use memchr::memmem;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Socket as RawSocket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Source addresses are taken in turn from 127.0.0.2 upwards, so that the ephemeral ports of one address, some of
/// them lingering in TIME_WAIT, never bound a run.
const SOURCE_ADDRESSES: u32 = 32;
const READ_BUFFER_BYTES: usize = 256 << 10;
const EVENTS_PER_POLL: usize = 4096;
/// Longest handshake answer worth waiting for. Bytes.
const HANDSHAKE_BYTES_MAX: usize = 16 << 10;

/// What one socket does once it is open.
#[derive(Clone, Debug)]
pub struct Member {
    /// The join frame.
    pub join: Vec<u8>,
    /// Sent when the join is answered; may be empty.
    pub then: Vec<u8>,
    /// Receive buffer of the socket in bytes; `None` leaves it to the kernel.
    pub receive_buffer_bytes: Option<usize>,
}

impl Member {
    /// A member that only joins.
    pub fn new(join: Vec<u8>) -> Member {
        Member {
            join,
            then: Vec::new(),
            receive_buffer_bytes: None,
        }
    }
}

/// A frame that reached a joined socket.
pub struct Delivery<'a> {
    /// Index of the socket, in order of [`Swarm::start`].
    pub socket: usize,
    /// The frame's payload.
    pub payload: &'a [u8],
    /// When it was read.
    pub at: Instant,
}

/// The sockets, their poll and the shared buffer.
pub struct Swarm {
    target: Target,
    poll: Poll,
    events: Events,
    buffer: Box<[u8]>,
    sockets: Vec<Socket>,
    counts: Counts,
}

/// How the sockets of a swarm stand.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Sockets whose join was answered with ok and which are not closed.
    pub joined: usize,
    /// Sockets the server closed or refused.
    pub closed: usize,
    /// Why the first of those was refused or closed.
    pub first_failure: Option<String>,
}

struct Socket {
    stream: Option<TcpStream>,
    phase: Phase,
    inbox: Inbox,
    member: Member,
}

/// Connecting → Upgrading → Joining → Joined; any of them → Closed.
enum Phase {
    Connecting,
    Upgrading(Vec<u8>),
    Joining,
    Joined,
    Closed,
}

impl Swarm {
    /// A swarm without sockets.
    pub fn new(target: &Target) -> io::Result<Swarm> {
        Ok(Swarm {
            target: target.clone(),
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_POLL),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            sockets: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Starts to open one more socket and returns its index; [`Swarm::pump`] does the rest.
    pub fn start(&mut self, member: Member) -> io::Result<usize> {
        let index = self.sockets.len();
        let mut stream = TcpStream::from_std(connect(self.target.address, member.receive_buffer_bytes)?);
        self.poll
            .registry()
            .register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let socket = Socket {
            stream: Some(stream),
            phase: Phase::Connecting,
            inbox: Inbox::default(),
            member,
        };
        self.sockets.push(socket);
        Ok(index)
    }

    /// Opens and joins `members`, at most `window` at a time, and returns how long that took. An error if one is
    /// refused or closed, or `limit` passes.
    pub fn open(
        &mut self,
        members: impl IntoIterator<Item = Member>,
        window: usize,
        limit: Duration,
    ) -> Result<Duration> {
        let begun = Instant::now();
        let mut members = members.into_iter().peekable();
        while members.peek().is_some() || self.pending() > 0 {
            while self.pending() < window
                && let Some(member) = members.next()
            {
                self.start(member)?;
            }
            self.pump(Duration::from_millis(100), &mut |_| ())?;
            if self.counts.closed > 0 {
                return failed(self.counts.first_failure.clone().unwrap_or_default());
            }
            if begun.elapsed() > limit {
                return failed(format!(
                    "{} of {} sockets joined in {limit:?}",
                    self.counts.joined,
                    self.sockets.len()
                ));
            }
        }
        Ok(begun.elapsed())
    }

    /// Sockets that are neither joined nor closed.
    pub fn pending(&self) -> usize {
        self.sockets.len() - self.counts.joined - self.counts.closed
    }

    /// How the sockets stand.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Waits at most `timeout` for something to happen, handles it, and calls `on` for every frame that reached a
    /// joined socket.
    pub fn pump(&mut self, timeout: Duration, on: &mut dyn FnMut(Delivery<'_>)) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let index = event.token().0;
            let Some(socket) = self.sockets.get_mut(index) else {
                continue;
            };
            socket.ready(index, &self.target, &mut self.buffer, &mut self.counts, on);
        }
        Ok(())
    }

    /// Pumps until `until`.
    pub fn pump_until(&mut self, until: Instant, on: &mut dyn FnMut(Delivery<'_>)) -> io::Result<()> {
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            self.pump(left, on)?;
        }
        Ok(())
    }

    /// Sends a small finished frame on a joined socket.
    pub fn send(&mut self, index: usize, frame: &[u8]) -> io::Result<()> {
        match self
            .sockets
            .get_mut(index)
            .and_then(|socket| socket.stream.as_mut())
        {
            Some(stream) => stream.write_all(frame),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Takes a joined socket out of the swarm, as a blocking stream: nothing is read from it any more.
    pub fn detach(&mut self, index: usize) -> io::Result<std::net::TcpStream> {
        let taken = self
            .sockets
            .get_mut(index)
            .and_then(|socket| socket.stream.take());
        let mut stream = taken.ok_or(ErrorKind::NotConnected)?;
        self.poll.registry().deregister(&mut stream)?;
        let stream = std::net::TcpStream::from(stream);
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

impl Socket {
    fn ready(
        &mut self,
        index: usize,
        target: &Target,
        buffer: &mut [u8],
        counts: &mut Counts,
        on: &mut dyn FnMut(Delivery<'_>),
    ) {
        if let Err(reason) = self.advance(index, target, buffer, counts, on)
            && !matches!(self.phase, Phase::Closed)
        {
            // A socket that had joined moves from one count to the other.
            counts.joined -= usize::from(matches!(self.phase, Phase::Joined));
            counts.closed += 1;
            counts.first_failure.get_or_insert(reason);
            self.phase = Phase::Closed;
            self.stream = None;
        }
    }

    /// Does what the socket is ready for. An error says why the socket is over.
    fn advance(
        &mut self,
        index: usize,
        target: &Target,
        buffer: &mut [u8],
        counts: &mut Counts,
        on: &mut dyn FnMut(Delivery<'_>),
    ) -> Result<(), String> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        if matches!(self.phase, Phase::Connecting) {
            if stream.peer_addr().is_err() {
                return stream
                    .take_error()
                    .ok()
                    .flatten()
                    .map_or(Ok(()), |error| Err(format!("connect: {error}")));
            }
            stream
                .write_all(&target.handshake())
                .map_err(|error| format!("handshake: {error}"))?;
            self.phase = Phase::Upgrading(Vec::new());
        }
        loop {
            let Some(stream) = &mut self.stream else {
                return Ok(());
            };
            let bytes = match stream.read(buffer) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("read: {error}")),
            };
            let whole = bytes == buffer.len();
            self.take(index, buffer.get(..bytes).unwrap_or_default(), counts, on)?;
            if !whole {
                return Ok(());
            }
        }
    }

    fn take(
        &mut self,
        index: usize,
        input: &[u8],
        counts: &mut Counts,
        on: &mut dyn FnMut(Delivery<'_>),
    ) -> Result<(), String> {
        if let Phase::Upgrading(answer) = &mut self.phase {
            answer.extend_from_slice(input);
            let Some(end) = memmem::find(answer, b"\r\n\r\n").map(|at| at + 4) else {
                let too_long = answer.len() > HANDSHAKE_BYTES_MAX;
                return if too_long {
                    Err("the handshake answer has no end".to_owned())
                } else {
                    Ok(())
                };
            };
            if !answer.starts_with(b"HTTP/1.1 101") {
                return Err(format!("handshake refused: {}", String::from_utf8_lossy(answer)));
            }
            let rest = answer.split_off(end);
            self.phase = Phase::Joining;
            write(&mut self.stream, &self.member.join)?;
            return self.frames(index, &rest, counts, on);
        }
        self.frames(index, input, counts, on)
    }

    fn frames(
        &mut self,
        index: usize,
        input: &[u8],
        counts: &mut Counts,
        on: &mut dyn FnMut(Delivery<'_>),
    ) -> Result<(), String> {
        let Socket {
            stream,
            phase,
            inbox,
            member,
        } = self;
        let at = Instant::now();
        let mut over = None;
        let fed = inbox.feed(input, |frame| {
            if frame.opcode == CLOSE {
                let code = frame
                    .payload
                    .first_chunk()
                    .map_or(1005, |code| u16::from_be_bytes(*code));
                over.get_or_insert(format!("the server closed the socket with code {code}"));
            } else if matches!(phase, Phase::Joined) {
                on(Delivery {
                    socket: index,
                    payload: frame.payload,
                    at,
                });
            } else {
                match join_answer(&frame) {
                    Some(true) => {
                        *phase = Phase::Joined;
                        counts.joined += 1;
                        if let Err(reason) = write(stream, &member.then) {
                            over.get_or_insert(reason);
                        }
                    }
                    Some(false) => {
                        over.get_or_insert(format!(
                            "join refused: {}",
                            String::from_utf8_lossy(frame.payload)
                        ));
                    }
                    None => {}
                }
            }
        });
        fed.map_err(|error| error.to_string())?;
        over.map_or(Ok(()), Err)
    }
}

/// Whether the frame answers a join, and if so whether with ok.
fn join_answer(frame: &Frame<'_>) -> Option<bool> {
    memmem::find(frame.payload, b"phx_reply")?;
    Some(memmem::find(frame.payload, br#""status":"ok""#).is_some())
}

fn write(stream: &mut Option<TcpStream>, bytes: &[u8]) -> Result<(), String> {
    match stream {
        Some(stream) => stream.write_all(bytes).map_err(|error| format!("write: {error}")),
        None => Ok(()),
    }
}

/// A non-blocking connect, on its way; from one of several source addresses if the peer is on the loopback.
fn connect(to: SocketAddr, receive_buffer_bytes: Option<usize>) -> io::Result<std::net::TcpStream> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let socket = RawSocket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if to.ip().is_loopback() {
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % SOURCE_ADDRESSES;
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 2)) + turn);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(socket.into()),
    }
}
