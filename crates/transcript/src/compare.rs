//! Two recordings of one scenario, for instance from two servers: what differs between them.
//!
//! Between connections a recording has no order, so each connection is looked at by itself, and so are the requests and
//! the statements. Their items are aligned so that as much as possible is in both; items that are alike (same kind, topic
//! and event) are then compared value by value. Frames of an `unordered` group may stand for each other in any order.
//! Silence and pauses are no items. What a server makes up may differ, as long as it does so consistently
//! ([`crate::rename`]).

use std::collections::BTreeMap;
use std::fmt;

use crate::format::Transcript;
use crate::json::Value;
use crate::rename::Renaming;
use crate::step::{
    Action, Body, Ending, Expectation, Expected, ExpectedAnswer, HttpCall, Numbers, Open, Outgoing, Query,
    SqlCall,
};
use crate::timeline::{message, summary, with_short_tokens};
use crate::view::view;

/// Items of one connection that are aligned; beyond, the first is compared with the first and so on.
const ALIGNED_MAX: usize = 2_000;

/// Something that is not the same in both recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Both have it, with other values.
    Values {
        /// The connection, `http` or `sql`.
        party: String,
        /// What it is about.
        what: String,
        /// The lines of the two.
        lines: (usize, usize),
        /// Each place that differs, from `$`: its path and both values.
        places: Vec<(String, String, String)>,
    },
    /// Only one has it.
    Only {
        /// The connection, `http` or `sql`.
        party: String,
        /// Whether it is the first of the two.
        is_first: bool,
        /// Its line there.
        line: usize,
        /// What it is.
        what: String,
    },
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Everything that differs, by connection.
    pub differences: Vec<Difference>,
    /// Things that both have.
    pub compared: usize,
}

/// Compares two recordings.
pub fn compare(one: &Transcript, other: &Transcript) -> Comparison {
    let (lanes, mut others) = (lanes(one), lanes(other));
    let mut renaming = Renaming::default();
    let mut comparison = Comparison::default();
    for (party, items) in lanes {
        let others = others.remove(&party).unwrap_or_default();
        lane(&party, &items, &others, &mut renaming, &mut comparison);
    }
    for (party, others) in others {
        lane(&party, &[], &others, &mut renaming, &mut comparison);
    }
    comparison
}

/// One thing that was said.
struct Item {
    line: usize,
    kind: &'static str,
    topic: String,
    event: String,
    value: Value,
    numbers: Numbers,
    /// Frames of one group may come in any order.
    group: Option<usize>,
    optional: bool,
    what: String,
}

fn lanes(transcript: &Transcript) -> BTreeMap<String, Vec<Item>> {
    let mut lanes: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for step in &transcript.steps {
        let mut put = |party: &str, item: Item| {
            let line = step.line;
            lanes
                .entry(party.to_owned())
                .or_default()
                .push(Item { line, ..item });
        };
        match &step.action {
            Action::Open(open) => put(&open.connection, of_open(open)),
            Action::Send { connection, message } => put(connection, of_sent(message)),
            Action::Receive {
                connection,
                expected,
                numbers,
            } => {
                let group = (expected.len() > 1).then_some(step.line);
                for expectation in expected {
                    let item = of_expected(expectation);
                    put(
                        connection,
                        Item {
                            group,
                            numbers: *numbers,
                            ..item
                        },
                    );
                }
            }
            Action::Close { connection, ending } => {
                let how = match ending {
                    Ending::Code(code) => u64::from(*code).into(),
                    Ending::Abrupt => Value::text("abrupt"),
                };
                put(connection, item("close", how, "the client's close".to_owned()));
            }
            Action::Closed { connection, codes } => {
                let codes = codes.iter().map(|code| u64::from(*code).into()).collect();
                put(
                    connection,
                    item("closed", Value::Array(codes), "the server's close".to_owned()),
                );
            }
            Action::Http(call) => put("http", of_call(call)),
            Action::Sql(call) => put("sql", of_sql(call)),
            Action::Silence { .. } | Action::Sleep { .. } | Action::Fault(_) => {}
        }
    }
    lanes
}

fn item(kind: &'static str, value: Value, what: String) -> Item {
    Item {
        line: 0,
        kind,
        topic: String::new(),
        event: String::new(),
        value,
        numbers: Numbers::Decimal,
        group: None,
        optional: false,
        what,
    }
}

fn of_message(kind: &'static str, json: &Value) -> Item {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let arrow = if kind == "recv" { "◀──" } else { "──▶" };
    let mut item = item(kind, json.clone(), format!("{arrow} {}", summary(json)));
    if let Some(message) = message(json) {
        item.topic = text(message.topic);
        item.event = text(message.event);
    }
    item
}

fn of_open(open: &Open) -> Item {
    let pairs = |pairs: &[(String, String)]| {
        Value::Object(
            pairs
                .iter()
                .map(|(name, value)| (name.clone(), Value::text(value)))
                .collect(),
        )
    };
    let query = match &open.query {
        Query::Literal(text) => Value::text(text),
        Query::Parameters(parameters) => pairs(parameters),
    };
    let mut members = vec![
        ("query".to_owned(), query),
        ("headers".to_owned(), pairs(&open.headers)),
    ];
    if let Some(answer) = &open.refused {
        members.push(("refused".to_owned(), of_answer(answer)));
    }
    item("open", Value::Object(members), "the handshake".to_owned())
}

fn of_answer(answer: &ExpectedAnswer) -> Value {
    let mut members = vec![("status".to_owned(), u64::from(answer.status).into())];
    if let Some(content_type) = &answer.content_type {
        members.push(("type".to_owned(), Value::text(content_type)));
    }
    if let Some(body) = &answer.body {
        members.push(("body".to_owned(), body.clone()));
    }
    Value::Object(members)
}

fn of_sent(message: &Outgoing) -> Item {
    match message {
        Outgoing::Json(json) => of_message("send", json),
        Outgoing::Exact(_, bytes) => {
            let json = Value::parse_bytes(bytes).ok();
            let value = json.or_else(|| view(bytes));
            let text = || Value::text(String::from_utf8_lossy(bytes));
            of_message("send", &value.unwrap_or_else(text))
        }
        Outgoing::Push(push) => {
            let members = [
                ("topic", Value::text(&push.topic)),
                ("event", Value::text(&push.event)),
                ("payload", push.payload.clone()),
            ];
            let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
            of_message("send", &Value::Object(members.collect()))
        }
        Outgoing::Ping(text) => item("ping", Value::text(text), format!("ping {text:?}")),
    }
}

fn of_expected(expectation: &Expectation) -> Item {
    let mut item = match &expectation.frame {
        Expected::Text(json) | Expected::View(json) => of_message("recv", json),
        Expected::Bytes(bytes) => {
            let text = || Value::text(crate::explain::hex(bytes));
            of_message("recv", &view(bytes).unwrap_or_else(text))
        }
        Expected::Pong(text) => item("pong", Value::text(text), format!("pong {text:?}")),
    };
    item.optional = expectation.optional;
    item
}

fn of_call(call: &HttpCall) -> Item {
    let body = match &call.body {
        Body::Absent => Value::Null,
        Body::Json(json) => json.clone(),
        Body::Exact(bytes) => Value::text(String::from_utf8_lossy(bytes)),
    };
    let members = vec![
        ("body".to_owned(), body),
        ("answer".to_owned(), of_answer(&call.expect)),
    ];
    Item {
        topic: call.target.clone(),
        event: call.method.clone(),
        ..item(
            "http",
            Value::Object(members),
            format!("{} {}", call.method, call.target),
        )
    }
}

fn of_sql(call: &SqlCall) -> Item {
    let mut members = Vec::new();
    if let Some(rows) = &call.rows {
        members.push(("rows".to_owned(), rows.clone()));
    }
    if let Some(code) = &call.error {
        members.push(("error".to_owned(), Value::text(code)));
    }
    Item {
        topic: call.sql.clone(),
        ..item("sql", Value::Object(members), call.sql.clone())
    }
}

fn lane(party: &str, items: &[Item], others: &[Item], renaming: &mut Renaming, comparison: &mut Comparison) {
    let mut pairs = align(items, others);
    pair_groups(items, others, &mut pairs);
    pairs.sort_unstable();
    let (mut at, mut other_at) = (0, 0);
    let is_paired = |index: usize, pairs: &[(usize, usize)]| pairs.iter().any(|(one, _)| *one == index);
    let is_other_paired =
        |index: usize, pairs: &[(usize, usize)]| pairs.iter().any(|(_, other)| *other == index);
    let only = |item: &Item, is_first: bool, comparison: &mut Comparison| {
        if !item.optional {
            comparison.differences.push(Difference::Only {
                party: party.to_owned(),
                is_first,
                line: item.line,
                what: with_short_tokens(&item.what),
            });
        }
    };
    let end = (items.len(), others.len());
    for (one, other) in pairs.iter().copied().chain([end]) {
        for index in at..one {
            if let (Some(item), false) = (items.get(index), is_paired(index, &pairs)) {
                only(item, true, comparison);
            }
        }
        for index in other_at..other {
            if let (Some(item), false) = (others.get(index), is_other_paired(index, &pairs)) {
                only(item, false, comparison);
            }
        }
        (at, other_at) = (one.max(at) + 1, other_at.max(other + 1));
        let (Some(item), Some(other)) = (items.get(one), others.get(other)) else {
            continue;
        };
        comparison.compared += 1;
        let mut places = Vec::new();
        renaming.compare(&item.value, &other.value, item.numbers, &mut places);
        if !places.is_empty() {
            comparison.differences.push(Difference::Values {
                party: party.to_owned(),
                what: with_short_tokens(&item.what),
                lines: (item.line, other.line),
                places,
            });
        }
    }
}

/// How much two items are alike; nothing if they cannot be the same thing.
fn likeness(one: &Item, other: &Item) -> u32 {
    let fits = |one: &str, other: &str| one == other || one.contains("${") || other.contains("${");
    if one.kind != other.kind || !fits(&one.topic, &other.topic) || !fits(&one.event, &other.event) {
        return 0;
    }
    let has_same_ref = match (message(&one.value), message(&other.value)) {
        (Some(one), Some(other)) => one.reference == other.reference,
        _ => false,
    };
    4 + u32::from(has_same_ref) + 2 * u32::from(one.value == other.value)
}

/// The pairs of a longest common sequence, where what is more alike counts more.
fn align(items: &[Item], others: &[Item]) -> Vec<(usize, usize)> {
    if items.len() > ALIGNED_MAX || others.len() > ALIGNED_MAX {
        let both = items.iter().zip(others).enumerate();
        return both
            .filter(|(_, (one, other))| likeness(one, other) > 0)
            .map(|(at, _)| (at, at))
            .collect();
    }
    let width = others.len() + 1;
    let mut best = vec![0_u32; (items.len() + 1) * width];
    let at = |row: usize, column: usize| row * width + column;
    let get = |best: &[u32], index: usize| best.get(index).copied().unwrap_or_default();
    for (row, item) in items.iter().enumerate().rev() {
        for (column, other) in others.iter().enumerate().rev() {
            let likeness = likeness(item, other);
            let mut value = get(&best, at(row + 1, column)).max(get(&best, at(row, column + 1)));
            if likeness > 0 {
                value = value.max(likeness + get(&best, at(row + 1, column + 1)));
            }
            if let Some(cell) = best.get_mut(at(row, column)) {
                *cell = value;
            }
        }
    }
    let (mut row, mut column, mut pairs) = (0, 0, Vec::new());
    while let (Some(item), Some(other)) = (items.get(row), others.get(column)) {
        let here = get(&best, at(row, column));
        let likeness = likeness(item, other);
        if likeness > 0 && here == likeness + get(&best, at(row + 1, column + 1)) {
            pairs.push((row, column));
            row += 1;
            column += 1;
        } else if here == get(&best, at(row + 1, column)) {
            row += 1;
        } else {
            column += 1;
        }
    }
    pairs
}

/// Pairs what is left of groups: there, order means nothing.
fn pair_groups(items: &[Item], others: &[Item], pairs: &mut Vec<(usize, usize)>) {
    for (index, item) in items.iter().enumerate() {
        if pairs.iter().any(|(one, _)| *one == index) {
            continue;
        }
        // What is paired before and after the group bounds where its frames may be.
        let first = items
            .iter()
            .position(|it| it.group.is_some() && it.group == item.group)
            .unwrap_or(index);
        let last = items
            .iter()
            .rposition(|it| it.group.is_some() && it.group == item.group)
            .unwrap_or(index);
        let from = pairs
            .iter()
            .filter(|(one, _)| *one < first)
            .map(|(_, other)| other + 1)
            .max();
        let to = pairs
            .iter()
            .filter(|(one, _)| *one > last)
            .map(|(_, other)| *other)
            .min();
        let range = from.unwrap_or(0)..to.unwrap_or(others.len());
        let candidate = others.iter().enumerate().find(|(at, other)| {
            let is_free = !pairs.iter().any(|(_, paired)| paired == at);
            let is_near =
                range.contains(at) || other.group.is_some() && other_is_near(others, *at, pairs, index);
            let is_grouped = item.group.is_some() || other.group.is_some();
            is_free && is_near && is_grouped && likeness(item, other) > 0
        });
        if let Some((at, _)) = candidate {
            pairs.push((index, at));
        }
    }
}

/// Whether the group of this frame of the second recording is where this frame of the first would be.
fn other_is_near(others: &[Item], at: usize, pairs: &[(usize, usize)], index: usize) -> bool {
    let group = others.get(at).and_then(|other| other.group);
    let is_of_group = |other: &usize| others.get(*other).is_some_and(|it| it.group == group);
    let before = pairs
        .iter()
        .filter(|(_, other)| *other < at && !is_of_group(other))
        .map(|(one, _)| *one)
        .max();
    let after = pairs
        .iter()
        .filter(|(_, other)| *other > at && !is_of_group(other))
        .map(|(one, _)| *one)
        .min();
    before.is_none_or(|before| before < index) && after.is_none_or(|after| index < after)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values {
                party,
                what,
                lines: (one, other),
                places,
            } => {
                writeln!(f, "{party}, line {one} of A and line {other} of B: {what}")?;
                for (path, one, other) in places {
                    writeln!(f, "  at {path}\n    A  {one}\n    B  {other}")?;
                }
                Ok(())
            }
            Self::Only {
                party,
                is_first,
                line,
                what,
            } => {
                let which = if *is_first { "A" } else { "B" };
                writeln!(f, "{party}, line {line} of {which}: only in {which}: {what}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = concat!(
        r#"{"transcript":1,"name":"n","area":"a","title":"t","shows":"s","#,
        r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5}"#
    );

    fn told(one: &[&str], other: &[&str]) -> (usize, Vec<String>) {
        let read = |steps: &[&str]| Transcript::parse("n", &[&[HEADER], steps].concat().join("\n")).unwrap();
        let comparison = compare(&read(one), &read(other));
        let differences = comparison
            .differences
            .iter()
            .map(|it| it.to_string().trim_end().to_owned());
        (comparison.compared, differences.collect())
    }

    const OPEN: &str = r#"{"open":"a"}"#;
    const JOIN: &str = r#"{"send":"a","text":["1","1","realtime:x","phx_join",{}]}"#;
    const REPLY: &str = r#"{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok"}]}"#;
    const STATE: &str = r#"{"recv":"a","text":["1",null,"realtime:x","presence_state",{}]}"#;

    #[test]
    fn recordings_that_differ_in_what_does_not_matter_are_the_same() {
        let one = [
            OPEN,
            r#"{"open":"b"}"#,
            JOIN,
            r#"{"silence":"b","ms":5}"#,
            REPLY,
            STATE,
        ];
        let group = r#"{"recv":"a","unordered":[{"text":["1",null,"realtime:x","presence_state",{}]},{"text":["1","1","realtime:x","phx_reply",{"status":"ok"}]},{"text":[9],"optional":true}]}"#;
        let other = [OPEN, JOIN, group, r#"{"open":"b"}"#];
        assert_eq!(told(&one, &other), (5, vec![]));
        assert_eq!(told(&other, &one), (5, vec![]));
    }

    #[test]
    fn a_value_that_differs_is_told_with_both_lines_its_path_and_both_values() {
        let error = REPLY.replace("ok", "error");
        let (compared, told) = told(&[OPEN, JOIN, REPLY], &[OPEN, r#"{"sleep":1}"#, JOIN, &error]);
        assert_eq!(compared, 3);
        let expected = "a, line 4 of A and line 5 of B: ◀── realtime:x phx_reply ref=1 join_ref=1  {\"status\":\"ok\"}\n  at $[4].status\n    A  \"ok\"\n    B  \"error\"";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn what_only_one_has_does_not_shift_the_rest() {
        let system = r#"{"recv":"a","text":["1",null,"realtime:x","system",{}]}"#;
        let (compared, told) = told(&[OPEN, JOIN, REPLY, system, STATE], &[OPEN, JOIN, REPLY, STATE]);
        assert_eq!(compared, 4);
        assert_eq!(
            told,
            ["a, line 5 of A: only in A: ◀── realtime:x system join_ref=1  {}"]
        );
    }

    #[test]
    fn requests_statements_and_ends_are_compared() {
        let one = [
            OPEN,
            r#"{"http":"GET /x","expect":{"status":200,"body":"a"}}"#,
            r#"{"sql":"select 1","rows":[{"a":"1"}]}"#,
            r#"{"closed":"a","code":1000}"#,
        ];
        let other = [
            OPEN,
            r#"{"http":"GET /x","expect":{"status":404,"body":"a"}}"#,
            r#"{"sql":"select 1","error":"42P01"}"#,
            r#"{"closed":"a","code":1001}"#,
            r#"{"http":"GET /y","expect":{"status":200}}"#,
        ];
        let (compared, told) = told(&one, &other);
        assert_eq!(compared, 4);
        let starts = [
            "a, line 5 of A and line 5 of B: the server's close\n  at $[0]\n    A  1000\n    B  1001",
            "http, line 3 of A and line 3 of B: GET /x\n  at $.answer.status\n    A  200\n    B  404",
            "http, line 6 of B: only in B: GET /y",
            "sql, line 4 of A and line 4 of B: select 1\n  at $.rows",
        ];
        assert_eq!(told.len(), starts.len(), "{told:#?}");
        for (told, start) in told.iter().zip(starts) {
            assert!(told.starts_with(start), "{told}");
        }
    }

    #[test]
    fn long_recordings_are_compared_one_by_one() {
        let many = vec![REPLY; ALIGNED_MAX + 1];
        let one = [vec![OPEN], many.clone()].concat();
        let other = [vec![OPEN], many, vec![REPLY]].concat();
        let (compared, told) = told(&one, &other);
        assert_eq!((compared, told.len()), (ALIGNED_MAX + 2, 1));
    }
}
