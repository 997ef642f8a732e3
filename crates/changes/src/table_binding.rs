//! A binding compiled for one table, and what it makes of a change.

use std::collections::HashSet;

use phoenix_wire::payload::changes::Exception;

use crate::audience::NumberedBinding;
use crate::binding::EventFilter;
use crate::change::{Action, Cell, RowChange};
use crate::filter::Condition;
use crate::payload::View;
use crate::predicate::{Datum, Predicate, Scale, Verdict};
use crate::question::{Answers, Asked, Unproven};
use crate::relation::ReplicaIdentity;
use crate::table::{ColumnSet, Table};

/// A binding compiled for a table.
#[derive(Clone, Debug)]
pub(crate) struct TableBinding {
    pub(crate) id: u32,
    event: EventFilter,
    predicates: Vec<Predicate>,
    pub(crate) select: Option<Selection>,
    /// A deleted row is told whole, to who has seen it. Without policies everybody has, so this is only set with them.
    visible_deletes: bool,
    /// An update that takes a row out of the filter is told.
    left: bool,
}

/// The columns a binding selects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Selection {
    /// Their names in order: changes for different selections are told apart by these, and come in this order.
    names: Vec<String>,
    /// The columns and the primary key.
    columns: ColumnSet,
}

/// What is told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// The change, as far as the columns go.
    Change,
    /// The deleted row, to who has seen it.
    OldRow,
    /// That the row has left the filter.
    Left,
}

/// Questions found so far: what is asked, and of which text.
pub(crate) type Questions<'q> = HashSet<(&'q Asked, &'q str)>;

impl TableBinding {
    /// Compiles a binding for a table it covers, for a role that may select the columns in `selectable`.
    pub(crate) fn compile(
        numbered: &NumberedBinding,
        table: &Table,
        selectable: &ColumnSet,
    ) -> Result<Self, Exception> {
        let mut predicates = Vec::with_capacity(numbered.binding.filters.len());
        for condition in &numbered.binding.filters {
            predicates.push(compile_condition(condition, table, selectable)?);
        }
        Self::of(numbered, table, selectable, predicates)
    }

    /// Compiles a binding that was accepted for the table as it was. What the table has no longer costs the binding no more
    /// than that: a condition on it is satisfied by nothing, a selection goes without it. Privileges that have gone since
    /// leave conditions as they are, as in the reference; what may be told is looked at with every change.
    pub(crate) fn compile_accepted(numbered: &NumberedBinding, table: &Table) -> Self {
        let binding = &numbered.binding;
        let all: ColumnSet = (0..table.columns.len()).collect();
        let predicates = binding.filters.iter().map(|condition| {
            compile_condition(condition, table, &all).unwrap_or_else(|_| Predicate::of_no_column())
        });
        let select = binding.select.as_ref().map(|names| {
            let columns = names
                .iter()
                .filter_map(|name| Some((name, table.position(name)?)));
            Selection::of(columns, table)
        });
        Self::with(numbered, table, predicates.collect(), select)
    }

    fn of(
        numbered: &NumberedBinding,
        table: &Table,
        selectable: &ColumnSet,
        predicates: Vec<Predicate>,
    ) -> Result<Self, Exception> {
        let select = numbered.binding.select.as_ref();
        let select = select
            .map(|names| select_columns(names, table, selectable))
            .transpose()?;
        let compiled = Self::with(numbered, table, predicates, select);
        match compiled.lacks_old_rows(table) {
            Some(key) => Err(Exception::ReplicaIdentity {
                key,
                schema: table.schema.clone(),
                table: table.name.clone(),
            }),
            None => Ok(compiled),
        }
    }

    fn with(
        numbered: &NumberedBinding,
        table: &Table,
        predicates: Vec<Predicate>,
        select: Option<Selection>,
    ) -> Self {
        let binding = &numbered.binding;
        Self {
            id: numbered.id,
            event: binding.event,
            predicates,
            select,
            visible_deletes: binding.visible_deletes
                && table.row_security
                && binding.event.covers(Action::Delete),
            left: binding.left && binding.event.covers(Action::Delete) && !binding.filters.is_empty(),
        }
    }

    /// What has to be tried before the binding can be accepted, in the order of its conditions, up to the first that is
    /// refused without asking. False if there is one, or if the binding is refused for anything else.
    pub(crate) fn unproven(
        numbered: &NumberedBinding,
        table: &Table,
        selectable: &ColumnSet,
        at: usize,
        found: &mut Vec<Unproven>,
    ) -> bool {
        let mut predicates = Vec::with_capacity(numbered.binding.filters.len());
        for condition in &numbered.binding.filters {
            let Ok(predicate) = compile_condition(condition, table, selectable) else {
                return false;
            };
            found.extend(predicate.unproven().map(|asked| asked.unproven(at)));
            predicates.push(predicate);
        }
        Self::of(numbered, table, selectable, predicates).is_ok()
    }

    /// The key of the binding that needs more of former rows than the log has.
    fn lacks_old_rows(&self, table: &Table) -> Option<&'static str> {
        if table.replica_identity == ReplicaIdentity::Full {
            return None;
        }
        let key = table.primary_key();
        // Who has seen a row can be said of a whole row only.
        let left_by_key = table.replica_identity == ReplicaIdentity::Default
            && !table.row_security
            && self
                .predicates
                .iter()
                .all(|predicate| key.contains(predicate.position()));
        if self.visible_deletes {
            Some("deletes")
        } else if self.left && !left_by_key {
            Some("left")
        } else {
            None
        }
    }

    pub(crate) fn covers(&self, action: Action) -> bool {
        self.event.covers(action)
    }

    /// Whether there are changes it has to ask about.
    pub(crate) fn asks(&self) -> bool {
        self.predicates.iter().any(Predicate::asks)
    }

    /// Whether it looks at what an updated row was.
    pub(crate) fn watches_leaving(&self) -> bool {
        self.left
    }

    /// Whether the row satisfies the filter, whatever happened to it.
    pub(crate) fn holds(&self, change: &RowChange<'_>, answers: &Answers) -> bool {
        self.judge(|at| change.filtered(at), answers) == Verdict::Holds
    }

    /// What it has to tell of a change, with what the database has answered.
    pub(crate) fn telling(&self, change: &RowChange<'_>, answers: &Answers) -> Option<Telling> {
        let action = change.action();
        if self.covers(action) && self.holds(change, answers) {
            let is_seen = self.visible_deletes && action == Action::Delete;
            Some(if is_seen { Telling::OldRow } else { Telling::Change })
        } else {
            self.has_left(change, answers).then_some(Telling::Left)
        }
    }

    /// Whether an update took the row out of the filter. What was left alone counts as it was, so that nothing leaves by
    /// not being in the log.
    pub(crate) fn has_left(&self, change: &RowChange<'_>, answers: &Answers) -> bool {
        self.left
            && change.action() == Action::Update
            && self.judge(|at| change.old_cell(at), answers) == Verdict::Holds
            && self.judge(|at| change.current(at), answers) == Verdict::Fails
    }

    /// What has to be known before [`Self::telling`] can be believed.
    pub(crate) fn ask<'q>(&'q self, change: &RowChange<'q>, found: &mut Questions<'q>) {
        if self.covers(change.action()) {
            self.ask_filter(change, found);
        }
        self.ask_leaving(change, found);
    }

    /// The same for [`Self::holds`].
    pub(crate) fn ask_filter<'q>(&'q self, change: &RowChange<'q>, found: &mut Questions<'q>) {
        self.ask_about(|at| change.filtered(at), &Answers::default(), found);
    }

    /// The same for [`Self::has_left`].
    pub(crate) fn ask_leaving<'q>(&'q self, change: &RowChange<'q>, found: &mut Questions<'q>) {
        let nothing = Answers::default();
        if self.left
            && change.action() == Action::Update
            && self.judge(|at| change.old_cell(at), &nothing) != Verdict::Fails
            && self.judge(|at| change.current(at), &nothing) != Verdict::Holds
        {
            self.ask_about(|at| change.old_cell(at), &nothing, found);
            self.ask_about(|at| change.current(at), &nothing, found);
        }
    }

    fn ask_about<'q>(
        &'q self,
        row: impl Fn(usize) -> Cell<'q>,
        nothing: &Answers,
        found: &mut Questions<'q>,
    ) {
        if self.judge(&row, nothing) == Verdict::Open {
            let questions = self.predicates.iter();
            found.extend(questions.filter_map(|predicate| predicate.question(row(predicate.position()))));
        }
    }

    /// All conditions of one row. One that fails decides, whatever has to be asked for the others.
    fn judge<'q>(&self, row: impl Fn(usize) -> Cell<'q>, answers: &Answers) -> Verdict {
        let mut verdict = Verdict::Holds;
        for predicate in &self.predicates {
            match predicate.judge(row(predicate.position()), answers) {
                Verdict::Holds => {}
                Verdict::Fails => return Verdict::Fails,
                Verdict::Open => verdict = Verdict::Open,
            }
        }
        verdict
    }

    /// How a telling looks to a role that may select the columns in `selectable`.
    pub(crate) fn view(&self, telling: Telling, selectable: &ColumnSet) -> View {
        let visible = match &self.select {
            Some(select) => selectable.intersection(&select.columns),
            None => selectable.clone(),
        };
        match telling {
            Telling::Change => View::Columns(visible),
            Telling::OldRow => View::OldRow(visible),
            Telling::Left => View::Left(visible),
        }
    }

    /// A value the binding asks for: position of the column and value.
    pub(crate) fn required_value(&self) -> Option<(usize, Scale, &Datum<'static>)> {
        self.predicates.iter().find_map(|predicate| {
            let (scale, value) = predicate.required_value()?;
            Some((predicate.position(), scale, value))
        })
    }
}

fn compile_condition(
    condition: &Condition,
    table: &Table,
    selectable: &ColumnSet,
) -> Result<Predicate, Exception> {
    let position = visible(&condition.column, table, selectable);
    let found = position.and_then(|at| Some((at, table.columns.get(at)?)));
    let Some((position, column)) = found else {
        return Err(Exception::FilterColumn(condition.column.clone()));
    };
    Predicate::compile(condition, position, &column.r#type)
}

fn select_columns(names: &[String], table: &Table, selectable: &ColumnSet) -> Result<Selection, Exception> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        match visible(name, table, selectable) {
            Some(position) => columns.push((name, position)),
            None => return Err(Exception::SelectColumn(name.as_str().into())),
        }
    }
    Ok(Selection::of(columns, table))
}

impl Selection {
    fn of<'a>(selected: impl IntoIterator<Item = (&'a String, usize)>, table: &Table) -> Self {
        let mut names = Vec::new();
        let mut columns = table.primary_key();
        for (name, position) in selected {
            names.push(name.clone());
            columns.insert(position);
        }
        names.sort();
        Self { names, columns }
    }
}

/// The position of a column the role may select.
fn visible(name: &str, table: &Table, selectable: &ColumnSet) -> Option<usize> {
    table
        .position(name)
        .filter(|position| selectable.contains(*position))
}
