//! Recorded conversations as data: what their lines say, whether what arrived is what they expect, how a replay goes.
//!
//! | For | there is |
//! | --- | --- |
//! | reading a file | [`Transcript::parse`], strictly: a key it does not know is an error; [`Reader`] takes a line at a time and collects everything that is wrong |
//! | replaying it | [`Replay`], a state machine that says what to do and is told what came of it |
//! | rules of its own | [`Matcher`] for values, [`AnyOrder`] for frames whose order is open, [`Failure`] to tell a mismatch |
//! | writing | [`canonical`], the one form of a line |
//! | people | [`timeline`] for one recording, [`compare`] for two |
//!
//! The format is `protocol-spec/transcripts/FORMAT.md`.
//!
//! What is not here: no socket, no clock (the caller says what time it is), no signing of tokens ([`Token`] is what is
//! to be signed). [`binary`] and [`view()`] know the layouts of binary messages, on their own account.
//!
//! # Example
//!
//! A server that says what it is told, and a test that replays a conversation with it: no socket, no waiting.
//!
//! ```
//! use std::collections::{BTreeMap, VecDeque};
//! use transcript::{Arrived, Environment, Event, Moment, Replay, Settings, Task, Transcript};
//!
//! let file = r#"{"transcript":1,"name":"echo","area":"x","title":"An echo","shows":"what is said comes back","reference":{"server":"echo","version":"1","commit":""},"vsn":[],"tenant":"main","takes_ms":1}
//! {"open":"a"}
//! {"send":"a","text":["hello",1.50]}
//! {"recv":"a","text":["${text}",1.5]}
//! {"silence":"a","ms":100}
//! "#;
//! let transcript = Transcript::parse("echo.jsonl", file)?;
//! let environment = Environment {
//!     tenant: "main".into(),
//!     host: "localhost".into(),
//!     secret: "of no use here".into(),
//!     tokens: BTreeMap::new(),
//! };
//!
//! let mut replay = Replay::new(&transcript, environment, Settings::default());
//! let (mut now, mut event, mut echoes) = (Moment::default(), Event::Done, VecDeque::new());
//! loop {
//!     event = match replay.advance(now, event) {
//!         Task::Done => break,
//!         Task::Send { bytes, .. } => {
//!             echoes.push_back(Arrived::text(&bytes));
//!             Event::Done
//!         }
//!         Task::Receive { until, .. } => match echoes.pop_front() {
//!             Some(arrived) => Event::Arrived(arrived),
//!             None => {
//!                 now.elapsed = until; // the clock is ours: nobody waits
//!                 Event::Nothing
//!             }
//!         },
//!         _ => Event::Done,
//!     };
//! }
//! if let Err(failure) = replay.finish() {
//!     panic!("{failure}");
//! }
//! # Ok::<(), transcript::FormatError>(())
//! ```

pub mod binary;
mod canonical;
mod capture;
mod compare;
mod conceal;
mod contrast;
mod explain;
mod fields;
mod format;
mod header;
mod json;
mod keys;
mod matcher;
mod meaning;
mod number;
mod order;
mod placeholder;
mod rename;
mod replay;
mod step;
mod timeline;
mod token;
mod view;

pub use canonical::canonical;
pub use compare::{Comparison, Difference, compare};
pub use conceal::Secrets;
pub use explain::{Conversation, Failure, LISTED_ENTRIES_MAX, Mismatch};
pub use format::{FormatError, LINE_BYTES_MAX, PROBLEMS_MAX, Reader, Transcript};
pub use header::{Header, Reference};
pub use json::{DEPTH_MAX, JsonError, Value};
pub use keys::{Lack, Lacking};
pub use matcher::{Arrived, Matcher, POSSIBILITIES_MAX};
pub use number::Number;
pub use order::{AnyOrder, Offer};
pub use placeholder::{Bindings, Environment, Expansion, FILL_BYTES_MAX, Kind, PlaceholderError};
pub use replay::{Edits, Event, HttpAnswer, HttpRequest, Moment, Pace, Replay, Settings, Task};
pub use step::{
    Action, Body, Ending, Expectation, Expected, ExpectedAnswer, Fault, FaultKind, Frame, HttpCall, Numbers,
    Open, Outgoing, Push, Query, SqlCall, Step,
};
pub use timeline::{timeline, with_short_tokens};
pub use token::{Algorithm, KeySource, Token, claims_at};
pub use view::{bytes_of_view, view};
