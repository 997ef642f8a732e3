//! From outboxes to the kernel: whatever was queued for a socket in one turn leaves in one vectored write.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::Poll;

use hub::OutboxState;
use socket2::SockRef;
use tokio::net::TcpStream;
use websocket::Frame;

use super::Worker;
use super::socket::{EndReason, Socket};

/// Drains outboxes as they become non-empty, for ever. Whoever fills them comes to its turn before: a writer that is woken
/// queues behind all that were woken by the same look at the kernel, so that more leaves per write.
pub(super) async fn run(worker: Rc<Worker>) {
    let mut dirty = Vec::new();
    loop {
        poll_fn(|cx| {
            worker.dirty.swap(&mut dirty, cx.waker());
            if dirty.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        let written = std::mem::take(&mut *worker.receipts.borrow_mut());
        for outbox in dirty.drain(..) {
            outbox.unlist();
            if let Some(socket) = worker.sockets.borrow().peek(outbox.socket())
                && Rc::ptr_eq(socket.outbox(), &outbox)
                && (!socket.is_blocked() || outbox.state() == OutboxState::Overflowed)
            {
                write(socket);
            }
        }
        drop(written);
    }
}

/// Writes what waits, until nothing does or the kernel takes no more.
pub(super) fn write(socket: &Socket) {
    let outbox = socket.outbox();
    if outbox.state() == OutboxState::Overflowed {
        return socket.end(EndReason::SlowConsumer);
    }
    while !outbox.is_empty() && !socket.has_ended() {
        let mut blocked = false;
        let skipped = socket.written();
        let rest = outbox.drain(skipped, |queue| match send(socket.stream(), queue, skipped) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked = true;
                0
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(_) => {
                socket.end(EndReason::Peer);
                0
            }
        });
        socket.set_written(rest);
        if blocked {
            return socket.expect_room();
        }
    }
    if outbox.state() == OutboxState::Closing && outbox.is_empty() {
        socket.shut();
    }
}

/// Gives the kernel what waits, but for `skipped` bytes of the first frame. The socket itself is asked, not the runtime: what
/// that knows of it lies elsewhere in memory, and is needed only when the kernel takes no more.
fn send(stream: &TcpStream, queue: &VecDeque<Frame>, skipped: usize) -> io::Result<usize> {
    let socket = SockRef::from(stream);
    let first = queue.front().map(Frame::as_bytes).unwrap_or_default();
    let first = first.get(skipped..).unwrap_or_default();
    if queue.len() <= 1 {
        return socket.send(first);
    }
    let mut slices = [IoSlice::new(first); SLICES_MAX];
    for (slice, frame) in slices.iter_mut().zip(queue).skip(1) {
        *slice = IoSlice::new(frame.as_bytes());
    }
    let count = queue.len().min(SLICES_MAX);
    socket.send_vectored(slices.get(..count).unwrap_or_default())
}

/// Frames per system call.
const SLICES_MAX: usize = 64;
