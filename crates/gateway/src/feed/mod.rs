//! One tenant's stream of changes: from the replication connection to frames in the mail of the workers.

mod catalog;
mod link;
mod outgoing;
mod run;
mod subscribers;
mod transactions;

use std::future::Future;
use std::sync::Arc;

use auth::Claims;
use database::Pool;
use phoenix_wire::Version;
use phoenix_wire::payload::RawBinding;
use replication::Dsn;
use session::Ticket;
use tokio::sync::mpsc;

use self::link::Link;
use self::outgoing::Outgoing;
use self::run::Feed;
use self::subscribers::Subscribers;
use self::transactions::Transactions;
use crate::worker::mail::{Ports, SocketRef};

/// The way to a tenant's feed. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct FeedHandle {
    /// At most one subscription and one farewell per channel wait here: a channel has one subscription under way.
    commands: mpsc::UnboundedSender<Command>,
}

/// What a socket asks of the feed.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start to deliver.
    Subscribe(Subscribe),
    /// Stop to deliver.
    Forget(SocketRef, Ticket),
}

/// A channel's subscription to changes.
#[derive(Debug)]
pub(crate) struct Subscribe {
    /// Whose.
    pub(crate) socket: SocketRef,
    /// Names the subscription; the outcome and every change carry it.
    pub(crate) ticket: Ticket,
    /// The subscription this one takes the place of, without a gap.
    pub(crate) replaces: Option<Ticket>,
    /// The serializer of the socket.
    pub(crate) version: Version,
    /// The topic as joined.
    pub(crate) topic: Box<str>,
    /// The bindings with their ids.
    pub(crate) bindings: Arc<[(RawBinding, u32)]>,
    /// Whether changes go out as bare records under their operation's name.
    pub(crate) legacy: bool,
    /// On whose behalf.
    pub(crate) claims: Arc<Claims>,
}

impl FeedHandle {
    /// Asks for a subscription; its outcome comes by mail.
    pub(crate) fn subscribe(&self, subscribe: Subscribe) {
        // The feed outlives the workers, so there is always a receiver.
        let _ = self.commands.send(Command::Subscribe(subscribe));
    }

    /// Ends a subscription.
    pub(crate) fn forget(&self, socket: SocketRef, ticket: Ticket) {
        let _ = self.commands.send(Command::Forget(socket, ticket));
    }
}

/// A feed and the way to it. The future is the feed: it runs until it is dropped or the last handle is, and its
/// connection and slot go with it.
pub(crate) fn new(
    dsn: Dsn,
    publication: &str,
    slot: String,
    ports: Arc<Ports>,
) -> (FeedHandle, impl Future<Output = ()> + Send + use<>) {
    let (commands, received) = mpsc::unbounded_channel();
    let feed = Feed {
        pool: Arc::new(Pool::new(dsn.clone(), POOL_SIZE)),
        publication: publication.into(),
        link: Link::new(dsn, publication.to_owned(), slot),
        subscribers: Subscribers::new(),
        transactions: Transactions::new(Outgoing::new(ports.clone())),
        waiting: Vec::new(),
        waiting_until: None,
        reading: None,
        ports,
    };
    (FeedHandle { commands }, feed.run(received))
}

/// Connections for reading the catalog: one for subscriptions, one for a table that was altered meanwhile.
const POOL_SIZE: usize = 2;
