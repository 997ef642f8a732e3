//! The course of one batch of questions.
//!
//! ```text
//! begin, snapshot, version, savepoint ─▶ policies of tables whose rows are gone ─▶ checks … ─▶ rollback
//!                                                                        ▲            │ one fails
//!                                                                        └── back to the savepoint
//! ```
//!
//! Without rows that are gone and without failures, all of it is one message, or one for every [`MESSAGE_BYTES`]. Each
//! viewer is set anew from the savepoint. Every failure answers at least one check, so there is an end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use replication::ServerError;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryRow;

use super::gone::{self, Law};
use super::{Asked, Key, Question, Row};
use crate::error::Error;
use crate::policies::{CATALOG_VERSION, CatalogVersion};
use crate::pool::Lent;
use crate::prepared::{Name, Prepared, STATEMENTS_MAX};
use crate::quote;
use crate::script::Script;
use crate::snapshot::Snapshot;
use crate::viewer;

/// Questions and what has been answered.
#[derive(Debug, Default)]
pub(super) struct Inquiry<'q> {
    questions: Vec<&'q Question>,
    checks: Vec<Check<'q>>,
    opening: Opening,
    /// Each check is a message of its own, as one of them cannot even be read and takes its message with it.
    is_cautious: bool,
    /// The session has not prepared what we think it has.
    is_session_unsound: bool,
}

/// What is found out first.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening {
    snapshot: Option<Snapshot>,
    version: Option<CatalogVersion>,
    /// Whom we have logged in as.
    user: String,
}

/// What is found out first.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) snapshot: Snapshot,
    pub(super) version: CatalogVersion,
}

/// One execution: rows of one question that one statement judges.
#[derive(Debug)]
struct Check<'q> {
    question: &'q Question,
    /// Its place among the questions.
    of: usize,
    /// Places of the rows in the question.
    rows: Vec<usize>,
    form: Form<'q>,
    /// What is prepared.
    statement: String,
    name: Name,
    /// It is prepared by the user we are: to name things, the role may lack privileges that its policies do not need.
    is_prepared_by_us: bool,
    /// For each of the rows.
    answer: Option<Result<Vec<bool>, Error>>,
}

#[derive(Debug)]
enum Form<'q> {
    /// Rows by their keys, which are of the same columns and types as this one.
    Current(&'q Key),
    /// The rows as elements of an array, once it is known what they have to look like.
    Gone(Vec<Arc<str>>),
}

/// The elements of rows that have been made for a table. Many viewers ask about the same row.
type Elements<'q> = HashMap<(*const Row, &'q str, &'q str), Option<Arc<str>>>;

/// What a statement of the script is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Begins, ends, goes back.
    Frame,
    Open,
    Version,
    Laws,
    Forget(Name),
    /// These are by the check they are for.
    Role(usize),
    Claims(usize),
    Prepare(usize),
    Execute(usize),
}

const BACK: &str = "rollback to savepoint checks";
/// Size a message may reach before the next one is begun. Bytes.
const MESSAGE_BYTES: usize = 256 << 10;
/// How long checks may fail one after the other before those that are left are given up.
const PATIENCE: Duration = Duration::from_secs(30);

impl<'q> Inquiry<'q> {
    /// Takes a question in and returns its place.
    pub(super) fn add(&mut self, question: &'q Question) -> usize {
        let of = self.questions.len();
        self.questions.push(question);
        let first = self.checks.len();
        for (at, row) in question.rows.iter().enumerate() {
            let row = &row.0;
            let ours = self.checks.get_mut(first..).unwrap_or_default();
            let known = ours.iter_mut().find(|check| check.takes(row));
            match (known, row) {
                (Some(check), _) => check.rows.push(at),
                (None, Asked::Impossible) => {}
                (None, Asked::Current(key)) => self.checks.push(Check::of_key(question, of, at, key)),
                (None, Asked::Gone(_)) => self.checks.push(Check::of_image(question, of, at)),
            }
        }
        let Some(error) = refused_unasked(question) else {
            return of;
        };
        let ours = self.checks.get_mut(first..).unwrap_or_default();
        for check in ours {
            check.answer = Some(Err(error.clone()));
        }
        of
    }

    /// Asks all of it.
    ///
    /// # Errors
    ///
    /// Those that are no check's. The transaction may be open then.
    pub(super) async fn hold(&mut self, lent: &mut Lent<'_>) -> Result<Opened, Error> {
        let (client, prepared) = lent.prepared();
        let began = Instant::now();
        if self.checks.iter().any(Check::awaits_law) {
            let mut script = Script::new();
            self.open(&mut script);
            self.ask_laws(&mut script);
            let mut laws = Vec::new();
            let ran = script
                .run(client, |step, row| match step {
                    Step::Laws => laws.push(row.get(0).and_then(gone::read)),
                    _ => self.see(step, row),
                })
                .await?;
            if let Some(failure) = ran.failure {
                return Err(Error::Statement(failure));
            }
            self.learn(laws);
        }
        // Those of a role follow each other, as do those of a viewer and those of a statement.
        let mut order: Vec<usize> = (0..self.checks.len()).collect();
        order.sort_by_key(|at| {
            let check = self.checks.get(*at);
            check.map(|check| (&check.question.role, &check.question.claims, check.of))
        });
        loop {
            let mut script = Script::new();
            self.open(&mut script);
            let is_last = self.compose(&mut script, &order, prepared);
            if is_last {
                script.push(Step::Frame, "rollback");
            }
            let ran = script.run(client, |step, row| self.see(step, row)).await?;
            for step in script.steps().iter().take(ran.completed) {
                match step {
                    Step::Forget(name) => prepared.remove(*name),
                    Step::Prepare(at) => prepared.insert(self.check(*at)?.name),
                    _ => {}
                }
            }
            match ran.failure {
                None if is_last => break,
                None => {}
                Some(failure) if is_of_the_moment(&failure.sqlstate) => {
                    return Err(Error::Statement(failure));
                }
                Some(failure) => {
                    let step = script.steps().get(ran.completed).copied();
                    let is_unread = ran.completed == 0 && UNREADABLE.contains(&&*failure.sqlstate);
                    if is_unread && !self.is_cautious {
                        self.is_cautious = true;
                        continue;
                    }
                    let step = match step {
                        // Of such a message, there is one check.
                        Some(_) if is_unread => {
                            script.steps().iter().copied().find(|step| step.check().is_some())
                        }
                        step => step,
                    };
                    self.fail(step, failure.clone())?;
                    if began.elapsed() > PATIENCE {
                        self.give_up(&failure);
                    }
                }
            }
        }
        match (&self.opening.snapshot, &self.opening.version) {
            (Some(snapshot), Some(version)) => Ok(Opened {
                snapshot: snapshot.clone(),
                version: version.clone(),
            }),
            _ => Err(Error::Answer("no snapshot".into())),
        }
    }

    /// Whether the session can be used by others.
    pub(super) fn is_session_sound(&self) -> bool {
        !self.is_session_unsound
    }

    /// For each question, what is seen of its rows.
    pub(super) fn into_answers(self) -> Vec<Result<Vec<bool>, Error>> {
        let questions = self.questions.iter();
        let mut answers: Vec<Result<Vec<bool>, Error>> = questions
            .map(|question| Ok(vec![false; question.rows.len()]))
            .collect();
        for check in self.checks {
            let Some(answer) = answers.get_mut(check.of) else {
                continue;
            };
            match check.answer {
                Some(Ok(seen)) => {
                    let Ok(answer) = answer else { continue };
                    for (at, seen) in check.rows.iter().zip(seen) {
                        if let Some(answer) = answer.get_mut(*at) {
                            *answer = seen;
                        }
                    }
                }
                Some(Err(error)) => *answer = Err(error),
                None => *answer = Err(Error::Answer("a check is missing".into())),
            }
        }
        answers
    }

    fn check(&self, at: usize) -> Result<&Check<'q>, Error> {
        let check = self.checks.get(at);
        check.ok_or_else(|| Error::Answer("to no question".into()))
    }

    /// Begins the transaction, or goes back to its savepoint.
    fn open(&self, script: &mut Script<Step>) {
        if self.opening.snapshot.is_some() {
            script.push(Step::Frame, BACK);
        } else {
            script.push(Step::Frame, "begin isolation level repeatable read");
            script.push(Step::Open, viewer::OPENING);
            script.push(Step::Version, CATALOG_VERSION);
            // Whoever waits for a lock has not been refused: that is asked again.
            script.push(Step::Frame, format_args!("set local lock_timeout = '{LOCK_MAX}'"));
            script.push(Step::Frame, "savepoint checks");
        }
    }

    fn ask_laws(&self, script: &mut Script<Step>) {
        let awaiting = self.checks.iter().filter(|check| check.awaits_law());
        script.push(Step::Frame, "set local search_path = ''");
        script.push(Step::Laws, gone::laws(awaiting.map(|check| check.question)));
        script.push(Step::Frame, BACK);
    }

    /// Takes in what has to hold of rows that are gone.
    fn learn(&mut self, laws: Vec<Option<Law>>) {
        let awaiting = self.checks.iter_mut().filter(|check| check.awaits_law());
        let mut laws = laws.into_iter();
        let mut elements = Elements::new();
        for check in awaiting {
            check.learn(laws.next().flatten(), &mut elements);
        }
    }

    /// Adds checks without answer, as many as one message takes. Whether these are all.
    fn compose(&self, script: &mut Script<Step>, order: &[usize], prepared: &Prepared) -> bool {
        let is_full = prepared.len() >= STATEMENTS_MAX;
        let kept = if is_full { 0 } else { prepared.len() };
        if is_full {
            for name in prepared.iter() {
                script.push(Step::Forget(name), format_args!("deallocate {name}"));
            }
        }
        let mut added: Vec<Name> = Vec::new();
        let mut in_force: Option<(&str, &str)> = None;
        let mut checks = 0;
        for at in order {
            let Some(check) = self.checks.get(*at).filter(|check| check.answer.is_none()) else {
                continue;
            };
            let is_known = !is_full && prepared.contains(check.name) || added.contains(&check.name);
            if checks > 0
                && (self.is_cautious
                    || script.len() >= MESSAGE_BYTES
                    || !is_known && kept + added.len() >= STATEMENTS_MAX)
            {
                return false;
            }
            checks += 1;
            let viewer: (&str, &str) = (&check.question.role, &check.question.claims);
            let is_ours = !is_known && check.is_prepared_by_us;
            // Nothing that policies have set for one is there for the next.
            if in_force.is_some_and(|in_force| in_force != viewer || is_ours) {
                script.push(Step::Frame, BACK);
                in_force = None;
            }
            if is_ours {
                check.prepare(script, *at);
            }
            if in_force.is_none() {
                script.push(Step::Role(*at), viewer::set_role(viewer.0));
                script.push(Step::Claims(*at), viewer::set_claims(viewer.1));
                in_force = Some(viewer);
            }
            if !is_known && !check.is_prepared_by_us {
                check.prepare(script, *at);
            }
            if !is_known {
                added.push(check.name);
            }
            script.push(
                Step::Execute(*at),
                format_args!("execute {}({})", check.name, check.arguments()),
            );
        }
        true
    }

    fn see(&mut self, step: Step, row: &SimpleQueryRow) {
        match step {
            Step::Open => {
                self.opening.snapshot = row.get(0).and_then(|text| text.parse().ok());
                self.opening.user = row.get(1).unwrap_or_default().to_owned();
            }
            Step::Version => {
                self.opening.version = row.get(0).map(|text| CatalogVersion::new(text.to_owned()));
            }
            Step::Execute(at) => {
                if let Some(check) = self.checks.get_mut(at) {
                    check.answer = check.read(row.get(0)).map(Ok);
                }
            }
            _ => {}
        }
    }

    /// Answers whoever a failure is about.
    fn fail(&mut self, step: Option<Step>, failure: ServerError) -> Result<(), Error> {
        let Some((step, at)) = step.and_then(|step| Some((step, step.check()?))) else {
            return Err(Error::Statement(failure));
        };
        self.is_session_unsound |= MISPREPARED.contains(&&*failure.sqlstate);
        let check = self.check(at)?;
        let (question, name) = (check.question, check.name);
        let is_left_to_us = matches!(step, Step::Prepare(_))
            && matches!(check.form, Form::Gone(_))
            && !check.is_prepared_by_us
            && failure.sqlstate == INSUFFICIENT_PRIVILEGE;
        let error = match step {
            Step::Role(_) => viewer::refused(failure, &question.role, &self.opening.user),
            _ => Error::Statement(failure),
        };
        for (place, check) in self.checks.iter_mut().enumerate() {
            let is_meant = match step {
                Step::Role(_) => check.question.role == question.role,
                Step::Claims(_) => {
                    check.question.role == question.role && check.question.claims == question.claims
                }
                Step::Prepare(_) => check.name == name,
                _ => place == at,
            };
            if !is_meant {
                continue;
            }
            if is_left_to_us {
                check.is_prepared_by_us = true;
            } else if check.answer.is_none() || place == at {
                check.answer = Some(Err(error.clone()));
            }
        }
        Ok(())
    }

    fn give_up(&mut self, failure: &ServerError) {
        for check in self.checks.iter_mut().filter(|check| check.answer.is_none()) {
            check.answer = Some(Err(Error::Statement(failure.clone())));
        }
    }
}

impl<'q> Check<'q> {
    fn of_key(question: &'q Question, of: usize, at: usize, key: &'q Key) -> Self {
        let mut check = Self::new(question, of, at, Form::Current(key));
        let columns = 0..key.elements.len();
        let arrays: Vec<String> = columns
            .clone()
            .map(|at| format!("pg_catalog.unnest((select ${}))", at + 1))
            .collect();
        let names: String = columns.map(|at| format!("c{at}, ")).collect();
        // A selection in the place of a value is executed for each key, by the index, and is never made a join. As the
        // arrays are selected too, the planner knows as little of them with values as without, and keeps to one plan.
        check.set_statement(format!(
            "select pg_catalog.array_agg(k.i) from rows from ({}) with ordinality as k({names}i) \
             where (select true from {}.{} as t where {} limit 1)",
            arrays.join(", "),
            quote::identifier(&question.schema),
            quote::identifier(&question.table),
            key.condition,
        ));
        check
    }

    /// What it executes is to be learned.
    fn of_image(question: &'q Question, of: usize, at: usize) -> Self {
        Self::new(question, of, at, Form::Gone(Vec::new()))
    }

    fn new(question: &'q Question, of: usize, at: usize, form: Form<'q>) -> Self {
        Self {
            question,
            of,
            rows: vec![at],
            form,
            statement: String::new(),
            name: Name::of("", ""),
            is_prepared_by_us: false,
            answer: None,
        }
    }

    fn set_statement(&mut self, statement: String) {
        self.name = Name::of(&self.question.role, &statement);
        self.statement = statement;
    }

    /// Whether it judges this row together with those it has.
    fn takes(&self, row: &Asked) -> bool {
        match (&self.form, row) {
            (Form::Current(ours), Asked::Current(key)) => ours.condition == key.condition,
            (Form::Gone(_), Asked::Gone(_)) => true,
            _ => false,
        }
    }

    fn awaits_law(&self) -> bool {
        self.answer.is_none() && self.statement.is_empty()
    }

    fn learn(&mut self, law: Option<Law>, elements: &mut Elements<'q>) {
        self.answer = match law {
            None => Some(Err(Error::Answer("the policies of a table".into()))),
            Some(Law::NoRole) => Some(Err(viewer::missing(&self.question.role))),
            Some(Law::NoTable) => Some(Err(Error::Statement(undefined_table(self.question)))),
            Some(Law::Everything) => Some(Ok(vec![true; self.rows.len()])),
            Some(Law::Policies { condition, columns }) => {
                let question = self.question;
                let rows = self.rows.iter().filter_map(|at| question.rows.get(*at));
                let texts = rows.map(|row| {
                    let element = elements.entry((Arc::as_ptr(row), &question.schema, &question.table));
                    element
                        .or_insert_with(|| gone::element(row, &columns).map(Into::into))
                        .clone()
                });
                match texts.collect::<Option<_>>() {
                    Some(texts) => {
                        self.form = Form::Gone(texts);
                        self.set_statement(gone::statement(question, &condition));
                        None
                    }
                    None => Some(Err(Error::TableAltered {
                        table: format!("{}.{}", question.schema, question.table),
                    })),
                }
            }
        };
    }

    fn prepare(&self, script: &mut Script<Step>, at: usize) {
        let arrays = match &self.form {
            Form::Current(key) => key.elements.len(),
            Form::Gone(_) => 1,
        };
        let types = vec!["pg_catalog.text[]"; arrays].join(", ");
        script.push(
            Step::Prepare(at),
            format_args!("prepare {}({types}) as {}", self.name, self.statement),
        );
    }

    /// What the statement is executed with.
    fn arguments(&self) -> String {
        let mut arguments = String::new();
        match &self.form {
            Form::Gone(texts) => quote::array(&mut arguments, texts.iter().map(AsRef::as_ref)),
            Form::Current(key) => {
                for column in 0..key.elements.len() {
                    if column > 0 {
                        arguments.push(',');
                    }
                    let rows = self.rows.iter().filter_map(|at| self.question.rows.get(*at));
                    let elements = rows.filter_map(|row| match &row.0 {
                        Asked::Current(key) => key.elements.get(column).map(AsRef::as_ref),
                        Asked::Gone(_) | Asked::Impossible => None,
                    });
                    quote::array(&mut arguments, elements);
                }
            }
        }
        arguments
    }

    /// The answer from the ordinals of the rows that are seen, an array that is NULL instead of empty.
    fn read(&self, ordinals: Option<&str>) -> Option<Vec<bool>> {
        let mut seen = vec![false; self.rows.len()];
        let Some(ordinals) = ordinals else {
            return Some(seen);
        };
        for ordinal in ordinals.strip_prefix('{')?.strip_suffix('}')?.split(',') {
            let ordinal: usize = ordinal.parse().ok()?;
            *seen.get_mut(ordinal.checked_sub(1)?)? = true;
        }
        Some(seen)
    }
}

impl Step {
    fn check(self) -> Option<usize> {
        match self {
            Self::Role(at) | Self::Claims(at) | Self::Prepare(at) | Self::Execute(at) => Some(at),
            Self::Frame | Self::Open | Self::Version | Self::Laws | Self::Forget(_) => None,
        }
    }
}

/// Why a question is answered without asking.
/// Whether a failure says nothing of whom it met: a lock, a conflict with others, or a lack of something, that pass.
fn is_of_the_moment(sqlstate: &str) -> bool {
    sqlstate == "55P03" || sqlstate.starts_with("40") || sqlstate.starts_with("53")
}

/// How long a check waits for a lock: less than a statement may take.
const LOCK_MAX: &str = "5s";

fn refused_unasked(question: &Question) -> Option<Error> {
    let texts = [&question.schema, &question.table];
    let texts = texts.into_iter().try_for_each(|text| viewer::check_text(text));
    viewer::check(&question.role, &question.claims).and(texts).err()
}

fn undefined_table(question: &Question) -> ServerError {
    ServerError {
        sqlstate: "42P01".into(),
        message: format!(
            r#"relation "{}.{}" does not exist"#,
            question.schema, question.table
        ),
    }
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// The server cannot read the text of a message: a syntax error, or a character its encoding lacks.
const UNREADABLE: [&str; 3] = ["42601", "22021", "22P05"];
/// A statement that is not prepared, or is prepared already.
const MISPREPARED: [&str; 2] = ["26000", "42P05"];
