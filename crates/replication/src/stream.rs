//! The stream of a slot.
//!
//! ```text
//!   server ──▶ read half ──▶ FrameReader ──▶ next() ──▶ consumer ──▶ acknowledge()
//!                                              │                         │
//!                                              ▼                         ▼
//!   server ◀── write half ◀── feedback task ◀──────── Progress ◀─────────┘
//! ```
//!
//! Invariants:
//!
//! * Nothing is queued between socket and consumer: a slow consumer slows the server down, through TCP.
//! * Feedback has a task of its own and goes out on time however slow the consumer is, so the server does not give the
//!   stream up. A server that asks for it while nobody reads gets it with the next regular report, within a third of its
//!   timeout.
//! * What is acknowledged is reported at once, or 100 ms after the last report: a consumer that is killed is sent again
//!   what it acknowledged within that time and no more, and one under load sends ten reports a second. An idle stream
//!   reports every 10 seconds at most and has no other timer than that and the one that watches the server.
//! * A server that is stopped or cut off is given up within 15 seconds (see `liveness.rs`), as long as somebody reads.
//! * A dropped future of [`ReplicationStream::next`] loses nothing.
//! * Dropping the stream closes the connection, and with it goes a temporary slot. [`ReplicationStream::finish`] sees to
//!   it that the last acknowledgement has arrived before.
//!
//! How far the stream is behind is known as far as the server tells: it tells where the log it has read ends, and it
//! reads no further while it cannot send. So a consumer that has stopped reading does not see its lag grow, and neither
//! would a second reader of this socket; it has to ask on another connection for the end of the log.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use crate::connect::{Connection, ended};
use crate::door::Door;
use crate::error::{Doing, Error, Transient, lost, protocol};
use crate::frame::{Frame, FrameReader};
use crate::liveness::{Liveness, Silence};
use crate::lsn::Lsn;
use crate::message::ServerMessage;
use crate::progress::{Lag, Position, Progress, Start};
use crate::slot::System;
use crate::socket::Socket;

/// Longest pause between two reports to the server; shorter where the server is impatient.
const FEEDBACK_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Shortest pause, for servers whose timeout makes no sense.
const FEEDBACK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// How long a server without a timeout of its own may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long the end of a stream may take.
const FINISH_MAX: Duration = Duration::from_secs(5);
/// CopyDone: we send no more.
const COPY_DONE: [u8; 5] = [b'c', 0, 0, 0, 4];

/// Something the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// One message of the decoding plugin.
    XLogData {
        /// Where it is; of a commit, what to acknowledge.
        position: Position,
        /// The message. Shares the read buffer: whoever keeps a piece keeps up to 64 KiB alive.
        data: Bytes,
    },
    /// A message of more than 64 MiB, which is not kept: a row with a value that large.
    Oversized {
        /// Where it is.
        position: Position,
        /// Its first bytes, enough for tag and relation.
        head: Bytes,
        /// Its length.
        bytes_total: usize,
    },
    /// Everything before `end` has been sent.
    Keepalive {
        /// How far the server has read its log.
        end: Lsn,
    },
}

/// A running stream of changes.
#[derive(Debug)]
pub struct ReplicationStream {
    reader: ReadHalf<Socket>,
    frames: FrameReader,
    liveness: Liveness,
    door: Option<Door>,
    /// Somebody is at the door. One at most.
    knocking: JoinSet<bool>,
    system: System,
    slot: String,
    publications: String,
    shared: Arc<Shared>,
    feedback: JoinHandle<()>,
}

/// What reading and feeding back share.
#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    /// Feedback is due before its deadline.
    due: Notify,
    /// The next feedback is the last one.
    is_finishing: AtomicBool,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Starts to stream a slot, filtered and described by publications in protocol version 1 of `pgoutput`.
    ///
    /// The server sends every transaction whose commit ends after `from`, whole, in the order of the commits; of those
    /// that the slot has passed, which is what was acknowledged and reported before, it sends none, whatever `from` is.
    /// [`Lsn::ZERO`] is therefore the place where the slot stands.
    ///
    /// Servers up to version 16 remember the place of a durable slot over a restart only now and then, and stream again
    /// what was acknowledged since. Whoever knows how far it has come, such as by [`ReplicationStream::flushed`] of the
    /// stream before, starts from there; not, though, if the slot was made anew or [`ReplicationStream::system`] is
    /// another. A `from` beyond the end of the server's log cannot be of this server, and counts as [`Lsn::ZERO`].
    ///
    /// Whether they exist shows only when there is a change to stream. Has to be called inside a tokio
    /// runtime: feedback runs in a task of its own.
    ///
    /// # Errors
    ///
    /// [`SlotActive`](Transient::SlotActive), [`SlotMissing`](crate::Definite::SlotMissing) and
    /// [`SlotLost`](crate::Definite::SlotLost) among others. The last is found while streaming as well.
    pub async fn start_replication(
        mut self,
        slot: &str,
        from: Lsn,
        publications: &[&str],
    ) -> Result<ReplicationStream, Error> {
        let system = self.identify_system().await?;
        let sender_timeout = self.sender_timeout().await?;
        let interval = sender_timeout.map_or(FEEDBACK_INTERVAL_MAX, |timeout| {
            (timeout / 3).clamp(FEEDBACK_INTERVAL_MIN, FEEDBACK_INTERVAL_MAX)
        });
        let from = if from > system.flushed {
            let end = system.flushed;
            warn!(%from, %end, "the log of the server ends before the place to start from: starting where the slot is");
            Lsn::ZERO
        } else {
            from
        };
        let slot_quoted = escape_identifier(slot);
        let names: Vec<String> = publications.iter().map(|name| escape_identifier(name)).collect();
        let list = escape_literal(&names.join(","));
        let command = format!(
            "START_REPLICATION SLOT {slot_quoted} LOGICAL {from} \
             (proto_version '1', publication_names {list})"
        );
        let (socket, frames) = self.into_copy_both(&command, slot).await?;
        let now = now();
        let start = Start {
            stream: STREAMS.fetch_add(1, Ordering::Relaxed),
            from,
            server_end: system.flushed,
        };
        let door = socket.door();
        let (reader, writer) = split(socket);
        let shared = Arc::new(Shared {
            progress: Mutex::new(Progress::new(start, interval, now)),
            due: Notify::new(),
            is_finishing: AtomicBool::new(false),
        });
        let feedback = tokio::spawn(feed_back(writer, shared.clone()));
        Ok(ReplicationStream {
            reader,
            frames,
            liveness: Liveness::new(sender_timeout.unwrap_or(ANSWER_MAX).max(ANSWER_MAX), now),
            door,
            knocking: JoinSet::new(),
            system,
            slot: slot.to_owned(),
            publications: publications.join(", "),
            shared,
            feedback,
        })
    }
}

/// Streams started in this process.
static STREAMS: AtomicU64 = AtomicU64::new(0);

impl ReplicationStream {
    /// The next event. Cancel-safe: to be used as an arm of a `select!`.
    ///
    /// # Errors
    ///
    /// The stream is of no use after one.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            match self.frames.next()? {
                Some(frame) => {
                    if let Some(event) = self.accept(frame)? {
                        return Ok(event);
                    }
                }
                None => self.fill().await?,
            }
        }
    }

    /// Everything up to and including `commit` is done with. `commit` has to be the position of a commit of this stream;
    /// positions of another one, such as of the connection before, are passed over. It does not matter how much has been
    /// read since.
    ///
    /// The server hears of it at once, or 100 ms after it has heard something last.
    pub fn acknowledge(&self, commit: Position) {
        if self.shared.progress().acknowledge(commit) {
            self.shared.due.notify_one();
        }
    }

    /// Up to where everything has arrived.
    pub fn received(&self) -> Lsn {
        self.shared.progress().received()
    }

    /// Up to where the server need not keep its log. [`Lsn::ZERO`] while that is not known, after a start from there.
    pub fn flushed(&self) -> Lsn {
        self.shared.progress().flushed()
    }

    /// How far the stream is behind. Cheap; for its limits see [`Lag::server_end`].
    pub fn lag(&self) -> Lag {
        self.shared.progress().lag()
    }

    /// Who the server is, and where its log ended before the stream was started.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Ends the stream: reports what has been acknowledged and waits until the server has taken it and let go of the
    /// slot. What arrives meanwhile is thrown away; not being acknowledged, a durable slot streams it again.
    ///
    /// Takes 5 seconds at most. The connection is closed in any case, also if the future is dropped.
    ///
    /// # Errors
    ///
    /// It is not certain that the server knows: what was acknowledged last may be streamed again.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.shared.is_finishing.store(true, Ordering::Release);
        self.shared.due.notify_one();
        match timeout(FINISH_MAX, self.read_to_end()).await {
            Ok(done) => done,
            Err(_) => {
                let seconds = FINISH_MAX.as_secs();
                Err(Transient::Silent { seconds }.into())
            }
        }
    }

    /// Reads until the server takes commands again, which it does once it has let go of the slot.
    async fn read_to_end(&mut self) -> Result<(), Error> {
        loop {
            match self.frames.next()? {
                Some(Frame::Other(Message::ReadyForQuery(_))) => return Ok(()),
                Some(Frame::Other(Message::ErrorResponse(body))) => return Err(self.read_error(&body)),
                Some(_) => {}
                None => match self.reader.read_buf(self.frames.buffer()).await {
                    Ok(0) => return Err(ended()),
                    Ok(_) => {}
                    Err(error) => return Err(lost(&error)),
                },
            }
        }
    }

    fn read_error(&self, body: &ErrorResponseBody) -> Error {
        let (slot, publication) = (&self.slot, &self.publications);
        Error::read(body, Doing::Streaming { slot, publication })
    }

    fn accept(&mut self, frame: Frame) -> Result<Option<Event>, Error> {
        match frame {
            Frame::CopyData(bytes) => match ServerMessage::parse(bytes)? {
                ServerMessage::XLogData { lsn, data } => {
                    let position = self.shared.progress().hand_out(lsn);
                    Ok(Some(Event::XLogData { position, data }))
                }
                ServerMessage::Keepalive { end, reply_requested } => {
                    self.shared.progress().keepalive(end, reply_requested);
                    if reply_requested {
                        self.shared.due.notify_one();
                    }
                    Ok(Some(Event::Keepalive { end }))
                }
            },
            Frame::Oversized { head, bytes_total } => match ServerMessage::parse(head)? {
                ServerMessage::XLogData { lsn, data: head } => {
                    let position = self.shared.progress().hand_out(lsn);
                    Ok(Some(Event::Oversized {
                        position,
                        head,
                        bytes_total,
                    }))
                }
                ServerMessage::Keepalive { .. } => Err(protocol("a keepalive that is too long")),
            },
            Frame::Other(Message::ErrorResponse(body)) => Err(self.read_error(&body)),
            Frame::Other(Message::CopyDone) => Err(ended()),
            Frame::Other(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => Ok(None),
            Frame::Other(_) | Frame::CopyBoth => Err(protocol("an unexpected message in a stream")),
        }
    }

    /// Reads what there is, and looks after the server if there is nothing for long.
    async fn fill(&mut self) -> Result<(), Error> {
        loop {
            let deadline = Instant::from_std(self.liveness.deadline());
            // Reading first: after a long absence of the consumer the deadline is past, and the answer there.
            let silence = tokio::select! {
                biased;
                read = self.reader.read_buf(self.frames.buffer()) => return self.heard(read),
                Some(at_home) = self.knocking.join_next() => {
                    self.liveness.knocked(at_home.unwrap_or(false), now()).map(Silence::Gone)
                }
                () = sleep_until(deadline) => Some(self.liveness.look(now())),
            };
            match silence {
                Some(Silence::Ask) => {
                    self.shared.progress().ask_for_reply();
                    self.shared.due.notify_one();
                }
                Some(Silence::Knock) => {
                    if let Some(door) = self.door.clone() {
                        self.knocking.spawn(door.knock());
                    }
                }
                Some(Silence::Gone(silence)) => {
                    let seconds = silence.as_secs();
                    return Err(Transient::Silent { seconds }.into());
                }
                None => {}
            }
        }
    }

    fn heard(&mut self, read: io::Result<usize>) -> Result<(), Error> {
        match read {
            Ok(0) => Err(ended()),
            Ok(_) => {
                self.liveness.heard(now());
                if !self.knocking.is_empty() {
                    self.knocking = JoinSet::new();
                }
                Ok(())
            }
            Err(error) => Err(lost(&error)),
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl Drop for ReplicationStream {
    fn drop(&mut self) {
        self.feedback.abort();
    }
}

/// Reports progress whenever it is due, until the stream is finished or the connection breaks; the reading side learns
/// of either by itself.
async fn feed_back(mut writer: WriteHalf<Socket>, shared: Arc<Shared>) {
    loop {
        let is_last = shared.is_finishing.load(Ordering::Acquire);
        let (update, deadline) = {
            let mut progress = shared.progress();
            let update = if is_last {
                Some(progress.report(now()))
            } else {
                progress.feedback(now())
            };
            (update, Instant::from_std(progress.feedback_deadline()))
        };
        if let Some(update) = update {
            let mut frame = update.encode(SystemTime::now());
            if is_last {
                frame.extend(COPY_DONE);
            }
            if let Err(error) = async { writer.write_all(&frame).await.and(writer.flush().await) }.await {
                debug!(%error, "no more feedback on a replication stream");
                return;
            }
        }
        if is_last {
            return;
        }
        tokio::select! {
            () = sleep_until(deadline) => {}
            () = shared.due.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests;
