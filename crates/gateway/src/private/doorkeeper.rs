//! Who may do what on a private topic: questions in, answers out, and as few transactions in between as may be.
//!
//! ```text
//!            ┌────────── kept answer ──────────────────────────────┐
//!  question ─┤                                                     ▼
//!            ├─ new ─▶ waiting ── up to forty at once ─▶ asked ─▶ answer to all who asked the same
//!            └─ the same is waiting or asked: joins it      │ ▲
//!                                           takes too long  ▼ │ one by itself
//!                                                          slow
//! ```
//!
//! Invariants:
//!
//! * Policies are asked for no question twice at a time, and all who have the question get the answer.
//! * No more transactions are under way than the pool has connections. What comes meanwhile is asked together next.
//! * Questions with slow policies leave a connection to the others, if there is more than one.
//! * A question waits for its turn no longer than [`WAIT_MAX`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use database::{Asked, Error, Pool, Refusal};
use session::{AuthorizeFailure, Grants};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::Command;
use super::cache::Cache;
use super::janitor::Janitor;
use super::question::{Answer, Asker, Question};
use super::replay::Replays;
use crate::config::PrivateConfig;
use crate::worker::mail::Ports;

/// The questions of one tenant.
pub(super) struct Doorkeeper {
    tenant: Arc<str>,
    pool: Arc<Pool>,
    janitor: Arc<Janitor>,
    ports: Arc<Ports>,
    cache: Cache<Question>,
    /// Who waits for the answers to questions that wait or are being asked.
    askers: HashMap<Arc<Question>, Vec<Asker>>,
    waiting: VecDeque<Waiting>,
    /// Those that are to be asked alone.
    slow: VecDeque<Waiting>,
    batches: JoinSet<Batch>,
    batches_max: usize,
    slow_batches: usize,
    replays: Replays,
    /// Whether the last batch found no database.
    is_unreachable: bool,
    /// When to look for connections that are not needed.
    look_for_unused: Option<Instant>,
}

/// A question that waits for its turn.
#[derive(Debug)]
struct Waiting {
    until: Instant,
    question: Arc<Question>,
}

/// What came of questions that were asked together.
#[derive(Debug)]
struct Batch {
    is_slow: bool,
    verdicts: Vec<(Arc<Question>, Verdict)>,
    is_unreachable: bool,
}

#[derive(Debug)]
enum Verdict {
    Answer(Answer),
    /// The policies have to be asked for this one alone.
    Slow,
}

impl Doorkeeper {
    pub(super) fn new(
        tenant: Arc<str>,
        pool: Arc<Pool>,
        janitor: Arc<Janitor>,
        config: &PrivateConfig,
        ports: Arc<Ports>,
    ) -> Self {
        Self {
            replays: Replays::new(tenant.clone(), pool.clone(), ports.clone()),
            tenant,
            pool,
            janitor,
            ports,
            cache: Cache::new(config.cache_for),
            askers: HashMap::new(),
            waiting: VecDeque::new(),
            slow: VecDeque::new(),
            batches: JoinSet::new(),
            batches_max: config.pool_size.get(),
            slow_batches: 0,
            is_unreachable: false,
            look_for_unused: None,
        }
    }

    /// Answers until it is stopped.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        let mut arrived = Vec::new();
        loop {
            let next_end = self.next_end();
            tokio::select! {
                count = commands.recv_many(&mut arrived, COMMANDS_PER_TURN) => {
                    if count == 0 {
                        return;
                    }
                    for command in arrived.drain(..) {
                        match command {
                            Command::Ask(question, asker) => self.admit(question, asker),
                            Command::Replay(replay) => self.replays.push(replay),
                            Command::Stop => return,
                        }
                    }
                }
                Some(batch) = self.batches.join_next() => self.settle(batch),
                () = self.replays.advance() => self.note_use(),
                () = until(next_end) => self.give_up_waiting(),
                () = until(self.look_for_unused) => self.close_unused(),
            }
            while self.batches.len() < self.batches_max && self.start_batch() {}
        }
    }

    fn admit(&mut self, question: Question, asker: Asker) {
        if question.asked().is_none() {
            return asker.tell(Err(AuthorizeFailure::Policy), &self.ports);
        }
        let now = Instant::now();
        if let Some(grants) = self.cache.get(&question, now) {
            return asker.tell(Ok(grants), &self.ports);
        }
        if let Some(askers) = self.askers.get_mut(&question) {
            return askers.push(asker);
        }
        let question = Arc::new(question);
        self.askers.insert(question.clone(), vec![asker]);
        let until = now + WAIT_MAX;
        self.waiting.push_back(Waiting { until, question });
    }

    /// Starts to ask, if something waits.
    fn start_batch(&mut self) -> bool {
        let leaves_one = self.slow_batches + 1 < self.batches_max;
        let is_slow = !self.slow.is_empty() && (leaves_one || self.waiting.is_empty());
        let queue = if is_slow {
            &mut self.slow
        } else {
            &mut self.waiting
        };
        let count = if is_slow { 1 } else { queue.len().min(BATCH_MAX) };
        let questions: Vec<_> = queue.drain(..count).map(|waiting| waiting.question).collect();
        if questions.is_empty() {
            return false;
        }
        self.slow_batches += usize::from(is_slow);
        let (tenant, pool, janitor) = (self.tenant.clone(), self.pool.clone(), self.janitor.clone());
        self.batches
            .spawn(async move { ask(&tenant, &pool, &janitor, questions, is_slow).await });
        true
    }

    fn settle(&mut self, batch: Result<Batch, JoinError>) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(reason) => return error!(tenant = %self.tenant, %reason, "questions were lost"),
        };
        let now = Instant::now();
        self.note_use();
        self.slow_batches -= usize::from(batch.is_slow);
        self.is_unreachable = batch.is_unreachable;
        for (question, verdict) in batch.verdicts {
            match verdict {
                Verdict::Slow => self.slow.push_back(Waiting {
                    until: now + WAIT_MAX,
                    question,
                }),
                Verdict::Answer(answer) => {
                    if let Ok(grants) = answer {
                        self.cache.put(&question, grants, now);
                    }
                    self.answer(&question, &answer);
                }
            }
        }
    }

    fn answer(&mut self, question: &Arc<Question>, answer: &Answer) {
        for asker in self.askers.remove(question).unwrap_or_default() {
            asker.tell(answer.clone(), &self.ports);
        }
    }

    fn next_end(&self) -> Option<Instant> {
        let ends = [&self.waiting, &self.slow].map(|queue| queue.front().map(|waiting| waiting.until));
        ends.into_iter().flatten().min()
    }

    /// Answers those who have waited for too long.
    fn give_up_waiting(&mut self) {
        let now = Instant::now();
        let failure = if self.is_unreachable {
            AuthorizeFailure::Unavailable
        } else {
            AuthorizeFailure::PoolExhausted
        };
        let mut given_up = Vec::new();
        for queue in [&mut self.waiting, &mut self.slow] {
            while queue.front().is_some_and(|waiting| waiting.until <= now) {
                given_up.extend(queue.pop_front().map(|waiting| waiting.question));
            }
        }
        if !given_up.is_empty() {
            warn!(
                tenant = %self.tenant,
                questions = given_up.len(),
                "policies were not asked in time: more connections (--private-pool-size) or faster policies are needed"
            );
        }
        for question in given_up {
            self.answer(&question, &Err(failure.clone()));
        }
    }

    fn note_use(&mut self) {
        self.look_for_unused.get_or_insert(Instant::now() + UNUSED_MAX);
    }

    fn close_unused(&mut self) {
        let left = self.pool.close_idle(UNUSED_MAX);
        self.look_for_unused = (left > 0).then(|| Instant::now() + UNUSED_MAX);
    }
}

/// Asks the policies; if a partition is missing, again once that has been seen to.
async fn ask(
    tenant: &str,
    pool: &Pool,
    janitor: &Janitor,
    questions: Vec<Arc<Question>>,
    is_slow: bool,
) -> Batch {
    janitor.tried().await;
    debug!(tenant, questions = %questions.len(), "policies are asked");
    let mut answers = match answers(pool, &questions).await {
        Ok(answers) => answers,
        Err(reason) => {
            warn!(tenant, %reason, questions = questions.len(), "policies cannot be asked");
            let failure = failure_of(&reason);
            let verdict = || Verdict::Answer(Err(failure.clone()));
            return Batch {
                is_slow,
                verdicts: questions
                    .into_iter()
                    .map(|question| (question, verdict()))
                    .collect(),
                is_unreachable: matches!(reason, Error::Unreachable(_)),
            };
        }
    };
    let is_missing = |answer: &Result<_, Refusal>| matches!(answer, Err(Refusal::MissingPartition));
    if answers.iter().any(is_missing) {
        janitor.repair().await;
        let of_missing: Vec<_> = questions
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| is_missing(answer))
            .map(|(question, _)| question.clone())
            .collect();
        if let Ok(again) = self::answers(pool, &of_missing).await {
            let places = answers.iter_mut().filter(|answer| is_missing(answer));
            places.zip(again).for_each(|(place, answer)| *place = answer);
        }
    }
    let verdicts = questions.into_iter().zip(answers).map(|(question, answer)| {
        let verdict = verdict(tenant, &question.topic, answer);
        (question, verdict)
    });
    Batch {
        is_slow,
        verdicts: verdicts.collect(),
        is_unreachable: false,
    }
}

/// The database's answers, in order.
async fn answers(
    pool: &Pool,
    questions: &[Arc<Question>],
) -> Result<Vec<Result<database::Grants, Refusal>>, Error> {
    let asked: Vec<Asked<'_>> = questions.iter().filter_map(|question| question.asked()).collect();
    match pool.authorize(&asked).await {
        // A connection may have broken while it was not used. Asking changes nothing, so it may be done again.
        Err(Error::Unreachable(_)) => pool.authorize(&asked).await,
        answers => answers,
    }
}

fn verdict(tenant: &str, topic: &str, answer: Result<database::Grants, Refusal>) -> Verdict {
    Verdict::Answer(match answer {
        Ok(grants) => Ok(Grants {
            broadcast_read: grants.broadcast_read,
            broadcast_write: grants.broadcast_write,
            presence_read: grants.presence_read,
            presence_write: grants.presence_write,
        }),
        Err(Refusal::Slow) => return Verdict::Slow,
        Err(refusal) => {
            info!(tenant, topic, %refusal, "policies have no answer");
            Err(match refusal {
                Refusal::MissingPartition => AuthorizeFailure::MissingPartition,
                Refusal::Cancelled(server) => AuthorizeFailure::Cancelled(server.message),
                Refusal::Policy(_) | Refusal::Unusable(_) | Refusal::Slow => AuthorizeFailure::Policy,
            })
        }
    })
}

/// What an error of the database is to those who asked.
fn failure_of(error: &Error) -> AuthorizeFailure {
    match error {
        Error::PoolExhausted { .. } => AuthorizeFailure::PoolExhausted,
        Error::LackOfConnections { .. } => AuthorizeFailure::LackOfConnections,
        _ => AuthorizeFailure::Unavailable,
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// How long a question waits for its turn, as long as for a connection of the pool.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Questions that are asked together: as many as share a transaction.
const BATCH_MAX: usize = 40;
/// Commands that are taken before answers have their turn.
const COMMANDS_PER_TURN: usize = 1_024;
/// A connection that has not been used for longer is closed.
const UNUSED_MAX: Duration = Duration::from_secs(60);
