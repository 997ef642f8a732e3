//! A join: the checks in their order, the waits, the reply and what follows it. Source: join.md.

use std::sync::Arc;

use phoenix_wire::close::CloseReason;
use phoenix_wire::encode::{self, Status};
use phoenix_wire::payload::{JoinPayload, RawBinding, Replay, TokenChoice};
use phoenix_wire::refusal::{self, JoinRefusal, Shutdown};
use phoenix_wire::{Incoming, Name, Payload, Ref, RefView, event, payload};

use super::open::{Changes, Open, OpenConfig};
use super::{Backlog, Channel, Context, Ending, Fate, Phase, closed, sub_topic};
use crate::broadcast::Replayed;
use crate::effects::{
    AuthorizeFailure, ChangesOutcome, Completion, Effects, Grants, Probe, Request, Ticket, TopicName,
};
use crate::refusal::{join_refusal_of_check, join_refusal_of_token};
use crate::tenant::Token;
use crate::timer::{Deadline, Timer};

/// A join that passed its first checks and waits for the database.
#[derive(Debug)]
pub(super) struct Joining<S> {
    payload: JoinPayload,
    token: Token,
    replaced: Option<Ref>,
    grants: Grants,
    replay: Option<Replaying<S>>,
    changes: Option<Changes>,
    notice: Option<Notice>,
    awaited: Ticket,
}

/// Messages of the past, and the subscription that has to be there before they are read: what is published meanwhile
/// waits, and is told from what is replayed by its id.
#[derive(Debug)]
struct Replaying<S> {
    subscription: S,
    messages: Vec<Replayed>,
}

/// A join that was refused and waits for its answer.
#[derive(Debug)]
pub(super) struct Refused {
    refusal: JoinRefusal,
    replaced: Option<Ref>,
    /// When the answer is sent.
    deadline: Option<Deadline>,
}

impl Refused {
    fn new(refusal: JoinRefusal, replaced: Option<Ref>) -> Box<Self> {
        Box::new(Self {
            refusal,
            replaced,
            deadline: None,
        })
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }
}

/// The `system` message about changes that follows the reply.
#[derive(Debug)]
pub(super) enum Notice {
    Subscribed,
    Gap,
    Failed(String),
}

impl<S> Joining<S> {
    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.awaited == ticket
    }

    pub(super) fn abandon<E: Effects<Subscription = S>>(self, fx: &mut E) {
        if let Some(replay) = self.replay {
            fx.unsubscribe(replay.subscription);
        }
        if let Some(changes) = self.changes {
            fx.forget_changes(changes.ticket);
        }
    }
}

impl<S> Channel<S> {
    /// A channel about to be joined with `message`.
    pub(crate) fn new(serial: u32, message: &Incoming<'_>, replaced: Option<Ref>) -> Self {
        Self {
            serial,
            join_ref: message.join_ref.to_ref(),
            reference: message.reference.to_ref(),
            phase: Phase::Refused(Refused::new(JoinRefusal::Unknown, replaced)),
            backlog: Backlog::default(),
        }
    }

    /// Runs the checks that need nobody else, then asks for what does. `channels` are the socket's others.
    pub(crate) fn begin<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        message: &Incoming<'_>,
        connection_token: &Token,
        channels: usize,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        match check(topic, message, connection_token, channels, cx) {
            Ok((payload, token)) => {
                let replaced = self.replaced();
                let private = payload.private;
                let joining = Box::new(Joining {
                    payload,
                    token,
                    replaced,
                    grants: Grants::default(),
                    replay: None,
                    changes: None,
                    notice: None,
                    awaited: cx.next_ticket(),
                });
                if private {
                    cx.fx.request(Request::Authorize {
                        ticket: joining.awaited,
                        topic: sub_topic(topic).into(),
                        claims: joining.token.claims().clone(),
                        headers: cx.headers.clone(),
                        probe: Probe::Read {
                            presence: joining.presence_enabled(cx),
                        },
                    });
                    self.phase = Phase::Joining(joining);
                    Fate::Stays
                } else {
                    self.subscribe_changes(topic, joining, cx)
                }
            }
            Err(refusal) => self.refuse(refusal, cx),
        }
    }

    /// The next step of a join, after something it waited for.
    pub(super) fn continue_join<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        done: Completion,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let refused = Phase::Refused(Refused::new(JoinRefusal::Unknown, None));
        let Phase::Joining(mut joining) = std::mem::replace(&mut self.phase, refused) else {
            return Fate::Stays;
        };
        match done {
            Completion::Authorized(_, outcome) => {
                match outcome.map_err(|failure| failure_refusal(failure, topic)) {
                    Ok(grants) => match joining.refusal_of_grants(&grants, topic) {
                        None => {
                            joining.grants = grants;
                            self.read_replay(topic, joining, cx)
                        }
                        Some(refusal) => self.refuse_joining(*joining, refusal, cx),
                    },
                    Err(refusal) => self.refuse_joining(*joining, refusal, cx),
                }
            }
            Completion::ChangesSubscribed(_, outcome) => {
                match outcome {
                    ChangesOutcome::Live | ChangesOutcome::LiveAfterGap | ChangesOutcome::Incomplete(_) => {
                        joining.notice = Some(Notice::Subscribed);
                    }
                    ChangesOutcome::Rejected(text) => {
                        joining.notice = Some(Notice::Failed(text));
                    }
                    ChangesOutcome::Unavailable => {
                        return self.refuse_joining(*joining, JoinRefusal::UnableToConnectToProject, cx);
                    }
                }
                self.open(topic, *joining, cx)
            }
            Completion::Replayed(_, Some(messages)) => {
                if let Some(replay) = &mut joining.replay {
                    replay.messages = messages;
                }
                self.subscribe_changes(topic, joining, cx)
            }
            Completion::Replayed(_, None) => self.refuse_joining(*joining, JoinRefusal::ReplayFailed, cx),
            // Only open channels await it.
            Completion::ReplicationReady(_) => {
                self.phase = Phase::Joining(joining);
                Fate::Stays
            }
        }
    }

    /// Asks for the messages of the past, if the join does. From here on nothing is missed.
    fn read_replay<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        mut joining: Box<Joining<S>>,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let Replay::Window { since_ms, limit } = joining.payload.broadcast.replay else {
            return self.subscribe_changes(topic, joining, cx);
        };
        let name = TopicName {
            private: joining.payload.private,
            name: sub_topic(topic),
        };
        let subscription = cx.fx.subscribe_held(name, cx.version);
        set_reads(&subscription, &joining.grants, cx.fx);
        joining.replay = Some(Replaying {
            subscription,
            messages: Vec::new(),
        });
        joining.awaited = cx.next_ticket();
        cx.fx.request(Request::Replay {
            ticket: joining.awaited,
            topic: name.name.into(),
            since_ms,
            limit,
        });
        self.phase = Phase::Joining(joining);
        Fate::Stays
    }

    /// Subscribes to Postgres changes where bindings ask for it; the reply waits until they are live.
    fn subscribe_changes<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        mut joining: Box<Joining<S>>,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let bindings = joining.bindings(topic);
        if bindings.is_empty() {
            return self.open(topic, *joining, cx);
        }
        let ticket = cx.next_ticket();
        let changes = Changes {
            ticket,
            pending: None,
            is_outdated: false,
            legacy: joining.payload.legacy,
            bindings,
        };
        joining.awaited = ticket;
        cx.fx.request(Request::SubscribeChanges {
            ticket,
            replaces: None,
            topic: topic.into(),
            bindings: changes.bindings.clone(),
            legacy: changes.legacy,
            claims: joining.token.claims().clone(),
        });
        joining.changes = Some(changes);
        self.phase = Phase::Joining(joining);
        Fate::Stays
    }

    /// Everything is settled: subscribe, reply, and send what follows in the order of join.md, section 7.
    fn open<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        joining: Joining<S>,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let presence_enabled = joining.presence_enabled(cx);
        let Joining {
            payload,
            token,
            replaced,
            grants,
            replay,
            changes,
            notice,
            ..
        } = joining;
        let name = TopicName {
            private: payload.private,
            name: sub_topic(topic),
        };
        let (mut subscription, replayed) = match replay {
            Some(replay) => (replay.subscription, Some(replay.messages)),
            None => (cx.fx.subscribe(name, cx.version), None),
        };
        if payload.private {
            set_reads(&subscription, &grants, cx.fx);
        }
        if !std::mem::replace(cx.counted, true) {
            cx.tenant.add_user();
        }

        let bindings = changes.as_ref().map(Changes::echo).unwrap_or_default();
        let response = payload::join_ok(&bindings);
        let (join_ref, reference) = (self.join_ref.as_view(), self.reference.as_view());
        cx.fx.send(encode::reply(
            cx.version,
            join_ref,
            reference,
            &Name::text(topic),
            Status::Ok,
            &response,
        ));
        if let Some(old) = &replaced {
            cx.fx.send(closed(cx.version, topic, old));
        }
        let is_complete = match replayed {
            Some(messages) => self.replay(topic, messages, &mut subscription, cx),
            None => true,
        };
        if let Some(notice) = &notice {
            self.notify_changes(topic, notice, cx);
        }

        let config = OpenConfig {
            private: payload.private,
            ack: payload.broadcast.ack,
            self_: payload.broadcast.self_,
            presence_key: payload.presence.key,
        };
        let changes = changes.filter(|_| !is_failed(&notice));
        let mut open = Open::new(self.serial, config, subscription, token, grants, changes);
        open.arm_token_timer(cx);
        if payload.broadcast.replication_ready {
            if cx.fx.is_replicating() {
                self.notify_replication(topic, cx);
            } else {
                open.await_replication(cx);
            }
        }
        let fate = if !is_complete {
            Fate::Ends(Ending::Crashed)
        } else if presence_enabled && (!open.is_private() || grants.presence_read == Some(true)) {
            self.send_presence_state(topic, &open, cx)
        } else {
            Fate::Stays
        };
        self.phase = Phase::Open(Box::new(open));
        fate
    }

    /// Sends the messages of the past, then what has been published since they were asked for. Returns whether that is all
    /// of it.
    fn replay<E: Effects<Subscription = S>>(
        &self,
        topic: &str,
        messages: Vec<Replayed>,
        subscription: &mut S,
        cx: &mut Context<'_, E>,
    ) -> bool {
        for message in &messages {
            if let Some(frame) = message.encode(cx.version, self.push_ref().as_view(), topic) {
                cx.fx.send(frame);
            }
        }
        let ids = messages.into_iter().map(|message| message.id).collect();
        cx.fx.release(subscription, ids)
    }

    fn send_presence_state<E: Effects<Subscription = S>>(
        &self,
        topic: &str,
        open: &Open<S>,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        if cx.tenant.presence.is_above() {
            return Fate::Ends(Ending::Shutdown(Shutdown::TooManyPresenceMessages));
        }
        cx.fx.count_presence();
        let state = cx.fx.presence_state(&open.subscription);
        let join_ref = self.push_ref().as_view();
        cx.fx.send(encode::message(
            cx.version,
            join_ref,
            RefView::NULL,
            topic,
            event::PRESENCE_STATE,
            &state,
        ));
        Fate::Stays
    }

    /// Tells the channel how its subscription to changes stands.
    pub(super) fn notify_changes<E: Effects<Subscription = S>>(
        &self,
        topic: &str,
        notice: &Notice,
        cx: &mut Context<'_, E>,
    ) {
        let (ok, text) = match notice {
            Notice::Subscribed => (true, refusal::SUBSCRIBED),
            Notice::Gap => (true, payload::changes::GAP),
            Notice::Failed(text) => (false, text.as_str()),
        };
        let message = payload::system("postgres_changes", ok, text, Some(sub_topic(topic)));
        self.send_system(topic, &message, cx);
    }

    /// Tells the channel that broadcasts from the database flow.
    pub(super) fn notify_replication<E: Effects<Subscription = S>>(
        &self,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) {
        let message = payload::system(
            refusal::SYSTEM_EXTENSION,
            true,
            refusal::REPLICATION_ESTABLISHED,
            Some(sub_topic(topic)),
        );
        self.send_system(topic, &message, cx);
    }

    fn send_system<E: Effects<Subscription = S>>(&self, topic: &str, message: &str, cx: &mut Context<'_, E>) {
        let join_ref = self.push_ref().as_view();
        cx.fx.send(encode::message(
            cx.version,
            join_ref,
            RefView::NULL,
            topic,
            event::SYSTEM,
            message,
        ));
    }

    fn refuse<E: Effects<Subscription = S>>(
        &mut self,
        refusal: JoinRefusal,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let replaced = self.replaced();
        let mut refused = Refused::new(refusal, replaced);
        refused.deadline = Some(cx.arm(cx.tenant.policy().refusal_delay, self.serial, Timer::Refusal));
        self.phase = Phase::Refused(refused);
        Fate::Stays
    }

    fn refuse_joining<E: Effects<Subscription = S>>(
        &mut self,
        mut joining: Joining<S>,
        refusal: JoinRefusal,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let replaced = joining.replaced.take();
        joining.abandon(cx.fx);
        self.phase = Phase::Refused(Refused::new(JoinRefusal::Unknown, replaced));
        self.refuse(refusal, cx)
    }

    /// The pause after a refusal is over.
    pub(crate) fn send_refusal<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        let Phase::Refused(refused) = &self.phase else {
            return Fate::Stays;
        };
        let response = refused.refusal.response();
        let (join_ref, reference) = (self.join_ref.as_view(), self.reference.as_view());
        cx.fx.send(encode::reply(
            cx.version,
            join_ref,
            reference,
            &Name::text(topic),
            Status::Error,
            &response,
        ));
        if let Some(old) = &refused.replaced {
            cx.fx.send(closed(cx.version, topic, old));
        }
        if refused.refusal.closes_socket() {
            cx.fx.close(CloseReason::Refused);
        }
        Fate::Ends(Ending::Refused)
    }

    /// The join_ref of the channel's own frames: the join's `ref` stands in for one that is null.
    pub(super) fn push_ref(&self) -> &Ref {
        if self.join_ref.is_null() {
            &self.reference
        } else {
            &self.join_ref
        }
    }

    fn replaced(&mut self) -> Option<Ref> {
        match &mut self.phase {
            Phase::Refused(refused) => refused.replaced.take(),
            Phase::Joining(joining) => joining.replaced.take(),
            Phase::Open(_) => None,
        }
    }
}

impl<S> Joining<S> {
    fn presence_enabled<E>(&self, cx: &Context<'_, E>) -> bool {
        self.payload.presence.enabled || cx.tenant.policy().presence_enabled
    }

    /// The checks of a private join that need its grants: join.md, section 4, steps 10 to 12.
    fn refusal_of_grants(&self, grants: &Grants, topic: &str) -> Option<JoinRefusal> {
        let replay = self.payload.broadcast.replay;
        let replay_denied = replay.is_present() && grants.broadcast_read != Some(true);
        if !grants.reads_anything() || replay_denied {
            return Some(JoinRefusal::Unauthorized {
                topic: sub_topic(topic).to_owned(),
            });
        }
        match replay {
            Replay::Absent | Replay::Ignored | Replay::Window { .. } => None,
            Replay::Invalid => Some(JoinRefusal::ReplayParamsInvalid),
        }
    }

    /// The bindings with their ids. A join without `config` is itself one binding, named by its topic.
    fn bindings(&self, topic: &str) -> Arc<[(RawBinding, u32)]> {
        let with_id = |binding: RawBinding| {
            let id = payload::binding_id(binding.as_str());
            (binding, id)
        };
        if self.payload.legacy {
            [with_id(RawBinding::of_topic(sub_topic(topic)))].into()
        } else {
            self.payload.changes.iter().cloned().map(with_id).collect()
        }
    }
}

/// The checks of join.md, section 4, up to and including the token.
fn check<E: Effects>(
    topic: &str,
    message: &Incoming<'_>,
    connection_token: &Token,
    channels: usize,
    cx: &mut Context<'_, E>,
) -> Result<(JoinPayload, Token), JoinRefusal> {
    if sub_topic(topic).is_empty() {
        return Err(JoinRefusal::TopicNameRequired);
    }
    let Payload::Json(json) = &message.payload else {
        return Err(JoinRefusal::Exception(
            "the join payload must be a JSON object".to_owned(),
        ));
    };
    let payload = JoinPayload::parse(json).map_err(|shape| JoinRefusal::Exception(shape.to_string()))?;
    let policy = cx.tenant.policy();
    if cx.tenant.is_draining() {
        return Err(JoinRefusal::RealtimeRestarting);
    }
    if policy.private_only && !payload.private {
        return Err(JoinRefusal::PrivateOnly);
    }
    if !*cx.counted && cx.tenant.is_full() {
        return Err(JoinRefusal::TooManyConnectedUsers);
    }
    if cx.tenant.joins.refresh(cx.now.elapsed, || 0) {
        return Err(JoinRefusal::TooManyJoins);
    }
    cx.tenant.joins.add(1);
    if policy.channels_per_client_max.is_some_and(|max| channels >= max) {
        return Err(JoinRefusal::TooManyChannels);
    }
    let token = choose_token(&payload.token, connection_token, cx)?;
    if !payload.private && payload.broadcast.replay.is_present() {
        return Err(JoinRefusal::ReplayOnPublicChannel);
    }
    Ok((payload, token))
}

/// The token the channel runs on, verified now. That of the connection was verified once; only time can undo it.
fn choose_token<E>(
    choice: &TokenChoice,
    connection: &Token,
    cx: &Context<'_, E>,
) -> Result<Token, JoinRefusal> {
    match choice {
        TokenChoice::Own(text) if text != connection.text() => cx
            .tenant
            .verify(text, cx.now.unix_seconds())
            .map_err(|error| join_refusal_of_token(&error)),
        TokenChoice::Own(_) | TokenChoice::Connection => {
            let seconds_ago = cx.now.unix_seconds() - connection.claims().exp();
            if seconds_ago >= 0 {
                return Err(JoinRefusal::TokenExpired { seconds_ago });
            }
            Ok(connection.clone())
        }
    }
}

/// Tells the driver what a member of a private channel may read.
pub(super) fn set_reads<E: Effects>(subscription: &E::Subscription, grants: &Grants, fx: &mut E) {
    let broadcasts = grants.broadcast_read == Some(true);
    fx.set_reads(subscription, broadcasts, grants.presence_read == Some(true));
}

fn failure_refusal(failure: AuthorizeFailure, topic: &str) -> JoinRefusal {
    join_refusal_of_check(failure, sub_topic(topic))
}

fn is_failed(notice: &Option<Notice>) -> bool {
    matches!(notice, Some(Notice::Failed(_)))
}
