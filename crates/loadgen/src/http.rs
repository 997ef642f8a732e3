//! HTTP broadcasts as fast as they are answered: keep-alive connections, each with one request under way.
//!
//! A closed loop, unlike the other loads: it finds how many requests a server answers per second. The request carries
//! the time it was written, so the latency of its deliveries is known all the same.

use crate::message::Broadcast;
use crate::{Result, failed};
use memchr::memmem;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

/// Longest answer that is waited for. Bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

struct Connection {
    stream: mio::net::TcpStream,
    answer: Vec<u8>,
}

/// Sends `request` over `connections` connections until `duration` has passed and every answer is in. Returns the
/// number of requests; an answer other than 2xx is an error.
pub fn flood(
    address: SocketAddr,
    request: &mut Broadcast,
    connections: usize,
    duration: Duration,
    epoch: Instant,
) -> Result<u64> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(connections);
    let mut open = Vec::with_capacity(connections);
    for index in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry()
            .register(&mut stream, Token(index), Interest::READABLE)?;
        open.push(Connection {
            stream,
            answer: Vec::new(),
        });
    }
    let begun = Instant::now();
    for connection in &mut open {
        request.stamp(epoch.elapsed().as_micros() as u64);
        connection.stream.write_all(request.as_bytes())?;
    }
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    let (mut answered, mut under_way) = (0, connections);
    while under_way > 0 {
        if begun.elapsed() > duration + Duration::from_secs(10) {
            return failed(format!("{under_way} HTTP requests were not answered"));
        }
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let Some(connection) = open.get_mut(event.token().0) else {
                continue;
            };
            match connection.stream.read(&mut buffer) {
                Ok(0) => return failed("the server closed an HTTP connection"),
                Ok(bytes) => connection
                    .answer
                    .extend_from_slice(buffer.get(..bytes).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if !is_whole(&connection.answer) {
                continue;
            }
            if !connection.answer.starts_with(b"HTTP/1.1 2") {
                return failed(format!(
                    "HTTP broadcast refused: {}",
                    String::from_utf8_lossy(&connection.answer)
                ));
            }
            connection.answer.clear();
            answered += 1;
            if begun.elapsed() < duration {
                request.stamp(epoch.elapsed().as_micros() as u64);
                connection.stream.write_all(request.as_bytes())?;
            } else {
                under_way -= 1;
            }
        }
    }
    Ok(answered)
}

/// Whether an answer is complete, as told by its `content-length`; without one it ends with its head.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = memmem::find(answer, b"\r\n\r\n").map(|at| at + 4) else {
        return false;
    };
    let body_bytes = std::str::from_utf8(answer.get(..head).unwrap_or_default())
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0_usize);
    answer.len() >= head.saturating_add(body_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_announced_body_is_there() {
        assert!(!is_whole(b"HTTP/1.1 202 Accepted\r\n"));
        assert!(is_whole(b"HTTP/1.1 202 Accepted\r\n\r\n"));
        assert!(!is_whole(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nab"
        ));
        assert!(is_whole(
            b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nabc"
        ));
    }
}
