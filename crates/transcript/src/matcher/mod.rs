//! When what arrived is what was expected. Source: FORMAT.md, "Matching what arrives".
//!
//! Matching is a search: a list of goals is worked off, and where the expectation leaves a choice (elements in any
//! order, member names with placeholders, where a part of a string ends) each possibility is tried with the goals that
//! are left. Invariants:
//!
//! * A failing match binds nothing; a capture bound within a possibility is forgotten when that possibility fails.
//! * The work of one match is bounded by [`POSSIBILITIES_MAX`].
//! * The mismatch that is told is that of the possibility that came farthest.

mod goal;
#[cfg(test)]
mod tests;

use goal::{Candidate, Given, Goal, Search};

use crate::explain::Mismatch;
use crate::json::Value;
use crate::placeholder::{Bindings, Environment};
use crate::step::{Expectation, Numbers};

/// Possibilities one match tries before it gives up.
pub const POSSIBILITIES_MAX: usize = 100_000;

/// Something that arrived on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A text message.
    Text {
        /// As it is.
        text: String,
        /// Read as JSON, if it is JSON.
        json: Option<Value>,
    },
    /// A binary message.
    Binary {
        /// As it is.
        bytes: Vec<u8>,
        /// Its decoded form, if it has one.
        view: Option<Value>,
    },
    /// A pong.
    Pong(Vec<u8>),
    /// The end of the connection.
    Closed {
        /// The close code; 1006 if there was no close frame.
        code: u16,
    },
}

impl Arrived {
    /// A text message of these bytes; what is not UTF-8 in them is replaced.
    pub fn text(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let json = Value::parse_bytes(bytes).ok();
        Self::Text { text, json }
    }
}

/// The rules of one step of one replay.
#[derive(Clone, Copy, Debug)]
pub struct Matcher<'e> {
    /// What placeholders of the sending side stand for.
    pub environment: &'e Environment,
    /// When numbers are equal.
    pub numbers: Numbers,
}

impl Matcher<'_> {
    /// Compares a value, and binds the names it was matched with.
    ///
    /// # Errors
    ///
    /// Where the two differ; then nothing is bound.
    pub fn value(&self, expected: &Value, actual: &Value, bindings: &mut Bindings) -> Result<(), Mismatch> {
        let mut search = Search::new(self.environment, self.numbers);
        let goal = search.value_goal(expected, actual);
        search.run(goal, bindings)
    }

    /// Assigns each of the frames to an expectation of its own. With `is_complete`, only optional expectations may be
    /// left over; otherwise any may.
    pub(crate) fn frames(
        &self,
        expected: &[Expectation],
        frames: &[Arrived],
        is_complete: bool,
        bindings: &mut Bindings,
    ) -> Result<(), Mismatch> {
        let mut search = Search::new(self.environment, self.numbers);
        let goal = Goal::Assign {
            expected: expected
                .iter()
                .map(|expectation| Candidate::Frame(expectation, is_complete))
                .collect(),
            given: frames.iter().map(Given::Frame).collect(),
            at: search.root(),
        };
        search.run(goal, bindings)
    }
}
