//! One channel of a socket, from its join to its end.
//!
//! ```text
//!              begin
//!                │
//!        ┌───────┴────────┐
//!        ▼                ▼ a check failed
//!     Joining ────────► Refused ──timer──► error reply, gone
//!        │   failed
//!        │ nothing left to wait for
//!        ▼
//!      Open ──► gone: left, replaced, shut down (system + phx_close) or crashed (phx_error)
//! ```
//!
//! A channel is *busy* while it is Joining or Refused, or while an Open one waits for a permission check. Messages for
//! a busy channel wait in its [`Backlog`].

mod backlog;
mod broadcast;
mod join;
mod open;
mod presence;
mod token;

use std::sync::Arc;
use std::time::Duration;

use phoenix_wire::encode::{self, Status};
use phoenix_wire::refusal::{self, Shutdown};
use phoenix_wire::{Incoming, MessageKind, Name, Ref, RefView, Version, event, payload};

pub(crate) use self::backlog::Backlog;
use self::join::{Joining, Refused};
use self::open::Open;
use crate::effects::{Completion, Effects, Ticket};
use crate::session::Now;
use crate::tenant::Tenant;
use crate::timer::{Deadline, Timer, TimerTable};

/// A channel of one socket.
#[derive(Debug)]
pub(crate) struct Channel<S> {
    serial: u32,
    join_ref: Ref,
    /// `ref` of the join: what stands in for a null join_ref in the channel's own frames.
    reference: Ref,
    phase: Phase<S>,
    backlog: Backlog,
}

#[derive(Debug)]
enum Phase<S> {
    Joining(Box<Joining<S>>),
    Refused(Box<Refused>),
    Open(Box<Open<S>>),
}

/// What became of a channel by an event.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It goes on.
    Stays,
    /// It is over.
    Ends(Ending),
}

/// How a channel ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The join was refused and the refusal has been sent.
    Refused,
    /// The client left with a message of this `ref`.
    Left(Ref),
    /// The server ends it: a `system` error, then `phx_close`.
    Shutdown(Shutdown),
    /// The channel cannot go on: `phx_error`, after which clients rejoin.
    Crashed,
}

/// What channels share with their session while they handle an event.
pub(crate) struct Context<'a, E> {
    pub(crate) now: Now,
    pub(crate) version: Version,
    pub(crate) headers: &'a Arc<str>,
    pub(crate) tenant: &'a Tenant,
    pub(crate) timers: &'a mut TimerTable,
    pub(crate) tickets: &'a mut u64,
    pub(crate) counted: &'a mut bool,
    pub(crate) fx: &'a mut E,
}

impl<S> Channel<S> {
    /// The deadlines that count: others of this channel in the timer table have been overtaken.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Deadline> + use<S> {
        match &self.phase {
            Phase::Joining(_) => [None, None],
            Phase::Refused(refused) => [refused.deadline(), None],
            Phase::Open(open) => open.deadlines(),
        }
        .into_iter()
        .flatten()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.phase, Phase::Refused(_))
    }

    /// Whether messages for the channel have to wait.
    pub(crate) fn is_busy(&self) -> bool {
        match &self.phase {
            Phase::Joining(_) | Phase::Refused(_) => true,
            Phase::Open(open) => open.is_busy(),
        }
    }

    pub(crate) fn backlog(&mut self) -> &mut Backlog {
        &mut self.backlog
    }

    pub(crate) fn member<E: Effects<Subscription = S>>(&self, fx: &E) -> Option<u64> {
        match &self.phase {
            Phase::Open(open) => Some(fx.member(&open.subscription)),
            Phase::Joining(_) | Phase::Refused(_) => None,
        }
    }

    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        match &self.phase {
            Phase::Joining(joining) => joining.awaits(ticket),
            Phase::Open(open) => open.awaits(ticket),
            Phase::Refused(_) => false,
        }
    }

    pub(crate) fn has_changes(&self, ticket: Ticket) -> bool {
        matches!(&self.phase, Phase::Open(open) if open.has_changes(ticket))
    }

    /// A message for this channel, which is open and not busy.
    pub(crate) fn handle<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        kind: MessageKind,
        bytes: &[u8],
        message: &Incoming<'_>,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        if message.event.as_text() == Some(event::LEAVE) {
            return self.leave(message);
        }
        let Phase::Open(open) = &mut self.phase else {
            return Fate::Stays;
        };
        let join_ref = if self.join_ref.is_null() {
            &self.reference
        } else {
            &self.join_ref
        };
        let mut reply = Reply {
            to: message,
            join_ref: join_ref.as_view(),
            version: cx.version,
        };
        let fate = match message.event.as_text() {
            Some(event::BROADCAST) => open.broadcast(&mut reply, topic, cx),
            Some(event::PRESENCE) => open.presence(&mut reply, topic, cx),
            Some(event::ACCESS_TOKEN) => open.access_token(message, topic, cx),
            _ => {
                cx.fx.count_event();
                Fate::Stays
            }
        };
        if open.is_checking_write() {
            self.backlog.push_front(kind, bytes);
        }
        fate
    }

    /// Only `phx_leave` cares about its join_ref: a stale one is left over from an earlier join and gets no answer.
    ///
    /// Neither does a null one from clients that repeat the join's `ref` as join_ref; those that number joins apart
    /// (supabase-kt) leave without a join_ref and are heard.
    fn leave(&self, message: &Incoming<'_>) -> Fate {
        let numbers_joins_apart = self.join_ref != self.reference;
        if self.join_ref == message.join_ref || (message.join_ref.is_null() && numbers_joins_apart) {
            Fate::Ends(Ending::Left(message.reference.to_ref()))
        } else {
            Fate::Stays
        }
    }

    /// Requested work is done.
    pub(crate) fn complete<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        done: Completion,
        cx: &mut Context<'_, E>,
    ) -> Fate {
        match self.phase {
            Phase::Joining(_) => self.continue_join(topic, done, cx),
            Phase::Open(_) => self.complete_open(topic, done, cx),
            Phase::Refused(_) => Fate::Stays,
        }
    }

    /// The end of the channel as its client sees it.
    pub(crate) fn end<E: Effects<Subscription = S>>(
        self,
        topic: &str,
        ending: Ending,
        cx: &mut Context<'_, E>,
    ) {
        let join_ref = self.join_ref.clone();
        let push_ref = if join_ref.is_null() {
            self.reference.clone()
        } else {
            join_ref.clone()
        };
        self.abandon(cx.fx);
        let version = cx.version;
        match ending {
            Ending::Refused => {}
            Ending::Left(reference) => {
                let name = Name::text(topic);
                cx.fx.send(encode::reply(
                    version,
                    push_ref.as_view(),
                    reference.as_view(),
                    &name,
                    Status::Ok,
                    "{}",
                ));
                cx.fx.send(closed(version, topic, &join_ref));
            }
            Ending::Shutdown(reason) => {
                let text = payload::system("system", false, &reason.message(), Some(sub_topic(topic)));
                let null = RefView::NULL;
                cx.fx.send(encode::message(
                    version,
                    push_ref.as_view(),
                    null,
                    topic,
                    event::SYSTEM,
                    &text,
                ));
                cx.fx.send(closed(version, topic, &join_ref));
            }
            Ending::Crashed => {
                let view = join_ref.as_view();
                cx.fx.send(encode::message(
                    version,
                    view,
                    view,
                    topic,
                    event::ERROR,
                    refusal::CHANNEL_CRASH,
                ));
            }
        }
    }

    /// Gives the topic up to a new join; returns the join_ref for the `phx_close` that follows the new join's reply.
    pub(crate) fn replace<E: Effects<Subscription = S>>(self, fx: &mut E) -> Ref {
        let join_ref = self.join_ref.clone();
        self.abandon(fx);
        join_ref
    }

    /// Lets go of everything outside the session.
    pub(crate) fn abandon<E: Effects<Subscription = S>>(self, fx: &mut E) {
        match self.phase {
            Phase::Joining(joining) => joining.abandon(fx),
            Phase::Open(open) => open.abandon(fx),
            Phase::Refused(_) => {}
        }
    }
}

/// The way back to whoever sent a message.
struct Reply<'a> {
    to: &'a Incoming<'a>,
    join_ref: RefView<'a>,
    version: Version,
}

impl Reply<'_> {
    fn send<E: Effects>(&self, status: Status, response: &str, fx: &mut E) {
        let to = self.to;
        fx.send(encode::reply(
            self.version,
            self.join_ref,
            to.reference,
            &to.topic,
            status,
            response,
        ));
    }
}

impl<E> Context<'_, E> {
    fn next_ticket(&mut self) -> Ticket {
        *self.tickets += 1;
        Ticket(*self.tickets)
    }

    /// Arms `timer` of the channel with this serial; the channel has to remember the deadline for it to count.
    fn arm(&mut self, after: Duration, serial: u32, timer: Timer) -> Deadline {
        let deadline = Deadline {
            at: self.now.elapsed + after,
            serial,
            timer,
        };
        self.timers.arm(deadline);
        deadline
    }
}

/// The topic without `realtime:`.
fn sub_topic(topic: &str) -> &str {
    topic.strip_prefix(event::TOPIC_PREFIX).unwrap_or(topic)
}

/// `phx_close` carries the join_ref in both places: clients drop it otherwise.
fn closed(version: Version, topic: &str, join_ref: &Ref) -> websocket::Frame {
    encode::message(
        version,
        join_ref.as_view(),
        join_ref.as_view(),
        topic,
        event::CLOSE,
        "{}",
    )
}
