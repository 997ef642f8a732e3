//! A file as the server's side has to play it.
//!
//! ```text
//!  Script ── Actor (a connection of the file) ── Life (from one `open` of it to the next) ── Part, Part, …
//! ```
//!
//! A recorded `send` becomes something to hear, a `recv` something to tell. What others did (statements, requests, sends of
//! the file's other connections) leaves nothing but its consequences. Heartbeats, pings and frames that no client library
//! sends are left out: they are answered, or not, whatever the file says.

mod compile;

use std::path::Path;

use phoenix_wire::event;
use transcript::{ExpectedAnswer, FormatError, HttpCall, Transcript, Value};

use crate::message::Message;

/// One file.
#[derive(Debug)]
pub struct Script {
    name: String,
    file: String,
    actors: Vec<Actor>,
    requests: Vec<HttpCall>,
    passed_over: Vec<(usize, String)>,
}

/// A connection of the file.
#[derive(Debug)]
pub(crate) struct Actor {
    /// Its name in the file.
    pub(crate) name: String,
    /// At least one.
    pub(crate) lives: Vec<Life>,
}

/// One opening of a connection, and what happens until it is over.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Line of its `open`.
    pub(crate) line: usize,
    /// What the handshake is answered with, if it is refused.
    pub(crate) refused: Option<ExpectedAnswer>,
    /// In the order of the file; an end is the last.
    pub(crate) parts: Vec<Part>,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its line in the file.
    pub(crate) line: usize,
    /// What happens.
    pub(crate) deed: Deed,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The client says this.
    Hear(Message),
    /// The server says this.
    Tell(Telling),
    /// So many heartbeats will not be answered.
    MuteHeartbeats(u64),
    /// The connection is over.
    End(End),
}

/// A frame of the server, with blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telling {
    /// What it says.
    pub(crate) message: Message,
    /// Its bytes if the file has them: a binary frame of 2.0.0.
    pub(crate) bytes: Option<Vec<u8>>,
    /// Whether it was a binary frame.
    pub(crate) is_binary: bool,
    /// How long after it could have come it comes. Milliseconds.
    pub(crate) pause_ms: u64,
    /// How much of that is a fault. Milliseconds.
    pub(crate) delay_ms: u64,
    /// What has to be heard first although it is about another topic: an index into [`Life::parts`].
    pub(crate) after: Option<usize>,
}

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client ends it.
    ByClient,
    /// The server closes.
    Close {
        /// With this code.
        code: u16,
        /// And this reason.
        reason: String,
    },
    /// The server drops the TCP connection.
    Drop,
}

/// Why a file cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It is no transcript.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Something happens where it cannot.
    #[error("{file}:{line}: {reason}")]
    Place {
        /// Which file.
        file: String,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two files of one name.
    #[error("{one} and {other} have one name, so no client could ask for one of them")]
    Twins {
        /// One path.
        one: String,
        /// The other.
        other: String,
    },
    /// No connection is opened.
    #[error("{0}: no connection is opened, so there is nothing to play")]
    Empty(String),
}

impl Script {
    /// Reads a file; `file` is its path, for errors, and its stem the name of the script.
    ///
    /// # Errors
    ///
    /// See [`ScriptError`].
    pub fn parse(file: &str, text: &str) -> Result<Self, ScriptError> {
        let transcript = Transcript::parse(file, text)?;
        let stem = Path::new(file).file_stem();
        let name = stem.map_or_else(
            || transcript.header.name.clone(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        compile::script(name, &transcript)
    }

    /// What `?script=` calls it: the name of the file without its ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path it was read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The topics clients can join, in the order of the file, each once.
    pub fn topics(&self) -> Vec<&str> {
        let mut topics = Vec::new();
        let lives = self.actors.iter().flat_map(|actor| &actor.lives);
        for join in lives.flat_map(Life::joins) {
            if !topics.contains(&join.topic.as_str()) {
                topics.push(join.topic.as_str());
            }
        }
        topics
    }

    /// Steps that cannot be played, by line, with the reason.
    pub fn passed_over(&self) -> &[(usize, String)] {
        &self.passed_over
    }

    /// The connections, in the order they are first opened; at least one.
    pub(crate) fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// The answer the file has for a request, with blanks; `target` is path and query.
    pub(crate) fn answer(&self, method: &str, target: &str, body: &Value) -> Option<&ExpectedAnswer> {
        let found = self.requests.iter().find(|call| {
            call.method == method
                && crate::http::path_of(&call.target) == crate::http::path_of(target)
                && compile::is_body(&call.body, body)
        });
        found.map(|call| &call.expect)
    }

    pub(crate) fn life(&self, actor: usize, life: usize) -> Option<&Life> {
        self.actors.get(actor)?.lives.get(life)
    }
}

impl Life {
    /// What is joined.
    pub(crate) fn joins(&self) -> impl Iterator<Item = &Message> {
        self.parts.iter().filter_map(|part| match &part.deed {
            Deed::Hear(message) if message.event == event::JOIN => Some(message),
            _ => None,
        })
    }
}

impl Part {
    /// The topic it is about; none if it is about the connection.
    pub(crate) fn topic(&self) -> Option<&str> {
        match &self.deed {
            Deed::Hear(message) | Deed::Tell(Telling { message, .. }) => Some(&message.topic),
            Deed::MuteHeartbeats(_) | Deed::End(_) => None,
        }
    }
}

impl Message {
    /// Whether a server says it in answer to one message of the client.
    pub(crate) fn is_reply(&self) -> bool {
        self.event == event::REPLY
    }
}
