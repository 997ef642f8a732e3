//! The replay of one transcript, step by step.
//!
//! Reports show what was sent as the transcript has it, with its placeholders, so tokens and secrets never get into them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Answer, Opening, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, sleep, timeout};
use transcript::binary::{Encoding, UserBroadcast};
use transcript::{
    Action, AnyOrder, Arrived, Bindings, Body, Conversation, Ending, Environment, Expansion, Expectation,
    ExpectedAnswer, Failure, Frame, HttpCall, Matcher, Mismatch, Number, Numbers, Offer, Open, Outgoing,
    Push, Query, SqlCall, Step, Transcript, Value,
};

use crate::database::Database;
use crate::link::Link;
use crate::outcome::Verdict;
use crate::target::{Target, Tenant};
use crate::token::{KeyRing, SignError};

/// How long to wait for what has to come: twice what the slowest refusal takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for a frame that may also not come. Source: FORMAT.md, "Steps".
const OPTIONAL_WAIT: Duration = Duration::from_millis(1_500);
/// How long the queues have to stay empty at the end of a file. Source: FORMAT.md, "Order".
const LAST_WAIT: Duration = Duration::from_millis(300);
/// Where sockets are opened.
const SOCKET_PATH: &str = "/socket/websocket";
/// What stands for itself in a query. Source: RFC 3986, section 2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Replays a transcript on a tenant.
pub(crate) async fn run(
    transcript: &Transcript,
    tenant: &Tenant,
    target: &Target,
    keys: &KeyRing,
) -> Verdict {
    if needs_database(transcript) && tenant.database.is_none() {
        return Verdict::LeftOut(format!("tenant {} has no database to send SQL to", tenant.name));
    }
    let mut tokens = BTreeMap::new();
    for (name, token) in &transcript.header.jwt {
        let signed = keys.sign(
            token,
            &tenant.jwt_secret,
            target.admin_secret.as_ref(),
            unix_ms() / 1000,
        );
        match signed {
            Ok(signed) => tokens.insert(name.clone(), signed),
            Err(SignError::NoAdminSecret) => return Verdict::LeftOut(SignError::NoAdminSecret.to_string()),
            Err(error) => {
                return failed(
                    transcript,
                    1,
                    format!("token {name}: {error}").into(),
                    Conversation::default(),
                );
            }
        };
    }
    let mut replay = Replay {
        target,
        tenant,
        environment: Environment {
            tenant: tenant.name.clone(),
            host: tenant.host.clone(),
            secret: tenant.jwt_secret.reveal().to_owned(),
            tokens,
        },
        bindings: Bindings::default(),
        links: BTreeMap::new(),
        database: None,
        conversation: Conversation::default(),
    };
    let walked = replay.walk(transcript).await;
    // The remaining connections are dropped before the tables are cleared under them.
    replay.links.clear();
    let cleared = replay.statements(&transcript.header.teardown).await;
    match walked.and_then(|()| cleared.map_err(|problem| (1, problem))) {
        Ok(()) => Verdict::Passed,
        Err((line, problem)) => failed(transcript, line, problem, replay.conversation),
    }
}

fn failed(transcript: &Transcript, line: usize, problem: Problem, conversation: Conversation) -> Verdict {
    Verdict::Failed(Box::new(Failure {
        file: transcript.file.clone(),
        line,
        step: transcript.line(line).to_owned(),
        problem: problem.text,
        mismatch: problem.mismatch,
        conversation,
    }))
}

fn needs_database(transcript: &Transcript) -> bool {
    let header = &transcript.header;
    let has_sql = transcript
        .steps
        .iter()
        .any(|step| matches!(step.action, Action::Sql(_)));
    has_sql || !header.setup.is_empty() || !header.teardown.is_empty()
}

struct Replay<'a> {
    target: &'a Target,
    tenant: &'a Tenant,
    environment: Environment,
    bindings: Bindings,
    links: BTreeMap<String, Link>,
    /// Opened by the first statement.
    database: Option<Database>,
    conversation: Conversation,
}

/// What is wrong at a step.
struct Problem {
    text: String,
    mismatch: Option<Mismatch>,
}

impl<T: Into<String>> From<T> for Problem {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            mismatch: None,
        }
    }
}

impl Problem {
    fn differs(text: &str, mismatch: Mismatch) -> Self {
        Self {
            text: text.to_owned(),
            mismatch: Some(mismatch),
        }
    }
}

impl Replay<'_> {
    /// Setup, steps, and the look at the queues at the end. An error is told with its line.
    async fn walk(&mut self, transcript: &Transcript) -> Result<(), (usize, Problem)> {
        self.statements(&transcript.header.setup)
            .await
            .map_err(|problem| (1, problem))?;
        for step in &transcript.steps {
            self.step(step).await.map_err(|problem| (step.line, problem))?;
        }
        let last_line = transcript.steps.last().map_or(1, |step| step.line);
        let until = Instant::now() + LAST_WAIT;
        for (name, link) in &mut self.links {
            if let Some(arrived) = link.next(until, &mut self.conversation).await {
                let problem = format!("after the last step, {name} still holds: {arrived}");
                return Err((last_line, problem.into()));
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), Problem> {
        let hints = [step.timeout_ms, step.after_ms.map(|ms| ms.saturating_mul(2))];
        let patience = hints
            .into_iter()
            .flatten()
            .map(Duration::from_millis)
            .fold(PATIENCE, Duration::max);
        match &step.action {
            Action::Open(open) => self.open(open, patience).await,
            Action::Send { connection, message } => self.send(connection, message).await,
            Action::Receive {
                connection,
                expected,
                numbers,
            } => self.receive(connection, expected, *numbers, patience).await,
            Action::Silence { connection, ms } => self.silence(connection, *ms).await,
            Action::Close { connection, ending } => self.close(connection, *ending, patience).await,
            Action::Closed { connection, codes } => self.closed(connection, codes, patience).await,
            Action::Http(call) => self.http(call, patience).await,
            Action::Sql(call) => self.sql(call).await,
            Action::Sleep { ms } => {
                sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
            // Of the server's side.
            Action::Fault(_) => Ok(()),
        }
    }

    async fn open(&mut self, open: &Open, patience: Duration) -> Result<(), Problem> {
        if self
            .links
            .get(&open.connection)
            .is_some_and(|link| !link.is_over())
        {
            return Err("it is still open".into());
        }
        let query = match &open.query {
            Query::Literal(text) => self.expand(text)?,
            Query::Parameters(parameters) => {
                let pair = |(name, value): &(String, String)| {
                    let value = self.expand(value)?;
                    Ok(format!(
                        "{}={}",
                        utf8_percent_encode(name, ESCAPED),
                        utf8_percent_encode(&value, ESCAPED)
                    ))
                };
                parameters
                    .iter()
                    .map(pair)
                    .collect::<Result<Vec<_>, Problem>>()?
                    .join("&")
            }
        };
        let host = self.host(open.host.as_deref())?;
        let headers = self.headers(&open.headers)?;
        self.conversation.sent(&open.connection, "(handshake)");
        let socket = format!("{SOCKET_PATH}?{query}");
        let opening = self.target.endpoint.open(&host, &socket, &headers);
        match (within(patience, opening).await?, &open.refused) {
            (Opening::Open(connection), None) => {
                self.links
                    .insert(open.connection.clone(), Link::new(&open.connection, connection));
                Ok(())
            }
            (Opening::Open(_), Some(_)) => Err("the handshake was accepted".into()),
            (Opening::Refused(answer), refused) => {
                self.conversation.received(&open.connection, &shown(&answer));
                match refused {
                    Some(expected) => self.compare_answer(expected, &answer),
                    None => Err(format!("the handshake was refused: {}", shown(&answer)).into()),
                }
            }
        }
    }

    async fn send(&mut self, name: &str, message: &Outgoing) -> Result<(), Problem> {
        let (frame, bytes, shown) = match message {
            Outgoing::Json(json) => (
                Frame::Text,
                self.expand_value(json)?.to_string().into_bytes(),
                json.to_string(),
            ),
            Outgoing::Exact(frame, bytes) => {
                let arrived = match frame {
                    Frame::Text => Arrived::text(bytes),
                    Frame::Binary => Arrived::Binary {
                        view: transcript::view(bytes),
                        bytes: bytes.clone(),
                    },
                };
                (*frame, bytes.clone(), arrived.to_string())
            }
            Outgoing::Push(push) => {
                let shown = format!("push {} {} {}", push.topic, push.event, push.payload);
                (Frame::Binary, self.push_bytes(push)?, shown)
            }
            Outgoing::Ping(text) => {
                self.conversation.sent(name, &format!("ping {text:?}"));
                return link(&mut self.links, name)?
                    .ping(text)
                    .await
                    .map_err(|error| unsent(&error));
            }
        };
        self.conversation.sent(name, &shown);
        link(&mut self.links, name)?
            .send(frame, &bytes)
            .await
            .map_err(|error| unsent(&error))
    }

    fn push_bytes(&self, push: &Push) -> Result<Vec<u8>, Problem> {
        let payload = self.expand_value(&push.payload)?.to_string();
        let (topic, event) = (self.expand(&push.topic)?, self.expand(&push.event)?);
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

    async fn receive(
        &mut self,
        name: &str,
        expected: &[Expectation],
        numbers: Numbers,
        patience: Duration,
    ) -> Result<(), Problem> {
        let link = link(&mut self.links, name)?;
        if link.is_over() {
            return Err("the connection is over".into());
        }
        let matcher = Matcher {
            environment: &self.environment,
            numbers,
        };
        let mut order = AnyOrder::new(matcher, expected, &self.bindings);
        let mut refused = None;
        let until = Instant::now() + patience;
        while !order.is_full() {
            let until = if order.is_satisfied() {
                Instant::now() + OPTIONAL_WAIT
            } else {
                until
            };
            let Some(arrived) = link.next(until, &mut self.conversation).await else {
                break;
            };
            if let Offer::Refused(arrived, mismatch) = order.offer(arrived) {
                link.put_back(arrived);
                refused = Some(mismatch);
                break;
            }
        }
        match (order.finish(), refused) {
            (Ok(bindings), _) => {
                self.bindings = bindings;
                Ok(())
            }
            (Err(_), Some(mismatch)) => Err(Problem::differs("something else arrived", mismatch)),
            (Err(missing), None) => Err(Problem::differs(
                &format!("nothing arrived within {patience:?}"),
                missing,
            )),
        }
    }

    async fn silence(&mut self, name: &str, ms: u64) -> Result<(), Problem> {
        let until = Instant::now() + Duration::from_millis(ms);
        match link(&mut self.links, name)?
            .next(until, &mut self.conversation)
            .await
        {
            None => Ok(()),
            Some(arrived) => Err(format!("something arrived: {arrived}").into()),
        }
    }

    async fn close(&mut self, name: &str, ending: Ending, patience: Duration) -> Result<(), Problem> {
        let mut link = self.links.remove(name).ok_or("no such connection is open")?;
        if let Some(arrived) = link.next(Instant::now(), &mut self.conversation).await {
            return Err(format!("the queue still holds: {arrived}").into());
        }
        self.conversation.sent(name, &format!("{ending:?}"));
        Ok(link.end(ending, patience, &mut self.conversation).await?)
    }

    async fn closed(&mut self, name: &str, codes: &[u16], patience: Duration) -> Result<(), Problem> {
        let link = link(&mut self.links, name)?;
        match link.next(Instant::now() + patience, &mut self.conversation).await {
            Some(Arrived::Closed { code }) if codes.contains(&code) => Ok(()),
            Some(other) => Err(format!("not a close with {codes:?} but: {other}").into()),
            None => Err(format!("the connection was not closed within {patience:?}").into()),
        }
    }

    async fn http(&mut self, call: &HttpCall, patience: Duration) -> Result<(), Problem> {
        let mut headers = self.headers(&call.headers)?;
        let (body, shown_body) = match &call.body {
            Body::Absent => (Vec::new(), String::new()),
            Body::Json(json) => {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                (
                    self.expand_value(json)?.to_string().into_bytes(),
                    json.to_string(),
                )
            }
            Body::Exact(bytes) => (bytes.clone(), String::from_utf8_lossy(bytes).into_owned()),
        };
        let request = Request {
            method: call.method.clone(),
            target: self.expand(&call.target)?,
            host: self.host(call.host.as_deref())?,
            headers,
            body: body.into(),
        };
        self.conversation
            .sent("http", &format!("{} {} {shown_body}", call.method, call.target));
        let answer = within(patience, self.target.endpoint.call(&request)).await?;
        self.conversation.received("http", &shown(&answer));
        self.compare_answer(&call.expect, &answer)
    }

    fn compare_answer(&mut self, expected: &ExpectedAnswer, answer: &Answer) -> Result<(), Problem> {
        let status = |status: u16| ("status".to_owned(), Number::from(u64::from(status)).into());
        let mut wanted = vec![status(expected.status)];
        let mut got = vec![status(answer.status)];
        if let Some(content_type) = &expected.content_type {
            wanted.push(("type".to_owned(), content_type.as_str().into()));
            got.push((
                "type".to_owned(),
                answer.header("content-type").map_or(Value::Null, Value::from),
            ));
        }
        if let Some(body) = &expected.body {
            wanted.push(("body".to_owned(), body.clone()));
            let text = || Value::text(String::from_utf8_lossy(&answer.body));
            got.push((
                "body".to_owned(),
                Value::parse_bytes(&answer.body).unwrap_or_else(|_| text()),
            ));
        }
        let matcher = Matcher {
            environment: &self.environment,
            numbers: Numbers::Decimal,
        };
        matcher
            .value(&Value::Object(wanted), &Value::Object(got), &mut self.bindings)
            .map_err(|mismatch| Problem::differs("the answer is another", mismatch))
    }

    async fn statements(&mut self, statements: &[String]) -> Result<(), Problem> {
        for sql in statements {
            self.sql(&SqlCall {
                sql: sql.clone(),
                rows: None,
                error: None,
            })
            .await?;
        }
        Ok(())
    }

    async fn sql(&mut self, call: &SqlCall) -> Result<(), Problem> {
        let sql = self.expand(&call.sql)?;
        self.conversation.sent("sql", &call.sql);
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let dsn = self
                    .tenant
                    .database
                    .as_deref()
                    .ok_or("the tenant has no database")?;
                Database::connect(dsn)
                    .await
                    .map_err(|error| format!("database: {error}"))?
            }
        };
        // A session whose statement hangs is given up with it.
        let Ok(ran) = timeout(PATIENCE, database.run(&sql)).await else {
            return Err(format!("the statement did not end within {PATIENCE:?}").into());
        };
        self.database = Some(database);
        match (ran, &call.error) {
            (Ok(_), Some(code)) => Err(format!("the statement did not fail with {code}").into()),
            (Ok(rows), None) => match &call.rows {
                None => Ok(()),
                Some(expected) => {
                    self.conversation.received("sql", &rows.to_string());
                    let matcher = Matcher {
                        environment: &self.environment,
                        numbers: Numbers::Decimal,
                    };
                    matcher
                        .value(expected, &rows, &mut self.bindings)
                        .map_err(|mismatch| Problem::differs("the rows are others", mismatch))
                }
            },
            (Err(error), Some(code)) if error.code().is_some_and(|state| state.code() == code) => Ok(()),
            (Err(error), _) => {
                let reason = error
                    .as_db_error()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                Err(format!("the statement failed: {reason}").into())
            }
        }
    }

    fn host(&self, given: Option<&str>) -> Result<String, Problem> {
        given.map_or_else(|| Ok(self.tenant.host.clone()), |host| self.expand(host))
    }

    fn headers(&self, headers: &[(String, String)]) -> Result<Vec<(String, String)>, Problem> {
        headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), self.expand(value)?)))
            .collect()
    }

    fn expand(&self, text: &str) -> Result<String, Problem> {
        self.expansion()
            .text(text)
            .map_err(|error| error.to_string().into())
    }

    fn expand_value(&self, value: &Value) -> Result<Value, Problem> {
        self.expansion()
            .value(value)
            .map_err(|error| error.to_string().into())
    }

    fn expansion(&self) -> Expansion<'_> {
        Expansion {
            environment: &self.environment,
            bindings: &self.bindings,
            unix_ms: unix_ms(),
        }
    }
}

fn link<'l>(links: &'l mut BTreeMap<String, Link>, name: &str) -> Result<&'l mut Link, Problem> {
    links
        .get_mut(name)
        .ok_or_else(|| "no such connection is open".into())
}

async fn within<T, E: std::fmt::Display>(
    patience: Duration,
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem> {
    match timeout(patience, request).await {
        Ok(answer) => answer.map_err(|error| error.to_string().into()),
        Err(_) => Err(format!("no answer within {patience:?}").into()),
    }
}

fn unsent(error: &std::io::Error) -> Problem {
    format!("it could not be sent: {error}").into()
}

fn shown(answer: &Answer) -> String {
    let content_type = answer.header("content-type").unwrap_or("no content type");
    format!(
        "{} ({content_type}) {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    )
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
