//! The values of a row that policies look at.

use super::condition::Known;
use crate::change::{Action, Cell, RowChange};
use crate::predicate::{Datum, Scale};
use crate::table::Table;
use crate::value::oid;

/// Which of the two rows of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// The row as the change left it.
    New,
    /// The row as it was.
    Old,
}

/// A column, and what is made of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CellReader {
    pub(super) position: usize,
    pub(super) reading: Reading,
}

/// What is made of the text of a value. None of these fails for a text of the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// That it is not NULL.
    Presence,
    Scale(Scale),
    /// A label, if it is one of these; another one has come, or this one has another name by now.
    Label(Vec<Box<str>>),
    /// The text a boolean is cast to.
    BoolText,
}

impl CellReader {
    /// What the row tells of the value.
    pub(super) fn read<'a>(&self, change: &RowChange<'a>, image: Image) -> Known<'a> {
        let cell = match (image, change.action()) {
            (Image::New, Action::Insert | Action::Update) => change.current(self.position),
            (Image::Old, Action::Update | Action::Delete) => change.old_cell(self.position),
            (Image::New, Action::Delete) | (Image::Old, Action::Insert) => Cell::Absent,
        };
        let text = match cell {
            Cell::Absent => return Known::Nothing,
            Cell::Null if may_hide_a_number(change.table(), self.position) => return Known::Nothing,
            Cell::Null => return Known::Null,
            Cell::Text(text) => text,
        };
        let read = match &self.reading {
            Reading::Presence => Some(Datum::Bool(true)),
            Reading::Scale(scale) => scale.read(text),
            Reading::Label(labels) => {
                let is_known = labels.iter().any(|label| **label == *text);
                is_known.then_some(Datum::Text(text.into()))
            }
            Reading::BoolText => match text {
                "t" => Some(Datum::Text("true".into())),
                "f" => Some(Datum::Text("false".into())),
                _ => None,
            },
        };
        read.map_or(Known::Nothing, Known::Value)
    }
}

/// Numbers that JSON has no word for are told as NULL.
fn may_hide_a_number(table: &Table, position: usize) -> bool {
    table
        .columns
        .get(position)
        .is_none_or(|column| matches!(column.r#type.base().oid, oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC))
}
