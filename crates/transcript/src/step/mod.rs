//! What a line after the first says. Source: FORMAT.md, "Steps".
//!
//! Strings that may hold placeholders are kept as they are written; that each placeholder is known, and makes sense
//! where it stands, was checked.

mod fault;
mod parse;

pub use fault::{Fault, FaultKind};

use crate::json::Value;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number in the file, from 1.
    pub line: usize,
    /// What to do.
    pub action: Action,
    /// When it happened in the recording, since its beginning; not in version 1. Milliseconds.
    pub at_ms: Option<u64>,
    /// How long the reference took, a hint. Milliseconds.
    pub after_ms: Option<u64>,
    /// How long to wait at least before giving up. Milliseconds.
    pub timeout_ms: Option<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a WebSocket.
    Open(Open),
    /// Send a message.
    Send {
        /// On which connection.
        connection: String,
        /// What.
        message: Outgoing,
    },
    /// The next frames are these: one, or several in any order.
    Receive {
        /// On which connection.
        connection: String,
        /// The frames; at least one.
        expected: Vec<Expectation>,
        /// When numbers in them are equal.
        numbers: Numbers,
    },
    /// Nothing arrives.
    Silence {
        /// On which connection.
        connection: String,
        /// For how long. Milliseconds.
        ms: u64,
    },
    /// The client ends a connection.
    Close {
        /// Which.
        connection: String,
        /// How.
        ending: Ending,
    },
    /// The next thing is the server's close.
    Closed {
        /// Of which connection.
        connection: String,
        /// With one of these codes; 1006 stands for no close frame.
        codes: Vec<u16>,
    },
    /// An HTTP request.
    Http(HttpCall),
    /// SQL as superuser, in autocommit.
    Sql(SqlCall),
    /// Nothing happens for a while.
    Sleep {
        /// How long. Milliseconds.
        ms: u64,
    },
    /// Something goes wrong on purpose, when the server's side is played; nothing for a replay. Not in version 1.
    Fault(Fault),
}

impl Action {
    /// The connection it is about, if it names one.
    pub fn connection(&self) -> Option<&str> {
        match self {
            Self::Open(open) => Some(&open.connection),
            Self::Send { connection, .. }
            | Self::Receive { connection, .. }
            | Self::Silence { connection, .. }
            | Self::Close { connection, .. }
            | Self::Closed { connection, .. } => Some(connection),
            Self::Fault(fault) => fault.connection.as_deref(),
            Self::Http(_) | Self::Sql(_) | Self::Sleep { .. } => None,
        }
    }
}

/// A handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The name of the connection.
    pub connection: String,
    /// What follows the question mark.
    pub query: Query,
    /// Headers beside those of the handshake.
    pub headers: Vec<(String, String)>,
    /// The `Host`, if it is not the tenant's.
    pub host: Option<String>,
    /// What the handshake is answered with if not with 101.
    pub refused: Option<ExpectedAnswer>,
}

/// The query of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Names and values, to be percent-encoded.
    Parameters(Vec<(String, String)>),
    /// The text as it is.
    Literal(String),
}

/// A message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A text message with this JSON, without white space, after its placeholders are replaced.
    Json(Value),
    /// A message with exactly these bytes.
    Exact(Frame, Vec<u8>),
    /// A binary message of kind 3.
    Push(Push),
    /// A WebSocket ping.
    Ping(String),
}

/// The two kinds of data frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text,
    /// Binary.
    Binary,
}

/// A user broadcast push with JSON payload, by its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Empty if there is none.
    pub join_ref: String,
    /// Empty if there is none.
    pub reference: String,
    /// The topic.
    pub topic: String,
    /// The user's event.
    pub event: String,
    /// The payload.
    pub payload: Value,
}

/// A frame that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What it looks like.
    pub frame: Expected,
    /// It may also not come.
    pub optional: bool,
}

/// What an expected frame looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Text with JSON that matches.
    Text(Value),
    /// Binary with exactly these bytes.
    Bytes(Vec<u8>),
    /// Binary whose decoded form matches.
    View(Value),
    /// A pong with this text.
    Pong(String),
}

/// When two numbers are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// If they are the same decimal number.
    #[default]
    Decimal,
    /// If they are written alike.
    Exact,
}

/// How the client ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a close frame of this code.
    Code(u16),
    /// By dropping the TCP connection.
    Abrupt,
}

/// An HTTP request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers beside `host` and those the body implies.
    pub headers: Vec<(String, String)>,
    /// The `Host`, if it is not the tenant's.
    pub host: Option<String>,
    /// The body.
    pub body: Body,
    /// What it is answered with.
    pub expect: ExpectedAnswer,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    Absent,
    /// JSON, which implies its content type.
    Json(Value),
    /// Exactly these bytes.
    Exact(Vec<u8>),
}

/// An answer to a request, as far as it is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedAnswer {
    /// The status.
    pub status: u16,
    /// The content type, if it matters.
    pub content_type: Option<String>,
    /// The body, if it matters: JSON, or a string if it is no JSON.
    pub body: Option<Value>,
}

/// Statements and what comes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlCall {
    /// The statements.
    pub sql: String,
    /// The rows, if they matter; each an object of texts and nulls.
    pub rows: Option<Value>,
    /// The SQLSTATE they have to fail with.
    pub error: Option<String>,
}
