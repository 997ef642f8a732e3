//! A replay as a state machine: it says what to do next and is told what came of it. Whoever does it has the sockets,
//! the database and the clock; here is none of them.
//!
//! ```text
//!            advance(now, event)                        ┌─ setup ─▶ steps ─▶ last look ─┐
//!  driver ──────────────────────▶ Replay                │     (a problem anywhere) ─────┤
//!         ◀────────────────────── Task                  │                               ▼
//!                                                       └──── Done ◀── teardown ◀── connections dropped
//! ```
//!
//! Each task gets one event: [`Event::Done`] if nothing comes of it, [`Event::Nothing`] if the time in it has passed. The
//! driver keeps what arrives on a connection in order and hands it over one at a time when it is asked to receive from
//! that connection; what was asked for too early is kept here. With a virtual clock a driver may take `until` for now.
//!
//! Reports show what was sent as the transcript has it, with its placeholders, so tokens and secrets never get into them.

mod edit;
mod exchange;
mod receive;
mod task;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use self::edit::Edits;
pub use self::task::{Event, HttpAnswer, HttpRequest, Task};
use crate::contrast::contrast;
use crate::explain::{Conversation, Failure, Mismatch};
use crate::format::Transcript;
use crate::json::Value;
use crate::matcher::{Arrived, Matcher};
use crate::placeholder::{Bindings, Environment, Expansion};
use crate::step::{Action, Ending, Expectation, FaultKind, HttpCall, Numbers, Open, SqlCall, Step};

/// An instant of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since the replay began, or any other fixed instant.
    pub elapsed: Duration,
    /// The time. Milliseconds since the epoch.
    pub unix_ms: i64,
}

/// How fast the client's side goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As soon as what comes before has come.
    #[default]
    Fast,
    /// Not before its time in the recording; steps without one go as with [`Pace::Fast`].
    Real,
}

/// How a replay goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long to wait for what has to come; a step may ask for more.
    pub patience: Duration,
    /// How fast the client's side goes.
    pub pace: Pace,
    /// What differs is no problem but becomes what is expected from now on, see [`Replay::finish`].
    pub is_updating: bool,
}

/// Twice what the slowest refusal takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the queues have to stay empty at the end of a file. Source: FORMAT.md, "Order".
const LAST_WAIT: Duration = Duration::from_millis(300);

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            pace: Pace::Fast,
            is_updating: false,
        }
    }
}

/// The replay of one transcript.
#[derive(Debug)]
pub struct Replay<'t> {
    transcript: &'t Transcript,
    environment: Environment,
    settings: Settings,
    bindings: Bindings,
    connections: BTreeMap<String, Queue>,
    phase: Phase,
    waiting: Waiting<'t>,
    /// The connection that is listened to, or the other party.
    party: String,
    line: usize,
    /// When the first step began.
    begun: Duration,
    conversation: Conversation,
    failure: Option<Box<Failure>>,
    edits: Edits,
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Queue {
    /// What was received and given back.
    head: Option<Arrived>,
    /// Nothing can come any more.
    is_over: bool,
}

#[derive(Debug)]
enum Phase {
    /// The statement that is next.
    Setup(usize),
    /// The step that is next.
    Steps(usize),
    /// The connections that are still to be looked at, until then.
    Last(VecDeque<String>, Duration),
    Ending,
    /// The statement that is next.
    Teardown(usize),
    Over,
}

/// What the step that is under way waits for.
#[derive(Debug)]
enum Waiting<'t> {
    /// Whatever it is, it goes on.
    Anything,
    Opening(&'t Open, Duration),
    Frames(Group<'t>),
    Silence {
        ms: u64,
    },
    /// The queue has to be empty before the connection is closed.
    EmptyQueue(Ending, Duration),
    CloseSent(Duration),
    CloseAnswer(Duration, Duration),
    Closed(&'t [u16], Duration),
    Answer(&'t HttpCall, Duration),
    Rows(Option<&'t SqlCall>, Duration),
    /// Nothing more, on this connection.
    LastLook,
}

/// Frames that are expected, and those that came.
#[derive(Debug)]
struct Group<'t> {
    expected: &'t [Expectation],
    numbers: Numbers,
    taken: Vec<Arrived>,
    /// Frames that none of the expected is, while updating.
    strange: Vec<Arrived>,
    until: Duration,
    patience: Duration,
}

/// What is wrong at a step.
#[derive(Debug)]
struct Problem {
    text: String,
    mismatch: Option<Mismatch>,
    contrast: Vec<String>,
}

impl<T: Into<String>> From<T> for Problem {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            mismatch: None,
            contrast: Vec::new(),
        }
    }
}

impl Problem {
    fn differs(text: &str, mismatch: Mismatch) -> Self {
        Self {
            mismatch: Some(mismatch),
            ..text.into()
        }
    }
}

/// What a step comes to.
enum Progress {
    /// The driver has something to do first.
    Task(Task),
    /// The next step.
    Next,
}

impl<'t> Replay<'t> {
    /// Nothing done yet. The first event is [`Event::Done`].
    pub fn new(transcript: &'t Transcript, environment: Environment, settings: Settings) -> Self {
        Self {
            transcript,
            environment,
            settings,
            bindings: Bindings::default(),
            connections: BTreeMap::new(),
            phase: Phase::Setup(0),
            waiting: Waiting::Anything,
            party: String::new(),
            line: 1,
            begun: Duration::ZERO,
            conversation: Conversation::default(),
            failure: None,
            edits: Edits::default(),
        }
    }

    /// Takes what came of the last task and says what to do next.
    pub fn advance(&mut self, now: Moment, event: Event) -> Task {
        let mut event = self.note(event);
        loop {
            let progress = self.take(now, event).unwrap_or_else(|problem| {
                self.fail(problem);
                Progress::Next
            });
            let task = match progress {
                Progress::Task(task) => task,
                Progress::Next => self.next(now),
            };
            let Task::Receive { connection, until } = task else {
                return task;
            };
            self.party.clone_from(&connection);
            let queue = self.connections.entry(connection.clone()).or_default();
            match queue.head.take() {
                Some(head) => event = Event::Arrived(head),
                None if queue.is_over => return Task::Sleep { until },
                None => return Task::Receive { connection, until },
            }
        }
    }

    /// What came of it all: what `--update` would change, empty unless that was asked for.
    ///
    /// # Errors
    ///
    /// The first thing that was not as expected.
    pub fn finish(self) -> Result<Edits, Box<Failure>> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.edits),
        }
    }

    /// What named captures were matched with so far.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// Keeps the event for reports.
    fn note(&mut self, event: Event) -> Event {
        match event {
            Event::Arrived(arrived) => {
                self.conversation.received(&self.party, &arrived.to_string());
                Event::Arrived(arrived)
            }
            Event::Ended { code, reason } => {
                self.connections.entry(self.party.clone()).or_default().is_over = true;
                self.conversation
                    .received(&self.party, &format!("close {code} {reason:?}"));
                Event::Arrived(Arrived::Closed { code })
            }
            Event::Refused(answer) => {
                self.conversation.received(&self.party, &answer.to_string());
                Event::Refused(answer)
            }
            Event::Answered(answer) => {
                self.conversation.received(&self.party, &answer.to_string());
                Event::Answered(answer)
            }
            other => other,
        }
    }

    /// Goes on to the next step or phase, and past those that need nothing of the driver.
    fn next(&mut self, now: Moment) -> Task {
        loop {
            match self.go_on(now) {
                Ok(Progress::Task(task)) => return task,
                Ok(Progress::Next) => {}
                Err(problem) => self.fail(problem),
            }
        }
    }

    fn go_on(&mut self, now: Moment) -> Result<Progress, Problem> {
        self.waiting = Waiting::Anything;
        let transcript = self.transcript;
        match &mut self.phase {
            Phase::Setup(at) => match transcript.header.setup.get(*at) {
                Some(sql) => {
                    *at += 1;
                    self.run(now, sql, None)
                }
                None => {
                    self.phase = Phase::Steps(0);
                    self.begun = now.elapsed;
                    Ok(Progress::Next)
                }
            },
            Phase::Steps(at) => match transcript.steps.get(*at) {
                Some(step) => {
                    let due = self.begun + Duration::from_millis(step.at_ms.unwrap_or_default());
                    let is_early = self.settings.pace == Pace::Real && now.elapsed < due;
                    if is_early && is_of_client(&step.action) {
                        return Ok(Progress::Task(Task::Sleep { until: due }));
                    }
                    *at += 1;
                    self.line = step.line;
                    self.begin(now, step)
                }
                None => {
                    let open = self.connections.keys().cloned().collect();
                    self.phase = Phase::Last(open, now.elapsed + LAST_WAIT);
                    Ok(Progress::Next)
                }
            },
            Phase::Last(open, until) => match open.front() {
                Some(connection) => {
                    let (connection, until) = (connection.clone(), *until);
                    self.waiting = Waiting::LastLook;
                    Ok(Progress::Task(Task::Receive { connection, until }))
                }
                None => {
                    self.phase = Phase::Ending;
                    Ok(Progress::Next)
                }
            },
            // The remaining connections are dropped before the tables are cleared under them.
            Phase::Ending => match self.connections.pop_first() {
                Some((connection, _)) => Ok(Progress::Task(Task::Drop { connection })),
                None => {
                    self.phase = Phase::Teardown(0);
                    Ok(Progress::Next)
                }
            },
            Phase::Teardown(at) => match transcript.header.teardown.get(*at) {
                Some(sql) => {
                    *at += 1;
                    self.line = 1;
                    self.run(now, sql, None)
                }
                None => {
                    self.phase = Phase::Over;
                    Ok(Progress::Next)
                }
            },
            Phase::Over => Ok(Progress::Task(Task::Done)),
        }
    }

    fn begin(&mut self, now: Moment, step: &'t Step) -> Result<Progress, Problem> {
        let hints = [step.timeout_ms, step.after_ms.map(|ms| ms.saturating_mul(2))];
        let patience = hints
            .into_iter()
            .flatten()
            .map(Duration::from_millis)
            .fold(self.settings.patience, Duration::max);
        match &step.action {
            Action::Open(open) => self.open(now, open, patience),
            Action::Send { connection, message } => self.send(now, connection, message),
            Action::Receive {
                connection,
                expected,
                numbers,
            } => {
                if self.queue(connection)?.is_over && self.queue(connection)?.head.is_none() {
                    return Err("the connection is over".into());
                }
                self.waiting = Waiting::Frames(Group {
                    expected,
                    numbers: *numbers,
                    taken: Vec::new(),
                    strange: Vec::new(),
                    until: now.elapsed + patience,
                    patience,
                });
                self.listen_for_group(now, connection)
            }
            Action::Silence { connection, ms } => {
                self.waiting = Waiting::Silence { ms: *ms };
                self.listen(connection, now.elapsed + Duration::from_millis(*ms))
            }
            Action::Close { connection, ending } => {
                self.waiting = Waiting::EmptyQueue(*ending, patience);
                // Only what is there already.
                self.listen(connection, now.elapsed)
            }
            Action::Closed { connection, codes } => {
                self.waiting = Waiting::Closed(codes, patience);
                self.listen(connection, now.elapsed + patience)
            }
            Action::Http(call) => self.call(now, call, patience),
            Action::Sql(call) => self.run(now, &call.sql, Some(call)),
            Action::Sleep { ms } => Ok(Progress::Task(Task::Sleep {
                until: now.elapsed + Duration::from_millis(*ms),
            })),
            // Of the server's side.
            // A server that plays fair goes on: where the file has it end a connection, the client drops it, as another
            // `open` may follow.
            Action::Fault(fault) => match &fault.kind {
                FaultKind::Drop | FaultKind::Close { .. } => {
                    let before = self
                        .transcript
                        .steps
                        .iter()
                        .filter(|earlier| earlier.line < step.line);
                    let last = before
                        .filter_map(|earlier| earlier.action.connection())
                        .next_back();
                    let connection = fault
                        .connection
                        .as_deref()
                        .or(last)
                        .unwrap_or_default()
                        .to_owned();
                    self.connections.remove(&connection);
                    Ok(Progress::Task(Task::Drop { connection }))
                }
                _ => Ok(Progress::Next),
            },
        }
    }

    /// What an event means for the step that is under way.
    fn take(&mut self, now: Moment, event: Event) -> Result<Progress, Problem> {
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Anything);
        match (waiting, event) {
            (Waiting::Opening(open, patience), event) => self.take_opening(open, patience, event),
            (Waiting::Answer(call, patience), event) => self.take_answer(call, patience, event),
            (Waiting::Rows(call, patience), event) => self.take_rows(call, patience, event),
            (_, Event::Failed(reason)) => Err(reason.into()),
            (Waiting::Frames(group), event) => self.take_frame(now, group, event),
            (Waiting::Silence { ms }, Event::Arrived(arrived)) => {
                self.take_surprise(&arrived, "something arrived")?;
                self.waiting = Waiting::Silence { ms };
                let connection = self.party.clone();
                self.listen(&connection, now.elapsed + Duration::from_millis(ms))
            }
            (Waiting::EmptyQueue(ending, patience), Event::Arrived(arrived)) => {
                self.take_surprise(&arrived, "the queue still holds")?;
                self.waiting = Waiting::EmptyQueue(ending, patience);
                let connection = self.party.clone();
                self.listen(&connection, now.elapsed)
            }
            (Waiting::EmptyQueue(ending, patience), _) => {
                let connection = self.party.clone();
                self.conversation.sent(&connection, &format!("{ending:?}"));
                match ending {
                    Ending::Abrupt => {
                        self.connections.remove(&connection);
                        Ok(Progress::Task(Task::Drop { connection }))
                    }
                    Ending::Code(code) => {
                        self.waiting = Waiting::CloseSent(patience);
                        Ok(Progress::Task(Task::Close { connection, code }))
                    }
                }
            }
            (Waiting::CloseSent(patience), _) => {
                let until = now.elapsed + patience;
                self.waiting = Waiting::CloseAnswer(until, patience);
                let connection = self.party.clone();
                self.listen(&connection, until)
            }
            (Waiting::CloseAnswer(until, patience), event) => self.take_close_answer(until, patience, event),
            (Waiting::Closed(codes, patience), event) => self.take_closed(now, codes, patience, event),
            (Waiting::LastLook, event) => {
                if let Event::Arrived(arrived) = event {
                    let place = format!("after the last step, {} still holds", self.party);
                    self.take_surprise(&arrived, &place)?;
                } else if let Phase::Last(open, _) = &mut self.phase {
                    open.pop_front();
                }
                Ok(Progress::Next)
            }
            (Waiting::Anything | Waiting::Silence { .. }, _) => Ok(Progress::Next),
        }
    }

    fn listen(&mut self, connection: &str, until: Duration) -> Result<Progress, Problem> {
        self.queue(connection)?;
        Ok(Progress::Task(Task::Receive {
            connection: connection.to_owned(),
            until,
        }))
    }

    fn queue(&mut self, connection: &str) -> Result<&mut Queue, Problem> {
        self.connections
            .get_mut(connection)
            .ok_or_else(|| "no such connection is open".into())
    }

    /// The first problem counts; what follows may follow from it.
    fn fail(&mut self, problem: Problem) {
        if !matches!(self.phase, Phase::Ending | Phase::Teardown(_)) {
            self.phase = Phase::Ending;
        }
        let (transcript, line) = (self.transcript, self.line);
        let conversation = self.conversation.clone();
        self.failure.get_or_insert_with(|| {
            Box::new(Failure {
                file: transcript.file.clone(),
                line,
                step: transcript.line(line).to_owned(),
                problem: problem.text,
                mismatch: problem.mismatch,
                contrast: problem.contrast,
                advice: None,
                conversation,
            })
        });
    }

    fn matcher(&self, numbers: Numbers) -> Matcher<'_> {
        Matcher {
            environment: &self.environment,
            numbers,
        }
    }

    fn expansion(&self, now: Moment) -> Expansion<'_> {
        Expansion {
            environment: &self.environment,
            bindings: &self.bindings,
            unix_ms: now.unix_ms,
        }
    }

    fn expand(&self, now: Moment, text: &str) -> Result<String, Problem> {
        self.expansion(now)
            .text(text)
            .map_err(|error| error.to_string().into())
    }

    fn expand_value(&self, now: Moment, value: &Value) -> Result<Value, Problem> {
        self.expansion(now)
            .value(value)
            .map_err(|error| error.to_string().into())
    }

    /// The two beside each other.
    fn contrast(&self, numbers: Numbers, expected: &Value, got: &Value) -> Vec<String> {
        let matcher = self.matcher(numbers);
        contrast(expected, got, &|one, other| {
            matcher.value(one, other, &mut self.bindings.clone()).is_ok()
        })
    }
}

/// Whether the step is something that the client does, and not something it waits for.
fn is_of_client(action: &Action) -> bool {
    match action {
        Action::Open(_) | Action::Send { .. } | Action::Close { .. } | Action::Http(_) | Action::Sql(_) => {
            true
        }
        Action::Receive { .. }
        | Action::Silence { .. }
        | Action::Closed { .. }
        | Action::Sleep { .. }
        | Action::Fault(_) => false,
    }
}
