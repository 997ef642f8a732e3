//! Private channels of one tenant: who may do what on a topic, which messages a topic had, and the partitions that the
//! table of messages needs for either.
//!
//! ```text
//!  sockets, requests ── commands ──▶ doorkeeper ──▶ batches of questions ──▶ pool ──▶ answers, by mail
//!                                        └────────▶ replays ───────────────▶
//!                                                      janitor ────────────▶ partitions, migrations
//! ```
//!
//! The pool is apart from that of the feed: policies that take their time hold up neither changes nor heartbeats, and a
//! question waits for nothing but other questions.

mod cache;
mod doorkeeper;
mod janitor;
mod question;
mod replay;

use std::future::Future;
use std::sync::Arc;

use database::Pool;
use replication::Dsn;
use session::{AuthorizeFailure, Grants, Ticket};
use tokio::sync::{mpsc, oneshot, watch};

use self::doorkeeper::Doorkeeper;
use self::janitor::Janitor;
use self::question::Asker;
pub(crate) use self::question::Question;
pub(crate) use self::replay::Replay;
use crate::config::TenantConfig;
use crate::worker::mail::{Ports, SocketRef};

/// The way to the private channels of a tenant. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct PrivateHandle {
    /// A channel has one question under way, and a request over HTTP those of one batch of topics.
    commands: mpsc::UnboundedSender<Command>,
    is_prepared: watch::Receiver<bool>,
}

/// What is asked for.
#[derive(Debug)]
enum Command {
    /// What somebody may do.
    Ask(Question, Asker),
    /// Messages of the past.
    Replay(Replay),
    /// The end.
    Stop,
}

impl PrivateHandle {
    /// Asks for a socket; the answer comes by mail.
    pub(crate) fn ask(&self, question: Question, socket: SocketRef, ticket: Ticket) {
        self.send(Command::Ask(question, Asker::Socket(socket, ticket)));
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn answer(&self, question: Question) -> Result<Grants, AuthorizeFailure> {
        let (asker, answer) = oneshot::channel();
        self.send(Command::Ask(question, Asker::Request(asker)));
        // Without an answer the server is about to stop.
        answer.await.unwrap_or(Err(AuthorizeFailure::Unavailable))
    }

    /// Asks for messages of the past; they come by mail.
    pub(crate) fn replay(&self, replay: Replay) {
        self.send(Command::Replay(replay));
    }

    /// Waits until the database is set up, as far as that is to be done here and can be done at all.
    pub(crate) async fn prepared(mut self) {
        // The end of the other side is as good.
        let _ = self.is_prepared.wait_for(|is_prepared| *is_prepared).await;
    }

    /// Ends it. What is asked from now on is not answered.
    pub(crate) fn stop(&self) {
        self.send(Command::Stop);
    }

    fn send(&self, command: Command) {
        // Whoever has been stopped answers nothing, so there is nothing to ask.
        let _ = self.commands.send(command);
    }
}

/// The private channels of a tenant with this database, and the way to them. The future runs until it is stopped.
pub(crate) fn new(
    dsn: Dsn,
    tenant: &TenantConfig,
    ports: Arc<Ports>,
) -> (PrivateHandle, impl Future<Output = ()> + Send + use<>) {
    let (commands, received) = mpsc::unbounded_channel();
    let config = tenant.private.clone();
    let name: Arc<str> = tenant.name.as_str().into();
    let pool = Arc::new(Pool::new(dsn.clone(), config.pool_size.get()));
    let (prepared, is_prepared) = watch::channel(!config.migrate);
    let janitor = Arc::new(Janitor::new(name.clone(), dsn, pool.clone(), &config, prepared));
    let doorkeeper = Doorkeeper::new(name, pool, janitor.clone(), &config, ports);
    let handle = PrivateHandle {
        commands,
        is_prepared,
    };
    let both = async move {
        tokio::select! {
            () = doorkeeper.run(received) => {}
            () = janitor.run() => {}
        }
    };
    (handle, both)
}
