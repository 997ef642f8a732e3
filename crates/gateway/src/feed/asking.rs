//! What the feed asks the database while the stream waits. Every question is asked until there is an answer: a database
//! that is slow or away delays changes and loses none.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use changes::Question;
use database::visibility::Answers;
use database::{Computation, Computed, Error, Snapshot};
use replication::Transient;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::catalog::Reading;
use super::run::Feed;

/// A question under way.
pub(super) type Asking = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// What was answered.
pub(super) enum Answered {
    /// What the catalog says now.
    Catalog(Reading),
    /// Whether conditions hold.
    Conditions(Vec<(Question, Option<bool>)>),
    /// The generated columns of the row that is next.
    Computed(Computed),
    /// Who sees the rows of the round.
    Visibility(Answers),
}

impl Feed {
    /// Reads the catalog as it is once a transaction can be seen.
    pub(super) fn ask_catalog(&self, xid: Option<u32>) -> Asking {
        let (pool, publication) = (self.pool.clone(), self.publication.clone());
        let (roles, trouble) = (self.roles(), self.trouble.clone());
        Box::pin(async move {
            let mut pause = Pause::new(trouble);
            loop {
                match in_time(Reading::make(&pool, &publication, roles.clone())).await {
                    Ok(reading) if xid.is_none_or(|xid| reading.snapshot.sees(xid)) => {
                        return Answered::Catalog(reading);
                    }
                    Ok(_) => pause.until_visible().await,
                    Err(error) => pause.after("the catalog cannot be read", &error).await,
                }
            }
        })
    }

    /// Asks whether conditions hold that are not evaluated here.
    pub(super) fn ask_conditions(&self, questions: Vec<Question>) -> Asking {
        let (pool, trouble) = (self.pool.clone(), self.trouble.clone());
        Box::pin(async move {
            let mut pause = Pause::new(trouble);
            loop {
                match in_time(pool.conditions(&questions)).await {
                    Ok(answers) => {
                        let answers = answers.into_iter().map(|answer| {
                            answer.unwrap_or_else(|error| {
                                warn!(%error, "a filter cannot be evaluated: it does not match");
                                None
                            })
                        });
                        return Answered::Conditions(questions.into_iter().zip(answers).collect());
                    }
                    Err(error) => pause.after("filters cannot be evaluated", &error).await,
                }
            }
        })
    }

    /// Asks for the generated columns of a row.
    pub(super) fn ask_computed(&self, computation: Computation) -> Asking {
        let (pool, trouble) = (self.pool.clone(), self.trouble.clone());
        Box::pin(async move {
            let mut pause = Pause::new(trouble);
            loop {
                match in_time(pool.compute(&computation)).await {
                    Ok(computed) => return Answered::Computed(computed),
                    Err(Error::Statement(error)) => {
                        warn!(
                            %error,
                            "generated columns cannot be computed and are missing; if functions of your own are in them, \
                             grant the owner of the table to the gateway's user"
                        );
                        return Answered::Computed(Computed::default());
                    }
                    Err(error) => pause.after("generated columns cannot be computed", &error).await,
                }
            }
        })
    }

    /// Asks who sees the rows of the round.
    pub(super) fn ask_visibility(&mut self) -> Asking {
        let (pool, trouble) = (self.pool.clone(), self.trouble.clone());
        let (questions, transactions) = self.round.questions();
        let includes = move |snapshot: &Snapshot| transactions.iter().all(|xid| snapshot.sees(*xid));
        Box::pin(async move {
            let mut pause = Pause::new(trouble);
            loop {
                match in_time(pool.visible(&questions)).await {
                    Ok(answers) if includes(&answers.snapshot) => return Answered::Visibility(answers),
                    Ok(_) => pause.until_visible().await,
                    Err(error) => pause.after("policies cannot be asked", &error).await,
                }
            }
        })
    }
}

/// An attempt that does not take for ever: behind a proxy, or where a server hangs, there may never be an answer.
async fn in_time<T>(attempt: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(ATTEMPT_MAX, attempt).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {} seconds", ATTEMPT_MAX.as_secs());
        Err(Error::Unreachable(Transient::Lost { reason }))
    })
}

/// The pauses between attempts.
#[derive(Debug)]
struct Pause {
    attempts: u32,
    trouble: Arc<Notify>,
}

impl Pause {
    fn new(trouble: Arc<Notify>) -> Self {
        Self { attempts: 0, trouble }
    }

    /// After an attempt that failed.
    async fn after(&mut self, what: &'static str, error: &Error) {
        warn!(%error, "{what}: changes wait");
        // A server that shuts down waits for the stream to be acknowledged, and answers nobody meanwhile.
        if matches!(error, Error::Unreachable(_)) && self.attempts >= UNREACHABLE_ATTEMPTS {
            self.trouble.notify_one();
        }
        self.wait(FAILED_MIN, FAILED_MAX).await;
    }

    /// After an answer that came too early: a commit is streamed when it is in the log, which is a moment, or with a
    /// synchronous standby some time, before anybody can see it.
    async fn until_visible(&mut self) {
        debug!("a transaction cannot be seen yet");
        self.wait(VISIBLE_MIN, VISIBLE_MAX).await;
    }

    async fn wait(&mut self, min: Duration, max: Duration) {
        let pause = (min * 2u32.saturating_pow(self.attempts)).min(max);
        self.attempts = self.attempts.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

/// Longest attempt. A statement ends after ten seconds by itself; a round has many.
const ATTEMPT_MAX: Duration = Duration::from_secs(60);
/// Attempts that fail for want of a server before the stream is taken to be lost as well.
const UNREACHABLE_ATTEMPTS: u32 = 2;
/// First and longest pause after a failure.
const FAILED_MIN: Duration = Duration::from_millis(100);
const FAILED_MAX: Duration = Duration::from_secs(5);
/// First and longest pause until a transaction can be seen.
const VISIBLE_MIN: Duration = Duration::from_micros(500);
const VISIBLE_MAX: Duration = Duration::from_millis(100);
