//! JSON as text: checked, measured, sliced, never built into a tree.
//!
//! Client payloads are relayed as they were written, so nobody needs their value; what is needed is the certainty that
//! the text is JSON, and how large its value is. [`check`] gives both in one pass, and takes the duplicate members out
//! on the way.
//!
//! # Invariants of checked text
//!
//! * The grammar of RFC 8259, no more: no comments, no byte order mark, nothing after the value.
//! * Valid UTF-8; no escape that spells half of a surrogate pair.
//! * Every number with a fraction or an exponent is within the range of a double; integers have any size.
//! * No object has two members of the same name, names compared unescaped: the first is kept.
//! * Nesting is at most [`DEPTH_MAX`].
//!
//! Checking neither recurses nor, for ordinary payloads, allocates, and takes `O(n log n)` for hostile ones.
//! The rules follow what the reference's JSON library accepts; protocol-spec/wire.md, section 3.

mod hash;
mod keys;
mod number;
mod scan;
mod string;
mod term;
mod walk;

use std::borrow::Cow;
use std::fmt;

pub use hash::content_hash;
pub(crate) use scan::{Scanner, Span};
pub use string::{Sink, write_string};
pub use walk::{Elements, Kind, Members, elements, is_truthy, kind, member, members, string};

/// Deepest nesting of arrays and objects in a value. The reference has no bound; no client comes near this one.
pub const DEPTH_MAX: usize = 1024;

/// Longest text accepted. Bytes. Far above the frame cap; it keeps every position and size within 32 bits.
pub const TEXT_BYTES_MAX: usize = 1 << 28;

/// Why a text is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Offset of the offending byte.
    pub at: usize,
}

/// What is wrong with a text that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// The text ends inside a value.
    #[error("unexpected end")]
    Truncated,
    /// A character that cannot stand here.
    #[error("unexpected character")]
    Unexpected,
    /// Not UTF-8.
    #[error("invalid UTF-8")]
    NotUtf8,
    /// A control character inside a string.
    #[error("control character in a string")]
    ControlCharacter,
    /// A backslash followed by nothing JSON knows.
    #[error("invalid escape")]
    BadEscape,
    /// An escape for half of a surrogate pair.
    #[error("lone surrogate")]
    LoneSurrogate,
    /// A number that is not one.
    #[error("invalid number")]
    BadNumber,
    /// A number no double can hold.
    #[error("number out of range")]
    NumberOutOfRange,
    /// Nested beyond [`DEPTH_MAX`].
    #[error("nested too deeply")]
    TooDeep,
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("text too long")]
    TooLong,
}

/// Checked JSON text; see the module for what that promises.
///
/// Borrowed from the frame it came in unless duplicate members had to be taken out.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText<'a> {
    text: Cow<'a, str>,
    /// External term size of the value without the version byte.
    term_size: u32,
}

impl<'a> JsonText<'a> {
    pub(crate) fn new(text: Cow<'a, str>, term_size: u32) -> Self {
        Self { text, term_size }
    }

    /// The text, without white space around it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.text.into_owned()
    }

    /// The text with the lifetime of the frame, if it is still the client's own.
    pub fn into_cow(self) -> Cow<'a, str> {
        self.text
    }

    /// The JSON type of the value.
    pub fn kind(&self) -> Kind {
        kind(&self.text)
    }

    /// True for an object.
    pub fn is_object(&self) -> bool {
        self.kind() == Kind::Object
    }

    /// Bytes the reference's runtime would need to send the value to another node (`erlang:external_size/1` of the
    /// decoded value, its version byte included). Payload limits are compared with it. Source:
    /// protocol-spec/errors-and-limits.md, section 6.
    pub fn term_size(&self) -> usize {
        1 + self.term_size as usize
    }
}

/// Shows the length only: a payload is somebody's data.
impl fmt::Debug for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.text.len())
    }
}

/// Checks that `bytes` are one JSON value.
///
/// # Errors
///
/// The first thing that is wrong, and its position.
pub fn check(bytes: &[u8]) -> Result<JsonText<'_>, JsonError> {
    let mut scanner = Scanner::new(bytes)?;
    let value = scanner.value()?;
    scanner.end()?;
    Ok(scanner.into_text(value))
}
