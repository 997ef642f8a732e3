//! What the client does: handshakes, messages, requests, statements; and the answers to requests and statements.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Event, HttpAnswer, HttpRequest, Moment, Problem, Progress, Queue, Replay, Task, Waiting};
use crate::binary::{Encoding, UserBroadcast};
use crate::json::Value;
use crate::matcher::Arrived;
use crate::number::Number;
use crate::step::{Body, ExpectedAnswer, Frame, HttpCall, Numbers, Open, Outgoing, Push, Query, SqlCall};
use crate::view::view;

/// Where sockets are opened.
const SOCKET_PATH: &str = "/socket/websocket";
/// Who is named in reports of requests and statements.
const HTTP: &str = "http";
const SQL: &str = "sql";

impl<'t> Replay<'t> {
    pub(super) fn open(
        &mut self,
        now: Moment,
        open: &'t Open,
        patience: Duration,
    ) -> Result<Progress, Problem> {
        let is_open = |queue: &Queue| !queue.is_over || queue.head.is_some();
        if self.connections.get(&open.connection).is_some_and(is_open) {
            return Err("it is still open".into());
        }
        let query = match &open.query {
            Query::Literal(text) => self.expand(now, text)?,
            Query::Parameters(parameters) => {
                let pair = |(name, value): &(String, String)| {
                    let value = self.expand(now, value)?;
                    Ok(format!("{}={}", escaped(name), escaped(&value)))
                };
                parameters
                    .iter()
                    .map(pair)
                    .collect::<Result<Vec<_>, Problem>>()?
                    .join("&")
            }
        };
        let (host, headers) = (
            self.host(now, open.host.as_deref())?,
            self.headers(now, &open.headers)?,
        );
        self.conversation.sent(&open.connection, "(handshake)");
        self.party.clone_from(&open.connection);
        self.waiting = Waiting::Opening(open, patience);
        Ok(Progress::Task(Task::Open {
            connection: open.connection.clone(),
            target: format!("{SOCKET_PATH}?{query}"),
            host,
            headers,
            until: now.elapsed + patience,
        }))
    }

    pub(super) fn take_opening(
        &mut self,
        open: &Open,
        patience: Duration,
        event: Event,
    ) -> Result<Progress, Problem> {
        match (event, &open.refused) {
            (Event::Failed(reason), _) => Err(reason.into()),
            (Event::Nothing, _) => Err(format!(
                "no answer to the handshake within {patience:?}: is this the right server, and is it not overloaded?"
            )
            .into()),
            (Event::Refused(answer), None) if self.settings.is_updating => {
                let body = body_of(&answer);
                let answer = Value::Object(vec![
                    ("status".to_owned(), u64::from(answer.status).into()),
                    ("body".to_owned(), self.generalised(&body)),
                ]);
                self.replace_member("refused", answer)?;
                Ok(Progress::Next)
            }
            (Event::Refused(answer), None) => Err(format!("the handshake was refused: {answer}").into()),
            (Event::Refused(answer), Some(expected)) => {
                self.compare_answer(expected, &answer, "refused")?;
                Ok(Progress::Next)
            }
            (_, refused) => {
                if refused.is_some() && self.settings.is_updating {
                    self.remove_member("refused")?;
                } else if refused.is_some() {
                    return Err("the handshake was accepted".into());
                }
                self.connections.insert(open.connection.clone(), Queue::default());
                Ok(Progress::Next)
            }
        }
    }

    pub(super) fn send(&mut self, now: Moment, name: &str, message: &Outgoing) -> Result<Progress, Problem> {
        let (frame, bytes, shown) = match message {
            Outgoing::Json(json) => {
                let bytes = self.expand_value(now, json)?.to_string().into_bytes();
                (Frame::Text, bytes, json.to_string())
            }
            Outgoing::Exact(frame, bytes) => {
                let arrived = match frame {
                    Frame::Text => Arrived::text(bytes),
                    Frame::Binary => Arrived::Binary {
                        view: view(bytes),
                        bytes: bytes.clone(),
                    },
                };
                (*frame, bytes.clone(), arrived.to_string())
            }
            Outgoing::Push(push) => {
                let shown = format!("push {} {} {}", push.topic, push.event, push.payload);
                (Frame::Binary, self.push_bytes(now, push)?, shown)
            }
            Outgoing::Ping(text) => {
                self.conversation.sent(name, &format!("ping {text:?}"));
                self.queue(name)?;
                return Ok(Progress::Task(Task::Ping {
                    connection: name.to_owned(),
                    payload: text.clone().into_bytes(),
                }));
            }
        };
        self.conversation.sent(name, &shown);
        self.queue(name)?;
        Ok(Progress::Task(Task::Send {
            connection: name.to_owned(),
            frame,
            bytes,
        }))
    }

    fn push_bytes(&self, now: Moment, push: &Push) -> Result<Vec<u8>, Problem> {
        let payload = self.expand_value(now, &push.payload)?.to_string();
        let (topic, event) = (self.expand(now, &push.topic)?, self.expand(now, &push.event)?);
        let broadcast = UserBroadcast {
            topic: &topic,
            event: &event,
            meta: &[],
            encoding: Encoding::Json,
            payload: payload.as_bytes(),
        };
        broadcast
            .push(&push.join_ref, &push.reference)
            .ok_or_else(|| "a header field exceeds 255 bytes".into())
    }

    pub(super) fn call(
        &mut self,
        now: Moment,
        call: &'t HttpCall,
        patience: Duration,
    ) -> Result<Progress, Problem> {
        let mut headers = self.headers(now, &call.headers)?;
        let (body, shown_body) = match &call.body {
            Body::Absent => (Vec::new(), String::new()),
            Body::Json(json) => {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                (
                    self.expand_value(now, json)?.to_string().into_bytes(),
                    json.to_string(),
                )
            }
            Body::Exact(bytes) => (bytes.clone(), String::from_utf8_lossy(bytes).into_owned()),
        };
        let request = HttpRequest {
            method: call.method.clone(),
            target: self.expand(now, &call.target)?,
            host: self.host(now, call.host.as_deref())?,
            headers,
            body,
        };
        let shown = format!("{} {} {shown_body}", call.method, call.target);
        self.conversation.sent(HTTP, &shown);
        HTTP.clone_into(&mut self.party);
        self.waiting = Waiting::Answer(call, patience);
        Ok(Progress::Task(Task::Call {
            request,
            until: now.elapsed + patience,
        }))
    }

    pub(super) fn take_answer(
        &mut self,
        call: &HttpCall,
        patience: Duration,
        event: Event,
    ) -> Result<Progress, Problem> {
        match event {
            Event::Answered(answer) | Event::Refused(answer) => {
                self.compare_answer(&call.expect, &answer, "expect")?;
                Ok(Progress::Next)
            }
            Event::Failed(reason) => Err(reason.into()),
            _ => Err(format!("no answer within {patience:?}").into()),
        }
    }

    fn compare_answer(
        &mut self,
        expected: &ExpectedAnswer,
        answer: &HttpAnswer,
        member: &str,
    ) -> Result<(), Problem> {
        let status = |status: u16| ("status".to_owned(), Number::from(u64::from(status)).into());
        let mut wanted = vec![status(expected.status)];
        let mut got = vec![status(answer.status)];
        if let Some(content_type) = &expected.content_type {
            wanted.push(("type".to_owned(), content_type.as_str().into()));
            let content_type = answer.content_type.as_deref();
            got.push(("type".to_owned(), content_type.map_or(Value::Null, Value::from)));
        }
        if let Some(body) = &expected.body {
            wanted.push(("body".to_owned(), body.clone()));
            got.push(("body".to_owned(), body_of(answer)));
        }
        let (wanted, got) = (Value::Object(wanted), Value::Object(got));
        let Err(mismatch) = self.fits(&wanted, &got) else {
            return Ok(());
        };
        if self.settings.is_updating {
            let merged = self.merged(&wanted, &got, Numbers::Decimal);
            return self.replace_member(member, merged);
        }
        let mut problem = Problem::differs("the answer is another", mismatch);
        problem.contrast = self.contrast(Numbers::Decimal, &wanted, &got);
        Err(problem)
    }

    /// Runs statements, of a step or of setup and teardown.
    pub(super) fn run(
        &mut self,
        now: Moment,
        sql: &str,
        call: Option<&'t SqlCall>,
    ) -> Result<Progress, Problem> {
        self.conversation.sent(SQL, sql);
        SQL.clone_into(&mut self.party);
        let (sql, patience) = (self.expand(now, sql)?, self.settings.patience);
        self.waiting = Waiting::Rows(call, patience);
        let until = now.elapsed + patience;
        Ok(Progress::Task(Task::Run { sql, until }))
    }

    pub(super) fn take_rows(
        &mut self,
        call: Option<&SqlCall>,
        patience: Duration,
        event: Event,
    ) -> Result<Progress, Problem> {
        let (wanted_rows, wanted_error) = match call {
            Some(call) => (call.rows.as_ref(), call.error.as_deref()),
            None => (None, None),
        };
        match event {
            Event::Failed(reason) => return Err(reason.into()),
            Event::SqlFailed { code, message } if code.as_deref() != wanted_error || code.is_none() => {
                let (Some(code), Some(_), true) = (code, call, self.settings.is_updating) else {
                    return Err(format!("the statement failed: {message}").into());
                };
                self.remove_member("rows")?;
                self.replace_member("error", Value::text(code))?;
            }
            Event::SqlFailed { .. } => {}
            Event::Rows(rows) => {
                if let Some(code) = wanted_error {
                    if !self.settings.is_updating {
                        return Err(format!("the statement did not fail with {code}").into());
                    }
                    self.remove_member("error")?;
                }
                if let Some(expected) = wanted_rows {
                    self.conversation.received(SQL, &rows.to_string());
                    match self.fits(expected, &rows) {
                        Ok(()) => {}
                        Err(_) if self.settings.is_updating => {
                            let merged = self.merged(expected, &rows, Numbers::Decimal);
                            self.replace_member("rows", merged)?;
                        }
                        Err(mismatch) => {
                            let mut problem = Problem::differs("the rows are others", mismatch);
                            problem.contrast = self.contrast(Numbers::Decimal, expected, &rows);
                            return Err(problem);
                        }
                    }
                }
            }
            _ => return Err(format!("the statement did not end within {patience:?}").into()),
        }
        Ok(Progress::Next)
    }

    fn host(&self, now: Moment, given: Option<&str>) -> Result<String, Problem> {
        given.map_or_else(
            || Ok(self.environment.host.clone()),
            |host| self.expand(now, host),
        )
    }

    fn headers(&self, now: Moment, headers: &[(String, String)]) -> Result<Vec<(String, String)>, Problem> {
        let expand = |(name, value): &(String, String)| Ok((name.clone(), self.expand(now, value)?));
        headers.iter().map(expand).collect()
    }
}

/// The body as JSON, or as text if it is none.
fn body_of(answer: &HttpAnswer) -> Value {
    let text = || Value::text(String::from_utf8_lossy(&answer.body));
    Value::parse_bytes(&answer.body).unwrap_or_else(|_| text())
}

/// With everything escaped that does not stand for itself in a query. Source: RFC 3986, section 2.3.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

impl fmt::Display for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content_type = self.content_type.as_deref().unwrap_or("no content type");
        write!(
            f,
            "{} ({content_type}) {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        )
    }
}
