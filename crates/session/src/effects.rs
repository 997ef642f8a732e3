//! What a session can ask of its driver, and what the driver answers later.

use std::collections::HashSet;
use std::sync::Arc;

use auth::Claims;
use phoenix_wire::Version;
use phoenix_wire::close::CloseReason;
use phoenix_wire::payload::broadcast::Sender;
use phoenix_wire::payload::{RawBinding, Tracking};
use websocket::Frame;

use crate::broadcast::{Broadcast, Replayed};

/// Name of a topic inside the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicName<'a> {
    /// Whether its members passed an authorization check. Public and private topics of one name are two topics.
    pub private: bool,
    /// The sub-topic, without `realtime:`.
    pub name: &'a str,
}

/// The driver of a session. Calls take effect in the order in which they are made.
pub trait Effects {
    /// A channel's place among the listeners of its topic.
    type Subscription;

    /// Enqueues a frame for this socket.
    fn send(&mut self, frame: Frame);
    /// Closes the socket once everything enqueued so far is written.
    fn close(&mut self, reason: CloseReason);

    /// Starts to listen. Every broadcast and presence diff published from now on reaches this socket.
    fn subscribe(&mut self, topic: TopicName<'_>, version: Version) -> Self::Subscription;
    /// Number of the membership, unique within the tenant.
    fn member(&self, subscription: &Self::Subscription) -> u64;
    /// Stops to listen, to be present and to receive changes.
    fn unsubscribe(&mut self, subscription: Self::Subscription);
    /// As [`Effects::subscribe`], but what is published waits for [`Effects::release`].
    fn subscribe_held(&mut self, topic: TopicName<'_>, version: Version) -> Self::Subscription;
    /// Sends what has waited, and from now on what is published, but for messages with one of these ids: they have been
    /// replayed. False if more was published than may wait, and some of it is lost.
    fn release(&mut self, subscription: &mut Self::Subscription, replayed: HashSet<Box<str>>) -> bool;
    /// What the member may read from now on.
    fn set_reads(&mut self, subscription: &Self::Subscription, broadcasts: bool, presence: bool);
    /// Whether a listener of that version would get a broadcast of this member.
    fn has_audience(&self, subscription: &Self::Subscription, version: Version, sender: Sender) -> bool;
    /// Hands a broadcast to all listeners.
    fn publish(&mut self, from: &Self::Subscription, sender: Sender, message: &Broadcast<'_>);

    /// Tracks the member with `meta`, a JSON object.
    fn track(&mut self, subscription: &Self::Subscription, key: &str, meta: &str) -> Tracking;
    /// Removes the member's presence, if any.
    fn untrack(&mut self, subscription: &Self::Subscription);
    /// The payload of `presence_state`.
    fn presence_state(&mut self, subscription: &Self::Subscription) -> String;

    /// Adds to the tenant's broadcast events.
    fn count_event(&mut self);
    /// Adds to the tenant's presence events.
    fn count_presence(&mut self);

    /// Whether broadcasts from the database flow.
    fn is_replicating(&self) -> bool;

    /// A presence key for a client that gave none: any unique text; the reference makes a version 1 UUID.
    fn generate_key(&mut self) -> String;
    /// Starts work whose outcome arrives as a [`Completion`].
    fn request(&mut self, request: Request);
    /// Forgets the changes subscribed to under a ticket, whether they are live yet or not.
    fn forget_changes(&mut self, ticket: Ticket);
}

/// Names a piece of requested work within a session; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Which permissions to look up. Source: auth.md, section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// What may be read; presence only where it is enabled.
    Read {
        /// Whether presence is asked for besides broadcasts.
        presence: bool,
    },
    /// What may be written, both extensions, and presence read where it is not known yet.
    Write {
        /// Whether presence read is asked for as well.
        presence_read: bool,
    },
}

/// Work that takes the driver some time.
#[derive(Debug)]
pub enum Request {
    /// Look up permissions on a private topic.
    Authorize {
        /// To be given back.
        ticket: Ticket,
        /// The sub-topic.
        topic: Box<str>,
        /// On whose behalf.
        claims: Arc<Claims>,
        /// What policies see of the handshake, see [`Connection::headers`](crate::Connection::headers).
        headers: Arc<str>,
        /// What to look up.
        probe: Probe,
    },
    /// Read the newest messages that the database sent to a private topic.
    Replay {
        /// To be given back.
        ticket: Ticket,
        /// The sub-topic.
        topic: Box<str>,
        /// Not those before this. Milliseconds since the Unix epoch.
        since_ms: i64,
        /// How many at most: 1 to 25.
        limit: u8,
    },
    /// Subscribe a channel to Postgres changes, in place of an earlier subscription if there is one and without a gap.
    SubscribeChanges {
        /// To be given back. Names the subscription from now on.
        ticket: Ticket,
        /// The ticket of the subscription this one replaces.
        replaces: Option<Ticket>,
        /// The topic as joined, for the frames.
        topic: Box<str>,
        /// The bindings and the ids they were given in the join reply.
        bindings: Arc<[(RawBinding, u32)]>,
        /// Whether the client expects the bare record (a join without `config`).
        legacy: bool,
        /// On whose behalf.
        claims: Arc<Claims>,
    },
    /// Say when broadcasts from the database flow; at once if they do. Nobody waits for longer than a minute.
    AwaitReplication {
        /// To be given back.
        ticket: Ticket,
    },
}

/// The outcome of a [`Request`].
#[derive(Debug)]
pub enum Completion {
    /// Of [`Request::Authorize`].
    Authorized(Ticket, Result<Grants, AuthorizeFailure>),
    /// Of [`Request::SubscribeChanges`]. Comes again when the tables it covers have changed: live or rejected, until the
    /// next time.
    ChangesSubscribed(Ticket, ChangesOutcome),
    /// Of [`Request::Replay`]: the messages, oldest first; `None` if they cannot be read.
    Replayed(Ticket, Option<Vec<Replayed>>),
    /// Of [`Request::AwaitReplication`]: broadcasts from the database flow.
    ReplicationReady(Ticket),
}

impl Completion {
    /// The ticket of the request.
    pub(crate) fn ticket(&self) -> Ticket {
        match self {
            Completion::Authorized(ticket, _)
            | Completion::ChangesSubscribed(ticket, _)
            | Completion::Replayed(ticket, _)
            | Completion::ReplicationReady(ticket) => *ticket,
        }
    }
}

/// What came of a subscription to changes.
#[derive(Debug)]
pub enum ChangesOutcome {
    /// Live: whatever is committed from now on is delivered.
    Live,
    /// Live again, after a time in which changes may have been lost.
    LiveAfterGap,
    /// Live as before, but for changes that could not be delivered; the text for the client says which.
    Incomplete(String),
    /// The parameters cannot be subscribed to; the text is for the client. The channel stays.
    Rejected(String),
    /// The database cannot be reached.
    Unavailable,
}

/// Answers of the policies; `None` is *not asked*, which differs from *denied*.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    /// May receive broadcasts.
    pub broadcast_read: Option<bool>,
    /// May send broadcasts.
    pub broadcast_write: Option<bool>,
    /// May see who is present.
    pub presence_read: Option<bool>,
    /// May be present.
    pub presence_write: Option<bool>,
}

/// Why permissions could not be looked up. Source: auth.md, section 7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizeFailure {
    /// A policy raised, or the role does not exist.
    Policy,
    /// The statement was cancelled; the text of the database.
    Cancelled(String),
    /// `realtime.messages` has no partition for today.
    MissingPartition,
    /// No connection became free in time.
    PoolExhausted,
    /// The database takes no more connections.
    LackOfConnections,
    /// The database cannot be reached.
    Unavailable,
}

impl Grants {
    /// These grants with the answers of a later probe filled in.
    pub fn merged(self, later: Grants) -> Grants {
        Grants {
            broadcast_read: later.broadcast_read.or(self.broadcast_read),
            broadcast_write: later.broadcast_write.or(self.broadcast_write),
            presence_read: later.presence_read.or(self.presence_read),
            presence_write: later.presence_write.or(self.presence_write),
        }
    }

    /// These grants after a probe for writing: what it did not answer is denied, so nobody asks again.
    pub(crate) fn decided_to_write(self) -> Grants {
        Grants {
            broadcast_write: self.broadcast_write.or(Some(false)),
            presence_write: self.presence_write.or(Some(false)),
            ..self
        }
    }

    /// Whether anything that could be read before no longer can.
    pub fn revokes(&self, before: &Grants) -> bool {
        let lost = |before: Option<bool>, now: Option<bool>| before == Some(true) && now != Some(true);
        lost(before.broadcast_read, self.broadcast_read) || lost(before.presence_read, self.presence_read)
    }

    /// Whether there is anything to read at all: what a private join needs.
    pub fn reads_anything(&self) -> bool {
        self.broadcast_read == Some(true) || self.presence_read == Some(true)
    }
}
