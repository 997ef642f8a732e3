//! An open WebSocket.
//!
//! ```text
//!  caller ── send_* ──────────────────────▶ write half ◀── pongs and the answer to a close ──┐
//!  caller ◀─ receive ── bounded queue ◀── reader task ◀── read half                           │
//!                                             └───────────────────────────────────────────────┘
//! ```
//!
//! Invariants: what the server sends is queued in order and nothing is dropped: a full queue stops the reading, and with
//! it the server. The last thing in the queue is always [`Received::Closed`]. Dropping a [`Connection`] drops its TCP
//! connection without a close frame.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use websocket::{Event, FrameReader, Opcode, Role, mask_frame};

use crate::stream::{ReadHalf, Stream, WriteHalf};

/// Frames that wait to be received; above, the connection is not read.
pub const RECEIVED_MAX: usize = 1024;
/// Bytes of one message from the server; a longer one ends the connection.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Bytes taken from the connection at once.
const READ_BYTES: usize = 64 << 10;
/// The code of a connection that ended without a close frame. Source: RFC 6455, section 7.1.5.
const ABNORMAL: u16 = 1006;
/// The code of a close frame without one. Source: RFC 6455, section 7.1.5.
const NO_CODE: u16 = 1005;

/// Something that came from the server. Pings are answered and not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message; not checked for UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A pong.
    Pong(Bytes),
    /// The end; nothing comes after it.
    Closed {
        /// The code of the server's close frame: 1005 if it has none, 1006 if there is no close frame.
        code: u16,
        /// The reason of the close frame, or how the connection ended without one.
        reason: String,
    },
}

/// An open WebSocket, client side.
pub struct Connection {
    writer: Arc<Mutex<Writer>>,
    received: mpsc::Receiver<Received>,
    reader: JoinHandle<()>,
}

impl Connection {
    /// Takes over after the handshake; `start` is what was read beyond it.
    pub(crate) fn new(stream: Stream, start: Vec<u8>) -> Self {
        let (read_half, write_half) = stream.halves();
        let writer = Arc::new(Mutex::new(Writer {
            stream: write_half,
            close_sent: false,
        }));
        let (queue, received) = mpsc::channel(RECEIVED_MAX);
        let reader = tokio::spawn(read(read_half, start, Arc::clone(&writer), queue));
        Self {
            writer,
            received,
            reader,
        }
    }

    /// Sends a text message of these bytes, JSON or not, UTF-8 or not.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub async fn send_text(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.lock().await.send(Opcode::Text, text.as_ref()).await
    }

    /// Sends a binary message.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub async fn send_binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.lock().await.send(Opcode::Binary, bytes).await
    }

    /// Sends a ping.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub async fn send_ping(&mut self, payload: &[u8]) -> io::Result<()> {
        self.writer.lock().await.send(Opcode::Ping, payload).await
    }

    /// Sends a close frame. The server's answer is what [`receive`](Self::receive) gives last.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub async fn send_close(&mut self, code: u16) -> io::Result<()> {
        self.writer
            .lock()
            .await
            .send(Opcode::Close, &code.to_be_bytes())
            .await
    }

    /// The next thing from the server; `None` after its end was received. Nothing is lost when the wait is given up.
    pub async fn receive(&mut self) -> Option<Received> {
        self.received.recv().await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads until the end and puts everything into the queue.
async fn read(
    mut stream: ReadHalf,
    start: Vec<u8>,
    writer: Arc<Mutex<Writer>>,
    queue: mpsc::Sender<Received>,
) {
    let mut frames = FrameReader::new(Role::Client, MESSAGE_BYTES_MAX);
    let mut buffer = start;
    let end = loop {
        let mut arrived = Vec::new();
        let mut on = |event: Event<'_>| {
            arrived.push(Incoming::from(event));
            ControlFlow::Continue(())
        };
        let fed = frames.feed(&mut buffer, &mut on);
        for incoming in arrived {
            let received = match incoming {
                Incoming::Received(received) => received,
                Incoming::Ping(payload) => {
                    // A failure shows as the end of the stream.
                    let _ = writer.lock().await.send(Opcode::Pong, &payload).await;
                    continue;
                }
            };
            if let Received::Closed { code, .. } = &received {
                writer.lock().await.answer_close(*code).await;
            }
            let is_end = matches!(received, Received::Closed { .. });
            if queue.send(received).await.is_err() || is_end {
                return;
            }
        }
        if let Err(error) = fed {
            break format!("the server broke the framing rules: {error}");
        }
        buffer.resize(READ_BYTES, 0);
        match stream.read(&mut buffer).await {
            Ok(0) => break "the server closed the TCP connection".to_owned(),
            Ok(bytes) => buffer.truncate(bytes),
            Err(error) => break error.to_string(),
        }
    };
    // Nobody waits for it if this fails.
    let _ = queue
        .send(Received::Closed {
            code: ABNORMAL,
            reason: end,
        })
        .await;
}

enum Incoming {
    Received(Received),
    Ping(Vec<u8>),
}

impl From<Event<'_>> for Incoming {
    fn from(event: Event<'_>) -> Self {
        Self::Received(match event {
            Event::Text(text) => Received::Text(Bytes::copy_from_slice(text)),
            Event::Binary(bytes) => Received::Binary(Bytes::copy_from_slice(bytes)),
            Event::Pong(payload) => Received::Pong(Bytes::copy_from_slice(payload)),
            Event::Ping(payload) => return Self::Ping(payload.to_vec()),
            Event::Close { code, reason } => Received::Closed {
                code: code.unwrap_or(NO_CODE),
                reason: String::from_utf8_lossy(reason).into_owned(),
            },
        })
    }
}

/// The write half, which knows whether the client has said goodbye.
struct Writer {
    stream: WriteHalf,
    close_sent: bool,
}

impl Writer {
    /// Writes one frame.
    async fn send(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.close_sent |= opcode == Opcode::Close;
        self.stream.write_all(&mask_frame(opcode, payload, MASK)).await?;
        // Through TLS, what was written may still be waiting to be encrypted or sent.
        self.stream.flush().await
    }

    /// Answers the server's close, unless it was the answer to ours.
    async fn answer_close(&mut self, code: u16) {
        if !self.close_sent {
            let payload = if code == NO_CODE {
                Vec::new()
            } else {
                code.to_be_bytes().to_vec()
            };
            // The server may not have waited for it.
            let _ = self.send(Opcode::Close, &payload).await;
        }
    }
}

/// The masking key is fixed: it protects proxies from scripts in browsers, and this is neither.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
