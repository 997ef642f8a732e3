//! Holds a running server against recorded conversations.
//!
//! [`replay`] walks transcripts against a [`Target`] and tells for each what came of it; [`Deviations`] then tells the
//! differences that are meant from those that are not. The format is `protocol-spec/transcripts/FORMAT.md`, read by the
//! `transcript` crate; the network is the `client` crate's. [`prepare_database`] applies the fixtures the recordings ran
//! on.

mod database;
mod deviations;
mod fixtures;
pub mod load;
mod outcome;
mod run;
mod schedule;
mod statements;
mod target;
mod token;

pub use deviations::{Deviation, Deviations, DeviationsError, Judgement};
pub use fixtures::{PrepareError, prepare_database, prepare_databases, profile_settings};
pub use outcome::{Outcome, Rewritten, Verdict};
pub use schedule::{CONCURRENCY, Options, replay};
pub use target::{Target, TargetError, Tenant};
pub use token::{KeyRing, SignError};
