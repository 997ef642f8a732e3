//! The replication connection of a feed: being made, streaming, or to be made again after a pause.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use replication::{Connection, Dsn, Error, Event, Lsn, ReplicationStream};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// Where the connection stands.
pub(super) struct Link {
    dsn: Dsn,
    publication: String,
    slot: String,
    state: State,
    /// Failures since something arrived: the pause grows with them.
    failures: u32,
}

enum State {
    Connecting(Pin<Box<dyn Future<Output = Result<ReplicationStream, Error>> + Send>>),
    Streaming(Box<ReplicationStream>),
    Pausing(Instant),
}

/// What happened on the connection.
#[derive(Debug)]
pub(super) enum Step {
    /// The slot streams from here on.
    Connected,
    /// Something arrived.
    Event(Event),
    /// The connection could not be made, or is lost; another will be tried.
    Lost,
}

impl Link {
    /// A connection about to be made. `slot` is unique among all gateways on the database.
    pub(super) fn new(dsn: Dsn, publication: String, slot: String) -> Self {
        let connecting = connect(dsn.clone(), slot.clone(), publication.clone());
        Self {
            dsn,
            publication,
            slot,
            state: State::Connecting(Box::pin(connecting)),
            failures: 0,
        }
    }

    /// The stream, while there is one.
    pub(super) fn stream(&self) -> Option<&ReplicationStream> {
        match &self.state {
            State::Streaming(stream) => Some(stream),
            State::Connecting(_) | State::Pausing(_) => None,
        }
    }

    /// Whether the last attempt failed and the next one is not under way yet.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, State::Pausing(_))
    }

    /// The next step. Cancel-safe.
    pub(super) async fn step(&mut self) -> Step {
        loop {
            match &mut self.state {
                State::Connecting(connecting) => match connecting.as_mut().await {
                    Ok(stream) => {
                        info!(
                            slot = self.slot,
                            publication = self.publication,
                            "streaming changes"
                        );
                        self.state = State::Streaming(Box::new(stream));
                        return Step::Connected;
                    }
                    Err(error) => return self.lost(error),
                },
                State::Streaming(stream) => match stream.next().await {
                    Ok(event) => {
                        self.failures = 0;
                        return Step::Event(event);
                    }
                    Err(error) => return self.lost(error),
                },
                State::Pausing(until) => {
                    tokio::time::sleep_until(*until).await;
                    let connecting = connect(self.dsn.clone(), self.slot.clone(), self.publication.clone());
                    self.state = State::Connecting(Box::pin(connecting));
                }
            }
        }
    }

    /// Gives the stream up: what it sent cannot be understood.
    pub(super) fn give_up(&mut self, error: &dyn std::error::Error) {
        error!(%error, "the stream of changes cannot be understood");
        self.pause();
    }

    fn lost(&mut self, error: Error) -> Step {
        match &error {
            Error::Transient(transient) => warn!(error = %transient, "no stream of changes, trying again"),
            Error::Definite(definite) => {
                error!(error = %definite, "no stream of changes until this is mended")
            }
        }
        self.pause();
        Step::Lost
    }

    fn pause(&mut self) {
        let pause = (PAUSE_MIN * 2u32.saturating_pow(self.failures)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        debug!(?pause, "pause");
        self.state = State::Pausing(Instant::now() + pause);
    }
}

async fn connect(dsn: Dsn, slot: String, publication: String) -> Result<ReplicationStream, Error> {
    let mut connection = Connection::open(&dsn).await?;
    connection.create_temporary_slot(&slot).await?;
    connection.start_replication(&slot, Lsn::ZERO, &publication).await
}

/// First pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(15);
