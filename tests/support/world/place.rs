//! What the sessions of a world share, and the script of answers to their requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::Claims;
use hub::{Courier, Delivery, Fanout, Hub, LocalHub, SocketId, Topic, WorkerId};
use presence::MemberId;
use session::{
    AuthorizeFailure, ChangesOutcome, Completion, Grants, Now, Probe, Replayed, Request, Tenant, Ticket,
};

use super::{BEGINNING, Client, WORKERS};

/// Everything that is not a session: what effects act on.
pub(super) struct Place {
    pub(super) elapsed: Cell<Duration>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) hub: Arc<Hub>,
    pub(super) workers: [LocalHub; WORKERS],
    pub(super) post: Arc<Post>,
    pub(super) flushes: RefCell<Vec<(Duration, Arc<Topic>)>>,
    pub(super) overloaded: RefCell<Vec<(SocketId, MemberId)>>,
    pub(super) requests: RefCell<VecDeque<(Client, Request)>>,
    pub(super) forgotten: RefCell<Vec<Ticket>>,
    pub(super) script: RefCell<Script>,
}

/// What requests are answered with; `None` keeps them waiting.
#[derive(Default)]
pub(super) struct Script {
    pub(super) policies: Option<Box<Policies>>,
    pub(super) changes: Option<fn() -> ChangesOutcome>,
    /// What is replayed; the inner `None` is that it cannot be read.
    pub(super) messages: Option<Option<Vec<Replayed>>>,
    /// Whether broadcasts from the database flow.
    pub(super) is_replicating: bool,
}

/// What the policies allow on a private topic, given its name and the claims of who asks.
pub(super) type Policies = dyn Fn(&str, &Claims) -> Result<Grants, AuthorizeFailure>;

#[derive(Default)]
pub(super) struct Post(Mutex<VecDeque<(WorkerId, Delivery)>>);

impl Place {
    pub(super) fn now(&self) -> Now {
        let elapsed = self.elapsed.get();
        let since = i64::try_from(elapsed.as_millis()).expect("worlds do not last that long");
        Now {
            elapsed,
            unix_ms: BEGINNING * 1000 + since,
        }
    }

    pub(super) fn refresh_rates(&self) {
        let (now, tally) = (self.elapsed.get(), self.hub.tally());
        tally.set_overloaded(self.tenant.events.refresh(now, || tally.take_broadcasts()));
        self.tenant.presence.refresh(now, || tally.take_presence());
    }

    pub(super) fn flush(&self) {
        let now = self.elapsed.get();
        let due: Vec<_> = self
            .flushes
            .borrow_mut()
            .extract_if(.., |(at, _)| *at <= now)
            .collect();
        for (_, topic) in due {
            let again = topic.flush_presence(now);
            self.schedule(&topic, again);
        }
    }

    pub(super) fn schedule(&self, topic: &Arc<Topic>, flush_at: Option<Duration>) {
        self.flushes
            .borrow_mut()
            .extend(flush_at.map(|at| (at, topic.clone())));
    }

    pub(super) fn note(&self, fanout: Fanout) {
        self.overloaded.borrow_mut().extend(fanout.overloaded);
    }

    /// The next scripted answer to a waiting request.
    pub(super) fn next_answer(&self) -> Option<(Client, Completion)> {
        let script = self.script.borrow();
        let mut requests = self.requests.borrow_mut();
        let at = requests.iter().position(|(_, request)| match request {
            Request::Authorize { .. } => script.policies.is_some(),
            Request::SubscribeChanges { .. } => script.changes.is_some(),
            Request::Replay { .. } => script.messages.is_some(),
            Request::AwaitReplication { .. } => script.is_replicating,
        })?;
        let (client, request) = requests.remove(at)?;
        let answer = match request {
            Request::Authorize {
                ticket,
                probe,
                topic,
                claims,
                ..
            } => {
                let grants = script.policies.as_ref()?(&topic, &claims).map(|grants| asked(grants, probe));
                Completion::Authorized(ticket, grants)
            }
            Request::SubscribeChanges { ticket, .. } => {
                Completion::ChangesSubscribed(ticket, script.changes?())
            }
            Request::Replay { ticket, .. } => Completion::Replayed(ticket, script.messages.clone()?),
            Request::AwaitReplication { ticket } => Completion::ReplicationReady(ticket),
        };
        Some((client, answer))
    }
}

/// The part of `grants` that `probe` asks for.
fn asked(grants: Grants, probe: Probe) -> Grants {
    let Grants {
        broadcast_read,
        broadcast_write,
        presence_read,
        presence_write,
    } = grants;
    let presence_read = |wanted: bool| presence_read.filter(|_| wanted);
    match probe {
        Probe::Read { presence } => Grants {
            broadcast_read,
            presence_read: presence_read(presence),
            ..Grants::default()
        },
        Probe::Write {
            presence_read: wanted,
        } => Grants {
            broadcast_write,
            presence_write,
            presence_read: presence_read(wanted),
            ..Grants::default()
        },
    }
}

impl Post {
    pub(super) fn take(&self) -> Option<(WorkerId, Delivery)> {
        self.0
            .lock()
            .expect("nothing panics while it holds the post")
            .pop_front()
    }
}

impl Courier for Post {
    fn deliver(&self, worker: WorkerId, delivery: Delivery) {
        self.0
            .lock()
            .expect("nothing panics while it holds the post")
            .push_back((worker, delivery));
    }
}
