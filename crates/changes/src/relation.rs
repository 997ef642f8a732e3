//! What the replication stream has said about its tables.
//!
//! pgoutput describes a table once per connection (again after it was altered), so nothing here may be forgotten while
//! the connection lives. Therefore the cache does not evict: when it is full, the connection has to be replaced.

use std::collections::HashMap;
use std::sync::Arc;

/// A table as the stream describes it, at the point of the stream where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Schema name.
    pub schema: Box<str>,
    /// Table name.
    pub name: Box<str>,
    /// Which columns of a former row are in the log.
    pub replica_identity: ReplicaIdentity,
    /// The published columns, in the order of the values of a row.
    pub columns: Vec<RelationColumn>,
}

/// A column as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Column name.
    pub name: Box<str>,
    /// `pg_type.oid` of its type.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`.
    pub type_modifier: i32,
    /// It is part of the replica identity.
    pub is_key: bool,
}

/// `pg_class.relreplident`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// No column.
    Nothing,
    /// Every column.
    Full,
    /// The columns of a chosen index.
    Index,
}

/// Columns a cache remembers, all tables together; a table counts as one column more than it has. Some 50 MB.
pub const CACHED_COLUMNS_MAX: usize = 500_000;

/// The relations of one replication connection.
#[derive(Debug, Default)]
pub struct RelationCache {
    relations: HashMap<u32, Arc<Relation>>,
    /// What counts against [`CACHED_COLUMNS_MAX`].
    columns: usize,
}

/// The stream has described more than is remembered. A new connection starts with an empty cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replication stream has described more than {CACHED_COLUMNS_MAX} columns")]
pub struct RelationCacheFull;

impl RelationCache {
    /// Remembers what a table looks like from here on.
    ///
    /// # Errors
    ///
    /// [`RelationCacheFull`].
    pub fn insert(&mut self, relation: Relation) -> Result<Arc<Relation>, RelationCacheFull> {
        let known = self.relations.get(&relation.oid).map_or(0, |known| weight(known));
        let columns = self.columns - known + weight(&relation);
        if columns > CACHED_COLUMNS_MAX {
            return Err(RelationCacheFull);
        }
        self.columns = columns;
        let relation = Arc::new(relation);
        self.relations.insert(relation.oid, Arc::clone(&relation));
        Ok(relation)
    }

    /// The table with this oid; `None` if the stream has not described it, which it does before any of its rows.
    pub fn get(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.relations.get(&oid)
    }
}

fn weight(relation: &Relation) -> usize {
    1 + relation.columns.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(oid: u32, columns: usize) -> Relation {
        let column = RelationColumn {
            name: "".into(),
            type_oid: 25,
            type_modifier: -1,
            is_key: false,
        };
        Relation {
            oid,
            schema: "public".into(),
            name: "t".into(),
            replica_identity: ReplicaIdentity::Default,
            columns: vec![column; columns],
        }
    }

    #[test]
    fn the_last_description_counts() {
        let mut cache = RelationCache::default();
        assert_eq!(cache.get(1), None);
        cache.insert(relation(1, 1)).unwrap();
        cache.insert(relation(1, 2)).unwrap();
        assert_eq!(cache.get(1).unwrap().columns.len(), 2);
    }

    #[test]
    fn a_stream_of_descriptions_is_bounded() {
        let mut cache = RelationCache::default();
        let wide = CACHED_COLUMNS_MAX / 2 - 1;
        cache.insert(relation(1, wide)).unwrap();
        cache.insert(relation(2, wide)).unwrap();
        assert_eq!(cache.insert(relation(3, 0)), Err(RelationCacheFull));
        // One known already may change at will.
        for columns in [wide, 0, wide] {
            cache.insert(relation(2, columns)).unwrap();
        }
        assert_eq!(cache.insert(relation(3, 0)), Err(RelationCacheFull));
    }
}
