//! Holds a running server against recorded conversations.
//!
//! [`load`] finds the files, [`replay`] walks them against a [`Target`] and tells for each what came of it; [`Deviations`]
//! then tells the differences that are meant from those that are not, and [`report`] writes it all down. How a replay
//! goes, and the format (`protocol-spec/transcripts/FORMAT.md`), are the `transcript` crate's; the network is the `client`
//! crate's. [`prepare_database`] applies the fixtures the recordings ran on. [`with_sql`] writes the
//! statements into a recording that its changes of tables need. The command line is `roost replay`.

mod changes;
mod database;
mod deviations;
mod fixtures;
pub mod load;
mod outcome;
pub mod report;
mod run;
mod schedule;
mod statements;
mod target;
mod token;

pub use changes::{WithSql, first_without_cause, with_sql};
pub use deviations::{Deviation, Deviations, DeviationsError, Judgement};
pub use fixtures::{PrepareError, prepare_database, prepare_databases, profile_settings};
pub use outcome::{Outcome, Rewritten, Verdict};
pub use schedule::{CONCURRENCY, Options, replay};
pub use target::{Target, TargetError, Tenant};
pub use token::{KeyRing, SignError};
