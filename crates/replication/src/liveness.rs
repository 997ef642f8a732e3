//! Whether the server is still there. No I/O, no clock.
//!
//! A stream without changes is silent, and silence alone says nothing. So the server is asked; whoever is asked and
//! says nothing for long is gone. A host that vanished is found sooner, by the operating system: the question itself is
//! then never confirmed (see `socket.rs`).

use std::time::{Duration, Instant};

/// Silence after which the server is asked.
const ASK_AFTER: Duration = Duration::from_secs(5);

/// Watches for signs of life.
#[derive(Debug)]
pub(crate) struct Liveness {
    heard_at: Instant,
    asked_at: Option<Instant>,
    answer_max: Duration,
}

/// What silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Ask the server for an answer.
    Ask,
    /// It was asked so long ago.
    Gone(Duration),
}

impl Liveness {
    /// `answer_max`: how long an answer may take. A server that decodes a large transaction looks at our messages only
    /// once half of its own timeout has passed.
    pub(crate) fn new(answer_max: Duration, now: Instant) -> Liveness {
        Liveness {
            heard_at: now,
            asked_at: None,
            answer_max,
        }
    }

    /// Bytes have arrived.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.asked_at = None;
    }

    /// When the silence is worth a look.
    pub(crate) fn deadline(&self) -> Instant {
        match self.asked_at {
            Some(asked) => asked + self.answer_max,
            None => self.heard_at + ASK_AFTER,
        }
    }

    /// The look, at or after the deadline.
    pub(crate) fn look(&mut self, now: Instant) -> Silence {
        match self.asked_at {
            Some(asked) => Silence::Gone(now.saturating_duration_since(asked)),
            None => {
                self.asked_at = Some(now);
                Silence::Ask
            }
        }
    }
}
