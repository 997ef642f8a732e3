//! The published tables of a database, as of one reading of its catalog.

use std::collections::HashMap;
use std::sync::Arc;

use crate::binding::Binding;
use crate::table::Table;

/// The published tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog(HashMap<u32, Arc<Table>>);

impl Catalog {
    /// The table with this oid.
    pub fn table(&self, oid: u32) -> Option<&Arc<Table>> {
        self.0.get(&oid)
    }

    /// All of them, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.0.values()
    }

    /// Whether the same tables are published here and there, under the same names. What they look like does not count.
    pub fn lists_the_same_as(&self, other: &Catalog) -> bool {
        let is_listed = |(oid, table): (&u32, &Arc<Table>)| {
            let found = other.table(*oid);
            found.is_some_and(|found| found.schema == table.schema && found.name == table.name)
        };
        self.0.len() == other.0.len() && self.0.iter().all(is_listed)
    }

    /// The tables a binding stands for.
    pub(crate) fn covered_by(&self, binding: &Binding) -> impl Iterator<Item = &Arc<Table>> {
        self.tables().filter(|table| binding.covers(table))
    }
}

impl FromIterator<Table> for Catalog {
    fn from_iter<I: IntoIterator<Item = Table>>(tables: I) -> Self {
        Self(
            tables
                .into_iter()
                .map(|table| (table.oid, Arc::new(table)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{raw_binding, table};

    fn covered(catalog: &Catalog, raw: &str) -> Vec<String> {
        let binding = Binding::parse(&raw_binding(raw)).unwrap();
        let mut names: Vec<_> = catalog
            .covered_by(&binding)
            .map(|table| table.name.to_string())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn wildcards_cover_what_is_published() {
        let mut items = table("items", "id!:int8");
        items.schema = "app".into();
        let catalog = Catalog::from_iter([items, table("a_note", "id!:int8"), table("a-notes", "id!:int8")]);
        for (raw, names) in [
            (r#"{"schema":"*"}"#, &["a-notes", "a_note", "items"][..]),
            (r#"{"schema":"public"}"#, &["a-notes", "a_note"]),
            (r#"{"schema":"app","table":"*"}"#, &["items"]),
            (r#"{"table":"a_note%"}"#, &["a-notes", "a_note"]),
            (r#"{"table":"a_note"}"#, &["a_note"]),
            (r#"{"table":"items"}"#, &[]),
            (r#"{"schema":"*","table":"items"}"#, &["items"]),
            (r#"{"schema":"nowhere"}"#, &[]),
        ] {
            assert_eq!(covered(&catalog, raw), names, "{raw}");
        }
    }

    #[test]
    fn an_altered_table_is_still_listed_and_a_renamed_one_is_not() {
        let catalog = |table| Catalog::from_iter([table]);
        let notes = catalog(table("notes", "id!:int8"));
        assert!(notes.lists_the_same_as(&catalog(table("notes", "id!:int8 added:text"))));
        assert!(!notes.lists_the_same_as(&catalog(table("memos", "id!:int8"))));
        assert!(!notes.lists_the_same_as(&Catalog::default()));
        assert!(!Catalog::default().lists_the_same_as(&notes));
    }
}
