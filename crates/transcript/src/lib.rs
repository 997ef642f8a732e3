//! Recorded conversations as data: what their lines say, and whether what arrived is what they expect.
//!
//! [`Transcript::parse`] reads a file strictly: a key it does not know is an error with its line. [`Matcher`] holds the
//! rules by which an expectation matches, [`AnyOrder`] those for frames whose order is open, and [`Failure`] tells a
//! mismatch with the conversation that led to it. The format is `protocol-spec/transcripts/FORMAT.md`.
//!
//! What is not here: no socket, no clock (the caller says what time it is), no signing of tokens ([`Token`] is what is
//! to be signed). [`binary`] and [`view`] know the layouts of binary messages, on their own account.

pub mod binary;
mod canonical;
mod capture;
mod compare;
mod contrast;
mod explain;
mod fields;
mod format;
mod header;
mod json;
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
pub use explain::{Conversation, Failure, LISTED_ENTRIES_MAX, Mismatch};
pub use format::{FormatError, LINE_BYTES_MAX, PROBLEMS_MAX, Reader, Transcript};
pub use header::{Header, Reference};
pub use json::{DEPTH_MAX, JsonError, Value};
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
