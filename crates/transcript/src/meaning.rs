//! Whether steps that are well-formed make sense one after the other.
//!
//! A connection is open between its `open` and its end; what is sent with a bound name follows something that binds it; a
//! token has to be in the header. All of that shows without a server.

use std::collections::{BTreeMap, BTreeSet};

use crate::fields::Reason;
use crate::format::Transcript;
use crate::json::Value;
use crate::placeholder::{Kind, Part, Placeholder, each_string, parts};
use crate::step::{Action, Body, Expected, ExpectedAnswer, Fault, FaultKind, Open, Outgoing, Query, Step};

/// The lines that make no sense, each with the reason.
pub(crate) fn problems(transcript: &Transcript) -> Vec<(usize, Reason)> {
    let header = &transcript.header;
    let mut look = Look {
        tokens: header.jwt.keys().map(String::as_str).collect(),
        connections: BTreeMap::new(),
        last_connection: None,
        bound: BTreeSet::new(),
        last_at_ms: 0,
        line: 1,
        problems: Vec::new(),
    };
    header.setup.iter().for_each(|sql| look.sends_text(sql));
    for step in &transcript.steps {
        look.line = step.line;
        look.step(step);
    }
    look.line = 1;
    header.teardown.iter().for_each(|sql| look.sends_text(sql));
    look.problems
}

struct Look<'t> {
    tokens: BTreeSet<&'t str>,
    /// Connections that were opened, and the line that ended them.
    connections: BTreeMap<&'t str, Option<usize>>,
    /// Of the step before.
    last_connection: Option<&'t str>,
    bound: BTreeSet<(Kind, String)>,
    last_at_ms: u64,
    line: usize,
    problems: Vec<(usize, Reason)>,
}

impl<'t> Look<'t> {
    fn step(&mut self, step: &'t Step) {
        if let Some(at_ms) = step.at_ms {
            if at_ms < self.last_at_ms {
                self.problem(format!(
                    "at_ms {at_ms} lies before that of an earlier step, {}",
                    self.last_at_ms
                ));
            }
            self.last_at_ms = at_ms.max(self.last_at_ms);
        }
        match &step.action {
            Action::Open(open) => self.open(open),
            Action::Send { connection, message } => {
                self.uses(connection);
                self.sends(message);
            }
            Action::Receive {
                connection, expected, ..
            } => {
                self.uses(connection);
                for expectation in expected {
                    if let Expected::Text(value) | Expected::View(value) = &expectation.frame {
                        self.expects(value);
                    }
                }
            }
            Action::Silence { connection, .. } => self.uses(connection),
            Action::Close { connection, .. } | Action::Closed { connection, .. } => {
                self.uses(connection);
                self.connections.insert(connection, Some(step.line));
            }
            Action::Http(call) => {
                self.sends_text(&call.target);
                self.sends_pairs(&call.headers);
                call.host.iter().for_each(|host| self.sends_text(host));
                if let Body::Json(body) = &call.body {
                    self.sends_value(body);
                }
                self.expects_answer(&call.expect);
            }
            Action::Sql(call) => {
                self.sends_text(&call.sql);
                call.rows.iter().for_each(|rows| self.expects(rows));
            }
            Action::Sleep { .. } => {}
            Action::Fault(fault) => self.fault(step.line, fault),
        }
    }

    fn open(&mut self, open: &'t Open) {
        self.last_connection = Some(&open.connection);
        match &open.query {
            Query::Parameters(parameters) => self.sends_pairs(parameters),
            Query::Literal(text) => self.sends_text(text),
        }
        self.sends_pairs(&open.headers);
        open.host.iter().for_each(|host| self.sends_text(host));
        if let Some(answer) = &open.refused {
            self.expects_answer(answer);
            return;
        }
        if let Some(None) = self.connections.insert(&open.connection, None) {
            self.problem(format!(
                "connection {0} is still open: end it with {{\"close\":\"{0}\"}}, or give this one another name",
                open.connection
            ));
        }
    }

    /// A fault is on the connection of the step before, unless it says another; some end it.
    fn fault(&mut self, line: usize, fault: &'t Fault) {
        let Some(connection) = fault.connection.as_deref().or(self.last_connection) else {
            return self.problem("no step before says which connection this is about".into());
        };
        self.uses(connection);
        if matches!(fault.kind, FaultKind::Drop | FaultKind::Close { .. }) {
            self.connections.insert(connection, Some(line));
        }
    }

    fn uses(&mut self, connection: &'t str) {
        self.last_connection = Some(connection);
        match self.connections.get(connection) {
            Some(None) => {}
            Some(Some(line)) => self.problem(format!("connection {connection} ended in line {line}: open it again")),
            None => self.problem(format!(
                "connection {connection} was never opened: a line {{\"open\":\"{connection}\",…}} has to come before"
            )),
        }
    }

    fn sends(&mut self, message: &Outgoing) {
        match message {
            Outgoing::Json(value) => self.sends_value(value),
            Outgoing::Push(push) => {
                self.sends_text(&push.topic);
                self.sends_text(&push.event);
                self.sends_value(&push.payload);
            }
            Outgoing::Exact(..) | Outgoing::Ping(_) => {}
        }
    }

    fn sends_pairs(&mut self, pairs: &[(String, String)]) {
        pairs.iter().for_each(|(_, value)| self.sends_text(value));
    }

    fn sends_value(&mut self, value: &Value) {
        self.each(value, Self::sends_text);
    }

    fn sends_text(&mut self, text: &str) {
        for placeholder in placeholders(text) {
            match placeholder {
                Placeholder::Token(name) => self.needs_token(name),
                Placeholder::Capture(kind, Some(name)) if !self.bound.contains(&(kind, name.to_owned())) => {
                    self.problem(format!(
                        "${{{kind}:{name}}} is sent, but nothing that was received before is ${{{kind}:{name}}}"
                    ));
                }
                _ => {}
            }
        }
    }

    fn expects_answer(&mut self, answer: &ExpectedAnswer) {
        answer.body.iter().for_each(|body| self.expects(body));
    }

    fn expects(&mut self, value: &Value) {
        self.each(value, |look, text| {
            for placeholder in placeholders(text) {
                match placeholder {
                    Placeholder::Token(name) => look.needs_token(name),
                    Placeholder::Capture(kind, Some(name)) => {
                        look.bound.insert((kind, name.to_owned()));
                    }
                    _ => {}
                }
            }
        });
    }

    fn each(&mut self, value: &Value, mut visit: impl FnMut(&mut Self, &str)) {
        let visited: Result<(), std::convert::Infallible> = each_string(value, &mut |text| {
            visit(self, text);
            Ok(())
        });
        let Ok(()) = visited;
    }

    fn needs_token(&mut self, name: &str) {
        if !self.tokens.contains(name) {
            let known: Vec<&str> = self.tokens.iter().copied().collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            self.problem(format!(
                "no token is named {name}: add it to jwt in the header, which has {known}"
            ));
        }
    }

    fn problem(&mut self, reason: Reason) {
        self.problems.push((self.line, reason));
    }
}

/// The placeholders of a string; that it can be taken apart was checked when it was read.
fn placeholders(text: &str) -> Vec<Placeholder<'_>> {
    let parts = parts(text).unwrap_or_default();
    let placeholder = |part| match part {
        Part::Placeholder(placeholder) => Some(placeholder),
        Part::Literal(_) => None,
    };
    parts.into_iter().filter_map(placeholder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = concat!(
        r#"{"transcript":2,"name":"n","area":"a","title":"t","shows":"s","#,
        r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5,"#,
        r#""jwt":{"anon":{"claims":{}}}}"#
    );

    fn told(steps: &[&str]) -> Vec<String> {
        let text = [&[HEADER], steps].concat().join("\n");
        let transcript = Transcript::parse("n", &text).unwrap();
        transcript.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_conversation_that_makes_sense_has_no_problems() {
        let good = [
            r#"{"open":"a","params":{"apikey":"${jwt:anon}"},"at_ms":5}"#,
            r#"{"recv":"a","text":["${int:i}"],"at_ms":5}"#,
            r#"{"send":"a","text":["${int:i}"]}"#,
            r#"{"closed":"a","code":1000,"at_ms":7}"#,
            r#"{"open":"b","refused":{"status":401}}"#,
            r#"{"open":"a"}"#,
            r#"{"fault":"delay","ms":1}"#,
            r#"{"fault":"close","code":1012,"on":"a"}"#,
            r#"{"open":"a"}"#,
            r#"{"close":"a"}"#,
        ];
        assert_eq!(told(&good), [""; 0]);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for (steps, reason) in [
            (
                vec![r#"{"send":"a","text":1}"#],
                "n:2: connection a was never opened",
            ),
            (
                vec![r#"{"open":"a"}"#, r#"{"open":"a"}"#],
                "n:3: connection a is still open",
            ),
            (
                vec![r#"{"open":"a"}"#, r#"{"close":"a"}"#, r#"{"silence":"a","ms":1}"#],
                "n:4: connection a ended in line 3",
            ),
            (
                vec![
                    r#"{"open":"a"}"#,
                    r#"{"send":"a","text":["${int:i}"]}"#,
                    r#"{"recv":"a","text":["${int:i}"]}"#,
                ],
                "n:3: ${int:i} is sent, but nothing",
            ),
            (
                vec![r#"{"http":"GET /","headers":{"a":"${jwt:x}"},"expect":{"status":1}}"#],
                "n:2: no token is named x: add it to jwt in the header, which has anon",
            ),
            (
                vec![r#"{"sleep":1,"at_ms":5}"#, r#"{"sleep":1,"at_ms":4}"#],
                "n:3: at_ms 4 lies before",
            ),
            (
                vec![r#"{"fault":"drop"}"#],
                "n:2: no step before says which connection this is about",
            ),
            (
                vec![r#"{"open":"a"}"#, r#"{"fault":"drop"}"#, r#"{"close":"a"}"#],
                "n:4: connection a ended in line 3",
            ),
        ] {
            let told = told(&steps);
            assert!(told.len() == 1 && told[0].starts_with(reason), "{told:?}");
        }
    }
}
