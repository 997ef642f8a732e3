//! The `data` of a change: what clients are told of it, written once for all who see the same columns of it.
//!
//! Source: protocol-spec/postgres-changes.md, section 6.

use std::fmt::Write as _;
use std::sync::Arc;

use phoenix_wire::json::write_string;
use phoenix_wire::payload::changes as text;

use crate::change::{Action, Cell, RowChange};
use crate::table::ColumnSet;
use crate::value;

/// How much of a change somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// That it happened, and that the table lacks a primary key.
    NoPrimaryKey,
    /// That it happened, and that the role may not select the primary key.
    Unauthorized,
    /// These columns. Of a deleted row of a table with row level security the key alone: nobody asks who has seen it.
    Columns(ColumnSet),
    /// These columns of a deleted row, to somebody who has seen it.
    OldRow(ColumnSet),
    /// That an updated row does not concern a binding any more, with these columns of what it was: told as if it had been
    /// deleted.
    Left(ColumnSet),
}

impl View {
    /// What the change is told as.
    pub fn action(&self, change: &RowChange<'_>) -> Action {
        match self {
            Self::Left(_) => Action::Delete,
            _ => change.action(),
        }
    }
}

/// JSON text of a value up to which it is still part of a change that is too large. Bytes.
const SMALL_VALUE_BYTES_MAX: usize = 64;

/// Room for the `data` of an ordinary row: a larger one takes room by doubling.
const DATA_BYTES: usize = 1024;

/// A change with the `data` objects written so far.
#[derive(Debug)]
pub struct Payloads<'c, 'a> {
    change: &'c RowChange<'a>,
    written: Vec<(View, Arc<str>)>,
}

impl<'c, 'a> Payloads<'c, 'a> {
    /// Nothing written yet.
    pub fn new(change: &'c RowChange<'a>) -> Self {
        Self {
            change,
            written: Vec::new(),
        }
    }

    /// The `data` object for a view. JSON text.
    pub fn data(&mut self, view: &View) -> Arc<str> {
        if let Some((_, data)) = self.written.iter().find(|(written, _)| written == view) {
            return data.clone();
        }
        let data: Arc<str> = data(self.change, view).into();
        self.written.push((view.clone(), data.clone()));
        data
    }
}

/// Writes the `data` object of a change.
pub fn data(change: &RowChange<'_>, view: &View) -> String {
    let action = view.action(change);
    let mut out = String::with_capacity(DATA_BYTES);
    out.push_str(r#"{"schema":"#);
    write_string(&mut out, &change.table().schema);
    out.push_str(r#","table":"#);
    write_string(&mut out, &change.table().name);
    out.push_str(r#","type":""#);
    out.push_str(action.as_str());
    out.push_str(r#"","commit_timestamp":"#);
    match view {
        View::NoPrimaryKey => write_nothing(&mut out, action, text::NO_PRIMARY_KEY),
        View::Unauthorized => write_nothing(&mut out, action, text::UNAUTHORIZED),
        View::Columns(columns) => {
            let key_only = action == Action::Delete && change.table().row_security;
            let key = key_only.then(|| columns.intersection(change.primary_key()));
            write_columns(&mut out, change, action, columns, key.as_ref().unwrap_or(columns));
        }
        View::OldRow(columns) | View::Left(columns) => {
            write_columns(&mut out, change, action, columns, columns);
        }
    }
    if matches!(view, View::Left(_)) {
        out.push_str(r#","left":true"#);
    }
    if change.commit_timestamp().is_none() {
        out.push_str(r#","snapshot":true"#);
    }
    out.push('}');
    out
}

fn write_nothing(out: &mut String, action: Action, error: &str) {
    out.push_str(r#"null,"columns":[]"#);
    if action != Action::Delete {
        out.push_str(r#","record":{}"#);
    }
    if action != Action::Insert {
        out.push_str(r#","old_record":{}"#);
    }
    write_errors(out, Some(error));
}

/// Writes what follows `"commit_timestamp":`, with the columns in `visible`, and of the former row those in `visible_old`.
fn write_columns(
    out: &mut String,
    change: &RowChange<'_>,
    action: Action,
    visible: &ColumnSet,
    visible_old: &ColumnSet,
) {
    match change.commit_timestamp() {
        Some(timestamp) => {
            let _ = write!(out, r#""{timestamp}""#);
        }
        None => out.push_str("null"),
    }
    out.push_str(r#","columns":["#);
    let mut separator = "";
    for (_, _, label) in change
        .mapping()
        .columns()
        .filter(|(at, _, _)| visible.contains(*at))
    {
        out.push_str(separator);
        out.push_str(&label.description);
        separator = ",";
    }
    out.push(']');

    let is_too_large = change.is_too_large();
    if action != Action::Delete {
        out.push_str(r#","record":"#);
        if is_too_large {
            write_small_values(out, change, visible, |at| change.new_cell(at));
        } else {
            write_row(out, change, visible, |at| change.current(at));
        }
    }
    if action != Action::Insert {
        out.push_str(r#","old_record":"#);
        if is_too_large {
            write_small_values(out, change, visible_old, |at| change.old_cell(at));
        } else {
            write_row(out, change, visible_old, |at| change.old_cell(at));
        }
    }
    write_errors(out, is_too_large.then_some(text::TOO_LARGE));
}

/// A row as an object in the order of `jsonb`; a value that is not known is no member.
fn write_row<'a>(
    out: &mut String,
    change: &RowChange<'a>,
    visible: &ColumnSet,
    cell: impl Fn(usize) -> Cell<'a>,
) {
    out.push('{');
    let start = out.len();
    let columns = change.mapping().object_columns();
    for (at, column, label) in columns.filter(|(at, _, _)| visible.contains(*at)) {
        let cell = cell(at);
        if cell == Cell::Absent {
            continue;
        }
        if out.len() > start {
            out.push(',');
        }
        out.push_str(&label.member);
        match cell {
            Cell::Text(text) => value::write_column(out, &column.r#type, text),
            Cell::Null | Cell::Absent => out.push_str("null"),
        }
    }
    out.push('}');
}

/// The same without NULL and without what is larger than [`SMALL_VALUE_BYTES_MAX`].
fn write_small_values<'a>(
    out: &mut String,
    change: &RowChange<'a>,
    visible: &ColumnSet,
    cell: impl Fn(usize) -> Cell<'a>,
) {
    out.push('{');
    let start = out.len();
    let columns = change.mapping().object_columns();
    for (at, column, label) in columns.filter(|(at, _, _)| visible.contains(*at)) {
        let Cell::Text(text) = cell(at) else { continue };
        let before = out.len();
        if before > start {
            out.push(',');
        }
        out.push_str(&label.member);
        let value_start = out.len();
        value::write_column(out, &column.r#type, text);
        if out.len() - value_start > SMALL_VALUE_BYTES_MAX {
            out.truncate(before);
        }
    }
    out.push('}');
}

fn write_errors(out: &mut String, error: Option<&str>) {
    out.push_str(r#","errors":"#);
    match error {
        Some(error) => {
            out.push('[');
            write_string(out, error);
            out.push(']');
        }
        None => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::change::CHANGE_BYTES_MAX;
    use crate::mapping::Mapping;
    use crate::relation::ReplicaIdentity::{Default, Full};
    use crate::testing::{delete, insert, mapping, table, tuple, update};

    /// The columns at these positions.
    fn columns<const N: usize>(positions: [usize; N]) -> View {
        View::Columns(positions.into_iter().collect())
    }

    /// What the data says after the columns, `errors` cut off where there are none.
    fn rows(change: &RowChange<'_>, view: &View) -> String {
        let data = data(change, view);
        phoenix_wire::json::check(data.as_bytes()).unwrap();
        let (_, rows) = data.split_once("],").unwrap();
        rows.trim_end_matches(r#","errors":null}"#).to_owned()
    }

    #[test]
    fn an_insert_has_a_record() {
        let notes = mapping(table("notes", "id!:int8 body:text n:int4"), Default);
        assert_eq!(
            data(&insert(&notes, &["1", "~", "3"]), &columns([0, 1, 2])),
            concat!(
                r#"{"schema":"public","table":"notes","type":"INSERT","commit_timestamp":"2026-08-21T12:03:56.123Z","#,
                r#""columns":[{"name":"id","type":"int8"},{"name":"body","type":"text"},{"name":"n","type":"int4"}],"#,
                r#""record":{"n":3,"id":1,"body":null},"errors":null}"#
            )
        );
    }

    #[test]
    fn under_the_default_identity_the_old_record_is_the_key() {
        let notes = mapping(table("notes", "id!:int8 body:text"), Default);
        let all = columns([0, 1]);
        assert_eq!(
            rows(&update(&notes, None, &["1", "b"]), &all),
            r#""record":{"id":1,"body":"b"},"old_record":{"id":1}"#
        );
        assert_eq!(
            rows(&delete(&notes, &["1", "~"]), &all),
            r#""old_record":{"id":1}"#
        );
    }

    #[test]
    fn under_the_full_identity_the_old_record_is_the_row() {
        let notes = mapping(table("notes", "id!:int8 body:text"), Full);
        let all = columns([0, 1]);
        assert_eq!(
            rows(&update(&notes, Some(&["1", "~"]), &["1", "b"]), &all),
            r#""record":{"id":1,"body":"b"},"old_record":{"id":1,"body":null}"#
        );
        assert_eq!(
            rows(&delete(&notes, &["1", "b"]), &all),
            r#""old_record":{"id":1,"body":"b"}"#
        );
    }

    #[test]
    fn row_security_leaves_of_a_deleted_row_the_key() {
        let mut secrets = table("secrets", "id!:int8 body:text");
        secrets.row_security = true;
        let secrets = mapping(secrets, Full);
        let all = columns([0, 1]);
        assert_eq!(
            rows(&delete(&secrets, &["1", "b"]), &all),
            r#""old_record":{"id":1}"#
        );
        assert_eq!(
            rows(&update(&secrets, Some(&["1", "a"]), &["1", "b"]), &all),
            r#""record":{"id":1,"body":"b"},"old_record":{"id":1,"body":"a"}"#
        );
    }

    #[test]
    fn who_has_seen_a_deleted_row_is_told_all_of_it() {
        let mut secrets = table("secrets", "id!:int8 body:text hidden:text");
        secrets.row_security = true;
        let secrets = mapping(secrets, Full);
        let change = delete(&secrets, &["1", "b", "c"]);
        let seen = View::OldRow([0, 1].into_iter().collect());
        assert_eq!(rows(&change, &seen), r#""old_record":{"id":1,"body":"b"}"#);
    }

    #[test]
    fn a_row_that_left_is_told_like_a_deleted_one() {
        let mut notes = table("notes", "id!:int8 body:text n:int4");
        notes.row_security = true;
        let notes = mapping(notes, Full);
        let change = update(&notes, Some(&["1", "a", "~"]), &["1", "b", "3"]);
        let left = data(&change, &View::Left([0, 1].into_iter().collect()));
        phoenix_wire::json::check(left.as_bytes()).unwrap();
        assert_eq!(
            left,
            concat!(
                r#"{"schema":"public","table":"notes","type":"DELETE","commit_timestamp":"2026-08-21T12:03:56.123Z","#,
                r#""columns":[{"name":"id","type":"int8"},{"name":"body","type":"text"}],"#,
                r#""old_record":{"id":1,"body":"a"},"errors":null,"left":true}"#
            )
        );
    }

    #[test]
    fn a_row_of_a_snapshot_looks_like_an_insert_of_no_commit() {
        let notes = Mapping::of_table(Arc::new(table("notes", "id!:int8 body:text")));
        let values = tuple(&["1", "~"]);
        let row = RowChange::snapshot(&notes, &values).unwrap();
        let written = data(&row, &columns([0, 1]));
        phoenix_wire::json::check(written.as_bytes()).unwrap();
        assert_eq!(
            written,
            concat!(
                r#"{"schema":"public","table":"notes","type":"INSERT","commit_timestamp":null,"#,
                r#""columns":[{"name":"id","type":"int8"},{"name":"body","type":"text"}],"#,
                r#""record":{"id":1,"body":null},"errors":null,"snapshot":true}"#
            )
        );
    }

    #[test]
    fn a_value_left_alone_comes_from_the_old_row_or_not_at_all() {
        let all = columns([0, 1]);
        let toasted = mapping(table("toasted", "id!:int8 body:text"), Default);
        assert_eq!(
            rows(&update(&toasted, None, &["1", "="]), &all),
            r#""record":{"id":1},"old_record":{"id":1}"#
        );
        let toasted = mapping(table("toasted", "id!:int8 body:text"), Full);
        assert_eq!(
            rows(&update(&toasted, Some(&["1", "ttt"]), &["1", "="]), &all),
            r#""record":{"id":1,"body":"ttt"},"old_record":{"id":1,"body":"ttt"}"#
        );
    }

    #[test]
    fn what_is_not_visible_is_nowhere() {
        let notes = mapping(table("notes", "id!:int8 shown:text hidden:text"), Full);
        let change = update(&notes, Some(&["1", "a", "b"]), &["1", "c", "d"]);
        assert_eq!(
            data(&change, &columns([0, 1])),
            concat!(
                r#"{"schema":"public","table":"notes","type":"UPDATE","commit_timestamp":"2026-08-21T12:03:56.123Z","#,
                r#""columns":[{"name":"id","type":"int8"},{"name":"shown","type":"text"}],"#,
                r#""record":{"id":1,"shown":"c"},"old_record":{"id":1,"shown":"a"},"errors":null}"#
            )
        );
        assert_eq!(
            rows(&delete(&notes, &["1", "a", "b"]), &columns([])),
            r#""old_record":{}"#
        );
    }

    #[test]
    fn an_error_row_says_that_something_happened() {
        let noselect = mapping(table("noselect", "id!:int8"), Default);
        assert_eq!(
            data(&insert(&noselect, &["1"]), &View::Unauthorized),
            concat!(
                r#"{"schema":"public","table":"noselect","type":"INSERT","commit_timestamp":null,"columns":[],"#,
                r#""record":{},"errors":["Error 401: Unauthorized"]}"#
            )
        );
        assert_eq!(
            data(&update(&noselect, None, &["1"]), &View::NoPrimaryKey),
            concat!(
                r#"{"schema":"public","table":"noselect","type":"UPDATE","commit_timestamp":null,"columns":[],"#,
                r#""record":{},"old_record":{},"errors":["Error 400: Bad Request, no primary key"]}"#
            )
        );
    }

    #[test]
    fn a_change_that_is_too_large_keeps_its_small_values() {
        let big = mapping(table("big", "id!:int8 body:text small:text n:int4"), Full);
        let all = columns([0, 1, 2, 3]);
        let half = "b".repeat(CHANGE_BYTES_MAX / 2 - 1);
        let whole = "b".repeat(CHANGE_BYTES_MAX);
        let [fits, too_long] = ["s".repeat(62), "s".repeat(63)];

        let change = insert(&big, &["1", &whole, &fits, "~"]);
        assert_eq!(
            rows(&change, &all),
            format!(r#""record":{{"id":1,"small":"{fits}"}},"errors":["Error 413: Payload Too Large"]}}"#)
        );
        let change = insert(&big, &["1", &whole, &too_long, "7"]);
        assert!(rows(&change, &all).starts_with(r#""record":{"n":7,"id":1},"#));
        let at_the_limit = insert(&big, &["1", &whole[1..], "~", "~"]);
        assert!(rows(&at_the_limit, &all).contains("bbb"));

        // Both rows count, and nothing is filled in.
        let change = update(&big, Some(&["1", &half, &half, "4"]), &["1", &half, "=", "~"]);
        assert!(rows(&change, &all).starts_with(r#""record":{"id":1},"old_record":{"n":4,"id":1},"#));
    }

    #[test]
    fn a_view_is_written_once() {
        let notes = mapping(table("notes", "id!:int8 body:text"), Default);
        let change = insert(&notes, &["1", "b"]);
        let mut payloads = Payloads::new(&change);
        let all = payloads.data(&columns([0, 1])).to_owned();
        assert_eq!(*all, data(&change, &columns([0, 1])));
        assert_ne!(payloads.data(&columns([0])), all);
        assert_eq!(payloads.data(&columns([0, 1])), all);
        assert_eq!(payloads.written.len(), 2);
    }
}
