//! What came of a replay.

use std::time::Duration;

use transcript::Failure;

/// What came of one transcript.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The transcript's name.
    pub name: String,
    /// Its area.
    pub area: String,
    /// How it went.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
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
