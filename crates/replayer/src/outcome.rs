//! What came of a replay.

use std::time::Duration;

use transcript::Failure;

/// What came of one transcript.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The file, as it is shown.
    pub file: String,
    /// The transcript's name.
    pub name: String,
    /// Its area.
    pub area: String,
    /// How it went.
    pub verdict: Verdict,
    /// What the file should say from now on, if it was to be updated and says something else.
    pub rewritten: Option<Rewritten>,
    /// How long it took.
    pub took: Duration,
}

/// A file whose expectations became what the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The whole text.
    pub text: String,
    /// How many lines are changed, removed or new.
    pub lines: usize,
}

/// How a replay went.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything that arrived was expected.
    Passed,
    /// Something was not.
    Failed(Box<Failure>),
    /// It was not tried, because the target lacks something.
    LeftOut(String),
}
