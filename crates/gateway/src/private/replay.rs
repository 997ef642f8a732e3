//! Messages that the database sent earlier, for a channel that asked for them at its join.

use std::sync::Arc;
use std::time::Duration;

use database::{MessagePayload, Pool};
use session::{Completion, Replayed, ReplayedPayload, Ticket};
use tokio::time::timeout;
use tracing::warn;

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

impl Replay {
    /// Reads them and mails them.
    pub(super) async fn serve(self, tenant: Arc<str>, pool: Arc<Pool>, ports: Arc<Ports>) {
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
