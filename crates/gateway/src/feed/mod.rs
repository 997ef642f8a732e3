//! One tenant's stream of changes: from the replication connection to frames in the mail of the workers.
//!
//! ```text
//!  sockets ── commands ──▶ errands ──▶ subscribers ◀─┐
//!                                                    │ who hears
//!  link ──▶ backlog ──▶ transactions ── row ─────────┴──▶ outgoing ──▶ mail of the workers
//!                                        │                   ▲
//!                                        └── round: who may hear? asked of the database
//! ```

mod asking;
mod backlog;
pub(crate) mod catalog;
mod catch_up;
mod errand;
mod figures;
mod hold;
mod link;
mod messages;
mod outgoing;
mod receipts;
mod round;
mod run;
mod subscribers;
mod telling;
mod transactions;
mod viewers;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;

use auth::Claims;
use database::Pool;
use hub::Hub;
use phoenix_wire::Version;
use phoenix_wire::payload::RawBinding;
use replication::Dsn;
use session::Ticket;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use self::backlog::Backlog;
pub(crate) use self::figures::Figures;
use self::hold::Hold;
use self::link::Link;
use self::messages::Messages;
use self::outgoing::Outgoing;
use self::receipts::Receipts;
use self::round::Round;
use self::run::Feed;
use self::subscribers::{Key, Subscribers};
use self::transactions::Transactions;
use crate::config::{SlotConfig, TenantConfig};
use crate::worker::mail::{Ports, SocketRef};

/// The way to a tenant's feed. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct FeedHandle {
    /// At most one subscription and one farewell per channel wait here: a channel has one subscription under way.
    commands: mpsc::UnboundedSender<Command>,
    figures: Arc<Figures>,
}

/// What is asked of the feed.
#[derive(Debug)]
enum Command {
    /// Start to deliver.
    Subscribe(Subscribe),
    /// Stop to deliver.
    Forget(Key),
    /// Say when broadcasts from the database flow.
    AwaitStreaming(Key),
    /// End.
    Stop,
}

/// A channel's subscription to changes.
#[derive(Debug, Clone)]
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

impl Subscribe {
    /// The role of its claims; one without has none that exists.
    fn role(&self) -> Arc<str> {
        self.claims.role().unwrap_or_default().into()
    }

    fn key(&self) -> Key {
        Key {
            socket: self.socket,
            ticket: self.ticket,
        }
    }
}

impl FeedHandle {
    /// Asks for a subscription; its outcome comes by mail.
    pub(crate) fn subscribe(&self, subscribe: Subscribe) {
        self.send(Command::Subscribe(subscribe));
    }

    /// Ends a subscription.
    pub(crate) fn forget(&self, socket: SocketRef, ticket: Ticket) {
        self.send(Command::Forget(Key { socket, ticket }));
    }

    /// Asks to be told, by mail, when broadcasts from the database flow: at once if they do.
    pub(crate) fn await_streaming(&self, socket: SocketRef, ticket: Ticket) {
        self.send(Command::AwaitStreaming(Key { socket, ticket }));
    }

    /// Ends the feed. Its future is done when the database knows what has been delivered.
    pub(crate) fn stop(&self) {
        self.send(Command::Stop);
    }

    /// What it counts.
    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    fn send(&self, command: Command) {
        // A feed that has been stopped delivers nothing, so there is nothing to ask of it.
        let _ = self.commands.send(command);
    }
}

/// A feed and the way to it. The future is the feed: it runs until it is stopped, and its connection goes with it.
/// `name` tells this feed from all others on the database: that of other gateways, and of this one's next run.
pub(crate) fn new(
    dsn: Dsn,
    tenant: &TenantConfig,
    name: String,
    ports: Arc<Ports>,
    hub: Arc<Hub>,
) -> (FeedHandle, impl Future<Output = ()> + Send + use<>) {
    let (commands, received) = mpsc::unbounded_channel();
    let config = &tenant.changes;
    let pool = Arc::new(Pool::new(dsn.clone(), POOL_SIZE));
    let window = match &config.slot {
        SlotConfig::Durable { resume_window, .. } => Some(*resume_window),
        SlotConfig::Temporary => None,
    };
    let figures = Arc::<Figures>::default();
    let feed = Feed {
        figures: figures.clone(),
        link: Link::new(dsn, pool.clone(), config, name, figures.clone()),
        pool,
        publication: config.publication.as_str().into(),
        snapshot_rows_max: config.snapshot_rows_max,
        backlog: Backlog::default(),
        hold: Hold::new(window),
        transactions: Transactions::default(),
        round: Round::default(),
        trouble: Arc::default(),
        asking: None,
        computed: None,
        subscribers: Subscribers::new(),
        outgoing: Outgoing::new(ports.clone(), figures.clone()),
        messages: Messages::new(hub, tenant.limits.payload_bytes_max(), figures.clone()),
        receipts: Receipts::new(),
        awaiting: Vec::new(),
        waiting: Vec::new(),
        waiting_until: None,
        ready_until: None,
        read_again_at: None,
        snapshots: Arc::new(Semaphore::new(SNAPSHOTS_MAX)),
        weigh_at: None,
        errands: JoinSet::new(),
        under_way: HashMap::new(),
        is_reading: false,
        ready: VecDeque::new(),
        ports,
    };
    (FeedHandle { commands, figures }, feed.run(received))
}

/// Snapshots that are read at a time; the other connections are for what the stream and joins wait for.
const SNAPSHOTS_MAX: usize = 2;
/// Connections: for what the stream waits for, for subscriptions, and for the rows that they are given first.
const POOL_SIZE: usize = 4;
