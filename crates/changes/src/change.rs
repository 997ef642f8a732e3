//! One change of one row.

use std::sync::Arc;

use crate::mapping::Mapping;
use crate::pgoutput::{Begin, Delete, Insert, OldTuple, Update, Value};
use crate::relation::ReplicaIdentity;
use crate::table::{ColumnSet, Table, Type};
use crate::timestamp::Timestamp;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It came.
    Insert,
    /// It changed.
    Update,
    /// It went.
    Delete,
}

impl Action {
    /// `INSERT`, `UPDATE`, `DELETE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Insert => "INSERT",
            Action::Update => "UPDATE",
            Action::Delete => "DELETE",
        }
    }
}

/// Size from which a change is not sent whole. Bytes, see [`RowChange::is_too_large`].
/// Source: protocol-spec/postgres-changes.md, section 6.
pub const CHANGE_BYTES_MAX: usize = 1 << 20;

/// A change of a row, with the values still in the message they came in; or a row as it is, told as if it had just come.
#[derive(Debug)]
pub struct RowChange<'a> {
    action: Action,
    mapping: &'a Mapping,
    /// LSN and time of the commit; nothing for a row that was read from the table.
    commit: Option<(u64, Timestamp)>,
    /// The row as it is now; nothing for a DELETE. What is stored out of line and was left alone is absent.
    new: Row<'a>,
    /// The row as it was, as far as the replica identity goes; nothing for an INSERT.
    old: Row<'a>,
}

/// A row whose generated columns are computed: name, type and text of every other column.
pub type KnownValues<'a> = Vec<(&'a str, &'a Type, Option<&'a str>)>;

/// What generated columns are computed from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncomputed<'a> {
    /// The row as it is now.
    pub new: Option<KnownValues<'a>>,
    /// The row as it was.
    pub old: Option<KnownValues<'a>>,
}

/// A row's tuple has not as many values as the relation has columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of {values} values in a relation of {columns} columns")]
pub struct RowMismatch {
    /// Values of the row.
    pub values: usize,
    /// Columns of the relation.
    pub columns: usize,
}

/// Values by the positions of the table's columns, as they are in the log.
#[derive(Debug, Default)]
struct Row<'a>(Vec<Cell<'a>>);

/// The value of a column in one of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// Not known.
    #[default]
    Absent,
    /// SQL NULL.
    Null,
    /// Its text.
    Text(&'a str),
}

impl<'a> RowChange<'a> {
    /// A row that was inserted.
    ///
    /// # Errors
    ///
    /// [`RowMismatch`].
    pub fn insert(mapping: &'a Mapping, begin: &Begin, insert: Insert<'a>) -> Result<Self, RowMismatch> {
        let new = Row::new(mapping, &insert.new)?;
        Ok(Self::new(Action::Insert, mapping, begin, new, Row::default()))
    }

    /// A row that is in the table: its values in the order of the table's columns, with a [`Mapping::of_table`].
    ///
    /// # Errors
    ///
    /// [`RowMismatch`].
    pub fn snapshot(mapping: &'a Mapping, row: &[Value<'a>]) -> Result<Self, RowMismatch> {
        Ok(Self {
            action: Action::Insert,
            mapping,
            commit: None,
            new: Row::new(mapping, row)?,
            old: Row::default(),
        })
    }

    /// A row that was updated.
    ///
    /// # Errors
    ///
    /// [`RowMismatch`].
    pub fn update(mapping: &'a Mapping, begin: &Begin, update: Update<'a>) -> Result<Self, RowMismatch> {
        let new = Row::new(mapping, &update.new)?;
        let old = match &update.old {
            Some(old) => Row::former(mapping, old)?,
            // Left out because the key is what it was.
            None if mapping.relation().replica_identity != ReplicaIdentity::Full => {
                Row::key_of(mapping, &update.new)
            }
            None => Row::default(),
        };
        Ok(Self::new(Action::Update, mapping, begin, new, old))
    }

    /// A row that was deleted.
    ///
    /// # Errors
    ///
    /// [`RowMismatch`].
    pub fn delete(mapping: &'a Mapping, begin: &Begin, delete: Delete<'a>) -> Result<Self, RowMismatch> {
        let old = Row::former(mapping, &delete.old)?;
        Ok(Self::new(Action::Delete, mapping, begin, Row::default(), old))
    }

    fn new(action: Action, mapping: &'a Mapping, begin: &Begin, new: Row<'a>, old: Row<'a>) -> Self {
        Self {
            action,
            mapping,
            commit: Some((begin.final_lsn, begin.timestamp)),
            new,
            old,
        }
    }

    /// What happened.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The table it happened in.
    pub fn table(&self) -> &Arc<Table> {
        self.mapping.table()
    }

    /// LSN of the commit it is part of; `None` for a row of a snapshot.
    pub fn commit_lsn(&self) -> Option<u64> {
        self.commit.map(|(lsn, _)| lsn)
    }

    /// When it was committed; `None` for a row of a snapshot.
    pub fn commit_timestamp(&self) -> Option<Timestamp> {
        self.commit.map(|(_, timestamp)| timestamp)
    }

    /// The primary key of the row as it is now: name, type and text of each column. `None` if there is no such row, no
    /// primary key, or a column of it that the row does not tell. Of a deleted row, the former one.
    pub fn key(&self) -> Option<Vec<(&'a str, &'a Type, &'a str)>> {
        let columns = self.mapping.columns();
        let key = columns.filter(|(_, column, _)| column.in_primary_key);
        let key: Option<Vec<_>> = key
            .map(|(at, column, _)| match self.current(at) {
                Cell::Text(text) => Some((&*column.name, &*column.r#type, text)),
                Cell::Null | Cell::Absent => None,
            })
            .collect();
        key.filter(|key| !key.is_empty())
    }

    /// The whole row as it was: name, type and text of each column, NULL as `None`. `None` if the log does not tell all of
    /// it: the replica identity is not full, or there is a column that is not in the stream, such as a generated one.
    pub fn old_row(&self) -> Option<Vec<(&'a str, &'a Type, Option<&'a str>)>> {
        let columns = self.mapping.columns();
        columns
            .map(|(at, column, _)| match self.old.cell(at) {
                Cell::Text(text) => Some((&*column.name, &*column.r#type, Some(text))),
                Cell::Null => Some((&*column.name, &*column.r#type, None)),
                Cell::Absent => None,
            })
            .collect()
    }

    /// Rows of which the database has to compute the generated columns, as far as the stream does not bring them: the values
    /// of all other columns, `None` for NULL. Of a row the log does not tell enough of, nothing can be computed.
    pub fn uncomputed(&self) -> Uncomputed<'a> {
        let computed: Vec<usize> = self.mapping.computed().map(|(at, _, _)| at).collect();
        if computed.is_empty() {
            return Uncomputed::default();
        }
        let values = |cell: &dyn Fn(usize) -> Cell<'a>| {
            let columns = self.mapping.columns();
            let values = columns.filter(|(at, _, _)| !computed.contains(at));
            let values = values.map(|(at, column, _)| match cell(at) {
                Cell::Text(text) => Some((&*column.name, &*column.r#type, Some(text))),
                Cell::Null => Some((&*column.name, &*column.r#type, None)),
                Cell::Absent => None,
            });
            values.collect::<Option<Vec<_>>>()
        };
        let new = match self.action {
            Action::Delete => None,
            Action::Insert | Action::Update => values(&|at| match self.new.cell(at) {
                Cell::Absent => self.old.cell(at),
                known => known,
            }),
        };
        Uncomputed {
            new,
            old: values(&|at| self.old.cell(at)),
        }
    }

    /// Takes in what the database has computed: for each of [`Mapping::computed`] its text, `None` for NULL.
    pub fn take_computed(
        &mut self,
        new: Option<&'a [Option<Box<str>>]>,
        old: Option<&'a [Option<Box<str>>]>,
    ) {
        for (row, computed) in [(&mut self.new, new), (&mut self.old, old)] {
            for ((at, _, _), text) in self.mapping.computed().zip(computed.into_iter().flatten()) {
                if let Some(cell) = row.0.get_mut(at) {
                    *cell = text.as_deref().map_or(Cell::Null, Cell::Text);
                }
            }
        }
    }

    /// Whether only the small values are to be sent. What is measured is the text of all values of the new and the old
    /// row; the reference measures the JSON of its decoder, in which names and types come on top.
    pub fn is_too_large(&self) -> bool {
        self.new.bytes() + self.old.bytes() > CHANGE_BYTES_MAX
    }

    pub(crate) fn mapping(&self) -> &'a Mapping {
        self.mapping
    }

    /// The value in the new row, as it is in the log.
    pub(crate) fn new_cell(&self, position: usize) -> Cell<'a> {
        self.told(position, self.new.cell(position))
    }

    /// The value in the former row.
    pub(crate) fn old_cell(&self, position: usize) -> Cell<'a> {
        self.told(position, self.old.cell(position))
    }

    /// The value in the new row, from the former one where it was left alone.
    pub(crate) fn current(&self, position: usize) -> Cell<'a> {
        match self.new_cell(position) {
            Cell::Absent => self.old_cell(position),
            known => known,
        }
    }

    /// What filters look at: the new row, or what is left of a deleted one.
    pub(crate) fn filtered(&self, position: usize) -> Cell<'a> {
        match self.action {
            Action::Insert | Action::Update => self.new_cell(position),
            Action::Delete => self.old_cell(position),
        }
    }

    fn told(&self, position: usize, cell: Cell<'a>) -> Cell<'a> {
        match cell {
            Cell::Text(text) if self.mapping.is_no_json_number(position, text) => Cell::Null,
            other => other,
        }
    }

    /// The columns of the primary key.
    pub(crate) fn primary_key(&self) -> &'a ColumnSet {
        self.mapping.primary_key()
    }
}

impl<'a> Row<'a> {
    fn new(mapping: &Mapping, tuple: &[Value<'a>]) -> Result<Self, RowMismatch> {
        let columns = mapping.relation().columns.len();
        if tuple.len() != columns {
            return Err(RowMismatch {
                values: tuple.len(),
                columns,
            });
        }
        Ok(Self::of(mapping, tuple, |_| true))
    }

    fn former(mapping: &Mapping, old: &OldTuple<'a>) -> Result<Self, RowMismatch> {
        match old {
            OldTuple::Full(tuple) => Self::new(mapping, tuple),
            OldTuple::Key(tuple) => {
                Self::new(mapping, tuple)?;
                Ok(Self::key_of(mapping, tuple))
            }
        }
    }

    /// The columns of the replica identity alone.
    fn key_of(mapping: &Mapping, tuple: &[Value<'a>]) -> Self {
        Self::of(mapping, tuple, |at| {
            mapping
                .relation()
                .columns
                .get(at)
                .is_some_and(|column| column.is_key)
        })
    }

    fn of(mapping: &Mapping, tuple: &[Value<'a>], is_told: impl Fn(usize) -> bool) -> Self {
        let mut cells = vec![Cell::Absent; mapping.table().columns.len()];
        for (at, value) in tuple.iter().enumerate().filter(|(at, _)| is_told(*at)) {
            let cell = mapping.position(at).and_then(|position| cells.get_mut(position));
            let Some(cell) = cell else { continue };
            *cell = match value {
                Value::Null => Cell::Null,
                Value::UnchangedToast => Cell::Absent,
                Value::Text(text) => Cell::Text(text),
            };
        }
        Self(cells)
    }

    fn cell(&self, position: usize) -> Cell<'a> {
        self.0.get(position).copied().unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        let texts = self.0.iter().map(|cell| match cell {
            Cell::Text(text) => text.len(),
            Cell::Null | Cell::Absent => 0,
        });
        texts.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BEGIN, delete, insert, mapping, table, tuple, update};

    #[test]
    fn a_row_of_another_length_than_its_relation_is_refused() {
        let notes = mapping(table("notes", "id!:int8 body:text"), ReplicaIdentity::Default);
        for values in [&["1"][..], &["1", "a", "b"]] {
            let new = tuple(values);
            let mismatch = RowMismatch {
                values: values.len(),
                columns: 2,
            };
            let inserted = RowChange::insert(
                &notes,
                &BEGIN,
                Insert {
                    relation: 5,
                    new: new.clone(),
                },
            );
            assert_eq!(inserted.unwrap_err(), mismatch);
            let old = OldTuple::Key(new);
            assert_eq!(
                RowChange::delete(&notes, &BEGIN, Delete { relation: 5, old }).unwrap_err(),
                mismatch
            );
        }
    }

    #[test]
    fn columns_are_matched_by_name() {
        let known = table("notes", "id!:int8 added:text body:text");
        let mut streamed = mapping(
            table("notes", "body:text dropped:text id!:int8"),
            ReplicaIdentity::Default,
        );
        assert!(streamed.fits());
        streamed = Mapping::new(Arc::new(known), Arc::clone(streamed.relation()));
        assert!(!streamed.fits());
        let change = insert(&streamed, &["text", "gone", "1"]);
        assert_eq!(change.new_cell(0), Cell::Text("1"));
        assert_eq!(change.new_cell(1), Cell::Absent);
        assert_eq!(change.new_cell(2), Cell::Text("text"));
        assert_eq!(change.new_cell(3), Cell::Absent);
    }

    #[test]
    fn a_type_of_another_age_does_not_fit() {
        let streamed = mapping(table("notes", "id!:int4"), ReplicaIdentity::Default);
        let altered = Mapping::new(
            Arc::new(table("notes", "id!:int8")),
            Arc::clone(streamed.relation()),
        );
        assert!(!altered.fits());
        let renamed = Mapping::new(
            Arc::new(table("memos", "id!:int4")),
            Arc::clone(streamed.relation()),
        );
        assert!(!renamed.fits());
    }

    #[test]
    fn the_key_is_that_of_the_row_as_it_is_now() {
        let pairs = mapping(table("pairs", "a!:int4 v:text b!:text"), ReplicaIdentity::Default);
        let names_and_texts = |change: &RowChange<'_>| {
            let key = change.key()?;
            Some(
                key.iter()
                    .map(|(name, _, text)| format!("{name}={text}"))
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        };
        assert_eq!(
            names_and_texts(&update(&pairs, None, &["1", "x", "y"])).as_deref(),
            Some("a=1 b=y")
        );
        assert_eq!(names_and_texts(&insert(&pairs, &["~", "x", "y"])), None);
        // A deleted row has a former key only.
        assert_eq!(
            names_and_texts(&delete(&pairs, &["1", "~", "y"])).as_deref(),
            Some("a=1 b=y")
        );
        let keyless = mapping(table("nopk", "a:int4"), ReplicaIdentity::Full);
        assert_eq!(names_and_texts(&insert(&keyless, &["1"])), None);
    }

    #[test]
    fn an_old_row_is_known_whole_or_not_at_all() {
        let columns = "id!:int8 n:numeric body:text";
        let shown = |change: &RowChange<'_>| {
            let row = change.old_row()?;
            let column =
                |(name, _, text): &(&str, &Type, Option<&str>)| format!("{name}={}", text.unwrap_or("~"));
            Some(row.iter().map(column).collect::<Vec<_>>().join(" "))
        };
        let full = mapping(table("notes", columns), ReplicaIdentity::Full);
        // A number JSON has no word for is the database's all the same.
        assert_eq!(
            shown(&delete(&full, &["1", "NaN", "~"])).as_deref(),
            Some("id=1 n=NaN body=~")
        );
        let old: &[&str] = &["1", "2", "a"];
        assert_eq!(
            shown(&update(&full, Some(old), &["1", "3", "="])).as_deref(),
            Some("id=1 n=2 body=a")
        );
        assert_eq!(shown(&insert(&full, &["1", "2", "a"])), None);
        let key_only = mapping(table("notes", columns), ReplicaIdentity::Default);
        assert_eq!(shown(&delete(&key_only, &["1", "~", "~"])), None);
        assert_eq!(shown(&update(&key_only, None, &["1", "3", "b"])), None);
    }

    #[test]
    fn a_row_of_a_snapshot_is_of_no_commit() {
        let notes = Mapping::of_table(Arc::new(table("notes", "id!:int8 body:text")));
        assert!(notes.fits());
        let row = RowChange::snapshot(&notes, &tuple(&["1", "a"])).unwrap();
        assert_eq!((row.action(), row.commit_lsn()), (Action::Insert, None));
        assert_eq!(row.new_cell(1), Cell::Text("a"));
        assert!(RowChange::snapshot(&notes, &tuple(&["1"])).is_err());
    }
}
