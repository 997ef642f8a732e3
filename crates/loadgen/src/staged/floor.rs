//! The floor of what the database takes part in: a program that follows a publication as the gateway does and writes
//! as many bytes to as many sockets, and nothing else.
//!
//! One thread. Every join is answered with ok and, if a [`Kind`] is told, with the notice that what it asks for flows.
//! A row becomes one frame, which is written to every socket that has joined, one write each: no tokens, no policies,
//! no filters, no limits, no topics, no batching. Of a row only what a delivery shows is copied, as it comes; the frame
//! is filled up with blanks to the size of the gateway's.

use crate::answer::UPGRADE;
use crate::frame::{CLOSE, Inbox, TEXT, server_frame};
use crate::{Result, failed};
use memchr::memmem;
use replication::{Connection, Dsn, Durability, Event, Lsn};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const SLOT: &str = "bench_floor";
/// As many connections wait to be accepted as with the gateway.
const BACKLOG: u32 = 1024;
const READ_BUFFER_BYTES: usize = 16 << 10;
/// Tags of pgoutput.
const INSERT: u8 = b'I';
const COMMIT: u8 = b'C';

/// What is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Rows, as changes.
    Changes,
    /// Payloads of messages, as broadcasts.
    Broadcasts,
}

impl Kind {
    /// The extension that the notice names.
    fn extension(self) -> &'static str {
        match self {
            Kind::Changes => "postgres_changes",
            Kind::Broadcasts => "system",
        }
    }

    /// What stands before and after the columns of a row.
    fn frame(self) -> (&'static str, &'static str) {
        match self {
            Kind::Changes => (
                r#"[null,null,"realtime:bench","postgres_changes",{"ids":[1],"data":{"record":{"id":"#,
                "}}}]",
            ),
            Kind::Broadcasts => (
                r#"[null,null,"realtime:bench","broadcast",{"event":"load","payload":"#,
                "}]",
            ),
        }
    }

    /// Whether a column is shown.
    fn shows(self, column: &[u8]) -> bool {
        match self {
            Kind::Changes => true,
            Kind::Broadcasts => column.starts_with(b"{\"n\":"),
        }
    }

    /// The frame of a row, with a payload of at least so many bytes.
    fn delivery(self, insert: &[u8], payload_bytes: usize) -> Vec<u8> {
        let (before, after) = self.frame();
        let mut payload = Vec::with_capacity(payload_bytes);
        payload.extend_from_slice(before.as_bytes());
        let mut rest = insert.get(8..).unwrap_or_default();
        let mut is_first = true;
        while let Some((column, behind)) = column(rest) {
            rest = behind;
            if self.shows(column) {
                if !std::mem::take(&mut is_first) {
                    payload.extend_from_slice(b",");
                }
                payload.extend_from_slice(column);
            }
        }
        let blanks = payload_bytes.saturating_sub(payload.len() + after.len());
        payload.resize(payload.len() + blanks, b' ');
        payload.extend_from_slice(after.as_bytes());
        server_frame(TEXT, &payload)
    }
}

/// The first column with a value in a row of pgoutput, and what follows it.
fn column(mut row: &[u8]) -> Option<(&[u8], &[u8])> {
    loop {
        let (kind, rest) = row.split_first()?;
        if *kind != b't' {
            row = rest;
            continue;
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        return rest.split_at_checked(u32::from_be_bytes(*length) as usize);
    }
}

/// Where rows come from and what becomes of them.
pub struct Source<'a> {
    /// The database.
    pub dsn: &'a str,
    /// The publication of the rows.
    pub publication: &'a str,
    /// What is delivered.
    pub kind: Kind,
    /// Size of a delivery. Bytes.
    pub payload_bytes: usize,
}

/// Serves on `address` until the process is ended; without a source it only answers joins.
pub fn serve(address: SocketAddr, source: Option<Source<'_>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (joined, mut all) = unbounded_channel();
        let kind = source.as_ref().map(|source| source.kind);
        let Some(source) = source else {
            return accept(address, kind, joined).await;
        };
        // The slot first: who has joined is not to miss a row.
        let dsn: Dsn = source.dsn.parse()?;
        let mut connection = Connection::open(&dsn).await?;
        connection.create_slot(SLOT, Durability::Temporary).await?;
        let mut stream = connection
            .start_replication(SLOT, Lsn::ZERO, &[source.publication])
            .await?;
        let accepting = tokio::spawn(accept(address, kind, joined));
        let mut sockets: Vec<Arc<TcpStream>> = Vec::new();
        while !accepting.is_finished() {
            let Event::XLogData { position, data } = stream.next().await? else {
                continue;
            };
            match data.first() {
                Some(&INSERT) => {
                    while let Ok(socket) = all.try_recv() {
                        sockets.push(socket);
                    }
                    let frame = source.kind.delivery(&data, source.payload_bytes);
                    let mut at = 0;
                    while let Some(socket) = sockets.get(at) {
                        match write(socket, &frame).await {
                            Ok(()) => at += 1,
                            Err(_) => drop(sockets.swap_remove(at)),
                        }
                    }
                }
                Some(&COMMIT) => stream.acknowledge(position),
                _ => {}
            }
        }
        accepting.await?
    })
}

async fn accept(
    address: SocketAddr,
    kind: Option<Kind>,
    joined: UnboundedSender<Arc<TcpStream>>,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let joined = joined.clone();
        // Its end is the socket's end, whatever the reason.
        tokio::spawn(async move { _ = answer(Arc::new(stream), kind, joined).await });
    }
}

/// Answers the handshake and the joins of one socket until it ends.
async fn answer(
    stream: Arc<TcpStream>,
    kind: Option<Kind>,
    joined: UnboundedSender<Arc<TcpStream>>,
) -> Result<()> {
    let mut inbox = Inbox::default();
    let mut handshake = Some(Vec::new());
    let mut is_new = true;
    loop {
        let mut buffer = [0; READ_BUFFER_BYTES];
        stream.readable().await?;
        let mut input = match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default().to_vec(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(request) = &mut handshake {
            request.extend_from_slice(&input);
            let Some(end) = memmem::find(request, b"\r\n\r\n") else {
                continue;
            };
            input = request.split_off(end + 4);
            handshake = None;
            write(&stream, UPGRADE).await?;
        }
        let mut answers = Vec::new();
        let mut is_over = false;
        inbox
            .feed(&input, |frame| {
                is_over |= frame.opcode == CLOSE;
                answers.extend(reply(frame.payload, kind));
            })
            .map_err(|error| error.to_string())?;
        if is_over {
            return Ok(());
        }
        if !answers.is_empty() {
            write(&stream, &answers).await?;
            if std::mem::take(&mut is_new) && kind.is_some() && joined.send(stream.clone()).is_err() {
                return failed("nobody follows the publication any more");
            }
        }
    }
}

/// What a join is answered with; nothing to anything else.
fn reply(text: &[u8], kind: Option<Kind>) -> Vec<u8> {
    let Some(topic_at) = memmem::find(text, b",\"phx_join\"") else {
        return Vec::new();
    };
    // Refs and topic: `["1","1","realtime:room"`.
    let Ok(head) = std::str::from_utf8(text.get(..topic_at).unwrap_or_default()) else {
        return Vec::new();
    };
    let ok = format!(r#"{head},"phx_reply",{{"status":"ok","response":{{"postgres_changes":[]}}}}]"#);
    let mut answer = server_frame(TEXT, ok.as_bytes());
    if let Some(kind) = kind {
        let topic = head.rsplit(',').next().unwrap_or_default();
        let notice = format!(
            r#"["1",null,{topic},"system",{{"message":"Subscribed","status":"ok","extension":"{}","channel":""}}]"#,
            kind.extension()
        );
        answer.extend_from_slice(&server_frame(TEXT, notice.as_bytes()));
    }
    answer
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    loop {
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error.into()),
        }
        if bytes.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::split;
    use crate::message::{join_answer, numbered_join};

    fn insert(columns: &[Option<&str>]) -> Vec<u8> {
        let mut row = b"I\0\0\0\x07N\0\x03".to_vec();
        for column in columns {
            match column {
                Some(text) => {
                    row.push(b't');
                    row.extend_from_slice(&(text.len() as u32).to_be_bytes());
                    row.extend_from_slice(text.as_bytes());
                }
                None => row.push(b'n'),
            }
        }
        row
    }

    fn payload(frame: &[u8]) -> String {
        let (frame, _) = split(frame).unwrap().expect("a whole frame");
        String::from_utf8_lossy(frame.payload).into_owned()
    }

    #[test]
    fn a_row_becomes_a_delivery_of_the_size_asked_for_with_its_number_where_listeners_look() {
        let row = insert(&[Some("42"), None, Some("body")]);
        let change = payload(&Kind::Changes.delivery(&row, 200));
        assert!(change.contains(r#""record":{"id":42,body"#), "{change}");
        assert_eq!(change.len(), 200);

        let row = insert(&[Some("topic"), Some(r#"{"n": 7}"#), Some("x")]);
        let broadcast = payload(&Kind::Broadcasts.delivery(&row, 10));
        assert!(broadcast.contains(r#""payload":{"n": 7}}]"#), "{broadcast}");
    }

    #[test]
    fn a_row_that_is_cut_short_has_the_columns_that_are_whole() {
        let mut row = insert(&[Some("42"), Some("body")]);
        row.truncate(row.len() - 1);
        assert!(payload(&Kind::Changes.delivery(&row, 0)).ends_with(r#"{"id":42}}}]"#));
        assert_eq!(column(b""), None);
    }

    #[test]
    fn a_join_is_answered_with_its_own_number_and_nothing_else_is() {
        let join = numbered_join(40_123, "room", "t", true);
        let (frame, _) = split(&join).unwrap().unwrap();
        let answer = reply(frame.payload, None);
        assert_eq!(join_answer(payload(&answer).as_bytes()), Some((40_123, true)));
        assert!(reply(frame.payload, Some(Kind::Changes)).len() > answer.len());
        assert!(reply(b"[null,\"4\",\"phoenix\",\"heartbeat\",{}]", None).is_empty());
    }
}
