//! What the server does, and what it says about it.

use websocket::Frame;

/// One thing to do on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Write this.
    Send(Frame),
    /// Close, and do nothing after it.
    Close {
        /// With this code.
        code: u16,
        /// And this reason.
        reason: String,
    },
    /// End the TCP connection without a close frame, and do nothing after it.
    Drop,
    /// Tell whoever runs the tests.
    Note(Note),
}

/// A message of a client that the file does not have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which file; empty if none has it.
    pub file: String,
    /// The line that was to come, from 1; that of the `open` if none was.
    pub line: usize,
    /// What was to come.
    pub expected: String,
    /// What came.
    pub got: String,
    /// Where the two differ, if that is the difference.
    pub differs: Option<String>,
}

impl Note {
    /// File and line, as editors understand them; the words that say so if no file has it.
    pub fn place(&self) -> String {
        match self.file.as_str() {
            "" => "no file".to_owned(),
            file => format!("{file}:{}", self.line),
        }
    }
}
