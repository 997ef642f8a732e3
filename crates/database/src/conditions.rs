//! Conditions that memory cannot judge: comparisons by a collation, regular expressions, operators of types that are not
//! known here.
//!
//! Whether one holds depends on no table, so they are asked as the user we are, and many share one statement. One that is
//! an error is found by asking each of that statement's alone.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use changes::{Operator, Question, Unproven};
use replication::ServerError;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::error::Error;
use crate::pool::Pool;
use crate::quote;
use crate::script::Script;
use crate::viewer;

/// Conditions in one statement, at most.
const STATEMENT_CONDITIONS_MAX: usize = 100;
/// How long one statement may take. A regular expression can take for ever. Milliseconds.
const STATEMENT_MS_MAX: u32 = 1000;
/// How long statements may fail one after the other before the conditions that are left are given up.
const PATIENCE: Duration = Duration::from_secs(5);

impl Pool {
    /// Whether each of the conditions holds, `None` for NULL, or what the server says to it.
    ///
    /// # Errors
    ///
    /// Those that are no condition's.
    pub async fn conditions(
        &self,
        asked: &[Question],
    ) -> Result<Vec<Result<Option<bool>, ServerError>>, Error> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let lent = self.lend().await?;
        let answers = ask(lent.client(), asked).await?;
        lent.give_back();
        Ok(answers)
    }

    /// Tries a condition that has yet to be asked of any row.
    ///
    /// # Errors
    ///
    /// [`Error::Statement`] with what the server says to it, among others.
    pub async fn check_condition(&self, condition: &Unproven) -> Result<(), Error> {
        let Unproven {
            operator,
            type_sql,
            value,
            ..
        } = condition;
        viewer::check_text(value)?;
        // With NULL in the place of a value, types and operators are looked at, and regular expressions are not.
        let mut columns = holds(*operator, &format!("null::{type_sql}"), type_sql, value);
        if matches!(operator, Operator::Match | Operator::Imatch) {
            columns.push_str(", ");
            columns.push_str(&holds(*operator, "''::pg_catalog.text", "pg_catalog.text", value));
        }
        let lent = self.lend().await?;
        let mut script = Script::new();
        begin(&mut script);
        script.push(None, format_args!("select {columns}"));
        script.push(None, "rollback");
        let ran = script.run(lent.client(), |_, _| {}).await?;
        if ran.failure.is_some() {
            lent.client().batch_execute("rollback").await?;
        }
        lent.give_back();
        ran.failure
            .map_or(Ok(()), |failure| Err(Error::Statement(failure)))
    }
}

/// The condition that a value of a type, given as SQL, has to satisfy. All of it is as the reference evaluates it.
pub(crate) fn holds(operator: Operator, cell: &str, type_sql: &str, value: &str) -> String {
    let literal = quote::literal(value);
    let symbol = match operator {
        Operator::Eq => "=",
        Operator::Neq => "<>",
        Operator::Lt => "<",
        Operator::Lte => "<=",
        Operator::Gt => ">",
        Operator::Gte => ">=",
        Operator::Like => "like",
        Operator::Ilike => "ilike",
        Operator::Match => "~",
        Operator::Imatch => "~*",
        Operator::IsDistinct => "is distinct from",
        Operator::In => return format!("({cell} = any ({literal}::{type_sql}[]))"),
        Operator::Is => {
            // Whatever else it may be is rejected with its subscription.
            let keyword = match value {
                "true" => "true",
                "false" => "false",
                "unknown" => "unknown",
                _ => "null",
            };
            return format!("({cell} is {keyword})");
        }
    };
    format!("({cell} {symbol} ({literal}::{type_sql}))")
}

/// Begins a transaction whose statements do not take long.
fn begin(script: &mut Script<Option<usize>>) {
    script.push(None, "begin");
    script.push(
        None,
        format_args!("set local statement_timeout = {STATEMENT_MS_MAX}"),
    );
}

async fn ask(client: &Client, asked: &[Question]) -> Result<Vec<Result<Option<bool>, ServerError>>, Error> {
    let began = Instant::now();
    let mut answers = vec![Ok(None); asked.len()];
    // What is asked by one statement each, first to last.
    let mut left: VecDeque<Range<usize>> = (0..asked.len())
        .step_by(STATEMENT_CONDITIONS_MAX)
        .map(|from| from..asked.len().min(from + STATEMENT_CONDITIONS_MAX))
        .collect();
    let mut script = Script::new();
    loop {
        begin(&mut script);
        for range in &left {
            let questions = asked.get(range.clone()).unwrap_or_default();
            script.push(Some(range.start), selection(questions));
        }
        script.push(None, "rollback");
        let ran = script
            .run(client, |from, row| {
                let columns = (0..row.len()).map(|column| row.get(column));
                let places = answers.iter_mut().skip(from.unwrap_or(usize::MAX));
                for (answer, text) in places.zip(columns) {
                    *answer = Ok(text.map(|text| text == "t"));
                }
            })
            .await?;
        let Some(failure) = ran.failure else {
            return Ok(answers);
        };
        let Some(Some(from)) = script.steps().get(ran.completed) else {
            return Err(Error::Statement(failure));
        };
        left.retain(|range| range.start >= *from);
        let Some(failed) = left.pop_front() else {
            return Err(Error::Statement(failure));
        };
        if failed.len() > 1 {
            for at in failed.rev() {
                left.push_front(at..at + 1);
            }
        } else if let Some(answer) = answers.get_mut(failed.start) {
            *answer = Err(failure.clone());
        }
        if began.elapsed() > PATIENCE {
            for at in left.drain(..).flatten() {
                if let Some(answer) = answers.get_mut(at) {
                    *answer = Err(failure.clone());
                }
            }
        }
        script = Script::new();
        script.push(None, "rollback");
    }
}

/// One row with a column for each.
fn selection(questions: &[Question]) -> String {
    let columns = questions.iter().map(|question| {
        if quote::has_nul(&question.value) || quote::has_nul(&question.text) {
            // No text of the database is like that.
            return "null".to_owned();
        }
        let cell = format!("{}::{}", quote::literal(&question.text), question.type_sql);
        holds(question.operator, &cell, &question.type_sql, &question.value)
    });
    format!("select {}", columns.collect::<Vec<_>>().join(", "))
}
