//! What a replay asks its driver for, and what it is told.

use std::time::Duration;

use crate::json::Value;
use crate::matcher::Arrived;
use crate::step::Frame;

/// What the driver has to do next. `until` is an [`Moment::elapsed`](super::Moment::elapsed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Open a WebSocket. Comes to [`Event::Done`] if it is open, [`Event::Refused`], [`Event::Nothing`] or
    /// [`Event::Failed`].
    Open {
        /// Its name.
        connection: String,
        /// Path and query, as they are sent.
        target: String,
        /// The `Host`.
        host: String,
        /// Headers beside those of the handshake.
        headers: Vec<(String, String)>,
        /// How long to wait for the answer.
        until: Duration,
    },
    /// Send a message. Comes to [`Event::Done`] or [`Event::Failed`], as all that have nothing to wait for.
    Send {
        /// On which connection.
        connection: String,
        /// Of which kind.
        frame: Frame,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// Send a ping.
    Ping {
        /// On which connection.
        connection: String,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Send a close frame; what the server answers is received next.
    Close {
        /// On which connection.
        connection: String,
        /// The code.
        code: u16,
    },
    /// Drop the TCP connection; nothing is received from it any more.
    Drop {
        /// Which connection.
        connection: String,
    },
    /// Take the next thing that arrived. Comes to [`Event::Arrived`], [`Event::Ended`] or [`Event::Nothing`].
    Receive {
        /// On which connection.
        connection: String,
        /// How long to wait for it.
        until: Duration,
    },
    /// Send an HTTP request. Comes to [`Event::Answered`], [`Event::Nothing`] or [`Event::Failed`].
    Call {
        /// The request.
        request: HttpRequest,
        /// How long to wait for the answer.
        until: Duration,
    },
    /// Run statements as superuser, in autocommit. Comes to [`Event::Rows`], [`Event::SqlFailed`], [`Event::Nothing`] or
    /// [`Event::Failed`].
    Run {
        /// The statements.
        sql: String,
        /// How long to wait for their end.
        until: Duration,
    },
    /// Let time pass.
    Sleep {
        /// How long.
        until: Duration,
    },
    /// It is over: call [`Replay::finish`](super::Replay::finish).
    Done,
}

/// A request with nothing left to be replaced in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Host`.
    pub host: String,
    /// Other headers.
    pub headers: Vec<(String, String)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The content type, if it has one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is done. Also the event to begin with.
    Done,
    /// Nothing came in the time there was.
    Nothing,
    /// It could not be done, for this reason.
    Failed(String),
    /// Something arrived.
    Arrived(Arrived),
    /// The server ended the connection; nothing more arrives on it.
    Ended {
        /// The close code; 1006 if there was no close frame.
        code: u16,
        /// The reason of the close frame, or how the connection ended without one.
        reason: String,
    },
    /// The handshake was answered with something else than 101.
    Refused(HttpAnswer),
    /// The request was answered.
    Answered(HttpAnswer),
    /// The statements ran; their rows are objects of texts and nulls.
    Rows(Value),
    /// A statement failed.
    SqlFailed {
        /// The SQLSTATE, if the server gave one.
        code: Option<String>,
        /// What is told of it.
        message: String,
    },
}
