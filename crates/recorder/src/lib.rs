//! Records what clients and a server say to each other, as a proxy between them, in a file that replays.
//!
//! ```text
//!             ┌ answers, upgrades ┐           bytes, as they are
//!  client ──▶ proxy ────────────▶ socket ◀──────────────────────────▶ upstream
//!                                   │ messages, a copy
//!                                   ▼
//!                journal (a bounded queue) ──▶ scribe ──▶ file: a line, then on the disk
//!                                              disguise: secrets, personal data, what varies
//! ```
//!
//! Invariants: bytes pass in both directions as they are, and nothing waits for more of them; what is told to the journal
//! was told before it passed on, so that a cause always stands before its effect; a journal that cannot keep up slows both
//! sides down, and so does each side the other. A copy is edited, never what passes. What passed is in the file, and on the
//! disk, some hundred milliseconds later: a step waits in the window for what follows from it.

mod cause;
mod disguise;
mod file;
mod journal;
mod pool;
mod proxy;
mod redaction;
mod scribe;
mod secrets;
mod socket;
mod tee;
mod upstream;
mod volatile;
mod window;

pub use proxy::{Options, RecordError, Recorder};
pub use redaction::{Redaction, RedactionError};
pub use scribe::Recorded;
