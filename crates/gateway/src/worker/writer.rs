//! From outboxes to the kernel: whatever was queued for a socket in one turn leaves in one vectored write.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::Poll;

use hub::OutboxState;

use super::Worker;
use super::socket::{EndReason, Socket};

/// Drains outboxes as they become non-empty, for ever.
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
            if let Some(socket) = worker.sockets.borrow().get(outbox.socket())
                && Rc::ptr_eq(socket.outbox(), &outbox)
                && (!socket.is_blocked() || outbox.state() == OutboxState::Overflowed)
            {
                write(&socket);
            }
        }
        drop(written);
        // Readers come to their turn before what they cause is written: more leaves per write.
        tokio::task::yield_now().await;
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
        let rest = outbox.drain(skipped, |queue| {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(queue) {
                let bytes = frame.as_bytes();
                *slice = IoSlice::new(if count == 0 {
                    bytes.get(skipped..).unwrap_or_default()
                } else {
                    bytes
                });
                count += 1;
            }
            match socket
                .stream()
                .try_write_vectored(slices.get(..count).unwrap_or_default())
            {
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
            }
        });
        socket.set_written(rest);
        if blocked {
            return socket.set_blocked(true);
        }
    }
    if outbox.state() == OutboxState::Closing && outbox.is_empty() {
        socket.shut();
    }
}

/// Frames per system call.
const SLICES_MAX: usize = 64;
