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
//!   stream up.
//! * A dropped future of [`ReplicationStream::next`] loses nothing.
//! * Dropping the stream closes the connection, and with it goes the temporary slot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::message::backend::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::connect::{Connection, ended};
use crate::error::{Doing, Error, ServerError, Transient, lost, protocol};
use crate::frame::{Frame, FrameReader};
use crate::liveness::{Liveness, Silence};
use crate::lsn::Lsn;
use crate::message::ServerMessage;
use crate::progress::{Position, Progress};
use crate::socket::Socket;

/// Longest pause between two reports to the server; shorter where the server is impatient.
const FEEDBACK_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Shortest pause, for servers whose timeout makes no sense.
const FEEDBACK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// How long a server without a timeout of its own may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

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
    publication: String,
    shared: Arc<Shared>,
    feedback: JoinHandle<()>,
}

/// What reading and feeding back share.
#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    /// Feedback is due before its deadline.
    due: Notify,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Starts to stream a slot, filtered and described by a publication in protocol version 1 of `pgoutput`.
    ///
    /// `from` is where to start, or [`Lsn::ZERO`] for where the slot stands. Whether the publication exists shows only
    /// when there is a change to stream.
    ///
    /// Has to be called inside a tokio runtime: feedback runs in a task of its own.
    pub async fn start_replication(
        mut self,
        slot: &str,
        from: Lsn,
        publication: &str,
    ) -> Result<ReplicationStream, Error> {
        let sender_timeout = self.sender_timeout().await?;
        let interval = sender_timeout.map_or(FEEDBACK_INTERVAL_MAX, |timeout| {
            (timeout / 3).clamp(FEEDBACK_INTERVAL_MIN, FEEDBACK_INTERVAL_MAX)
        });
        let slot = escape_identifier(slot);
        let publications = escape_literal(&escape_identifier(publication));
        let command = format!(
            "START_REPLICATION SLOT {slot} LOGICAL {from} (proto_version '1', publication_names {publications})"
        );
        let (socket, frames) = self.into_copy_both(&command).await?;
        let now = Instant::now().into_std();
        let (reader, writer) = split(socket);
        let shared = Arc::new(Shared {
            progress: Mutex::new(Progress::new(from, interval, now)),
            due: Notify::new(),
        });
        let feedback = tokio::spawn(feed_back(writer, shared.clone()));
        Ok(ReplicationStream {
            reader,
            frames,
            liveness: Liveness::new(sender_timeout.unwrap_or(ANSWER_MAX).max(ANSWER_MAX), now),
            publication: publication.to_owned(),
            shared,
            feedback,
        })
    }
}

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

    /// Everything up to and including `commit` is done with. `commit` has to be the position of a commit.
    ///
    /// The server hears of it with the next feedback, within seconds.
    pub fn acknowledge(&self, commit: Position) {
        self.shared.progress().acknowledge(commit);
    }

    /// Up to where everything has arrived.
    pub fn received(&self) -> Lsn {
        self.shared.progress().received()
    }

    /// Up to where the server need not keep its log.
    pub fn flushed(&self) -> Lsn {
        self.shared.progress().flushed()
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
            Frame::Other(Message::ErrorResponse(body)) => {
                let publication = &self.publication;
                Err(ServerError::read(&body)?.classify(Doing::Streaming { publication }))
            }
            Frame::Other(Message::CopyDone) => Err(ended()),
            Frame::Other(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => Ok(None),
            Frame::Other(_) | Frame::CopyBoth => Err(protocol("an unexpected message in a stream")),
        }
    }

    /// Reads what there is, and asks the server if there is nothing for long.
    async fn fill(&mut self) -> Result<(), Error> {
        loop {
            let deadline = Instant::from_std(self.liveness.deadline());
            // Reading first: after a long absence of the consumer the deadline is past, and the answer there.
            let read = tokio::select! {
                biased;
                read = self.reader.read_buf(self.frames.buffer()) => Some(read),
                () = sleep_until(deadline) => None,
            };
            let now = Instant::now().into_std();
            match read {
                Some(Ok(0)) => return Err(ended()),
                Some(Ok(_)) => {
                    self.liveness.heard(now);
                    return Ok(());
                }
                Some(Err(error)) => return Err(lost(&error)),
                None => match self.liveness.look(now) {
                    Silence::Ask => {
                        self.shared.progress().ask_for_reply();
                        self.shared.due.notify_one();
                    }
                    Silence::Gone(silence) => {
                        let seconds = silence.as_secs();
                        return Err(Transient::Silent { seconds }.into());
                    }
                },
            }
        }
    }
}

impl Drop for ReplicationStream {
    fn drop(&mut self) {
        self.feedback.abort();
    }
}

/// Reports progress whenever it is due, until the connection breaks; the reading side learns of that by itself.
async fn feed_back(mut writer: WriteHalf<Socket>, shared: Arc<Shared>) {
    loop {
        let (update, deadline) = {
            let mut progress = shared.progress();
            let update = progress.feedback(Instant::now().into_std());
            (update, Instant::from_std(progress.feedback_deadline()))
        };
        if let Some(update) = update {
            let frame = update.encode(SystemTime::now());
            if let Err(error) = async { writer.write_all(&frame).await.and(writer.flush().await) }.await {
                debug!(%error, "no more feedback on a replication stream");
                return;
            }
        }
        tokio::select! {
            () = sleep_until(deadline) => {}
            () = shared.due.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::io::DuplexStream;
    use tokio::task::yield_now;

    use super::*;

    /// The other end: a server that does as it is told.
    struct Server {
        stream: DuplexStream,
    }

    impl Server {
        async fn say(&mut self, tag: u8, body: &[u8]) {
            let length = (body.len() as u32 + 4).to_be_bytes();
            let frame = [&[tag], &length[..], body].concat();
            self.stream.write_all(&frame).await.unwrap();
        }

        async fn say_data(&mut self, lsn: u64, data: &[u8]) {
            let lsn = lsn.to_be_bytes();
            self.say(b'd', &[&b"w"[..], &lsn, &lsn, &[0; 8], data].concat())
                .await;
        }

        async fn say_keepalive(&mut self, end: u64, reply_requested: bool) {
            let end = end.to_be_bytes();
            self.say(
                b'd',
                &[&b"k"[..], &end, &[0; 8], &[reply_requested.into()]].concat(),
            )
            .await;
        }

        /// The next message; of the startup packet, which has no tag, the first half.
        async fn hear(&mut self, tag: u8) -> Vec<u8> {
            if tag != 0 {
                assert_eq!(self.stream.read_u8().await.unwrap(), tag);
            }
            let length = self.stream.read_u32().await.unwrap() as usize;
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body).await.unwrap();
            body
        }

        /// The next feedback: received, flushed, and whether it asks for a reply.
        async fn hear_feedback(&mut self) -> (u64, u64, bool) {
            let body = self.hear(b'd').await;
            let number = |at: usize| u64::from_be_bytes(body[at..at + 8].try_into().unwrap());
            (number(1), number(9), body[33] == 1)
        }
    }

    async fn started() -> (ReplicationStream, Server) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut server = Server { stream: far };
        let script = async {
            let startup = server.hear(0).await;
            let startup = String::from_utf8_lossy(&startup).into_owned();
            for setting in [
                "replication\0database\0",
                "TimeZone\0UTC\0",
                "user\0anna\0",
                "database\0app\0",
            ] {
                assert!(startup.contains(setting), "{setting:?} in {startup:?}");
            }
            server.say(b'R', &[0; 4]).await;
            server.say(b'Z', b"I").await;
            assert_eq!(server.hear(b'Q').await, b"SHOW wal_sender_timeout\0");
            server.say(b'D', b"\0\x01\0\0\0\x041min").await;
            server.say(b'C', b"SHOW\0").await;
            server.say(b'Z', b"I").await;
            let command = server.hear(b'Q').await;
            assert_eq!(
                String::from_utf8_lossy(&command),
                "START_REPLICATION SLOT \"s\"\"1\" LOGICAL 0/10 \
                 (proto_version '1', publication_names '\"it''s\"')\0"
            );
            server.say(b'W', b"\0\0\0").await;
        };
        let dsn = "host=h user=anna dbname=app".parse().unwrap();
        let client = async {
            let connection = Connection::login(Socket::memory(near), &dsn).await.unwrap();
            connection
                .start_replication("s\"1", 0x10.into(), "it's")
                .await
                .unwrap()
        };
        let (stream, ()) = tokio::join!(client, script);
        (stream, server)
    }

    fn data(event: Event) -> (Position, Bytes) {
        match event {
            Event::XLogData { position, data } => (position, data),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_arrive_in_order_and_acknowledgements_are_reported() {
        let (mut stream, mut server) = started().await;
        server.say_data(0x20, b"B").await;
        server.say_data(0x30, b"C").await;
        assert_eq!(data(stream.next().await.unwrap()).1, "B");
        let (commit, bytes) = data(stream.next().await.unwrap());
        assert_eq!((commit.lsn(), &bytes[..]), (0x30.into(), &b"C"[..]));
        assert_eq!(server.hear_feedback().await, (0x30, 0x10, false));
        stream.acknowledge(commit);
        assert_eq!(server.hear_feedback().await, (0x30, 0x30, false));
    }

    #[tokio::test(start_paused = true)]
    async fn feedback_goes_out_while_the_consumer_does_something_else() {
        let (_stream, mut server) = started().await;
        server.say_keepalive(0x99, true).await;
        for _ in 0..10 {
            // What has not been read is not reported, but the server hears that we are there.
            assert_eq!(server.hear_feedback().await, (0x10, 0x10, false));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_keepalive_that_asks_is_answered_at_once() {
        let (mut stream, mut server) = started().await;
        let start = Instant::now();
        server.say_keepalive(0x40, true).await;
        assert_eq!(stream.next().await, Ok(Event::Keepalive { end: 0x40.into() }));
        assert_eq!(server.hear_feedback().await, (0x40, 0x40, false));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_future_loses_nothing() {
        let (mut stream, mut server) = started().await;
        let frame = [&b"d\0\0\0\x1e"[..], b"w", &[0; 24], b"I"].concat();
        let (last, first) = frame.split_last().unwrap();
        for byte in first {
            server.stream.write_all(&[*byte]).await.unwrap();
            let mut next = Box::pin(stream.next());
            assert!(matches!(poll_once(&mut next).await, Poll::Pending));
        }
        server.stream.write_all(&[*last]).await.unwrap();
        assert_eq!(data(stream.next().await.unwrap()).1, "I");
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        yield_now().await;
        std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_asked_and_given_up_when_it_does_not_answer() {
        let (mut stream, mut server) = started().await;
        let waiting = tokio::spawn(async move { stream.next().await });
        loop {
            let (.., asks) = server.hear_feedback().await;
            if asks {
                break;
            }
        }
        assert_eq!(
            waiting.await.unwrap(),
            Err(Transient::Silent { seconds: 60 }.into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_is_not_given_up() {
        let (mut stream, mut server) = started().await;
        let waiting = tokio::spawn(async move {
            while let Event::Keepalive { .. } = stream.next().await? {}
            Ok::<(), Error>(())
        });
        let start = Instant::now();
        while start.elapsed() < 10 * ANSWER_MAX {
            if server.hear_feedback().await.2 {
                server.say_keepalive(0x50, false).await;
            }
        }
        server.say_data(0x60, b"I").await;
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_stream_closes_the_connection() {
        let (stream, mut server) = started().await;
        drop(stream);
        assert_eq!(server.stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_publication_is_definite_and_an_end_is_transient() {
        let (mut stream, mut server) = started().await;
        server.say(b'E', b"SERROR\0C42704\0Mgibt es nicht\0\0").await;
        assert_eq!(
            stream.next().await,
            Err(crate::Definite::PublicationMissing {
                publication: "it's".into()
            }
            .into())
        );
        let (mut stream, mut server) = started().await;
        server.say(b'c', b"").await;
        assert!(matches!(
            stream.next().await,
            Err(Error::Transient(Transient::Lost { .. }))
        ));
    }
}
