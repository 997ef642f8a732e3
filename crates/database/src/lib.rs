//! Every SQL statement of the gateway, and the connections that run them.
//!
//! A [`Pool`] belongs to one tenant's database. Its methods are the questions the gateway has, with typed answers:
//! which tables a publication lists and which transactions that includes ([`Pool::published`]), what a role may
//! select ([`Pool::selectable`]), what stands in the way of streaming ([`Pool::obstacles`]), who may do what on a topic
//! ([`Pool::authorize`]), which messages a topic had ([`Pool::replay`]), who sees which rows ([`Pool::visible`]), whether
//! conditions hold that memory cannot judge ([`Pool::conditions`]), which rows somebody sees now
//! ([`Pool::current_rows`]), how a slot is doing ([`Pool::slot`]). [`migrate()`] sets a database up, and
//! [`Pool::maintain_partitions`] keeps it so.
//!
//! Invariants:
//!
//! * Nobody else writes SQL.
//! * No statement runs unless somebody asks something: an idle pool is silent, and empty once its owner calls
//!   [`Pool::close_idle`].
//! * Nothing is kept in a session but statements that are prepared for [`Pool::visible`], a bounded number; no setting, no
//!   role, no transaction.

mod authorization;
mod computed;
mod conditions;
mod connect;
mod error;
pub mod explain;
mod messages;
mod migrate;
mod obstacles;
mod partitions;
mod policies;
mod pool;
mod prepared;
mod privileges;
mod publication;
mod quote;
pub mod rows;
mod script;
mod settled;
mod slots;
mod snapshot;
mod viewer;
pub mod visibility;

pub use authorization::{Asked, Grants, Questions, Refusal};
pub use computed::{Computation, Computed};
pub use error::Error;
pub use messages::{
    Broadcast, Dropped, MESSAGES_PUBLICATION, MessagePayload, REPLAY_MAX, Replayed, broadcast_of_row,
};
pub use migrate::{Report, Set, migrate};
pub use partitions::{DAYS_AHEAD, Day, KEEP_HOURS, Partitions, PartitionsError};
pub use policies::{CatalogVersion, Policies};
pub use pool::Pool;
pub use publication::Published;
pub use slots::SlotState;
pub use snapshot::Snapshot;
