//! Messages that the database sent earlier, for a channel that asked for them at its join.

use std::sync::Arc;
use std::time::Duration;

use database::{MessagePayload, Pool};
use session::{Completion, Replayed, ReplayedPayload, Ticket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::worker::mail::{Mail, Ports, SocketRef};

/// Which messages.
#[derive(Debug)]
pub(crate) struct Replay {
    /// For whom.
    pub(crate) socket: SocketRef,
    /// To be given back.
    pub(crate) ticket: Ticket,
    /// The sub-topic.
    pub(crate) topic: Box<str>,
    /// Not those before this. Milliseconds since the Unix epoch.
    pub(crate) since_ms: i64,
    /// How many at most.
    pub(crate) limit: u8,
}

/// The replays of one tenant.
///
/// Whoever asks listens already, so what is streamed from then on is told anyway. What was streamed just before may not be
/// visible yet, and is waited for: once for all who have asked by then.
#[derive(Debug)]
pub(super) struct Replays {
    tenant: Arc<str>,
    pool: Arc<Pool>,
    ports: Arc<Ports>,
    waiting: Vec<Replay>,
    settling: JoinSet<Vec<Replay>>,
    reading: JoinSet<()>,
}

impl Replays {
    pub(super) fn new(tenant: Arc<str>, pool: Arc<Pool>, ports: Arc<Ports>) -> Self {
        Self {
            tenant,
            pool,
            ports,
            waiting: Vec::new(),
            settling: JoinSet::new(),
            reading: JoinSet::new(),
        }
    }

    pub(super) fn push(&mut self, replay: Replay) {
        self.waiting.push(replay);
        self.settle();
    }

    /// Goes on when a step is done; pending while there is none.
    pub(super) async fn advance(&mut self) {
        tokio::select! {
            Some(settled) = self.settling.join_next() => {
                for replay in settled.unwrap_or_default() {
                    let (tenant, pool, ports) = (self.tenant.clone(), self.pool.clone(), self.ports.clone());
                    self.reading.spawn(replay.serve(tenant, pool, ports));
                }
                self.settle();
            }
            Some(_) = self.reading.join_next() => {}
            else => std::future::pending().await,
        }
    }

    fn settle(&mut self) {
        if self.waiting.is_empty() || !self.settling.is_empty() {
            return;
        }
        let (tenant, pool) = (self.tenant.clone(), self.pool.clone());
        let waiting = std::mem::take(&mut self.waiting);
        self.settling.spawn(async move {
            if let Ok(false) = pool.messages_settled(SETTLED_MAX).await {
                debug!(%tenant, "messages are replayed although some may not be visible yet");
            }
            // If nobody can tell, the reading will say why.
            waiting
        });
    }
}

impl Replay {
    /// Reads them and mails them.
    async fn serve(self, tenant: Arc<str>, pool: Arc<Pool>, ports: Arc<Ports>) {
        let read = pool.replay(&self.topic, self.since_ms, self.limit.into());
        let messages = match timeout(TIMEOUT, read).await {
            Ok(Ok(messages)) => Some(messages.into_iter().map(replayed).collect()),
            Ok(Err(error)) => {
                warn!(%tenant, %error, "messages cannot be replayed");
                None
            }
            Err(_) => {
                warn!(%tenant, "messages cannot be replayed: the database takes too long");
                None
            }
        };
        let completion = Completion::Replayed(self.ticket, messages);
        ports.send(self.socket.worker, Mail::Complete(self.socket, completion));
    }
}

fn replayed(message: database::Replayed) -> Replayed {
    Replayed {
        id: message.id.into(),
        event: message.event.map(Into::into),
        payload: match message.payload {
            Some(MessagePayload::Json(json)) => ReplayedPayload::Json(json.into()),
            Some(MessagePayload::Binary(bytes)) => ReplayedPayload::Binary(bytes.into()),
            None => ReplayedPayload::Json("null".into()),
        },
    }
}

/// How long reading them may take, as in the reference.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long commits under way are waited for: a transaction that goes on for longer has most likely not got to its end.
const SETTLED_MAX: Duration = Duration::from_secs(1);
