//! Changes of tables that a transcript awaits, and the statements that a replay has to run for them.
//!
//! What changed a table is not on the wire: a recording has the `postgres_changes` and nothing that causes them. From what they
//! say a statement can be derived for each, which brings the same change about on an empty table.

mod derive;
mod row;
mod sql;

use transcript::{Action, Expectation, Expected, Step, Transcript, Value};

pub use derive::{WithSql, with_sql};
use row::Row;

/// What a `postgres_changes` message says happened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    schema: String,
    table: String,
    kind: Kind,
    /// Names and types, in table order.
    columns: Vec<(String, String)>,
    record: Row,
    old: Row,
    /// Why the message has no row, if it says so.
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Insert,
    Update,
    Delete,
}

/// A change that no statement of the file causes.
struct Uncaused<'t> {
    /// The line that awaits it.
    line: usize,
    /// How many changes the line has before it.
    before: usize,
    /// The connection, and the topic.
    listener: (&'t str, String),
    change: Change,
}

/// What to do about the first change of these lines that no statement of the file causes; `None` if there is none.
pub(crate) fn advice(transcript: &Transcript, line: usize) -> Option<String> {
    let mut uncaused = uncaused(transcript);
    let first = uncaused.next()?;
    (first.line == line).then(|| told(transcript, &first, 1 + uncaused.count()))
}

/// File, line, and what to do about the first change that no statement of the file causes; `None` if there is none, as in files
/// that the server's side is played from only on purpose.
pub fn first_without_cause(transcript: &Transcript) -> Option<String> {
    let mut uncaused = uncaused(transcript);
    let first = uncaused.next()?;
    let told = told(transcript, &first, 1 + uncaused.count());
    Some(format!("{}:{}: {told}", transcript.file, first.line))
}

fn told(transcript: &Transcript, first: &Uncaused<'_>, count: usize) -> String {
    let Change {
        schema, table, kind, ..
    } = &first.change;
    let row = match kind {
        Kind::Delete => &first.change.old,
        Kind::Insert | Kind::Update => &first.change.record,
    };
    let file = &transcript.file;
    let head = format!(
        "awaits {} {schema}.{table} of {}, and no step before it changes that table: what did is not on the wire.",
        kind.words(),
        row.shown(),
    );
    let how = match derive::statement(transcript, first.line) {
        Ok(sql) => format!(
            "A replay needs the statement, before line {}; perhaps also rows of other tables that it refers to:\n{}",
            first.line,
            derive::step(&sql, None)
        ),
        Err(reason) => format!("Write the statement before line {}: {reason}.", first.line),
    };
    let all = format!(
        "`roost transcript fmt --sql {file}` writes all such steps ({count} messages) into the file, to be reviewed."
    );
    format!("{head}\n{how}\n{all}")
}

/// Every message of a change of a table that no statement before it names, in the order of the file.
fn uncaused(transcript: &Transcript) -> impl Iterator<Item = Uncaused<'_>> {
    let mut statements: Vec<&str> = Vec::new();
    transcript.steps.iter().flat_map(move |step| {
        if let Action::Sql(call) = &step.action {
            statements.push(&call.sql);
        }
        let found: Vec<Uncaused<'_>> = changes_of(step)
            .enumerate()
            .filter(|(_, (_, _, change))| !statements.iter().any(|sql| names(sql, &change.table)))
            .map(|(before, (connection, topic, change))| Uncaused {
                line: step.line,
                before,
                listener: (connection, topic),
                change,
            })
            .collect();
        found
    })
}

/// The changes a step awaits, with connection and topic.
fn changes_of(step: &Step) -> impl Iterator<Item = (&str, String, Change)> {
    let (connection, expected) = match &step.action {
        Action::Receive {
            connection, expected, ..
        } => (connection.as_str(), expected.as_slice()),
        _ => ("", [].as_slice()),
    };
    expected.iter().filter_map(move |expectation| {
        let (topic, change) = Change::of(expectation)?;
        Some((connection, topic, change))
    })
}

/// Whether a statement has this word.
fn names(sql: &str, table: &str) -> bool {
    let is_of_word = |char: char| char.is_alphanumeric() || char == '_';
    sql.match_indices(table).any(|(at, _)| {
        let (before, after) = (sql.get(..at), sql.get(at + table.len()..));
        !before.is_some_and(|before| before.ends_with(is_of_word))
            && !after.is_some_and(|after| after.starts_with(is_of_word))
    })
}

impl Change {
    /// The topic and the change, if that is what the frame is.
    fn of(expectation: &Expectation) -> Option<(String, Self)> {
        let Expected::Text(message) = &expectation.frame else {
            return None;
        };
        let (topic, event, payload) = match message {
            Value::Array(parts) => (parts.get(2), parts.get(3), parts.get(4)),
            other => (other.get("topic"), other.get("event"), other.get("payload")),
        };
        if event?.as_str()? != EVENT {
            return None;
        }
        let data = payload?.get("data")?;
        let text = |name| data.get(name).and_then(Value::as_str);
        let columns = data.get("columns").and_then(Value::as_array).unwrap_or_default();
        let column = |column: &Value| {
            let text = |name| column.get(name).and_then(Value::as_str).map(str::to_owned);
            Some((text("name")?, text("type").unwrap_or_default()))
        };
        let errors = data.get("errors").and_then(Value::as_array).unwrap_or_default();
        let change = Self {
            schema: text("schema")?.to_owned(),
            table: text("table")?.to_owned(),
            kind: match text("type")? {
                "INSERT" => Kind::Insert,
                "UPDATE" => Kind::Update,
                "DELETE" => Kind::Delete,
                _ => return None,
            },
            columns: columns.iter().filter_map(column).collect(),
            record: Row::of(data.get("record")),
            old: Row::of(data.get("old_record")),
            error: errors.first().and_then(Value::as_str).map(str::to_owned),
        };
        let topic = topic.and_then(Value::as_str).unwrap_or_default();
        Some((topic.to_owned(), change))
    }

    /// Whether another message can be about the same change: another subscriber may see other columns of it.
    fn can_be(&self, other: &Self) -> bool {
        (&self.schema, &self.table, self.kind) == (&other.schema, &other.table, other.kind)
            && self.record.agrees(&other.record)
            && self.old.agrees(&other.old)
    }

    /// Takes in what another subscriber saw of it.
    fn add(&mut self, other: &Self) {
        self.record.add(&other.record);
        self.old.add(&other.old);
        for column in &other.columns {
            if !self.columns.contains(column) {
                self.columns.push(column.clone());
            }
        }
    }
}

impl Kind {
    /// In a sentence, before the table.
    fn words(self) -> &'static str {
        match self {
            Self::Insert => "an INSERT into",
            Self::Update => "an UPDATE of",
            Self::Delete => "a DELETE from",
        }
    }
}

/// The event of the messages that tell of changes.
const EVENT: &str = "postgres_changes";

#[cfg(test)]
mod tests;
