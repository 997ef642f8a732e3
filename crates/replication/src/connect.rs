//! A connection in replication mode, before it streams.
//!
//! `replication=database` makes a server speak the replication commands to us, in the database we name. It then takes
//! simple queries only, and decodes values with the settings given at login, which are fixed in [`SETTINGS`].

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::auth::authenticate;
use crate::dsn::Dsn;
use crate::error::{Definite, Doing, Error, Transient, lost, protocol};
use crate::frame::{COPY_BYTES_MAX, Frame, FrameReader};
use crate::socket::Socket;

/// How a session writes its values as text, whatever the defaults of role and database are.
pub const SETTINGS: [(&str, &str); 6] = [
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
];

/// A logged-in replication connection. Dropping it ends the session, and its temporary slots with it.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    frames: FrameReader,
}

impl Connection {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::open`], and what the server has against the login.
    pub async fn open(dsn: &Dsn) -> Result<Connection, Error> {
        let socket = Socket::open(dsn).await?;
        let server = socket.server().to_owned();
        match timeout(dsn.connect_timeout(), Connection::login(socket, dsn)).await {
            Ok(done) => done,
            Err(_) => Err(Transient::Unreachable {
                server,
                reason: "no answer to the login in time".into(),
            }
            .into()),
        }
    }

    pub(crate) async fn login(socket: Socket, dsn: &Dsn) -> Result<Connection, Error> {
        let mut connection = Connection {
            socket,
            frames: FrameReader::new(COPY_BYTES_MAX),
        };
        let config = dsn.config();
        let named = [
            ("user", config.get_user()),
            ("database", config.get_dbname()),
            ("application_name", config.get_application_name()),
            ("options", config.get_options()),
            ("replication", Some("database")),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut startup = BytesMut::new();
        frontend::startup_message(named.chain(SETTINGS), &mut startup)
            .map_err(|_| protocol("a connection string with a NUL in it"))?;
        connection.send(&startup).await?;
        authenticate(&mut connection, dsn).await?;
        loop {
            match connection.receive_in_login(dsn.user()).await? {
                Message::ReadyForQuery(_) => return Ok(connection),
                Message::BackendKeyData(_) => {}
                _ => return Err(protocol("an unexpected message after the login")),
            }
        }
    }

    /// Runs a replication command and returns the first row of its result, empty if there is none.
    ///
    /// The future must not be dropped before its end unless the connection is dropped as well.
    pub(crate) async fn command(
        &mut self,
        command: &str,
        doing: Doing<'_>,
    ) -> Result<Vec<Option<String>>, Error> {
        self.send_query(command).await?;
        let mut row = None;
        let mut failure = None;
        loop {
            match self.receive().await? {
                Frame::Other(Message::DataRow(body)) if row.is_none() => row = Some(columns(&body)?),
                Frame::Other(Message::ErrorResponse(body)) => failure = Some(Error::read(&body, doing)),
                Frame::Other(Message::ReadyForQuery(_)) => break,
                Frame::Other(
                    Message::RowDescription(_)
                    | Message::DataRow(_)
                    | Message::CommandComplete(_)
                    | Message::EmptyQueryResponse,
                ) => {}
                Frame::Other(_) | Frame::CopyBoth | Frame::CopyData(_) | Frame::Oversized { .. } => {
                    return Err(protocol("an unexpected message in answer to a command"));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(row.unwrap_or_default()),
        }
    }

    /// Runs the command that turns the connection into a stream of a slot, and takes it apart for that.
    pub(crate) async fn into_copy_both(
        mut self,
        command: &str,
        slot: &str,
    ) -> Result<(Socket, FrameReader), Error> {
        self.send_query(command).await?;
        match self.receive().await? {
            Frame::CopyBoth => Ok((self.socket, self.frames)),
            Frame::Other(Message::ErrorResponse(body)) => Err(Error::read(&body, Doing::Starting { slot })),
            _ => Err(protocol("no stream in answer to the command that starts one")),
        }
    }

    pub(crate) fn channel_binding(&self) -> Option<Vec<u8>> {
        self.socket.channel_binding()
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.write_all(bytes).await.map_err(|error| lost(&error))?;
        self.socket.flush().await.map_err(|error| lost(&error))
    }

    /// The next message of a login. An error of the server is returned as such.
    pub(crate) async fn receive_in_login(&mut self, user: &str) -> Result<Message, Error> {
        match self.receive().await? {
            Frame::Other(Message::ErrorResponse(body)) => Err(Error::read(&body, Doing::Login { user })),
            Frame::Other(message) => Ok(message),
            Frame::CopyBoth | Frame::CopyData(_) | Frame::Oversized { .. } => {
                Err(protocol("a copy during the login"))
            }
        }
    }

    async fn send_query(&mut self, query: &str) -> Result<(), Error> {
        let mut message = BytesMut::new();
        frontend::query(query, &mut message).map_err(|_| Definite::Protocol("a command with a NUL in it"))?;
        self.send(&message).await
    }

    /// The next message, but for those a server may throw in at any time.
    async fn receive(&mut self) -> Result<Frame, Error> {
        loop {
            match self.frames.next()? {
                Some(Frame::Other(Message::ParameterStatus(_) | Message::NoticeResponse(_))) => {}
                Some(frame) => return Ok(frame),
                None => {
                    let read = self.socket.read_buf(self.frames.buffer()).await;
                    if read.map_err(|error| lost(&error))? == 0 {
                        return Err(ended());
                    }
                }
            }
        }
    }
}

/// The server closed the stream without a word.
pub(crate) fn ended() -> Error {
    Transient::Lost {
        reason: "the server closed it".into(),
    }
    .into()
}

fn columns(body: &DataRowBody) -> Result<Vec<Option<String>>, Error> {
    let malformed = || protocol("a malformed row");
    let text = |range: Option<std::ops::Range<usize>>| match range {
        Some(range) => {
            let bytes = body.buffer().get(range).ok_or_else(malformed)?;
            Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
        }
        None => Ok(None),
    };
    body.ranges().map_err(|_| malformed()).map(text).collect()
}
