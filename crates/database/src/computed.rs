//! Generated columns, which the log has no values of: computed from the other columns of a row, as the table would.
//!
//! What a column is generated as depends on nothing but its row, so the answer is the value that was stored. If there
//! are functions or operators of somebody's own in it, it is asked for as the owner of the table, whose business they are;
//! where we may not become that, it fails. The transaction is read-only, and rolled back. Values are those of base types:
//! the checks of a domain are somebody's as well, and have been passed. The search path is the one the expression was written down in.

use changes::{KnownValues, Mapping, Uncomputed};
use tokio_postgres::SimpleQueryMessage;

use crate::error::Error;
use crate::pool::Pool;
use crate::quote;

/// What is to be computed of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computation {
    statement: String,
    columns: usize,
    has_new: bool,
    has_old: bool,
}

/// The generated columns of one row, in the order of [`Mapping::computed`]: their texts as the stream would have them, `None`
/// for NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Computed {
    /// Of the row as it is now.
    pub new: Option<Vec<Option<Box<str>>>>,
    /// Of the row as it was.
    pub old: Option<Vec<Option<Box<str>>>>,
}

impl Computation {
    /// Of a row that was changed; `None` if there is nothing to compute, or not enough to compute it from.
    pub fn of(mapping: &Mapping, uncomputed: &Uncomputed<'_>) -> Option<Self> {
        let rows: Vec<_> = [&uncomputed.new, &uncomputed.old].into_iter().flatten().collect();
        let has_nul =
            |row: &&&KnownValues<'_>| row.iter().any(|(_, _, text)| text.is_some_and(quote::has_nul));
        if rows.is_empty() || rows.iter().any(|row| has_nul(&row)) {
            return None;
        }
        Some(Self {
            statement: statement(mapping, &rows),
            columns: mapping.computed().count(),
            has_new: uncomputed.new.is_some(),
            has_old: uncomputed.old.is_some(),
        })
    }
}

impl Pool {
    /// Computes generated columns.
    ///
    /// # Errors
    ///
    /// Those of the statement.
    pub async fn compute(&self, computation: &Computation) -> Result<Computed, Error> {
        let lent = self.lend().await?;
        let answer = lent.client().simple_query(&computation.statement).await;
        if answer.is_err() {
            // Where the connection is at fault this fails as well, and it is closed.
            lent.client().batch_execute("rollback").await?;
        }
        lent.give_back();
        let rows = answer?.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        // The first row is that of the role.
        let mut rows = rows.skip(1).map(|row| {
            let text = |at| row.try_get(at).ok().flatten().map(Into::into);
            (0..computation.columns).map(text).collect()
        });
        Ok(Computed {
            new: computation.has_new.then(|| rows.next()).flatten(),
            old: computation.has_old.then(|| rows.next()).flatten(),
        })
    }
}

/// `select (a * 2), … from (select '1'::int4 as "a", …) as "t"; …`, a statement for each row, as the owner of the table.
fn statement(mapping: &Mapping, rows: &[&KnownValues<'_>]) -> String {
    let expressions: Vec<&str> = mapping.computed().map(|(_, _, expression)| expression).collect();
    let expressions = expressions.join("), (");
    let table = quote::identifier(&mapping.table().name);
    let mut statement = format!(
        "begin read only;
        select set_config('role', coalesce((
          select case
            when not exists (
              select from pg_attrdef d, pg_depend p
              where d.adrelid = c.oid and p.classid = 'pg_attrdef'::regclass and p.objid = d.oid
                and p.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)) then 'none'
            when pg_has_role(session_user, c.relowner,
              case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end)
              then pg_get_userbyid(c.relowner)
          end from pg_class c where c.oid = {}), ''), true);",
        mapping.table().oid
    );
    for row in rows {
        let values: Vec<String> = row
            .iter()
            .map(|(name, r#type, text)| {
                let value = text.map_or_else(|| "null".to_owned(), quote::literal);
                format!("{value}::{} as {}", r#type.base().sql, quote::identifier(name))
            })
            .collect();
        let values = values.join(", ");
        statement.push_str(&format!(
            "select ({expressions}) from (select {values}) as {table};"
        ));
    }
    statement.push_str("rollback");
    statement
}
