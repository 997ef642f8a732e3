//! A question about a private topic, and who wants to know.
//!
//! Two questions are one if the policies cannot tell them apart: topic, claims, headers and what is asked about.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use auth::Claims;
use database::{Asked, Questions};
use session::{AuthorizeFailure, Completion, Grants, Probe, Ticket};
use tokio::sync::oneshot;

use crate::worker::mail::{Mail, Ports, SocketRef};

/// What somebody may do on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The sub-topic.
    pub(crate) topic: Box<str>,
    /// On whose behalf.
    pub(crate) claims: Arc<Claims>,
    /// What policies see of the request: a JSON object of headers.
    pub(crate) headers: Arc<str>,
    /// What is asked about.
    pub(crate) questions: Questions,
}

impl Question {
    /// What the database is asked; `None` if the claims name no role, which would be that of our own connection.
    pub(super) fn asked(&self) -> Option<Asked<'_>> {
        Some(Asked {
            topic: &self.topic,
            role: self.claims.role()?,
            claims: self.claims.json(),
            sub: self.claims.sub(),
            headers: &self.headers,
            questions: self.questions,
        })
    }

    /// What a session's probe asks about.
    pub(crate) fn of_probe(probe: Probe) -> Questions {
        match probe {
            Probe::Read { presence } => Questions {
                broadcast_read: true,
                presence_read: presence,
                ..Questions::default()
            },
            Probe::Write { presence_read } => Questions {
                broadcast_write: true,
                presence_write: true,
                presence_read,
                ..Questions::default()
            },
        }
    }
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.topic.hash(state);
        // They hold role and subject.
        self.claims.json().hash(state);
        self.headers.hash(state);
        let Questions {
            broadcast_read,
            broadcast_write,
            presence_read,
            presence_write,
        } = self.questions;
        [broadcast_read, broadcast_write, presence_read, presence_write].hash(state);
    }
}

/// Who wants to know.
#[derive(Debug)]
pub(super) enum Asker {
    /// A channel of a socket.
    Socket(SocketRef, Ticket),
    /// A request over HTTP.
    Request(oneshot::Sender<Answer>),
}

/// What comes of a question.
pub(super) type Answer = Result<Grants, AuthorizeFailure>;

impl Asker {
    pub(super) fn tell(self, answer: Answer, ports: &Ports) {
        match self {
            Asker::Socket(socket, ticket) => {
                let completion = Completion::Authorized(ticket, answer);
                ports.send(socket.worker, Mail::Complete(socket, completion));
            }
            // Whoever asked may have gone away.
            Asker::Request(asker) => _ = asker.send(answer),
        }
    }
}
