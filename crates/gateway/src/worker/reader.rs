//! The task of one socket: from bytes to session events.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::rc::Rc;

use bytes::Bytes;
use phoenix_wire::MessageKind;
use phoenix_wire::close::CloseReason;
use session::FrameOutcome;
use tracing::debug;
use websocket::{Event, FrameReader, Role, close_frame, pong_frame};

use super::driver::Driver;
use super::seating::Seat;
use super::socket::{EndReason, Socket, Wake};
use super::{READ_BUFFER_BYTES, Worker, writer};

/// Serves `socket` until it ends. `early` arrived behind the handshake.
pub(super) async fn serve(worker: Rc<Worker>, socket: Rc<Socket>, early: Bytes, mut seat: Seat) {
    let mut frames = FrameReader::new(Role::Server, worker.shared.settings.frame_bytes_max);
    if !early.is_empty() && take_in(&worker, &socket, &mut frames, &mut early.to_vec(), &mut seat).is_break()
    {
        return;
    }
    // Even if nothing is in it, it holds the buffer that the handshake was read into.
    drop(early);
    loop {
        match poll_fn(|cx| socket.poll_wake(cx)).await {
            Wake::Readable => {
                match read(&worker, &socket, &mut frames, &mut seat) {
                    ControlFlow::Break(()) => return,
                    // There is more: the writer and the others come to their turn first.
                    ControlFlow::Continue(READ_BUFFER_BYTES) => tokio::task::yield_now().await,
                    ControlFlow::Continue(_) => {}
                }
                // A worker that is far behind holds back whoever publishes to it.
                poll_fn(|cx| worker.shared.ports.poll_relaxed(cx)).await;
            }
            Wake::Writable => {
                socket.unblock();
                writer::write(&socket);
            }
            Wake::Ended => break,
        }
    }
    worker.remove(&socket);
}

/// Returns how many bytes were read; breaks if the socket is another worker's now.
fn read(
    worker: &Rc<Worker>,
    socket: &Rc<Socket>,
    frames: &mut FrameReader,
    seat: &mut Seat,
) -> ControlFlow<(), usize> {
    let mut buffer = worker.read_buffer.borrow_mut();
    match socket.stream().try_read(&mut buffer) {
        Ok(0) => socket.end(EndReason::Peer),
        Ok(length) => {
            let bytes = buffer.get_mut(..length).unwrap_or_default();
            take_in(worker, socket, frames, bytes, seat)?;
            if length < READ_BUFFER_BYTES {
                socket.expect_more();
            }
            return ControlFlow::Continue(length);
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(error) => {
            debug!(socket = %socket.reference(), %error, "read failed");
            socket.end(EndReason::Peer);
        }
    }
    ControlFlow::Continue(0)
}

/// Handles bytes that arrived; breaks if the socket goes to another worker with them.
fn take_in(
    worker: &Rc<Worker>,
    socket: &Rc<Socket>,
    frames: &mut FrameReader,
    bytes: &mut [u8],
    seat: &mut Seat,
) -> ControlFlow<()> {
    if std::mem::replace(seat, Seat::Final) == Seat::Preliminary
        && let Some(elsewhere) = worker.better_seat(socket, bytes)
        && worker.give_away(socket, bytes, elsewhere)
    {
        return ControlFlow::Break(());
    }
    let now = worker.shared.clock.now();
    socket.heard(now.elapsed);
    if socket.is_closing() {
        // Our close frame is on its way: all that matters is the end of the stream.
        return ControlFlow::Continue(());
    }
    socket.tenant().refresh_rates(now.elapsed);
    let outcome = frames.feed(bytes, &mut |event| {
        let (kind, message) = match event {
            Event::Text(message) => (MessageKind::Text, message),
            Event::Binary(message) => (MessageKind::Binary, message),
            Event::Ping(payload) => {
                socket.outbox().push(&pong_frame(payload));
                return ControlFlow::Continue(());
            }
            Event::Pong(_) => return ControlFlow::Continue(()),
            Event::Close { code, .. } => {
                socket.close_as_asked(&close_frame(code.unwrap_or(NORMAL), ""), now.elapsed);
                return ControlFlow::Break(());
            }
        };
        socket.with_session(|session| {
            let outcome = session.handle_frame(now, kind, message, &mut Driver::new(worker, socket, now));
            if let FrameOutcome::Malformed(malformed) = outcome {
                debug!(socket = %socket.reference(), %malformed, "frame dropped");
            }
        });
        if socket.is_closing() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    if let Err(error) = outcome {
        debug!(socket = %socket.reference(), %error, "protocol error");
        socket.close(CloseReason::from(&error), now.elapsed);
    }
    worker.aftermath(socket, now);
    ControlFlow::Continue(())
}

/// What a close frame without a code is answered with.
const NORMAL: u16 = 1000;
