//! One row as an example: does the filter let it through, do the policies, and what is told of it?

use std::sync::Arc;

use changes::pgoutput::{Begin, Delete, Insert, OldTuple, Tuple, Update, Value};
use changes::policy::{Image, RowPolicies, Viewer};
use changes::{
    Action, Answers, Binding, Check, Condition, Mapping, Relation, RelationColumn, ReplicaIdentity,
    RowChange, RowMismatch, Table, Timestamp, View, data,
};
use database::explain::{StoredRow, TableFacts, WantedRow};
use database::visibility::{Question, Row};
use database::{Error, Pool};
use phoenix_wire::json;
use phoenix_wire::payload::incomplete;

use super::binding::{self, Index};
use super::report::{EVERY, OF_ROWS, Section};
use super::{ExplainError, Wanted};
use crate::feed::catalog::Reading;

/// What it takes to look at a row.
pub(super) struct Scene<'a> {
    pub(super) pool: &'a Pool,
    pub(super) wanted: &'a Wanted,
    pub(super) reading: &'a Reading,
    pub(super) table: &'a Arc<Table>,
    pub(super) facts: &'a TableFacts,
    /// `None` if it is refused.
    pub(super) binding: Option<&'a Binding>,
}

/// What was found out about a row.
pub(super) struct Seen {
    pub(super) section: Section,
    /// The row, as JSON.
    pub(super) row: Option<String>,
    /// What an INSERT of it is told with, as JSON.
    pub(super) data: Option<String>,
}

/// Whether the policies let the row be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Yes,
    No,
    /// Nobody asks.
    Unasked,
}

impl Scene<'_> {
    /// Looks at the row.
    ///
    /// # Errors
    ///
    /// The key is none of the table's, or the database cannot be asked.
    pub(super) async fn look(&self) -> Result<Seen, ExplainError> {
        let mut seen = Seen {
            section: Section::new("row"),
            row: None,
            data: None,
        };
        let section = &mut seen.section;
        let Some(stored) = self.find(section).await? else {
            return Ok(seen);
        };
        let mapping = Mapping::new(self.table.clone(), Arc::new(self.relation()));
        let values = self.values(&stored);
        let change = |action| self.change(action, &mapping, &values, stored.read_at);
        let insert = change(Action::Insert).map_err(misread)?;

        let whole = data(&insert, &View::Columns(binding::every_column(self.table)));
        seen.row = json::member(&whole, "record").map(str::to_owned);
        if !stored.passes_row_filter {
            let text = "the row does not satisfy the publication's condition on rows";
            section.stop("row-not-published", &OF_ROWS, text);
        }
        let heard = match self.binding {
            None => None,
            Some(binding) => {
                for action in [Action::Update, Action::Delete] {
                    let change = change(action).map_err(misread)?;
                    self.filter(binding, &change, section).await?;
                }
                self.filter(binding, &insert, section).await?
            }
        };
        let is_checked = heard
            .as_ref()
            .map_or(self.table.row_security, |(_, check)| *check == Check::CurrentRow);
        let sight = if is_checked {
            self.see(&insert, &stored, section).await?
        } else {
            Sight::Unasked
        };
        if let (Some((view, _)), Sight::Yes | Sight::Unasked, true) =
            (&heard, sight, stored.passes_row_filter)
        {
            seen.data = Some(data(&insert, view));
        }
        Ok(seen)
    }

    /// Reads the row, and says so.
    async fn find(&self, section: &mut Section) -> Result<Option<StoredRow>, ExplainError> {
        let key = self.key()?;
        let found = self
            .pool
            .stored_row(&WantedRow {
                table: self.table,
                key: &key,
                row_filter: self.facts.row_filter.as_deref(),
            })
            .await;
        match found {
            Ok(Some(row)) => {
                let text = if key.is_empty() {
                    "no --key was given: this is the first row by primary key".to_owned()
                } else {
                    format!("this is the row with {}", self.shown_key())
                };
                section.good("row-found", text);
                Ok(Some(row))
            }
            Ok(None) if key.is_empty() => {
                section
                    .note("no-rows", "the table has no rows to look at")
                    .next("insert one, and ask again");
                Ok(None)
            }
            Ok(None) => {
                let text = format!(
                    "there is no row with {}: a change of a row that is gone by the time the policies are asked is not told",
                    self.shown_key()
                );
                section
                    .stop("row-gone", &OF_ROWS, text)
                    .next("look for a row that is there");
                Ok(None)
            }
            // Class 22: the text is no value of the column's type.
            Err(Error::Statement(said)) if !key.is_empty() && said.sqlstate.starts_with("22") => {
                Err(ExplainError::Key(said.message))
            }
            Err(Error::Statement(said)) => {
                let text = format!("the gateway's user cannot read the row: {}", said.message);
                section
                    .note("row-not-readable", text)
                    .next("run this with the connection string of a user that may");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The columns of the key, with their values.
    fn key(&self) -> Result<Vec<(usize, String)>, ExplainError> {
        let pair = |(column, value): &(String, String)| match self.table.position(column) {
            Some(position) => Ok((position, value.clone())),
            None => Err(ExplainError::Key(format!(
                "{} has no column {column:?}",
                self.facts.sql
            ))),
        };
        self.wanted.key.iter().map(pair).collect()
    }

    fn shown_key(&self) -> String {
        let pairs = self.wanted.key.iter();
        let pairs = pairs.map(|(column, value)| format!("{column} = {value}"));
        pairs.collect::<Vec<_>>().join(", ")
    }

    /// The table as the stream would describe it.
    fn relation(&self) -> Relation {
        let columns = self.streamed().map(|(_, facts, column)| RelationColumn {
            name: column.name.clone(),
            type_oid: column.r#type.oid,
            type_modifier: -1,
            is_key: facts.in_identity,
        });
        Relation {
            oid: self.table.oid,
            schema: self.table.schema.clone(),
            name: self.table.name.clone(),
            replica_identity: self.table.replica_identity,
            columns: columns.collect(),
        }
    }

    /// The columns that are in the stream.
    fn streamed(&self) -> impl Iterator<Item = (usize, &database::explain::ColumnFacts, &changes::Column)> {
        let columns = self.table.columns.iter().enumerate();
        columns.filter_map(|(at, column)| {
            let mut facts = self.facts.columns.iter();
            let facts = facts.find(|facts| *facts.name == *column.name && facts.is_published)?;
            Some((at, facts, column))
        })
    }

    fn values<'s>(&self, stored: &'s StoredRow) -> Tuple<'s> {
        let value = |at: usize| stored.values.get(at).and_then(Option::as_deref);
        self.streamed()
            .map(|(at, _, _)| value(at).map_or(Value::Null, Value::Text))
            .collect()
    }

    /// The row as it would be told by the stream if it had just come, been written again, or gone.
    fn change<'v>(
        &self,
        action: Action,
        mapping: &'v Mapping,
        values: &Tuple<'v>,
        read_at: i64,
    ) -> Result<RowChange<'v>, RowMismatch> {
        let relation = self.table.oid;
        let begin = Begin {
            final_lsn: 0,
            timestamp: Timestamp(read_at),
            xid: 0,
        };
        let new = values.clone();
        let is_full = self.table.replica_identity == ReplicaIdentity::Full;
        match action {
            Action::Insert => RowChange::insert(mapping, &begin, Insert { relation, new }),
            Action::Update => {
                let old = is_full.then(|| OldTuple::Full(values.clone()));
                RowChange::update(mapping, &begin, Update { relation, old, new })
            }
            Action::Delete => {
                let old = if is_full {
                    OldTuple::Full(new)
                } else {
                    OldTuple::Key(new)
                };
                RowChange::delete(mapping, &begin, Delete { relation, old })
            }
        }
    }

    /// Whether the binding hears of a change, and of how much.
    async fn filter(
        &self,
        binding: &Binding,
        change: &RowChange<'_>,
        section: &mut Section,
    ) -> Result<Option<(View, Check)>, Error> {
        let selectable = self.reading.roles.get(&*self.wanted.role);
        let columns = selectable.and_then(|selectable| selectable.of(self.table.oid));
        let index = binding::index(
            self.wanted,
            binding,
            self.table,
            &columns.cloned().unwrap_or_default(),
        );
        let Ok(index) = index else { return Ok(None) };
        let answers = self.ask(&index, change, section).await?;
        let matches = index.matches(change, &answers);
        let heard = matches.first().map(|heard| (heard.view.clone(), heard.check));
        let action = change.action();
        match &heard {
            Some((View::NoPrimaryKey | View::Unauthorized, _)) => {}
            Some(_) if binding.filters.is_empty() => {}
            Some(_) if action == Action::Insert => {
                section.good("filter-holds", "the row satisfies the filter")
            }
            Some(_) => {}
            None => {
                let mut failing = Vec::new();
                for condition in &binding.filters {
                    if self.fails(condition, change, section).await? {
                        failing.push(binding::shown(condition));
                    }
                }
                // That is known already.
                let is_unlogged = action == Action::Delete
                    && binding
                        .filters
                        .iter()
                        .any(|condition| !self.is_in_identity(condition));
                if !is_unlogged {
                    let row = match action {
                        Action::Insert => "the row, if it is inserted,",
                        Action::Update => "the row, if it is updated,",
                        Action::Delete => "the row, if it is deleted,",
                    };
                    let text = format!("{row} does not satisfy {}", failing.join(" and "));
                    section.stop("filter-fails", &[action], text);
                }
            }
        }
        Ok(heard)
    }

    async fn fails(
        &self,
        condition: &Condition,
        change: &RowChange<'_>,
        section: &mut Section,
    ) -> Result<bool, Error> {
        let Some(index) = binding::index_of(self.wanted, condition, self.table) else {
            return Ok(false);
        };
        let answers = self.ask(&index, change, section).await?;
        Ok(index.matches(change, &answers).is_empty())
    }

    fn is_in_identity(&self, condition: &Condition) -> bool {
        let mut columns = self.facts.columns.iter();
        columns.any(|column| *column.name == *condition.column && column.in_identity)
    }

    /// Asks the database what memory cannot tell.
    async fn ask(
        &self,
        index: &Index,
        change: &RowChange<'_>,
        section: &mut Section,
    ) -> Result<Answers, Error> {
        let questions = index.questions(change);
        let answered = self.pool.conditions(&questions).await?;
        let mut answers = Answers::default();
        for (question, answer) in questions.into_iter().zip(answered) {
            match answer {
                Ok(answer) => answers.insert(question, answer),
                Err(said) => {
                    let operator = question.operator.as_str();
                    let text = format!("the database cannot evaluate {operator}: {}", said.message);
                    section.stop("condition-failed", &EVERY, text);
                }
            }
        }
        Ok(answers)
    }

    /// Whether the role sees the row: what memory says, what the database says, and whether that is the same.
    async fn see(
        &self,
        insert: &RowChange<'_>,
        stored: &StoredRow,
        section: &mut Section,
    ) -> Result<Sight, ExplainError> {
        let role: Arc<str> = self.wanted.role.as_str().into();
        let policies = self.reading.policies.get(&(role.clone(), self.table.oid));
        let memory = policies.and_then(|policies| self.in_memory(policies, insert));
        let Some(key) = insert.key() else {
            let text =
                "the primary key is not in the stream, so nobody can ask whether the role sees the row";
            section
                .stop("key-not-published", &OF_ROWS, text)
                .next("publish the columns of the primary key as well");
            return Ok(Sight::No);
        };
        let question = Question {
            role,
            claims: self.wanted.claims.as_str().into(),
            schema: (*self.table.schema).into(),
            table: (*self.table.name).into(),
            rows: vec![Arc::new(Row::current(key))],
        };
        let answers = self.pool.visible(&[question]).await?;
        let Some(database) = answers.sees(0, 0) else {
            if let Some((_, error)) = answers.failures().next() {
                let told = incomplete::policies_failed(&self.table.schema, &self.table.name);
                let text = format!("the policies cannot be asked: {error}; clients are told \"{told}\"");
                section.stop("policies-fail", &OF_ROWS, text);
            }
            return Ok(Sight::No);
        };
        if memory.is_some_and(|memory| memory != database) && !self.is_still(stored).await? {
            section
                .note("row-changing", "the row has changed while it was looked at")
                .next("ask again");
            return Ok(Sight::No);
        }
        Ok(compare(memory, database, section))
    }

    fn in_memory(&self, policies: &RowPolicies, insert: &RowChange<'_>) -> Option<bool> {
        let viewer = Viewer::new(&self.wanted.role, &self.wanted.claims);
        policies.sees(&policies.read(insert, Image::New), &policies.bind(&viewer))
    }

    /// Whether the row is what it was.
    async fn is_still(&self, stored: &StoredRow) -> Result<bool, ExplainError> {
        let mut nothing = Section::new("row");
        let again = self.find(&mut nothing).await?;
        Ok(again.is_some_and(|again| again.values == stored.values))
    }
}

/// What to make of both answers; `None` in memory is none.
fn compare(memory: Option<bool>, database: bool, section: &mut Section) -> Sight {
    let word = |sees| if sees { "seen" } else { "not seen" };
    if let Some(memory) = memory
        && memory != database
    {
        let text = format!(
            "MEMORY AND THE DATABASE DISAGREE: BY THE POLICIES, THE ROW IS {} IN MEMORY, AND {} IN THE DATABASE. THIS IS A \
             BUG OF THE GATEWAY: PLEASE REPORT IT, WITH THE POLICIES ABOVE",
            word(memory).to_uppercase(),
            word(database).to_uppercase()
        );
        section.bug("policies-disagree", &OF_ROWS, text);
        return Sight::No;
    }
    let who = match memory {
        Some(_) => "memory and the database both say",
        None => "the database, which alone can tell, says",
    };
    let text = format!("{who} that by the policies the row is {}", word(database));
    if database {
        section.good("row-seen", text);
        Sight::Yes
    } else {
        section
            .stop("row-not-seen", &OF_ROWS, text)
            .next("compare the policies above with the row and the claims");
        Sight::No
    }
}

fn misread(mismatch: RowMismatch) -> ExplainError {
    ExplainError::Database(Error::Answer(mismatch.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    #[test]
    fn answers_that_differ_are_a_bug_in_capitals() {
        for (memory, database, sight, level) in [
            (Some(true), true, Sight::Yes, Level::Good),
            (None, true, Sight::Yes, Level::Good),
            (Some(false), false, Sight::No, Level::Stop),
            (None, false, Sight::No, Level::Stop),
            (Some(true), false, Sight::No, Level::Bug),
            (Some(false), true, Sight::No, Level::Bug),
        ] {
            let mut section = Section::new("row");
            assert_eq!(compare(memory, database, &mut section), sight);
            let [found] = section.findings.as_slice() else {
                panic!("one finding: {section:?}")
            };
            assert_eq!(found.level, level, "{memory:?} {database}");
            assert_eq!(level == Level::Bug, found.text == found.text.to_uppercase());
        }
    }
}
