//! One WebSocket: bytes from side to side, and a copy of its messages for the journal.
//!
//! Each direction reads what there is, tells the journal of the messages that became complete with it, and writes it on.
//! It reads again only when that is written: a side that does not read stops the other one from being read.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::watch;
use tokio::time::timeout;
use websocket::{FrameReader, Role};

use crate::disguise::Origin;
use crate::journal::Journal;
use crate::scribe::{Event, Message};

/// Bytes taken from a connection at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes of a message that is recorded; from a longer one on, what the same side says passes and is not.
const MESSAGE_BYTES_MAX: usize = 12 << 20;
/// How long one side may linger when the other is gone.
const LINGER: Duration = Duration::from_secs(5);

/// Carries bytes until both sides are gone. When `stop` says so, the client is not read any more.
pub(crate) async fn carry(
    connection: u64,
    client: impl AsyncRead + AsyncWrite,
    server: impl AsyncRead + AsyncWrite,
    journal: Journal,
    stop: watch::Receiver<bool>,
) {
    let (mut client_reader, mut client_writer) = split(client);
    let (mut server_reader, mut server_writer) = split(server);
    let up = Tap::new(connection, Origin::Client, journal.clone());
    let down = Tap::new(connection, Origin::Server, journal);
    let up = pump(&mut client_reader, &mut server_writer, up, Some(stop));
    let down = pump(&mut server_reader, &mut client_writer, down, None);
    tokio::pin!(up, down);
    // Whoever is late after that has been told to come to an end and does not.
    let _ = tokio::select! {
        () = &mut up => timeout(LINGER, down).await,
        () = &mut down => timeout(LINGER, up).await,
    };
}

async fn pump(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    mut tap: Tap,
    mut stop: Option<watch::Receiver<bool>>,
) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = tokio::select! {
            read = reader.read(&mut buffer) => read,
            () = stopped(stop.as_mut()) => return std::future::pending().await,
        };
        let bytes = match read {
            Ok(bytes @ 1..) => buffer.get(..bytes).unwrap_or_default(),
            Ok(0) | Err(_) => break,
        };
        tap.see(bytes).await;
        // Through TLS, what was written may still be waiting to be encrypted or sent.
        if writer.write_all(bytes).await.is_err() || writer.flush().await.is_err() {
            // Its own reader has seen the end, or will.
            return;
        }
    }
    tap.end().await;
    let _ = writer.shutdown().await;
}

async fn stopped(stop: Option<&mut watch::Receiver<bool>>) {
    match stop {
        // Whoever could say so is gone: the process ends.
        Some(stop) => drop(stop.wait_for(|stop| *stop).await),
        None => std::future::pending().await,
    }
}

/// Reads along.
struct Tap {
    connection: u64,
    origin: Origin,
    journal: Journal,
    /// `None` once what comes cannot be understood.
    frames: Option<FrameReader>,
    /// Frames are unmasked in place, so not in what is passed on.
    copy: Vec<u8>,
}

impl Tap {
    fn new(connection: u64, origin: Origin, journal: Journal) -> Self {
        let role = match origin {
            Origin::Client => Role::Server,
            Origin::Server => Role::Client,
        };
        Self {
            connection,
            origin,
            journal,
            frames: Some(FrameReader::new(role, MESSAGE_BYTES_MAX)),
            copy: Vec::new(),
        }
    }

    async fn see(&mut self, bytes: &[u8]) {
        let Some(frames) = &mut self.frames else {
            return;
        };
        self.copy.clear();
        self.copy.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let fed = frames.feed(&mut self.copy, &mut |event| {
            messages.push(Message::from(event));
            ControlFlow::Continue(())
        });
        for message in messages {
            let event = Event::Said {
                connection: self.connection,
                origin: self.origin,
                message,
            };
            self.journal.tell(event).await;
        }
        if let Err(error) = fed {
            tracing::warn!(
                connection = self.connection,
                origin = ?self.origin,
                "frames pass but are no longer recorded: {error}"
            );
            self.frames = None;
        }
    }

    async fn end(&self) {
        let event = Event::Ended {
            connection: self.connection,
            origin: self.origin,
        };
        self.journal.tell(event).await;
    }
}

impl From<websocket::Event<'_>> for Message {
    fn from(event: websocket::Event<'_>) -> Self {
        match event {
            websocket::Event::Text(bytes) => Self::Text(bytes.to_vec()),
            websocket::Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            websocket::Event::Ping(bytes) => Self::Ping(bytes.to_vec()),
            websocket::Event::Pong(bytes) => Self::Pong(bytes.to_vec()),
            websocket::Event::Close { code, .. } => Self::Close(code),
        }
    }
}
