//! A socket: frames in, frames out, and the moments at which something is due.

use std::future::pending;
use std::ops::ControlFlow;
use std::time::Duration;

use phoenix_wire::MessageKind;
use phoenix_wire::close::CloseReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};
use websocket::{Event, Frame, FrameReader, Role, close_frame, pong_frame};

use super::Shared;
use crate::act::Act;
use crate::socket::Socket;

/// Serves a socket until it is over. `early` was read along with the handshake.
pub(super) async fn run(
    shared: Shared,
    mut socket: Socket,
    acts: Vec<Act>,
    mut stream: TcpStream,
    early: &[u8],
) {
    let opened = Instant::now();
    info!("a client has connected");
    let mut reader = FrameReader::new(Role::Server, MESSAGE_BYTES_MAX);
    let mut buffer = vec![0; READ_BYTES];
    let mut stops = shared.stops.clone();
    let mut next = (acts, None);
    let mut early = early.to_vec();
    let end = loop {
        let (acts, end) = next;
        if let ControlFlow::Break(end) = perform(&mut stream, acts).await {
            break end;
        }
        if let Some(end) = end {
            break end;
        }
        let due = socket.due().map(|due| opened + due);
        next = tokio::select! {
            // What was said first is heard first.
            biased;
            read = read(&mut stream, &mut buffer, &mut early) => {
                take(&shared, &mut socket, &mut reader, read, opened)
            }
            () = until(due) => (socket.wake(opened.elapsed()), None),
            _ = stops.wait_for(|stops| *stops) => (Vec::new(), Some(End::Stop)),
        };
    };
    // Before the client can come back.
    socket.end(&mut shared.stage.borrow_mut());
    match end {
        End::Gone => info!("the client is gone"),
        End::Drop => info!("the connection is dropped"),
        End::Answer(code) => {
            info!(code, "the client has closed");
            let _ = stream.write_all(close_frame(code, "").as_bytes()).await;
        }
        End::Close(frame) => close(&mut stream, &mut reader, &frame).await,
        End::Stop => close(&mut stream, &mut reader, &CloseReason::Restart.frame()).await,
    }
    drop(shared.alive);
}

/// Why a socket ends.
enum End {
    /// The client is not there any more.
    Gone,
    /// The file drops the connection.
    Drop,
    /// The client closes, and gets its code back.
    Answer(u16),
    /// The server closes with this frame.
    Close(Frame),
    /// The server stops.
    Stop,
}

/// Does what is to be done, in order.
async fn perform(stream: &mut TcpStream, acts: Vec<Act>) -> ControlFlow<End> {
    for act in acts {
        match act {
            Act::Send(frame) => {
                if let Err(error) = stream.write_all(frame.as_bytes()).await {
                    debug!(%error, "a frame could not be written");
                    return ControlFlow::Break(End::Gone);
                }
            }
            Act::Note(note) => error!(
                at = %note.place(),
                expected = %note.expected,
                got = %note.got,
                differs = note.differs.as_deref().map(tracing::field::display),
                "the client says what the file does not have"
            ),
            Act::Drop => return ControlFlow::Break(End::Drop),
            Act::Close { code, reason } => {
                info!(code, reason, "the connection is closed");
                return ControlFlow::Break(End::Close(close_frame(code, &reason)));
            }
        }
    }
    ControlFlow::Continue(())
}

/// The number of bytes read; `early` comes first.
async fn read<'b>(
    stream: &mut TcpStream,
    buffer: &'b mut Vec<u8>,
    early: &mut Vec<u8>,
) -> std::io::Result<&'b mut [u8]> {
    let count = match early.is_empty() {
        true => stream.read(buffer).await?,
        false => {
            let count = early.len();
            let room = buffer.len().max(count);
            *buffer = std::mem::take(early);
            buffer.resize(room, 0);
            count
        }
    };
    Ok(buffer.get_mut(..count).unwrap_or_default())
}

/// What comes of bytes that were read: what to do, and then perhaps the end.
fn take(
    shared: &Shared,
    socket: &mut Socket,
    reader: &mut FrameReader,
    read: std::io::Result<&mut [u8]>,
    opened: Instant,
) -> (Vec<Act>, Option<End>) {
    let bytes = match read {
        Ok(bytes) if !bytes.is_empty() => bytes,
        Ok(_) | Err(_) => return (Vec::new(), Some(End::Gone)),
    };
    let (mut acts, mut end) = (Vec::new(), None);
    let fed = reader.feed(bytes, &mut |event| {
        let (kind, message) = match event {
            Event::Text(message) => (MessageKind::Text, message),
            Event::Binary(message) => (MessageKind::Binary, message),
            Event::Ping(payload) => {
                acts.push(Act::Send(pong_frame(payload)));
                return ControlFlow::Continue(());
            }
            Event::Pong(_) => return ControlFlow::Continue(()),
            Event::Close { code, .. } => {
                end = Some(End::Answer(code.unwrap_or(NORMAL)));
                return ControlFlow::Break(());
            }
        };
        let mut stage = shared.stage.borrow_mut();
        acts.extend(socket.hear(&mut stage, kind, message, opened.elapsed()));
        ControlFlow::Continue(())
    });
    if let Err(error) = fed {
        warn!(%error, "the client breaks the rules of WebSocket");
        end = Some(End::Close(close_frame(error.close_code(), "")));
    }
    (acts, end)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// Sends the close and waits for that of the client, so that what was written before arrives.
async fn close(stream: &mut TcpStream, reader: &mut FrameReader, frame: &Frame) {
    if stream.write_all(frame.as_bytes()).await.is_err() {
        return;
    }
    let answered = async {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            let mut is_closed = false;
            let bytes = buffer.get_mut(..count).unwrap_or_default();
            let fed = reader.feed(bytes, &mut |event| {
                is_closed |= matches!(event, Event::Close { .. });
                ControlFlow::Continue(())
            });
            if is_closed || fed.is_err() {
                break;
            }
        }
    };
    let _ = timeout(CLOSE_PATIENCE, answered).await;
}

/// Longest message of a client: above what the reference accepts.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long a client may take to answer a close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// What a close without a code is answered with.
const NORMAL: u16 = 1000;
