//! Rows that are gone: what has to hold of their values for a role to see them.
//!
//! The SELECT policies of a table for a role are printed from the catalog, with an empty search path so that whatever
//! they name has its schema in front of it, and become the condition of a selection from the former values under the name
//! of the table. What depends on a row being stored (`ctid`, `tableoid`) is an error.

use serde::Deserialize;

use super::{Asked, Image, Question, Row};
use crate::quote;

/// What the catalog says of one table for one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Law {
    NoRole,
    NoTable,
    /// No policy is asked.
    Everything,
    Policies {
        /// SQL.
        condition: Box<str>,
        /// The columns the table has now, in their order.
        columns: Box<[Box<str>]>,
    },
}

/// Selects one row with one text, which [`read`] reads, for each of the questions' roles and tables, in their order.
pub(super) fn laws<'q>(questions: impl Iterator<Item = &'q Question> + Clone) -> String {
    let mut statement = String::from(LAWS_OF);
    let parts: [fn(&Question) -> &str; 3] = [|q| &q.role, |q| &q.schema, |q| &q.table];
    for (at, part) in parts.into_iter().enumerate() {
        let elements: Vec<String> = questions
            .clone()
            .map(|question| quote::element(part(question)))
            .collect();
        statement.push_str(if at > 0 { ", unnest(" } else { "unnest(" });
        quote::array(&mut statement, elements.iter().map(String::as_str));
        statement.push_str("::text[])");
    }
    statement.push_str(LAWS);
    statement
}

const LAWS_OF: &str = "select json_build_object(
  'has_role', r.oid is not null, 'has_table', c.oid is not null,
  'is_open', not c.relrowsecurity or r.rolsuper or r.rolbypassrls
    or not c.relforcerowsecurity and pg_has_role(r.oid, c.relowner, 'usage'),
  'columns', (
    select coalesce(json_agg(a.attname order by a.attnum), '[]')
    from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'condition', (
    select concat('(', coalesce(string_agg(p.expression, ' or ') filter (where p.polpermissive), 'false'), ')',
      ' and ' || string_agg(p.expression, ' and ') filter (where not p.polpermissive))
    from (
      select p.polpermissive, '(' || pg_get_expr(p.polqual, p.polrelid) || ')' as expression
      from pg_policy p
      where p.polrelid = c.oid and p.polcmd in ('r', '*') and p.polqual is not null
        and (0 = any (p.polroles)
          or exists (select from unnest(p.polroles) u (oid) where pg_has_role(r.oid, u.oid, 'usage')))
    ) p)
  )::text
from rows from (";

const LAWS: &str = ") with ordinality as k(role, schema, name, i)
left join pg_roles r on r.rolname = k.role
left join pg_namespace n on n.nspname = k.schema
left join pg_class c on c.relnamespace = n.oid and c.relname = k.name
order by k.i";

#[derive(Deserialize)]
struct LawRow {
    has_role: bool,
    has_table: bool,
    is_open: Option<bool>,
    columns: Box<[Box<str>]>,
    condition: Box<str>,
}

/// Reads one of the texts [`laws`] selects.
pub(super) fn read(text: &str) -> Option<Law> {
    let row: LawRow = serde_json::from_str(text).ok()?;
    Some(match row {
        LawRow { has_role: false, .. } => Law::NoRole,
        LawRow { has_table: false, .. } => Law::NoTable,
        LawRow {
            is_open: Some(true), ..
        } => Law::Everything,
        LawRow {
            condition, columns, ..
        } => Law::Policies { condition, columns },
    })
}

/// Selects the ordinals of those texts of the only parameter that are rows the condition holds of.
pub(super) fn statement(question: &Question, condition: &str) -> String {
    let (schema, table) = (
        quote::identifier(&question.schema),
        quote::identifier(&question.table),
    );
    // An array of the table's own type, so that policies may pass the whole row to functions.
    format!(
        "select pg_catalog.array_agg(k.i) from pg_catalog.unnest((select $1)) with ordinality as k(c, i) \
         where (select {condition} from pg_catalog.unnest(array[k.c::{schema}.{table}]) as {table})"
    )
}

/// The row as an element of the parameter of [`statement`]. `None` if one of the columns has no value in it.
pub(super) fn element(row: &Row, columns: &[Box<str>]) -> Option<String> {
    let Asked::Gone(Image(known)) = &row.0 else {
        return None;
    };
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        let value = known.iter().find(|value| value.column == *column)?;
        values.push(value.text.as_deref());
    }
    Some(quote::element(&quote::composite(values)))
}
