//! What a binding is told of the rows that are there.

use std::sync::Arc;

use crate::audience::refusal;
use crate::change::{Action, RowChange};
use crate::payload::View;
use crate::question::{Answers, Question};
use crate::table::{ColumnSet, Table};
use crate::table_binding::{Questions, TableBinding, Telling};

/// The snapshot of one binding: which rows, and how much of them. Whether the role sees a row is for whoever reads it.
#[derive(Debug)]
pub struct SnapshotOf {
    table: Arc<Table>,
    binding: TableBinding,
    view: View,
}

impl SnapshotOf {
    pub(crate) fn new(table: &Arc<Table>, binding: TableBinding, selectable: &ColumnSet) -> Self {
        let refused = refusal(Action::Insert, &table.primary_key(), selectable);
        Self {
            table: Arc::clone(table),
            view: refused.unwrap_or_else(|| binding.view(Telling::Change, selectable)),
            binding,
        }
    }

    /// The table the rows are in.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// What is told of each row: columns, or why there is nothing to tell.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The id of the binding.
    pub fn id(&self) -> u32 {
        self.binding.id
    }

    /// What the database has to be asked before [`Self::has`] can be believed.
    pub fn questions(&self, row: &RowChange<'_>) -> Vec<Question> {
        let mut found = Questions::new();
        self.binding.ask_filter(row, &mut found);
        found.into_iter().map(|(asked, text)| asked.of(text)).collect()
    }

    /// Whether a row satisfies the binding's filter. For rows made by [`RowChange::snapshot`].
    pub fn has(&self, row: &RowChange<'_>, answers: &Answers) -> bool {
        self.binding.holds(row, answers)
    }
}
