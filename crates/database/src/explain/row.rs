//! A row as it is in its table, written like the stream writes it.

use changes::Table;

use crate::error::Error;
use crate::pool::Pool;
use crate::quote;
use crate::script::Script;

/// Which row is wanted.
#[derive(Clone, Copy, Debug)]
pub struct WantedRow<'a> {
    /// The table it is in.
    pub table: &'a Table,
    /// Columns of the table, by their positions, with the texts of their values. Without any, the first row by primary key
    /// is wanted.
    pub key: &'a [(usize, String)],
    /// The publication's condition on rows, as the catalog prints it.
    pub row_filter: Option<&'a str>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The values of the table's columns in their order; `None` is NULL.
    pub values: Vec<Option<String>>,
    /// It satisfies the publication's condition.
    pub passes_row_filter: bool,
    /// When it was read. Microseconds since 2000-01-01 00:00 UTC.
    pub read_at: i64,
}

/// What is sent to the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    SeeAll,
    Read,
    End,
}

impl Pool {
    /// Reads a row as the user we log in as, whatever policies say. `None` if there is none. If the key fits several rows,
    /// it is the first of them by primary key.
    ///
    /// # Errors
    ///
    /// [`Error::Statement`] if the user may not read the table, or not without its policies, or if the type of a column
    /// does not read its value.
    pub async fn stored_row(&self, wanted: &WantedRow<'_>) -> Result<Option<StoredRow>, Error> {
        let mut script = Script::new();
        script.push(Step::Begin, "begin read only");
        // Rather an error than a row that seems not to be there.
        script.push(Step::SeeAll, "set local row_security = off");
        script.push(Step::Read, select(wanted));
        script.push(Step::End, "rollback");
        let lent = self.lend().await?;
        let mut found = None;
        let ran = script
            .run(lent.client(), |step, row| {
                if step == Step::Read {
                    let columns = wanted.table.columns.len();
                    let text = |at: usize| row.get(at).map(str::to_owned);
                    found = Some(StoredRow {
                        values: (0..columns).map(text).collect(),
                        passes_row_filter: row.get(columns) == Some("t"),
                        read_at: row
                            .get(columns + 1)
                            .and_then(|micros| micros.parse().ok())
                            .unwrap_or_default(),
                    });
                }
            })
            .await?;
        match ran.failure {
            // The transaction is still open: the connection is not given back.
            Some(failure) => Err(Error::Statement(failure)),
            None => {
                lent.give_back();
                Ok(found)
            }
        }
    }
}

fn select(wanted: &WantedRow<'_>) -> String {
    let WantedRow {
        table,
        key,
        row_filter,
    } = wanted;
    let mut statement = String::from("select ");
    for column in &table.columns {
        statement.push_str(&quote::identifier(&column.name));
        statement.push_str(", ");
    }
    let filter = row_filter.unwrap_or("true");
    let (schema, name) = (quote::identifier(&table.schema), quote::identifier(&table.name));
    statement.push_str(&format!(
        "({filter}) is true, (extract(epoch from clock_timestamp()) * 1000000)::int8 - 946684800000000 from {schema}.{name}"
    ));
    let mut word = "where";
    for (position, text) in *key {
        let Some(column) = table.columns.get(*position) else {
            continue;
        };
        let (column, sql) = (quote::identifier(&column.name), &column.r#type.sql);
        statement.push_str(&format!(" {word} {column} = {}::{sql}", quote::literal(text)));
        word = "and";
    }
    let order: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.in_primary_key)
        .map(|column| quote::identifier(&column.name))
        .collect();
    if !order.is_empty() {
        statement.push_str(" order by ");
        statement.push_str(&order.join(", "));
    }
    statement.push_str(" limit 1");
    statement
}
