//! What logical replication means: rows out of pgoutput, and who is to hear of them.
//!
//! What is not here: no connection, no SQL, no clock. The catalog is given as [`table`] data.

mod change;
mod jsonb;
mod mapping;
mod payload;
pub mod pgoutput;
mod relation;
pub mod table;
#[cfg(test)]
mod testing;
mod timestamp;
pub mod value;

pub use change::{Action, CHANGE_BYTES_MAX, RowChange, RowMismatch};
pub use mapping::Mapping;
pub use payload::{Payloads, View, data};
pub use relation::{
    CACHED_COLUMNS_MAX, Relation, RelationCache, RelationCacheFull, RelationColumn, ReplicaIdentity,
};
pub use table::{Column, ColumnSet, Field, Selectable, Shape, Table, Type};
pub use timestamp::Timestamp;
