//! The connection: which message goes to which channel, and what answers it when there is none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use phoenix_wire::close::CloseReason;
use phoenix_wire::encode::Status;
use phoenix_wire::refusal::Shutdown;
use phoenix_wire::{Incoming, Malformed, MessageKind, Ref, RefView, Version, decode, encode, event, refusal};

use crate::channel::{Channel, Context, Ending, Fate};
use crate::effects::{Completion, Effects};
use crate::tenant::{Tenant, Token};
use crate::timer::{Timer, TimerTable};

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, since an epoch of the driver's choice. For timers.
    pub elapsed: Duration,
    /// Milliseconds since the Unix epoch. For the expiry of tokens.
    pub unix_ms: i64,
}

impl Now {
    /// Seconds since the Unix epoch.
    pub fn unix_seconds(&self) -> i64 {
        self.unix_ms.div_euclid(1000)
    }
}

/// What the handshake settled.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The serializer.
    pub version: Version,
    /// The token the socket connected with: default for every channel.
    pub token: Token,
    /// The headers of the handshake whose names begin with `x-`, for policies: a JSON object.
    pub headers: Arc<str>,
}

/// One socket. `S` is the driver's subscription handle.
#[derive(Debug)]
pub struct Session<S> {
    connection: Connection,
    tenant: Arc<Tenant>,
    channels: HashMap<Box<str>, Channel<S>, RandomState>,
    timers: TimerTable,
    serials: u32,
    tickets: u64,
    /// Since when there has been no channel, once there was one or the attempt at one.
    empty_since: Option<Duration>,
    /// Whether the socket counts among the tenant's users: from its first successful join on.
    counted: bool,
}

/// What became of a frame.
#[derive(Debug)]
pub enum FrameOutcome {
    /// It was a message, for better or worse.
    Handled,
    /// It was none: dropped without an answer, the socket stays (wire.md, section 7).
    Malformed(Malformed),
}

impl<S> Session<S> {
    /// A session without channels.
    pub fn new(connection: Connection, tenant: Arc<Tenant>) -> Self {
        Self {
            connection,
            tenant,
            channels: HashMap::default(),
            timers: TimerTable::default(),
            serials: 0,
            tickets: 0,
            empty_since: None,
            counted: false,
        }
    }

    /// What the handshake settled, of a session that has had no say yet: another may begin with it.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// The tenant it belongs to.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// The negotiated serializer.
    pub fn version(&self) -> Version {
        self.connection.version
    }

    /// The client sent a data frame.
    pub fn handle_frame<E: Effects<Subscription = S>>(
        &mut self,
        now: Now,
        kind: MessageKind,
        bytes: &[u8],
        fx: &mut E,
    ) -> FrameOutcome {
        match decode(self.connection.version, kind, bytes) {
            Ok(message) => {
                self.route(now, kind, bytes, &message, fx);
                FrameOutcome::Handled
            }
            Err(malformed) => FrameOutcome::Malformed(malformed),
        }
    }

    /// Requested work is done.
    pub fn handle_completion<E: Effects<Subscription = S>>(
        &mut self,
        now: Now,
        done: Completion,
        fx: &mut E,
    ) {
        let ticket = done.ticket();
        let Some(topic) = self.find(|channel| channel.awaits(ticket)) else {
            return;
        };
        let fate = self.with(&topic, now, fx, |channel, cx| channel.complete(&topic, done, cx));
        self.settle(now, &topic, fate, fx);
    }

    /// The time [`Session::next_timeout`] named has come.
    pub fn handle_timeout<E: Effects<Subscription = S>>(&mut self, now: Now, fx: &mut E) {
        while let Some(due) = self.timers.pop_due(now.elapsed) {
            let Some(topic) = self.find(|channel| channel.deadlines().any(|live| live == due)) else {
                continue;
            };
            let fate = self.with(&topic, now, fx, |channel, cx| match due.timer {
                Timer::Refusal => channel.send_refusal(&topic, cx),
                Timer::Token => channel.check_token(cx),
                Timer::Replication => Fate::Ends(Ending::Shutdown(Shutdown::ReplicationNotReady)),
            });
            self.settle(now, &topic, fate, fx);
        }
        if self.lonely_until().is_some_and(|end| end <= now.elapsed) {
            self.empty_since = None;
            fx.close(CloseReason::NoChannel);
        }
    }

    /// When [`Session::handle_timeout`] is to be called next.
    pub fn next_timeout(&self) -> Option<Duration> {
        match (self.timers.next(), self.lonely_until()) {
            (Some(timer), Some(end)) => Some(timer.min(end)),
            (timer, end) => timer.or(end),
        }
    }

    fn lonely_until(&self) -> Option<Duration> {
        self.empty_since.map(|since| since + NO_CHANNEL_TIMEOUT)
    }

    /// Ends one channel because the tenant sends too many messages; `member` received one of them.
    pub fn handle_overload<E: Effects<Subscription = S>>(&mut self, now: Now, member: u64, fx: &mut E) {
        let Some(topic) = self.find(|channel| channel.member(fx) == Some(member)) else {
            return;
        };
        self.settle(
            now,
            &topic,
            Fate::Ends(Ending::Shutdown(Shutdown::TooManyMessages)),
            fx,
        );
    }

    /// Whether that subscription to changes belongs to an open channel.
    pub fn has_changes(&self, ticket: crate::Ticket) -> bool {
        self.channels.values().any(|channel| channel.has_changes(ticket))
    }

    /// Tells every channel that the server wants the client to reconnect. The driver closes the socket with 1012.
    pub fn announce_disconnect<E: Effects<Subscription = S>>(&mut self, fx: &mut E) {
        let payload =
            phoenix_wire::payload::system("system", true, refusal::SERVER_REQUESTED_DISCONNECT, None);
        for topic in self
            .channels
            .iter()
            .filter(|(_, channel)| channel.is_open())
            .map(|(topic, _)| topic)
        {
            let null = RefView::NULL;
            fx.send(encode::message(
                self.connection.version,
                null,
                null,
                topic,
                event::SYSTEM,
                &payload,
            ));
        }
    }

    /// The socket is gone: leaves everything, tells nobody on this socket.
    pub fn end<E: Effects<Subscription = S>>(&mut self, fx: &mut E) {
        for (_, channel) in self.channels.drain() {
            channel.abandon(fx);
        }
        if std::mem::take(&mut self.counted) {
            self.tenant.remove_user();
        }
    }

    fn route<E: Effects<Subscription = S>>(
        &mut self,
        now: Now,
        kind: MessageKind,
        bytes: &[u8],
        message: &Incoming<'_>,
        fx: &mut E,
    ) {
        let Some(topic) = message.topic.as_text() else {
            return self.answer_unmatched(message, fx);
        };
        let name = message.event.as_text();
        if topic == event::PHOENIX_TOPIC && name == Some(event::HEARTBEAT) {
            return self.reply(RefView::NULL, message, Status::Ok, "{}", fx);
        }
        let Some(channel) = self.channels.get_mut(topic) else {
            return match name {
                Some(event::JOIN) => self.join(now, topic, message, None, fx),
                Some(event::LEAVE) => self.reply(message.join_ref, message, Status::Ok, "{}", fx),
                _ => self.answer_unmatched(message, fx),
            };
        };
        if channel.is_busy() {
            if !channel.backlog().push(kind, bytes) {
                self.answer_unmatched(message, fx);
            }
            return;
        }
        if name == Some(event::JOIN) {
            let replaced = self.channels.remove(topic).map(|old| old.replace(fx));
            return self.join(now, topic, message, replaced, fx);
        }
        let fate = self.with(topic, now, fx, |channel, cx| {
            channel.handle(topic, kind, bytes, message, cx)
        });
        self.settle(now, topic, fate, fx);
    }

    /// Starts a join. `replaced` is the join_ref of the channel that had the topic before.
    fn join<E: Effects<Subscription = S>>(
        &mut self,
        now: Now,
        topic: &str,
        message: &Incoming<'_>,
        replaced: Option<Ref>,
        fx: &mut E,
    ) {
        if !topic.starts_with(event::TOPIC_PREFIX) {
            return self.answer_unmatched(message, fx);
        }
        self.serials = self.serials.wrapping_add(1);
        let channels = self
            .channels
            .values()
            .filter(|channel| !channel.is_refused())
            .count();
        let refused = self.channels.len() - channels;
        let mut channel = Channel::new(self.serials, message, replaced);
        let connection = self.connection.clone();
        let mut cx = self.context(now, fx);
        let mut fate = channel.begin(topic, message, &connection.token, channels, &mut cx);
        if channel.is_refused() && refused >= REFUSALS_PENDING_MAX {
            fate = channel.send_refusal(topic, &mut cx);
        }
        self.channels.insert(topic.into(), channel);
        self.empty_since = None;
        self.settle(now, topic, fate, fx);
    }

    /// Applies what became of a channel, then lets the messages that waited for it pass.
    fn settle<E: Effects<Subscription = S>>(&mut self, now: Now, topic: &str, fate: Fate, fx: &mut E) {
        let backlog = match fate {
            Fate::Stays => {
                let Some(channel) = self.channels.get_mut(topic) else {
                    return;
                };
                if channel.is_busy() {
                    return;
                }
                channel.backlog().take()
            }
            Fate::Ends(ending) => {
                let Some(mut channel) = self.channels.remove(topic) else {
                    return;
                };
                let backlog = channel.backlog().take();
                let mut cx = self.context(now, fx);
                channel.end(topic, ending, &mut cx);
                if self.channels.is_empty() {
                    self.empty_since = Some(now.elapsed);
                }
                backlog
            }
        };
        self.timers.prune(self.channels.len(), || {
            self.channels.values().flat_map(Channel::deadlines)
        });
        for (kind, bytes) in backlog {
            if let Ok(message) = decode(self.connection.version, kind, &bytes) {
                self.route(now, kind, &bytes, &message, fx);
            }
        }
    }

    fn with<E: Effects<Subscription = S>>(
        &mut self,
        topic: &str,
        now: Now,
        fx: &mut E,
        act: impl FnOnce(&mut Channel<S>, &mut Context<'_, E>) -> Fate,
    ) -> Fate {
        let Some(channel) = self.channels.get_mut(topic) else {
            return Fate::Stays;
        };
        let mut cx = Context {
            now,
            version: self.connection.version,
            headers: &self.connection.headers,
            tenant: &self.tenant,
            timers: &mut self.timers,
            tickets: &mut self.tickets,
            counted: &mut self.counted,
            fx,
        };
        act(channel, &mut cx)
    }

    fn context<'a, E>(&'a mut self, now: Now, fx: &'a mut E) -> Context<'a, E> {
        Context {
            now,
            version: self.connection.version,
            headers: &self.connection.headers,
            tenant: &self.tenant,
            timers: &mut self.timers,
            tickets: &mut self.tickets,
            counted: &mut self.counted,
            fx,
        }
    }

    fn find(&self, is_meant: impl Fn(&Channel<S>) -> bool) -> Option<Box<str>> {
        self.channels
            .iter()
            .find(|(_, channel)| is_meant(channel))
            .map(|(topic, _)| topic.clone())
    }

    fn answer_unmatched<E: Effects<Subscription = S>>(&self, message: &Incoming<'_>, fx: &mut E) {
        self.reply(
            RefView::NULL,
            message,
            Status::Error,
            refusal::UNMATCHED_TOPIC,
            fx,
        );
    }

    fn reply<E: Effects<Subscription = S>>(
        &self,
        join_ref: RefView<'_>,
        to: &Incoming<'_>,
        status: Status,
        response: &str,
        fx: &mut E,
    ) {
        let version = self.connection.version;
        fx.send(encode::reply(
            version,
            join_ref,
            to.reference,
            &to.topic,
            status,
            response,
        ));
    }
}

/// How long a socket may go without a channel after its last one ended or was refused. Source: wire.md, section 10.
const NO_CHANNEL_TIMEOUT: Duration = Duration::from_secs(600);
/// Refusals of one socket that may wait for their delay; more are answered at once.
const REFUSALS_PENDING_MAX: usize = 256;
