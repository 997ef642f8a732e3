//! The replay of one transcript over sockets: it does what [`transcript::Replay`] asks for and tells what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Answer, ClientError, Connection, Opening, Received, Request};
use tokio::time::{Instant, sleep_until, timeout_at};
use transcript::{
    Action, Arrived, Conversation, Environment, Event, Failure, Frame, HttpAnswer, HttpRequest, Moment,
    Replay, Secrets, Settings, Task, Token, Transcript, view,
};

use crate::changes::advice;
use crate::database::Database;
use crate::outcome::{Rewritten, Verdict};
use crate::target::{Target, Tenant};
use crate::token::{KeyRing, SignError};

/// Replays a transcript on a tenant. Nothing is rewritten unless the settings ask for it.
pub(crate) async fn run(
    transcript: &Transcript,
    tenant: &Tenant,
    target: &Target,
    keys: &KeyRing,
    settings: Settings,
) -> (Verdict, Option<Rewritten>) {
    if needs_database(transcript) && tenant.database.is_none() {
        let reason = format!("tenant {} has no database to send SQL to", tenant.name);
        return (Verdict::LeftOut(reason), None);
    }
    let mut tokens = BTreeMap::new();
    for (name, token) in &transcript.header.jwt {
        if let Some(given) = target.keys.get(name) {
            tokens.insert(name.clone(), given.reveal().to_owned());
            continue;
        }
        let signed = keys.sign(
            token,
            &tenant.jwt_secret,
            target.admin_secret.as_ref(),
            unix_ms() / 1000,
        );
        match signed {
            Ok(signed) => tokens.insert(name.clone(), signed),
            Err(error @ SignError::NoAdminSecret) => return (Verdict::LeftOut(error.to_string()), None),
            Err(error) => return (unsigned(transcript, name, &error), None),
        };
    }
    let secrets = secrets(transcript, tenant, target, &tokens);
    let environment = Environment {
        tenant: tenant.name.clone(),
        host: tenant.host.clone(),
        secret: tenant.jwt_secret.reveal().to_owned(),
        tokens,
    };
    let mut driver = Driver {
        target,
        tenant,
        begun: Instant::now(),
        connections: BTreeMap::new(),
        database: None,
    };
    let mut replay = Replay::new(transcript, environment, settings);
    let mut event = Event::Done;
    loop {
        let now = Moment {
            elapsed: driver.begun.elapsed(),
            unix_ms: unix_ms(),
        };
        match replay.advance(now, event) {
            Task::Done => break,
            task => event = driver.perform(task).await,
        }
    }
    match replay.finish() {
        Ok(edits) if edits.is_empty() => (Verdict::Passed, None),
        Ok(edits) => {
            let rewritten = Rewritten {
                lines: edits.len(),
                text: edits.concealed(&secrets).apply(transcript),
            };
            (Verdict::Passed, Some(rewritten))
        }
        Err(failure) => {
            let failure = Failure {
                advice: advice(transcript, failure.line),
                ..*failure
            };
            (Verdict::Failed(Box::new(secrets.conceal_failure(failure))), None)
        }
    }
}

/// What a report must not show, although a server may have said it.
fn secrets(
    transcript: &Transcript,
    tenant: &Tenant,
    target: &Target,
    tokens: &BTreeMap<String, String>,
) -> Secrets {
    let is_in_the_file = |name: &str| {
        let token = transcript.header.jwt.get(name);
        !target.keys.contains_key(name) && matches!(token, Some(Token::Raw(_)))
    };
    let named = tokens.iter().filter(|(name, _)| !is_in_the_file(name));
    let named = named.map(|(name, value)| (value.clone(), format!("${{jwt:{name}}}")));
    let secret = tenant.jwt_secret.reveal().to_owned();
    Secrets::new(named.chain([(secret, "${secret}".to_owned())]))
}

/// Milliseconds since the epoch.
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn unsigned(transcript: &Transcript, name: &str, error: &SignError) -> Verdict {
    let failure = Failure {
        file: transcript.file.clone(),
        line: 1,
        step: transcript.line(1).to_owned(),
        problem: format!("token {name}: {error}"),
        mismatch: None,
        contrast: Vec::new(),
        advice: None,
        conversation: Conversation::default(),
    };
    Verdict::Failed(Box::new(failure))
}

fn needs_database(transcript: &Transcript) -> bool {
    let header = &transcript.header;
    let mut steps = transcript.steps.iter();
    let has_sql = steps.any(|step| matches!(step.action, Action::Sql(_)));
    has_sql || !header.setup.is_empty() || !header.teardown.is_empty()
}

struct Driver<'a> {
    target: &'a Target,
    tenant: &'a Tenant,
    begun: Instant,
    connections: BTreeMap<String, Connection>,
    /// Opened by the first statement.
    database: Option<Database>,
}

impl Driver<'_> {
    async fn perform(&mut self, task: Task) -> Event {
        match task {
            Task::Open {
                connection,
                target,
                host,
                headers,
                until,
            } => {
                let opening = self.target.endpoint.open(&host, &target, &headers);
                match timeout_at(self.begun + until, opening).await {
                    Ok(Ok(Opening::Open(open))) => {
                        self.connections.insert(connection, open);
                        Event::Done
                    }
                    Ok(Ok(Opening::Refused(answer))) => Event::Refused(plain(&answer)),
                    Ok(Err(error)) => Event::Failed(self.unreached(&error)),
                    Err(_) => Event::Nothing,
                }
            }
            Task::Send {
                connection,
                frame,
                bytes,
            } => {
                let Some(open) = self.connections.get_mut(&connection) else {
                    return Event::Failed("no such connection is open".to_owned());
                };
                let sent = match frame {
                    Frame::Text => open.send_text(&bytes).await,
                    Frame::Binary => open.send_binary(&bytes).await,
                };
                done(sent, "it")
            }
            Task::Ping { connection, payload } => match self.connections.get_mut(&connection) {
                Some(open) => done(open.send_ping(&payload).await, "it"),
                None => Event::Failed("no such connection is open".to_owned()),
            },
            Task::Close { connection, code } => match self.connections.get_mut(&connection) {
                Some(open) => done(open.send_close(code).await, "the close"),
                None => Event::Failed("no such connection is open".to_owned()),
            },
            Task::Drop { connection } => {
                self.connections.remove(&connection);
                Event::Done
            }
            Task::Receive { connection, until } => self.receive(&connection, self.begun + until).await,
            Task::Call { request, until } => {
                let request = of_client(request);
                match timeout_at(self.begun + until, self.target.endpoint.call(&request)).await {
                    Ok(Ok(answer)) => Event::Answered(plain(&answer)),
                    Ok(Err(error)) => Event::Failed(self.unreached(&error)),
                    Err(_) => Event::Nothing,
                }
            }
            Task::Run { sql, until } => self.run(&sql, until).await,
            Task::Sleep { until } => {
                sleep_until(self.begun + until).await;
                Event::Done
            }
            Task::Done => Event::Done,
        }
    }

    async fn receive(&mut self, connection: &str, until: Instant) -> Event {
        let Some(open) = self.connections.get_mut(connection) else {
            return Event::Failed("no such connection is open".to_owned());
        };
        match timeout_at(until, open.receive()).await {
            Err(_) | Ok(None) => Event::Nothing,
            Ok(Some(Received::Text(text))) => Event::Arrived(Arrived::text(&text)),
            Ok(Some(Received::Binary(bytes))) => Event::Arrived(Arrived::Binary {
                view: view(&bytes),
                bytes: bytes.to_vec(),
            }),
            Ok(Some(Received::Pong(payload))) => Event::Arrived(Arrived::Pong(payload.to_vec())),
            Ok(Some(Received::Closed { code, reason })) => Event::Ended { code, reason },
        }
    }

    async fn run(&mut self, sql: &str, until: Duration) -> Event {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let Some(dsn) = self.tenant.database.as_deref() else {
                    return Event::Failed("the tenant has no database".to_owned());
                };
                match timeout_at(self.begun + until, Database::connect(dsn)).await {
                    Ok(Ok(database)) => database,
                    Ok(Err(error)) => {
                        let hint = "is --database-url that of a superuser of the server's database?";
                        return Event::Failed(format!("database: {error}: {hint}"));
                    }
                    Err(_) => return Event::Failed("the database did not answer".to_owned()),
                }
            }
        };
        // A session whose statement hangs is given up with it.
        let Ok(ran) = timeout_at(self.begun + until, database.run(sql)).await else {
            return Event::Nothing;
        };
        self.database = Some(database);
        match ran {
            Ok(rows) => Event::Rows(rows),
            Err(error) => Event::SqlFailed {
                code: error.code().map(|state| state.code().to_owned()),
                message: error
                    .as_db_error()
                    .map_or_else(|| error.to_string(), ToString::to_string),
            },
        }
    }

    /// No connection is something to look after elsewhere than in the transcript.
    fn unreached(&self, error: &ClientError) -> String {
        match error {
            ClientError::Io(_) => format!(
                "{error}: is the server at {} running?",
                self.target.endpoint.authority()
            ),
            other => other.to_string(),
        }
    }
}

fn done(sent: std::io::Result<()>, what: &str) -> Event {
    match sent {
        Ok(()) => Event::Done,
        Err(error) => Event::Failed(format!("{what} could not be sent: {error}")),
    }
}

fn plain(answer: &Answer) -> HttpAnswer {
    HttpAnswer {
        status: answer.status,
        content_type: answer.header("content-type").map(str::to_owned),
        body: answer.body.to_vec(),
    }
}

fn of_client(request: HttpRequest) -> Request {
    Request {
        method: request.method,
        target: request.target,
        host: request.host,
        headers: request.headers,
        body: request.body.into(),
    }
}
