//! Streams from a server that does as it is told, in virtual time.

use std::task::Poll;

use tokio::io::DuplexStream;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::*;
use crate::Definite;

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

/// A stream from 0/10, which is before the end of the log.
async fn started() -> (ReplicationStream, Server) {
    started_from(0x10, "0/10").await
}

async fn started_from(from: u64, told: &str) -> (ReplicationStream, Server) {
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
        assert_eq!(server.hear(b'Q').await, b"IDENTIFY_SYSTEM\0");
        server
            .say(
                b'D',
                b"\0\x04\0\0\0\x017\0\0\0\x011\0\0\0\x040/20\xff\xff\xff\xff",
            )
            .await;
        server.say(b'C', b"IDENTIFY_SYSTEM\0").await;
        server.say(b'Z', b"I").await;
        assert_eq!(server.hear(b'Q').await, b"SHOW wal_sender_timeout\0");
        server.say(b'D', b"\0\x01\0\0\0\x041min").await;
        server.say(b'C', b"SHOW\0").await;
        server.say(b'Z', b"I").await;
        let command = server.hear(b'Q').await;
        assert_eq!(
            String::from_utf8_lossy(&command),
            format!(
                "START_REPLICATION SLOT \"s\"\"1\" LOGICAL {told} \
                 (proto_version '1', publication_names '\"it''s\"')\0"
            )
        );
        server.say(b'W', b"\0\0\0").await;
    };
    let dsn = "host=h user=anna dbname=app".parse().unwrap();
    let client = async {
        let connection = Connection::login(Socket::memory(near), &dsn).await.unwrap();
        connection
            .start_replication("s\"1", from.into(), &["it's"])
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
    assert_eq!(server.hear_feedback().await, (0x30, 0, false));
    stream.acknowledge(commit);
    assert_eq!(server.hear_feedback().await, (0x30, 0x30, false));
}

#[tokio::test(start_paused = true)]
async fn feedback_goes_out_while_the_consumer_does_something_else() {
    let (_stream, mut server) = started().await;
    server.say_keepalive(0x99, true).await;
    for _ in 0..10 {
        // What has not been read is not reported, but the server hears that we are there.
        assert_eq!(server.hear_feedback().await, (0x10, 0, false));
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
        Err(Definite::PublicationMissing {
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

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_reported_at_once_and_many_with_few_reports() {
    let (mut stream, mut server) = started().await;
    let mut commits = Vec::new();
    for n in 1..=1000 {
        server.say_data(0x100 + n, b"C").await;
        commits.push(data(stream.next().await.unwrap()).0);
    }
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    stream.acknowledge(commits[0]);
    assert_eq!(server.hear_feedback().await, (0x100 + 1000, 0x101, false));
    assert_eq!(start.elapsed(), Duration::ZERO);

    // Ten in a millisecond.
    let acknowledging = async {
        for commit in &commits[1..] {
            stream.acknowledge(*commit);
            if commit.lsn().as_u64() % 10 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let listening = async {
        let mut reports = 0;
        while server.hear_feedback().await.1 != 0x100 + 1000 {
            reports += 1;
        }
        reports
    };
    let ((), reports) = tokio::join!(acknowledging, listening);
    assert!(reports <= 1, "{reports} reports within a tenth of a second");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_away_for_minutes_keeps_its_stream() {
    let (mut stream, mut server) = started().await;
    let start = Instant::now();
    server.say_data(0x20, b"B").await;
    while start.elapsed() < Duration::from_secs(600) {
        server.say_keepalive(0x20, true).await;
        let heard = Instant::now();
        assert_eq!(server.hear_feedback().await, (0x10, 0, false));
        assert!(heard.elapsed() <= FEEDBACK_INTERVAL_MAX);
    }
    server.say_data(0x30, b"C").await;
    assert_eq!(data(stream.next().await.unwrap()).1, "B");
    loop {
        match stream.next().await.unwrap() {
            Event::Keepalive { end } => assert_eq!(end, 0x20.into()),
            event => break assert_eq!(data(event).1, "C"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_finished_says_last_what_was_acknowledged() {
    let (mut stream, mut server) = started().await;
    server.say_data(0x20, b"C").await;
    server.say_data(0x30, b"C").await;
    let (commit, _) = data(stream.next().await.unwrap());
    stream.acknowledge(commit);
    let script = async {
        assert_eq!(server.hear_feedback().await, (0x20, 0x20, false));
        assert_eq!(server.hear(b'c').await, b"");
        server.say_data(0x40, b"C").await;
        server.say(b'c', b"").await;
        server.say(b'C', b"COPY 0\0").await;
        server.say(b'Z', b"I").await;
        assert_eq!(server.stream.read(&mut [0]).await.unwrap(), 0);
    };
    let (finished, ()) = tokio::join!(stream.finish(), script);
    assert_eq!(finished, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_finished_in_bounded_time() {
    let (stream, mut server) = started().await;
    let seconds = FINISH_MAX.as_secs();
    assert_eq!(stream.finish().await, Err(Transient::Silent { seconds }.into()));
    server.hear_feedback().await;
    server.hear(b'c').await;
    assert_eq!(server.stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_at_the_end_has_perhaps_not_heard() {
    let (stream, server) = started().await;
    drop(server);
    assert!(matches!(
        stream.finish().await,
        Err(Error::Transient(Transient::Lost { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_place_beyond_the_end_of_the_log_is_not_started_from() {
    let (stream, _server) = started_from(0x21, "0/0").await;
    assert_eq!(stream.flushed(), Lsn::ZERO);
    assert_eq!(stream.lag().server_end, 0x20.into());
    let (stream, _server) = started_from(0x20, "0/20").await;
    assert_eq!(stream.lag().bytes_behind, 0);
    assert_eq!(stream.flushed(), 0x20.into());
}

#[tokio::test(start_paused = true)]
async fn log_that_is_gone_is_a_lost_slot() {
    let (mut stream, mut server) = started().await;
    let message = "requested WAL segment 000000010000000000000001 has already been removed";
    server
        .say(b'E', format!("SERROR\0C58P01\0M{message}\0\0").as_bytes())
        .await;
    assert_eq!(
        stream.next().await,
        Err(Definite::SlotLost {
            slot: "s\"1".into(),
            message: message.into()
        }
        .into())
    );
}
