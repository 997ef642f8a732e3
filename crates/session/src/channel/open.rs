//! A joined channel: what it remembers, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use phoenix_wire::payload::broadcast::Sender;
use phoenix_wire::payload::{self, PresenceKey, RawBinding};

use super::join::{Notice, set_reads};
use super::token::Refresh;
use super::{Channel, Context, Ending, Fate, Phase};
use crate::effects::{ChangesOutcome, Completion, Effects, Grants, Probe, Request, Ticket};
use crate::limits::CallWindow;
use crate::tenant::Token;
use crate::timer::{Deadline, Timer};

/// A joined channel. `S` is the driver's subscription handle.
#[derive(Debug)]
pub(super) struct Open<S> {
    pub(super) serial: u32,
    pub(super) subscription: S,
    pub(super) config: OpenConfig,
    pub(super) token: Token,
    pub(super) grants: Grants,
    pub(super) presence_calls: CallWindow,
    pub(super) changes: Option<Changes>,
    /// When the token is looked at.
    pub(super) token_deadline: Option<Deadline>,
    /// Until the channel is told that broadcasts from the database flow, if it asked for that.
    replication: Option<Replication>,
    waiting: Option<Waiting>,
}

/// What the join settled for the life of the channel.
#[derive(Debug)]
pub(super) struct OpenConfig {
    pub(super) private: bool,
    pub(super) ack: bool,
    pub(super) self_: bool,
    pub(super) presence_key: PresenceKey,
}

/// A channel's subscription to Postgres changes.
#[derive(Debug)]
pub(super) struct Changes {
    /// Names the live subscription.
    pub(super) ticket: Ticket,
    /// Names the one that is to replace it, with the claims of a new token.
    pub(super) pending: Option<Ticket>,
    /// There is a newer token than the one behind `pending`.
    pub(super) is_outdated: bool,
    pub(super) legacy: bool,
    pub(super) bindings: Arc<[(RawBinding, u32)]>,
}

/// A channel that is to be told when broadcasts from the database flow.
#[derive(Debug)]
struct Replication {
    ticket: Ticket,
    /// When it gives up on them.
    deadline: Deadline,
}

/// What an open channel waits for before it handles further messages.
#[derive(Debug)]
enum Waiting {
    /// Whether its member may write.
    WriteCheck(Ticket),
    /// What its member may read with a new token.
    Refresh(Ticket, Refresh),
}

impl<S> Open<S> {
    pub(super) fn new(
        serial: u32,
        config: OpenConfig,
        subscription: S,
        token: Token,
        grants: Grants,
        changes: Option<Changes>,
    ) -> Self {
        let presence_calls = CallWindow::default();
        Self {
            serial,
            subscription,
            config,
            token,
            grants,
            presence_calls,
            changes,
            token_deadline: None,
            replication: None,
            waiting: None,
        }
    }

    pub(super) fn deadlines(&self) -> [Option<Deadline>; 2] {
        let replication = self.replication.as_ref();
        [
            self.token_deadline,
            replication.map(|replication| replication.deadline),
        ]
    }

    pub(super) fn is_private(&self) -> bool {
        self.config.private
    }

    pub(super) fn sender(&self) -> Sender {
        if self.config.self_ {
            Sender::Included
        } else {
            Sender::Excluded
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn is_checking_write(&self) -> bool {
        matches!(self.waiting, Some(Waiting::WriteCheck(_)))
    }

    pub(super) fn is_refreshing(&self) -> bool {
        matches!(self.waiting, Some(Waiting::Refresh(..)))
    }

    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        let waits = match &self.waiting {
            Some(Waiting::WriteCheck(awaited) | Waiting::Refresh(awaited, _)) => *awaited == ticket,
            None => false,
        };
        let awaits_replication = self
            .replication
            .as_ref()
            .is_some_and(|replication| replication.ticket == ticket);
        waits || awaits_replication || self.has_changes(ticket)
    }

    pub(super) fn has_changes(&self, ticket: Ticket) -> bool {
        self.changes
            .as_ref()
            .is_some_and(|changes| changes.ticket == ticket || changes.pending == Some(ticket))
    }

    /// Asks to be told when broadcasts from the database flow.
    pub(super) fn await_replication<E: Effects<Subscription = S>>(&mut self, cx: &mut Context<'_, E>) {
        let ticket = cx.next_ticket();
        let deadline = cx.arm(REPLICATION_TIMEOUT, self.serial, Timer::Replication);
        self.replication = Some(Replication { ticket, deadline });
        cx.fx.request(Request::AwaitReplication { ticket });
    }

    /// Asks what the member may write; the message at hand waits for the answer.
    pub(super) fn check_write<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        presence_read: bool,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let ticket = cx.next_ticket();
        self.authorize(ticket, topic, &self.token, Probe::Write { presence_read }, cx);
        self.waiting = Some(Waiting::WriteCheck(ticket));
        Fate::Stays
    }

    /// Asks what the member may read with a new token.
    pub(super) fn check_refresh<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        refresh: Refresh,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let ticket = cx.next_ticket();
        let presence = self.grants.presence_read.is_some();
        self.authorize(ticket, topic, &refresh.token, Probe::Read { presence }, cx);
        self.waiting = Some(Waiting::Refresh(ticket, refresh));
        Fate::Stays
    }

    fn authorize<E: Effects<Subscription = S>>(
        &self,
        ticket: Ticket,
        topic: &str,
        token: &Token,
        probe: Probe,
        cx: &mut Context<'_, E>,
    ) {
        let topic = super::sub_topic(topic).into();
        cx.fx.request(Request::Authorize {
            ticket,
            topic,
            claims: token.claims().clone(),
            headers: cx.headers.clone(),
            probe,
        });
    }

    /// Tells the driver what may be read now.
    pub(super) fn apply_reads<E: Effects<Subscription = S>>(&self, fx: &mut E) {
        if self.config.private {
            set_reads(&self.subscription, &self.grants, fx);
        }
    }

    pub(super) fn abandon<E: Effects<Subscription = S>>(self, fx: &mut E) {
        if let Some(changes) = self.changes {
            fx.forget_changes(changes.ticket);
            if let Some(pending) = changes.pending {
                fx.forget_changes(pending);
            }
        }
        fx.unsubscribe(self.subscription);
    }
}

impl OpenConfig {
    /// The key the member is present under; made up on first use if the client gave none.
    pub(super) fn presence_key<E: Effects>(&mut self, fx: &mut E) -> &str {
        if let PresenceKey::Generated = self.presence_key {
            self.presence_key = PresenceKey::Given(fx.generate_key());
        }
        match &self.presence_key {
            PresenceKey::Given(key) => key,
            PresenceKey::Generated => "",
        }
    }
}

impl Changes {
    /// The bindings as the join reply echoes them.
    pub(super) fn echo(&self) -> Vec<String> {
        self.bindings
            .iter()
            .map(|(binding, id)| payload::binding_with_id(binding.as_str(), *id))
            .collect()
    }
}

impl<S> Channel<S> {
    pub(super) fn complete_open<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        done: Completion,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let Phase::Open(open) = &mut self.phase else {
            return Fate::Stays;
        };
        match done {
            Completion::Authorized(_, outcome) => match (open.waiting.take(), outcome) {
                (Some(Waiting::WriteCheck(_)), Ok(grants)) => {
                    open.grants = open.grants.merged(grants).decided_to_write();
                    open.apply_reads(cx.fx);
                    Fate::Stays
                }
                (Some(Waiting::WriteCheck(_)), Err(_)) => self.refuse_first_of_backlog(topic, cx),
                (Some(Waiting::Refresh(_, refresh)), outcome) => {
                    open.finish_refresh(topic, refresh, outcome, cx)
                }
                (None, _) => Fate::Stays,
            },
            Completion::ChangesSubscribed(ticket, outcome) => {
                let Some(changes) = open.changes.as_mut() else {
                    return Fate::Stays;
                };
                let is_awaited = changes.pending == Some(ticket);
                if is_awaited {
                    changes.pending = None;
                }
                let notice = match outcome {
                    ChangesOutcome::Live => {
                        changes.ticket = ticket;
                        Notice::Subscribed
                    }
                    ChangesOutcome::LiveAfterGap => Notice::Gap,
                    ChangesOutcome::Incomplete(text) => Notice::Failed(text),
                    ChangesOutcome::Rejected(text) => {
                        if is_awaited {
                            // The claims it stood on have been given up.
                            cx.fx.forget_changes(changes.ticket);
                            open.changes = None;
                        }
                        Notice::Failed(text)
                    }
                    ChangesOutcome::Unavailable => {
                        return Fate::Ends(Ending::Shutdown(
                            phoenix_wire::refusal::Shutdown::DatabaseUnavailable,
                        ));
                    }
                };
                let is_outdated =
                    is_awaited && open.changes.as_ref().is_some_and(|changes| changes.is_outdated);
                if is_outdated {
                    open.resubscribe_changes(topic, cx);
                }
                self.notify_changes(topic, &notice, cx);
                Fate::Stays
            }
            Completion::ReplicationReady(_) => {
                open.replication = None;
                self.notify_replication(topic, cx);
                Fate::Stays
            }
            // Only joins await it.
            Completion::Replayed(..) => Fate::Stays,
        }
    }
}

/// How long a channel that asked for it waits for broadcasts from the database to flow. Source: join.md, section 7.
const REPLICATION_TIMEOUT: Duration = Duration::from_secs(60);
