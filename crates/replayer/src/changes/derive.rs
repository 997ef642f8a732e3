//! Writes the statements that a transcript lacks into it.
//!
//! Each change gets a step before the first line that awaits it. Rows that a change needs and no change before it brings come
//! into `setup`, and whatever was brought is removed by `teardown`, so that the next replay finds the tables as this one did.
//! Names of the server's making that nobody has said before get a value that is made up.

use std::collections::{BTreeMap, BTreeSet};

use transcript::{Action, Expected, Transcript, Value, canonical};

use super::row::Row;
use super::sql::{Table, placeholders};
use super::{Change, Kind, uncaused};

/// A transcript with statements in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithSql {
    /// The whole text of the file, in canonical form.
    pub text: String,
    /// How many steps are new.
    pub steps: usize,
    /// What is left to do by hand: file, line, and what.
    pub notes: Vec<String>,
}

/// The same transcript with the statements that its changes need; `None` if none is needed.
pub fn with_sql(transcript: &Transcript) -> Option<WithSql> {
    let derived = Derivation::of(transcript);
    if derived.steps.is_empty() && derived.notes.is_empty() {
        return None;
    }
    let mut text = String::new();
    for (number, line) in transcript.lines().filter(|(_, line)| !line.trim().is_empty()) {
        let Ok(value) = Value::parse(line) else {
            continue;
        };
        let lines = match number {
            1 => vec![derived.header(&value)],
            _ => derived.lines(number, &value),
        };
        for line in lines {
            text.push_str(&canonical(&line).to_string());
            text.push('\n');
        }
    }
    Some(WithSql {
        text,
        steps: derived.steps.values().map(Vec::len).sum(),
        notes: derived.notes,
    })
}

/// The statement for the first change of a line that has no cause.
pub(super) fn statement(transcript: &Transcript, line: usize) -> Result<String, String> {
    let mut derived = Derivation::of(transcript);
    let first = derived
        .steps
        .remove(&line)
        .and_then(|steps| steps.into_iter().next());
    first
        .map(|(_, sql)| sql)
        .ok_or_else(|| "what the message says of the row is not enough to derive it".to_owned())
}

/// A step that runs a statement.
pub(super) fn step(sql: &str, at_ms: Option<&Value>) -> Value {
    let mut members = vec![("sql".to_owned(), Value::text(sql))];
    members.extend(at_ms.map(|at_ms| ("at_ms".to_owned(), at_ms.clone())));
    Value::Object(members)
}

#[derive(Default)]
struct Derivation {
    /// By line, statements in their order, and how many of the line's changes are awaited before each.
    steps: BTreeMap<usize, Vec<(usize, String)>>,
    setup: Vec<String>,
    /// In the order in which rows were brought; they go the other way round.
    teardown: Vec<String>,
    notes: Vec<String>,
    /// The rows that are there, as far as is known.
    rows: Vec<(String, Row)>,
}

impl Derivation {
    fn of(transcript: &Transcript) -> Self {
        let mut derived = Self::default();
        let mut bound = BTreeSet::new();
        let mut changes: Vec<Change> = Vec::new();
        // What each listener has heard of, by place in the changes.
        let mut heard: BTreeMap<(&str, String), BTreeSet<usize>> = BTreeMap::new();
        let uncaused: Vec<_> = uncaused(transcript).collect();
        // Subscribers may see different columns of one change: all of them are known before the first statement.
        let mut places = Vec::new();
        for found in &uncaused {
            let of_listener = heard.entry(found.listener.clone()).or_default();
            let known = changes
                .iter()
                .enumerate()
                .find(|(place, change)| !of_listener.contains(place) && change.can_be(&found.change));
            let place = known.map(|(place, _)| place);
            match place.and_then(|place| changes.get_mut(place)) {
                Some(change) => change.add(&found.change),
                None => changes.push(found.change.clone()),
            }
            let place = place.unwrap_or(changes.len() - 1);
            of_listener.insert(place);
            places.push((found.line, found.before, place));
        }
        let mut done = BTreeSet::new();
        let mut places = places.into_iter().peekable();
        for step in &transcript.steps {
            while let Some((_, before, place)) = places.next_if(|(line, ..)| *line == step.line) {
                if let Some(change) = changes.get(place).filter(|_| done.insert(place)) {
                    let key = key_of(change, &changes);
                    let at = format!("{}:{}", transcript.file, step.line);
                    match derived.derive(change, &key, &bound, &at) {
                        Ok(sql) => derived.steps.entry(step.line).or_default().push((before, sql)),
                        Err(reason) => derived.notes.push(format!(
                            "{at}: write the statement for {} {}.{}: {reason}",
                            change.kind.words(),
                            change.schema,
                            change.table
                        )),
                    }
                }
            }
            if let Action::Receive { expected, .. } = &step.action {
                for expectation in expected {
                    if let Expected::Text(value) | Expected::View(value) = &expectation.frame {
                        bound.extend(placeholders(&value.to_string()).map(str::to_owned));
                    }
                }
                bound.retain(|placeholder| placeholder.contains(':'));
            }
        }
        derived
    }

    /// The statement of a change. Takes note of the row it leaves, and of the one it needs.
    fn derive(
        &mut self,
        change: &Change,
        key: &[String],
        bound: &BTreeSet<String>,
        at: &str,
    ) -> Result<String, String> {
        if let Some(error) = &change.error
            && change.record.is_empty()
            && change.kind != Kind::Delete
        {
            return Err(format!("the message has no row ({error})"));
        }
        let nothing = BTreeSet::new();
        let table = |bound| Table {
            schema: &change.schema,
            table: &change.table,
            columns: &change.columns,
            bound,
        };
        let id = format!("{}.{}", change.schema, change.table);
        let unknown = || "nothing in the message tells the row from others".to_owned();
        if change.kind == Kind::Insert {
            self.goes_in_the_end(&table(&nothing), &change.record, key);
            self.rows.push((id, change.record.clone()));
            return Ok(table(bound).insert(&change.record));
        }
        let of = if change.old.is_empty() {
            key_row(&change.record, key)
        } else {
            change.old.clone()
        };
        let known = self
            .rows
            .iter()
            .position(|(of_table, row)| *of_table == id && row.has(&of));
        let before = match known {
            Some(place) => self.rows.remove(place).1,
            None => {
                let mut row = of.clone();
                row.add(&change.record);
                self.setup.push(table(&nothing).insert(&row));
                self.goes_in_the_end(&table(&nothing), &row, key);
                if change.kind == Kind::Delete || row.0.len() < change.columns.len() {
                    self.notes.push(format!(
                        "{at}: the row was there before the recording began; setup makes one of what the message says: {}",
                        row.shown()
                    ));
                }
                row
            }
        };
        if change.kind == Kind::Delete {
            return table(bound).delete(&of).ok_or_else(unknown);
        }
        let mut set = Row(change.record.0.clone());
        set.0.retain(|(name, value)| before.get(name) != Some(value));
        if set.is_empty() {
            set.0.clone_from(&change.record.0);
            set.0.retain(|(name, _)| of.get(name).is_none());
        }
        if set.is_empty() {
            set.0.clone_from(&change.record.0);
        }
        let mut after = change.record.clone();
        after.add(&before);
        // By now it may have another key.
        self.goes_in_the_end(&table(&nothing), &after, key);
        self.rows.push((id, after));
        table(bound).update(&set, &of).ok_or_else(unknown)
    }

    fn goes_in_the_end(&mut self, table: &Table<'_>, row: &Row, key: &[String]) {
        let removal = table.delete(&key_row(row, key));
        self.teardown
            .extend(removal.filter(|sql| !self.teardown.contains(sql)));
    }

    fn header(&self, header: &Value) -> Value {
        let mut members = header.as_object().unwrap_or_default().to_vec();
        let texts = |name: &str| {
            header
                .get(name)
                .and_then(Value::as_array)
                .unwrap_or_default()
                .to_vec()
        };
        let own = |statements: &mut dyn Iterator<Item = &String>| -> Vec<Value> {
            statements.map(|sql| sql.as_str().into()).collect()
        };
        let setup = [texts("setup"), own(&mut self.setup.iter())].concat();
        let teardown = [own(&mut self.teardown.iter().rev()), texts("teardown")].concat();
        let mut replace = |name: &str, value: Value| {
            members.retain(|(member, _)| member != name);
            members.push((name.to_owned(), value));
        };
        if !setup.is_empty() {
            replace("setup", Value::Array(setup));
        }
        if !teardown.is_empty() {
            replace("teardown", Value::Array(teardown));
        }
        if header.get("lock").is_none() {
            replace("lock", LOCK.into());
        }
        Value::Object(members)
    }

    /// A line with the statements it needs. One that awaits several frames is taken apart where a statement has to stand.
    fn lines(&self, number: usize, line: &Value) -> Vec<Value> {
        let Some(steps) = self.steps.get(&number) else {
            return vec![line.clone()];
        };
        let at_ms = line.get("at_ms");
        let mut steps = steps.iter().peekable();
        let mut lines = Vec::new();
        let Some(elements) = line.get("unordered").and_then(Value::as_array) else {
            lines.extend(steps.map(|(_, sql)| step(sql, at_ms)));
            lines.push(line.clone());
            return lines;
        };
        let (changes, others): (Vec<&Value>, Vec<&Value>) =
            elements.iter().partition(|element| is_change(line, element));
        lines.extend(receive(line, &others));
        let mut waiting = Vec::new();
        for (awaited, change) in changes.into_iter().enumerate() {
            while let Some((_, sql)) = steps.next_if(|(before, _)| *before == awaited) {
                lines.extend(receive(line, &std::mem::take(&mut waiting)));
                lines.push(step(sql, at_ms));
            }
            waiting.push(change);
        }
        lines.extend(receive(line, &waiting));
        lines
    }
}

/// A line that awaits these frames of another line; none if there are none.
fn receive(line: &Value, elements: &[&Value]) -> Option<Value> {
    let members = line.as_object()?.iter();
    let others = members.filter(|(name, _)| name != "unordered");
    let mut members: Vec<_> = others.cloned().collect();
    match elements {
        [] => return None,
        [only] => members.extend(only.as_object()?.iter().cloned()),
        several => {
            let several = several.iter().map(|element| (*element).clone());
            members.push(("unordered".to_owned(), Value::Array(several.collect())));
        }
    }
    Some(Value::Object(members))
}

/// Whether an element of an `unordered` line is a change of a table.
fn is_change(line: &Value, element: &Value) -> bool {
    let Some(alone) = receive(line, &[element]) else {
        return false;
    };
    let text = alone.get("text");
    let event = match text {
        Some(Value::Array(parts)) => parts.get(3),
        other => other.and_then(|message| message.get("event")),
    };
    event.and_then(Value::as_str) == Some(super::EVENT)
}

/// The columns that tell rows apart: the fewest a message has of an old row, else `id`, else all of them.
fn key_of(change: &Change, changes: &[Change]) -> Vec<String> {
    let of_table = changes
        .iter()
        .filter(|other| (&other.schema, &other.table) == (&change.schema, &change.table));
    let old = of_table
        .filter(|other| !other.old.is_empty())
        .min_by_key(|other| other.old.0.len());
    let names = |row: &Row| row.0.iter().map(|(name, _)| name.clone()).collect();
    match old {
        Some(other) => names(&other.old),
        None if change.record.get("id").is_some() => vec!["id".to_owned()],
        None => names(&change.record),
    }
}

fn key_row(row: &Row, key: &[String]) -> Row {
    let columns = key
        .iter()
        .filter_map(|name| Some((name.clone(), row.get(name)?.clone())));
    Row(columns.collect())
}

/// Transcripts that write into tables do not run at the same time.
const LOCK: &str = "tables";
