//! Several statements sent as one message of the simple protocol: one round trip, one parse each.
//!
//! The server runs them in order and stops at the first that fails. As it completes each with a message of its own, it is
//! known which one that was.

use std::fmt::{self, Write};
use std::future::poll_fn;
use std::pin::pin;

use futures_core::Stream;
use replication::ServerError;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::error::Error;

/// Statements, each with what it is to whoever wrote them.
#[derive(Debug)]
pub(crate) struct Script<S> {
    text: String,
    steps: Vec<S>,
}

/// How far a script got.
#[derive(Debug)]
pub(crate) struct Ran {
    /// So many statements were completed.
    pub(crate) completed: usize,
    /// What the server said to the one after those.
    pub(crate) failure: Option<ServerError>,
}

impl<S: Copy> Script<S> {
    pub(crate) fn new() -> Self {
        Self {
            text: String::new(),
            steps: Vec::new(),
        }
    }

    /// Adds a statement.
    pub(crate) fn push(&mut self, step: S, statement: impl fmt::Display) {
        self.steps.push(step);
        write!(self.text, "{statement};").expect("memory takes any text");
    }

    pub(crate) fn steps(&self) -> &[S] {
        &self.steps
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Runs it; `see` is given each row of each statement as it comes, also of one that fails in the end.
    ///
    /// # Errors
    ///
    /// Those that are no statement's.
    pub(crate) async fn run(
        &self,
        client: &Client,
        mut see: impl FnMut(S, &SimpleQueryRow),
    ) -> Result<Ran, Error> {
        let mut answers = pin!(client.simple_query_raw(&self.text).await?);
        let mut completed = 0;
        loop {
            match poll_fn(|cx| answers.as_mut().poll_next(cx)).await {
                None => break,
                Some(Ok(SimpleQueryMessage::Row(row))) => {
                    if let Some(step) = self.steps.get(completed) {
                        see(*step, &row);
                    }
                }
                Some(Ok(SimpleQueryMessage::CommandComplete(_))) => completed += 1,
                Some(Ok(_)) => {}
                Some(Err(error)) => match Error::from(error) {
                    Error::Statement(failure) => {
                        let failure = Some(failure);
                        // What is left of the answer says that the server is ready again.
                        while let Some(rest) = poll_fn(|cx| answers.as_mut().poll_next(cx)).await {
                            rest?;
                        }
                        return Ok(Ran { completed, failure });
                    }
                    other => return Err(other),
                },
            }
        }
        if completed == self.steps.len() {
            let failure = None;
            Ok(Ran { completed, failure })
        } else {
            Err(Error::Answer(format!(
                "{completed} of {} statements",
                self.steps.len()
            )))
        }
    }
}
