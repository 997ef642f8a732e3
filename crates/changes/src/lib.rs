//! What logical replication means: rows out of pgoutput, and who is to hear of them.
//!
//! What is not here: no connection, no SQL, no clock. The catalog is given as [`table`] data.

mod audience;
mod binding;
mod catalog;
mod change;
mod filter;
mod jsonb;
mod mapping;
mod pattern;
mod payload;
pub mod pgoutput;
pub mod policy;
mod predicate;
mod question;
mod relation;
mod snapshot;
mod subscription;
pub mod table;
mod table_binding;
#[cfg(test)]
mod testing;
mod timestamp;
pub mod value;

pub use audience::{Check, Match, Member, NumberedBinding};
pub use binding::{Binding, BindingRefused, EventFilter};
pub use catalog::Catalog;
pub use change::{Action, CHANGE_BYTES_MAX, KnownValues, RowChange, RowMismatch, Uncomputed};
pub use filter::{Condition, Operator};
pub use mapping::Mapping;
pub use pattern::NamePattern;
pub use payload::{Payloads, View, data};
pub use question::{Answers, Question, Unproven};
pub use relation::{
    CACHED_COLUMNS_MAX, Relation, RelationCache, RelationCacheFull, RelationColumn, ReplicaIdentity,
};
pub use snapshot::SnapshotOf;
pub use subscription::{Subscription, SubscriptionIndex, TABLES_PER_SUBSCRIBER_MAX};
pub use table::{Column, ColumnSet, Field, Selectable, Shape, Table, Type};
pub use timestamp::Timestamp;
