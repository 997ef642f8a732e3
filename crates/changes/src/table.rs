//! Published tables as the catalog describes them: columns, types, and what a role may select.
//!
//! Plain data, read from the catalog elsewhere and never looked up here. A [`Table`] is one reading of the catalog; when a
//! table is altered, a new reading replaces the old one, nothing is changed in place.

use std::collections::HashMap;
use std::sync::Arc;

use crate::relation::ReplicaIdentity;

/// One published table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Schema name.
    pub schema: Box<str>,
    /// Table name.
    pub name: Box<str>,
    /// `pg_class.relrowsecurity`: policies decide who sees a row.
    pub row_security: bool,
    /// `pg_class.relreplident`: which columns of a former row are in the log.
    pub replica_identity: ReplicaIdentity,
    /// Every live column in `attnum` order, generated ones included.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Column name.
    pub name: Box<str>,
    /// Its type.
    pub r#type: Arc<Type>,
    /// It is part of the primary key.
    pub in_primary_key: bool,
    /// What it is generated as, in SQL, with the table's other columns in it. The log has no value of it.
    pub generated: Option<Box<str>>,
}

/// A type as far as its values have to be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`: `int4`, `_text`, `bpchar`. What clients are told.
    pub name: Box<str>,
    /// Its name in SQL, with its schema and quoted where it has to be: `pg_catalog.int4`, `public."My Type"`. Taken from
    /// the catalog, so it may stand in a statement as it is.
    pub sql: Box<str>,
    /// What its values consist of.
    pub shape: Shape,
}

/// What the values of a type consist of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One thing: base types, ranges, multiranges, pseudo-types.
    Scalar,
    /// An enum.
    Enum {
        /// `pg_enum.enumlabel` of its values, in their order.
        labels: Vec<Box<str>>,
    },
    /// A true array (`typelem` set and subscripted as an array).
    Array {
        /// Type of the elements.
        element: Arc<Type>,
        /// `pg_type.typdelim` of the element: a comma for all types but few.
        delimiter: char,
    },
    /// A domain; its values are those of the base type.
    Domain {
        /// `pg_type.typbasetype`, possibly a domain again.
        base: Arc<Type>,
    },
    /// A composite type.
    Composite {
        /// The live attributes in `attnum` order.
        fields: Vec<Field>,
    },
}

/// An attribute of a composite type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Attribute name.
    pub name: Box<str>,
    /// Its type.
    pub r#type: Arc<Type>,
}

impl Table {
    /// The position of a column in [`Table::columns`].
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|found| &*found.name == column)
    }

    /// The positions of the primary key's columns; empty without a primary key.
    pub fn primary_key(&self) -> ColumnSet {
        let key = self.columns.iter().enumerate();
        key.filter_map(|(at, column)| column.in_primary_key.then_some(at))
            .collect()
    }
}

impl Type {
    /// The type behind any number of domains.
    pub fn base(&self) -> &Type {
        let mut found = self;
        while let Shape::Domain { base } = &found.shape {
            found = base;
        }
        found
    }
}

/// A set of columns of one table, by their positions in [`Table::columns`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnSet {
    /// Bits, lowest first; the last word is not zero, so that equal sets are equal.
    words: Vec<u64>,
}

impl ColumnSet {
    /// The set without columns.
    pub const EMPTY: ColumnSet = ColumnSet { words: Vec::new() };

    /// Adds a column.
    pub fn insert(&mut self, position: usize) {
        let (word, bit) = (position / 64, position % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// Whether a column is in the set.
    pub fn contains(&self, position: usize) -> bool {
        let word = self.words.get(position / 64).copied().unwrap_or_default();
        word >> (position % 64) & 1 == 1
    }

    /// True without any column.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether every column of `self` is in `other`.
    pub fn is_subset(&self, other: &ColumnSet) -> bool {
        self.words.len() <= other.words.len() && self.words.iter().zip(&other.words).all(|(a, b)| a & !b == 0)
    }

    /// The columns in both sets.
    #[must_use]
    pub fn intersection(&self, other: &ColumnSet) -> ColumnSet {
        let mut words: Vec<u64> = self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect();
        while words.last() == Some(&0) {
            words.pop();
        }
        ColumnSet { words }
    }
}

impl FromIterator<usize> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut set = ColumnSet::default();
        for position in positions {
            set.insert(position);
        }
        set
    }
}

/// The columns a role may select (`has_column_privilege(role, table, column, 'SELECT')`), by table oid. The positions
/// are those of the [`Table`] read together with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectable(HashMap<u32, ColumnSet>);

impl Selectable {
    /// The selectable columns of a table; `None` for a table that was not asked about.
    pub fn of(&self, table_oid: u32) -> Option<&ColumnSet> {
        self.0.get(&table_oid)
    }
}

impl FromIterator<(u32, ColumnSet)> for Selectable {
    fn from_iter<I: IntoIterator<Item = (u32, ColumnSet)>>(tables: I) -> Self {
        Self(tables.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_equal_if_they_hold_the_same_columns() {
        let wide = ColumnSet::from_iter([1, 70, 1599]);
        assert_eq!(
            wide.intersection(&ColumnSet::from_iter([1, 2])),
            ColumnSet::from_iter([1])
        );
        assert_eq!(
            wide.intersection(&ColumnSet::from_iter([2])),
            ColumnSet::default()
        );
        assert!(wide.contains(70) && wide.contains(1599));
        assert!(!wide.contains(71) && !wide.contains(100_000));
    }

    #[test]
    fn a_subset_has_nothing_of_its_own() {
        let wide = ColumnSet::from_iter([1, 70]);
        assert!(ColumnSet::from_iter([70]).is_subset(&wide));
        assert!(ColumnSet::default().is_subset(&wide));
        assert!(!ColumnSet::from_iter([2]).is_subset(&wide));
        assert!(!wide.is_subset(&ColumnSet::from_iter([1])));
    }
}
