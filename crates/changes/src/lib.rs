//! What logical replication means: rows out of pgoutput, and who is to hear of them.
//!
//! What is not here: no connection, no SQL, no clock. The catalog is given as [`table`] data.

pub mod pgoutput;
mod relation;
pub mod table;
mod timestamp;

pub use relation::{
    CACHED_COLUMNS_MAX, Relation, RelationCache, RelationCacheFull, RelationColumn, ReplicaIdentity,
};
pub use table::{Column, ColumnSet, Field, Selectable, Shape, Table, Type};
pub use timestamp::Timestamp;
