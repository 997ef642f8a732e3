//! What a client's message consists of, borrowed from the frame it came in.

use std::borrow::Cow;
use std::fmt;

use crate::json::{self, JsonText, Sink};

/// A `ref` or `join_ref` as received: any JSON value in a text frame, plain text in a binary one.
#[derive(Clone, Copy, Debug)]
pub enum RefView<'a> {
    /// The text of a JSON value.
    Json(&'a str),
    /// Text that is not JSON yet.
    Text(&'a str),
}

impl<'a> RefView<'a> {
    /// No ref.
    pub const NULL: RefView<'static> = RefView::Json("null");

    /// True for JSON `null`. An empty text of a binary frame is a ref, not the absence of one.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Json("null"))
    }

    /// An owned copy.
    pub fn to_ref(&self) -> Ref {
        let mut text = String::new();
        match self.as_string() {
            Some(string) => json::write_string(&mut text, &string),
            None => self.write_json(&mut text),
        }
        Ref(text.into_boxed_str())
    }

    /// Writes the ref as a JSON value, with the type the client sent.
    pub fn write_json(&self, out: &mut impl Sink) {
        match self {
            Self::Json(text) => out.put(text),
            Self::Text(text) => json::write_string(out, text),
        }
    }

    /// Most bytes [`RefView::write_json`] writes for an ordinary ref: a hint for capacities.
    pub(crate) fn len_hint(&self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::Text(text) => text.len() + 2,
        }
    }

    /// The string this ref is; `None` for another JSON type.
    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(text) => json::string(text),
            Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }
}

/// Equal as JSON values: strings by content, everything else by its text.
impl PartialEq for RefView<'_> {
    fn eq(&self, other: &RefView<'_>) -> bool {
        match (self, other) {
            (Self::Json(a), RefView::Json(b)) | (Self::Text(a), RefView::Text(b)) if a == b => true,
            _ => match (self.as_string(), other.as_string()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        }
    }
}

impl Eq for RefView<'_> {}

/// A `ref` or `join_ref` that outlives its frame.
///
/// Invariant: the text of one JSON value; strings in their plainest spelling, so equal strings are equal texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ref(Box<str>);

impl Ref {
    /// No ref.
    pub fn null() -> Self {
        RefView::NULL.to_ref()
    }

    /// The ref as it is written into messages.
    pub fn as_view(&self) -> RefView<'_> {
        RefView::Json(&self.0)
    }

    /// True for JSON `null`.
    pub fn is_null(&self) -> bool {
        self.as_view().is_null()
    }
}

impl PartialEq<RefView<'_>> for Ref {
    fn eq(&self, other: &RefView<'_>) -> bool {
        self.as_view() == *other
    }
}

/// A topic or event: a string, or another JSON value kept as its text so that it can be echoed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// The text of a JSON value that is not a string. It matches no channel and no event.
    Other(&'a str),
}

impl<'a> Name<'a> {
    /// A name the server knows.
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The string; `None` for a value of another type.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }

    /// Writes the name as the JSON value it is.
    pub fn write_json(&self, out: &mut impl Sink) {
        match self {
            Self::Text(text) => json::write_string(out, text),
            Self::Other(text) => out.put(text),
        }
    }

    /// Length of the text: a hint for capacities.
    pub(crate) fn len_hint(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 2,
            Self::Other(text) => text.len(),
        }
    }
}

/// One message of a client.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Names the join this message belongs to; often null or stale.
    pub join_ref: RefView<'a>,
    /// Names this message; a reply carries it.
    pub reference: RefView<'a>,
    /// What it is about.
    pub topic: Name<'a>,
    /// What it wants.
    pub event: Name<'a>,
    /// The rest.
    pub payload: Payload<'a>,
}

/// The payload of a message, untouched.
#[derive(Debug)]
pub enum Payload<'a> {
    /// A JSON value of any type.
    Json(JsonText<'a>),
    /// Bytes of a stock Phoenix push (kind 0).
    Binary(&'a [u8]),
    /// A user broadcast (kind 3).
    UserBroadcast(UserBroadcast<'a>),
}

/// How the payload of a user broadcast is to be read by its receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes.
    Binary,
    /// JSON text, by the sender's word: nobody has checked it.
    Json,
}

/// A broadcast whose event and payload encoding are in the frame header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserBroadcast<'a> {
    /// The application's event name.
    pub event: &'a str,
    /// How to read `payload`.
    pub encoding: Encoding,
    /// The payload as sent, not parsed.
    pub payload: &'a [u8],
}

/// Shows the length of the payload only: it is somebody's data.
impl fmt::Debug for UserBroadcast<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserBroadcast")
            .field("event", &self.event)
            .field("encoding", &self.encoding)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_equal_as_json_values() {
        assert_eq!(RefView::Json(r#""1""#), RefView::Text("1"));
        assert_eq!(RefView::Json(r#""\u0031""#), RefView::Text("1"));
        assert_eq!(RefView::Text("").to_ref(), RefView::Json(r#""""#));
        assert_ne!(RefView::Json("1"), RefView::Text("1"));
        assert_ne!(RefView::Text(""), RefView::NULL);
        assert_ne!(RefView::Json("1"), RefView::Json("2"));
        assert_eq!(Ref::null(), RefView::NULL);
    }

    #[test]
    fn owned_refs_keep_their_type() {
        for text in ["null", "7", r#""7""#, r#"{"x":1}"#, "[1, 2]"] {
            assert_eq!(&*RefView::Json(text).to_ref().0, text);
        }
        assert_eq!(
            RefView::Json(r#""\u0041\/""#).to_ref(),
            RefView::Text("A/").to_ref()
        );
    }

    #[test]
    fn debug_output_shows_no_payload() {
        let user = UserBroadcast {
            event: "e",
            encoding: Encoding::Json,
            payload: b"secret",
        };
        assert!(!format!("{user:?}").contains("secret"));
    }
}
