//! The rows that somebody sees now, as the stream would tell them.
//!
//! The database reads them as the viewer would, so its policies and privileges hold; the conditions are in its hands too.
//! All reads of one call are of one snapshot. Role and claims are set for the transaction, which is rolled back.

use std::sync::Arc;

use changes::{ColumnSet, Condition, Table};
use tokio_postgres::SimpleQueryRow;

use crate::conditions;
use crate::error::Error;
use crate::pool::Pool;
use crate::quote;
use crate::script::Script;
use crate::snapshot::Snapshot;
use crate::viewer;

/// Which rows somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsWanted {
    /// The table.
    pub table: Arc<Table>,
    /// The columns that are read; those of the primary key and of the conditions need not be among them.
    pub columns: ColumnSet,
    /// The viewer's role.
    pub role: Arc<str>,
    /// The viewer's claims, as JSON text.
    pub claims: Arc<str>,
    /// All of them have to hold.
    pub conditions: Vec<Condition>,
    /// So many rows are read at most.
    pub rows_max: usize,
}

/// Rows by the columns of their primary key, in the order these have in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentRows {
    /// For each column of the table its text; `None` is NULL, or a column that was not to be read.
    pub rows: Vec<Vec<Option<Box<str>>>>,
    /// There are more.
    pub more: bool,
}

/// Values of all rows of one call, at most. Bytes. What is beyond is left out like what is beyond the number of rows.
const ROWS_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Copy, Debug)]
enum Step {
    Frame,
    Snapshot,
    Role(usize),
    Rows(usize),
}

impl Pool {
    /// Reads rows, and says which transactions they are of.
    ///
    /// # Errors
    ///
    /// The first of any of them: [`Error::RoleMissing`], [`Error::RoleNotGranted`], [`Error::Statement`] among others.
    pub async fn current_rows(&self, wanted: &[RowsWanted]) -> Result<(Snapshot, Vec<CurrentRows>), Error> {
        for wanted in wanted {
            viewer::check(&wanted.role, &wanted.claims)?;
        }
        let script = script(wanted)?;
        let mut opening = (None, String::new());
        let mut found = vec![CurrentRows::default(); wanted.len()];
        let mut bytes = 0;
        let lent = self.lend().await?;
        let ran = script
            .run(lent.client(), |step, row| match step {
                Step::Snapshot => {
                    opening.0 = row.get(0).and_then(|text| text.parse().ok());
                    opening.1 = row.get(1).unwrap_or_default().to_owned();
                }
                Step::Rows(at) => {
                    if let (Some(wanted), Some(found)) = (wanted.get(at), found.get_mut(at)) {
                        take(wanted, row, found, &mut bytes);
                    }
                }
                Step::Frame | Step::Role(_) => {}
            })
            .await?;
        if ran.failure.is_some() {
            lent.client().batch_execute("rollback").await?;
        }
        lent.give_back();
        if let Some(failure) = ran.failure {
            let step = script.steps().get(ran.completed);
            return Err(match step {
                Some(Step::Role(at)) => {
                    let role = wanted.get(*at).map_or("", |wanted| &wanted.role);
                    viewer::refused(failure, role, &opening.1)
                }
                _ => Error::Statement(failure),
            });
        }
        let snapshot = opening.0.ok_or_else(|| Error::Answer("no snapshot".into()))?;
        Ok((snapshot, found))
    }
}

fn script(wanted: &[RowsWanted]) -> Result<Script<Step>, Error> {
    let mut script = Script::new();
    script.push(Step::Frame, "begin isolation level repeatable read");
    script.push(Step::Snapshot, viewer::OPENING);
    for (at, wanted) in wanted.iter().enumerate() {
        script.push(Step::Role(at), viewer::set_role(&wanted.role));
        script.push(Step::Frame, viewer::set_claims(&wanted.claims));
        script.push(Step::Rows(at), selection(wanted)?);
    }
    script.push(Step::Frame, "rollback");
    Ok(script)
}

/// One row more than is wanted, to know of it.
fn selection(wanted: &RowsWanted) -> Result<String, Error> {
    let table = &*wanted.table;
    let of = |name: &str| format!("t.{}", quote::identifier(name));
    let columns = table.columns.iter().enumerate();
    let columns = columns.filter(|(at, _)| wanted.columns.contains(*at));
    let columns: Vec<String> = columns.map(|(_, column)| of(&column.name)).collect();
    let key = table.columns.iter().filter(|column| column.in_primary_key);
    let key: Vec<String> = key.map(|column| of(&column.name)).collect();
    let mut conditions = Vec::new();
    for condition in &wanted.conditions {
        conditions.push(holds(table, condition)?);
    }
    let mut statement = format!(
        "select {} from {}.{} as t",
        columns.join(", "),
        quote::identifier(&table.schema),
        quote::identifier(&table.name),
    );
    if !conditions.is_empty() {
        statement.push_str(" where ");
        statement.push_str(&conditions.join(" and "));
    }
    if !key.is_empty() {
        statement.push_str(" order by ");
        statement.push_str(&key.join(", "));
    }
    statement.push_str(&format!(" limit {}", wanted.rows_max.saturating_add(1)));
    Ok(statement)
}

fn holds(table: &Table, condition: &Condition) -> Result<String, Error> {
    let column = table
        .position(&condition.column)
        .and_then(|position| table.columns.get(position));
    // It was there when the binding was accepted.
    let column = column.ok_or_else(|| Error::TableAltered {
        table: format!("{}.{}", table.schema, table.name),
    })?;
    viewer::check_text(&condition.value)?;
    let cell = format!("t.{}", quote::identifier(&column.name));
    let holds = conditions::holds(condition.operator, &cell, &column.r#type.sql, &condition.value);
    Ok(if condition.negated {
        format!("not {holds}")
    } else {
        holds
    })
}

fn take(wanted: &RowsWanted, row: &SimpleQueryRow, found: &mut CurrentRows, bytes: &mut usize) {
    let size: usize = (0..row.len()).filter_map(|at| row.get(at)).map(str::len).sum();
    if found.more || found.rows.len() >= wanted.rows_max || *bytes + size > ROWS_BYTES_MAX {
        found.more = true;
        return;
    }
    *bytes += size;
    let mut read = 0..row.len();
    let columns = 0..wanted.table.columns.len();
    let values = columns.map(|at| {
        let place = wanted.columns.contains(at).then(|| read.next()).flatten()?;
        row.get(place).map(Into::into)
    });
    found.rows.push(values.collect());
}
