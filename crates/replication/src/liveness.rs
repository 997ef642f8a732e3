//! Whether the server is still there. No I/O, no clock.
//!
//! ```text
//!            5 s of silence         5 s without answer        nobody answers within 5 s
//!   heard ──────────────────▶ asked ──────────────────▶ knock ─────────────────────────▶ gone
//!     ▲                         │  ▲                      │                                ▲
//!     └── bytes arrive ─────────┘  └───── somebody is at home, 5 s until the next knock    │
//!                               └───────── no answer for as long as servers are given ─────┘
//! ```
//!
//! A stream without changes is silent, and silence alone says nothing. So the server is asked. But a server that decodes
//! a large transaction of which nothing is for us looks at our question only once half of its own timeout has passed, 30
//! seconds as servers come. Whether it is busy or dead shows at its door: a server that runs answers new connections. So
//! a server that is stopped, or cut off without a word, is given up within 15 seconds; one process of it that hangs
//! alone, after the time a busy one may take. A host that vanished while something was under way to it is reported by the
//! operating system as well (see `socket.rs`).
//!
//! None of this happens while the consumer does not read: what a slow consumer leaves unread says nothing of the server.

use std::time::{Duration, Instant};

/// Silence after which the server is asked.
const ASK_AFTER: Duration = Duration::from_secs(5);
/// How long after the question, or after the last knock, it is looked whether somebody is at home.
const KNOCK_AFTER: Duration = Duration::from_secs(5);

/// Watches for signs of life.
#[derive(Debug)]
pub(crate) struct Liveness {
    heard_at: Instant,
    asked: Option<Asked>,
    answer_max: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    /// When to knock; `None` while it is waited for an answer to that.
    knock_at: Option<Instant>,
}

/// What silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Ask the server for an answer.
    Ask,
    /// Look whether anybody is at home, and tell [`Liveness::knocked`].
    Knock,
    /// It was asked so long ago.
    Gone(Duration),
}

impl Liveness {
    /// `answer_max`: how long an answer may take while somebody is at home.
    pub(crate) fn new(answer_max: Duration, now: Instant) -> Liveness {
        Liveness {
            heard_at: now,
            asked: None,
            answer_max,
        }
    }

    /// Bytes have arrived.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.asked = None;
    }

    /// When the silence is worth a look.
    pub(crate) fn deadline(&self) -> Instant {
        match self.asked {
            Some(Asked { at, knock_at }) => {
                let patience = at + self.answer_max;
                knock_at.map_or(patience, |knock_at| knock_at.min(patience))
            }
            None => self.heard_at + ASK_AFTER,
        }
    }

    /// The look, at or after the deadline.
    pub(crate) fn look(&mut self, now: Instant) -> Silence {
        let Some(asked) = &mut self.asked else {
            self.asked = Some(Asked {
                at: now,
                knock_at: Some(now + KNOCK_AFTER),
            });
            return Silence::Ask;
        };
        let silence = now.saturating_duration_since(asked.at);
        if silence >= self.answer_max {
            return Silence::Gone(silence);
        }
        asked.knock_at = None;
        Silence::Knock
    }

    /// Whether anybody is at home. If not, for how long it has been silent.
    pub(crate) fn knocked(&mut self, at_home: bool, now: Instant) -> Option<Duration> {
        let asked = self.asked.as_mut()?;
        asked.knock_at = Some(now + KNOCK_AFTER);
        (!at_home).then(|| now.saturating_duration_since(asked.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_asked_about_then_the_door_tried_and_nobody_there_is_the_end() {
        let start = Instant::now();
        let mut liveness = Liveness::new(60 * SECOND, start);
        assert_eq!(liveness.deadline(), start + ASK_AFTER);
        assert_eq!(liveness.look(start + 5 * SECOND), Silence::Ask);
        assert_eq!(liveness.deadline(), start + 10 * SECOND);
        assert_eq!(liveness.look(start + 10 * SECOND), Silence::Knock);
        assert_eq!(liveness.knocked(false, start + 12 * SECOND), Some(7 * SECOND));
    }

    #[test]
    fn while_somebody_is_at_home_a_server_has_its_time() {
        let start = Instant::now();
        let mut liveness = Liveness::new(60 * SECOND, start);
        assert_eq!(liveness.look(start + 5 * SECOND), Silence::Ask);
        let mut knocks = 0;
        loop {
            let now = liveness.deadline();
            match liveness.look(now) {
                Silence::Knock => {
                    assert_eq!(
                        liveness.deadline(),
                        start + 65 * SECOND,
                        "no second knock meanwhile"
                    );
                    assert_eq!(liveness.knocked(true, now + SECOND), None);
                    knocks += 1;
                }
                Silence::Gone(silence) => {
                    assert_eq!(silence, 60 * SECOND);
                    break;
                }
                Silence::Ask => panic!("asked twice"),
            }
        }
        assert_eq!(knocks, 10);
    }

    #[test]
    fn whoever_says_something_begins_anew() {
        let start = Instant::now();
        let mut liveness = Liveness::new(60 * SECOND, start);
        assert_eq!(liveness.look(start + 5 * SECOND), Silence::Ask);
        assert_eq!(liveness.look(start + 10 * SECOND), Silence::Knock);
        liveness.heard(start + 11 * SECOND);
        assert_eq!(liveness.knocked(false, start + 12 * SECOND), None);
        assert_eq!(liveness.deadline(), start + 16 * SECOND);
        assert_eq!(liveness.look(start + 16 * SECOND), Silence::Ask);
    }
}
