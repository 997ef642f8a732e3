//! The floor: the least a server of this shape can do, as a yardstick.
//!
//! One thread, one epoll. It answers handshakes, joins and heartbeats with canned bytes; it turns a publication into
//! the bytes subscribers receive once, and writes them to every other socket of the topic, one write per message and
//! socket. Nothing else: no tokens, no limits, no timers, no batching, no reading of a message beyond the byte that
//! tells its kind. It understands only what [`crate::message`] builds.

use crate::answer::{
    ACCEPTED, UPGRADE, binary_delivery, heartbeat_reply, http_delivery, join_reply, text_delivery,
};
use crate::frame::{BINARY, CLOSE, Frame, Inbox, TEXT};
use crate::message::{Kind, TEXT_KIND_AT, topic_of};
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket as RawSocket, Type};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

/// A socket with more unwritten bytes than this is closed.
const BACKLOG_BYTES_MAX: usize = 16 << 20;
/// Longest request (handshake, or HTTP broadcast with its body) that is waited for.
const REQUEST_BYTES_MAX: usize = 1 << 20;
const READ_BUFFER_BYTES: usize = 64 << 10;
/// Connections that wait to be accepted, as many as tokio's listeners let wait: more than the load opens at once.
const BACKLOG: i32 = 1024;
const LISTENER: Token = Token(usize::MAX);

/// A listener for [`serve`].
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Serves on `listener` until the process is ended.
pub fn serve(mut listener: TcpListener) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(4096);
    let mut floor = Floor::default();
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener, &poll)?,
                Token(index) => {
                    if event.is_writable() {
                        floor.flush(index);
                    }
                    if event.is_readable() {
                        floor.read(index, &mut buffer);
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Floor {
    sockets: Vec<Option<Socket>>,
    free: Vec<usize>,
    groups: Vec<Group>,
    group_by_topic: HashMap<String, usize>,
}

struct Socket {
    stream: TcpStream,
    phase: Phase,
    group: Option<usize>,
    /// What the kernel did not take yet.
    backlog: Vec<u8>,
}

enum Phase {
    /// HTTP: the bytes of an incomplete request.
    Http(Vec<u8>),
    WebSocket(Inbox),
}

#[derive(Default)]
struct Group {
    members: Vec<usize>,
    /// All presence frames so far, for those who join later.
    presence: Vec<u8>,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The peer is gone again, or files ran out: the next connection may fare better.
                Err(_) => continue,
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.sockets.len());
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            let socket = Socket {
                stream,
                phase: Phase::Http(Vec::new()),
                group: None,
                backlog: Vec::new(),
            };
            match self.sockets.get_mut(index) {
                Some(free) => *free = Some(socket),
                None => self.sockets.push(Some(socket)),
            }
        }
    }

    fn read(&mut self, index: usize, buffer: &mut [u8]) {
        while let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) {
            match socket.stream.read(buffer) {
                Ok(0) => return self.close(index),
                Ok(bytes) => {
                    self.take(index, buffer.get(..bytes).unwrap_or_default());
                    if bytes < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.close(index),
            }
        }
    }

    fn take(&mut self, index: usize, input: &[u8]) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        match &mut socket.phase {
            Phase::WebSocket(inbox) => {
                let mut inbox = std::mem::take(inbox);
                let mut open = true;
                let fed = inbox.feed(input, |frame| open &= self.frame(index, &frame));
                if fed.is_err() || !open {
                    self.close(index);
                } else if let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) {
                    socket.phase = Phase::WebSocket(inbox);
                }
            }
            Phase::Http(pending) => {
                pending.extend_from_slice(input);
                let mut pending = std::mem::take(pending);
                while let Some(request_bytes) = request_length(&pending) {
                    let rest = pending.split_off(request_bytes);
                    let request = std::mem::replace(&mut pending, rest);
                    if request.starts_with(b"GET ") {
                        self.write(index, UPGRADE);
                        if let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) {
                            socket.phase = Phase::WebSocket(Inbox::default());
                        }
                        return self.take(index, &pending);
                    }
                    self.publish_request(&request);
                    self.write(index, ACCEPTED);
                }
                if pending.len() > REQUEST_BYTES_MAX {
                    self.close(index);
                } else if let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) {
                    socket.phase = Phase::Http(pending);
                }
            }
        }
    }

    /// Handles one frame; false ends the socket.
    fn frame(&mut self, index: usize, frame: &Frame<'_>) -> bool {
        let group = self
            .sockets
            .get(index)
            .and_then(Option::as_ref)
            .and_then(|socket| socket.group);
        match (frame.opcode, group) {
            (CLOSE, _) => return false,
            (BINARY, Some(group)) => {
                if let Some(delivery) = binary_delivery(frame.payload) {
                    self.publish(group, Some(index), &delivery);
                }
            }
            (TEXT, group) => match (frame.payload.get(TEXT_KIND_AT), group) {
                _ if frame.payload.starts_with(b"[null") => self.write(index, &heartbeat_reply()),
                (Some(kind), None) if *kind == Kind::Join as u8 => self.join(index, frame.payload),
                (Some(kind), Some(group)) if *kind == Kind::Broadcast as u8 => {
                    self.publish(group, Some(index), &text_delivery(frame.payload));
                }
                (Some(kind), Some(group)) if *kind == Kind::Track as u8 => {
                    let diff = text_delivery(frame.payload);
                    self.publish(group, None, &diff);
                    if let Some(group) = self.groups.get_mut(group) {
                        group.presence.extend_from_slice(&diff);
                    }
                }
                _ => {}
            },
            _ => {}
        }
        true
    }

    fn join(&mut self, index: usize, text: &[u8]) {
        let Some(topic) = topic_of(text) else { return };
        let next = self.groups.len();
        let group = *self.group_by_topic.entry(topic.to_owned()).or_insert(next);
        if group == next {
            self.groups.push(Group::default());
        }
        if let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) {
            socket.group = Some(group);
        }
        let mut answer = join_reply(topic);
        if let Some(group) = self.groups.get_mut(group) {
            group.members.push(index);
            answer.extend_from_slice(&group.presence);
        }
        self.write(index, &answer);
    }

    /// One write per member. Backwards, because a write that fails takes its socket out of the list.
    fn publish(&mut self, group: usize, except: Option<usize>, bytes: &[u8]) {
        let members = self.groups.get(group).map_or(0, |group| group.members.len());
        for at in (0..members).rev() {
            let member = self
                .groups
                .get(group)
                .and_then(|group| group.members.get(at))
                .copied();
            if let Some(member) = member.filter(|member| Some(*member) != except) {
                self.write(member, bytes);
            }
        }
    }

    fn publish_request(&mut self, request: &[u8]) {
        let Some((topic, payload)) = request_message(request) else {
            return;
        };
        if let Some(&group) = self.group_by_topic.get(topic) {
            self.publish(group, None, &http_delivery(topic, payload));
        }
    }

    fn write(&mut self, index: usize, bytes: &[u8]) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let written = if !socket.backlog.is_empty() {
            0
        } else {
            match socket.stream.write(bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return self.close(index),
            }
        };
        if written < bytes.len() {
            socket
                .backlog
                .extend_from_slice(bytes.get(written..).unwrap_or_default());
            if socket.backlog.len() > BACKLOG_BYTES_MAX {
                self.close(index);
            }
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        while !socket.backlog.is_empty() {
            match socket.stream.write(&socket.backlog) {
                Ok(written) => drop(socket.backlog.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.close(index),
            }
        }
    }

    fn close(&mut self, index: usize) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.free.push(index);
        if let Some(group) = socket.group.and_then(|group| self.groups.get_mut(group)) {
            group.members.retain(|member| *member != index);
        }
    }
}

/// Bytes of the first request, body included, once all of them are there.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let length = match memmem::find(bytes.get(..head)?, b"Content-Length: ") {
        Some(at) => {
            let digits = bytes.get(at + 16..head)?;
            let digits = digits.split(|byte| *byte == b'\r').next()?;
            std::str::from_utf8(digits).ok()?.parse().ok()?
        }
        None => 0,
    };
    (head.saturating_add(length) <= bytes.len()).then_some(head + length)
}

/// Topic and payload of a request that holds one message.
fn request_message(request: &[u8]) -> Option<(&str, &str)> {
    let body = std::str::from_utf8(request).ok()?.split_once("\r\n\r\n")?.1;
    let (_, rest) = body.split_once(r#""topic":""#)?;
    let (topic, rest) = rest.split_once('"')?;
    let (_, rest) = rest.split_once(r#""payload":"#)?;
    Some((topic, rest.strip_suffix("}]}")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n{\"\"}";

    #[test]
    fn a_request_is_whole_when_its_announced_body_is_there() {
        for cut in 0..REQUEST.len() {
            assert_eq!(request_length(&REQUEST[..cut]), None, "cut at {cut}");
        }
        let two = [REQUEST, REQUEST].concat();
        assert_eq!(request_length(&two), Some(REQUEST.len()));
        assert_eq!(request_length(b"GET / HTTP/1.1\r\n\r\nrest"), Some(18));
    }

    #[test]
    fn the_message_of_a_request_is_its_topic_and_payload() {
        let request =
            br#"POST / HTTP/1.1__{"messages":[{"topic":"room","event":"load","payload":{"a":{"b":1}}}]}"#;
        let request = String::from_utf8_lossy(request).replacen("__", "\r\n\r\n", 1);
        assert_eq!(
            request_message(request.as_bytes()),
            Some(("room", r#"{"a":{"b":1}}"#))
        );
        assert_eq!(request_message(REQUEST), None);
    }
}
