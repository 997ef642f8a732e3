//! The replication connection of a feed: being made, streaming, or to be made again after a pause.
//!
//! A temporary slot is made anew with every connection, so what commits in between is not streamed. A durable one goes on
//! where the last one was acknowledged, unless it has been invalidated or keeps more log than it may: then it is dropped
//! and made anew, and the difference is a gap like any other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use database::{MESSAGES_PUBLICATION, Pool};
use replication::{
    Connection, Definite, Dsn, Durability, Error, Event, Lsn, ReplicationStream, System, Transient,
};
use tokio::time::{Instant, timeout};
use tracing::{debug, error, info, warn};

use super::backlog::{Content, Continuity, Piece};
use super::figures::Figures;
use crate::config::{ChangesConfig, SlotConfig};

/// Where the connection stands.
pub(super) struct Link {
    target: Arc<Target>,
    state: State,
    /// Failures since something arrived: the pause grows with them.
    failures: u32,
    /// Number of the connection.
    connection: u32,
    /// The server streamed from last; a stream of another one does not go on where that one broke off.
    system: Option<(String, String)>,
    /// The slot keeps too much log: it is not to be used again.
    is_over_budget: bool,
    figures: Arc<Figures>,
}

/// What is connected to.
struct Target {
    dsn: Dsn,
    pool: Arc<Pool>,
    publication: String,
    slot: String,
    config: SlotConfig,
    /// The slot has been made since the last stream: what was committed before is not in it.
    is_new_slot: AtomicBool,
}

enum State {
    Connecting(Pin<Box<dyn Future<Output = Result<Opened, Error>> + Send>>),
    Streaming(Box<ReplicationStream>),
    Pausing(Instant),
}

/// A connection that streams.
struct Opened {
    stream: ReplicationStream,
    system: System,
}

/// What happened on the connection.
#[derive(Debug)]
pub(super) enum Step {
    /// The slot streams from here on.
    Connected(Connected),
    /// A message arrived.
    Piece(Piece),
    /// Everything before this place of the log has arrived.
    Keepalive(Lsn),
    /// The connection could not be made, or is lost; another will be tried.
    Lost,
}

/// A slot streams.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) continuity: Continuity,
    /// Another server than before, or one that has gone another way since.
    pub(super) is_other_system: bool,
    /// The slot was there before: what it streams may have been committed at any time.
    pub(super) is_resumed: bool,
    /// End of the log at this moment.
    pub(super) log_end: Lsn,
}

impl Link {
    /// A connection about to be made. `slot` is unique among all gateways on the database.
    pub(super) fn new(
        dsn: Dsn,
        pool: Arc<Pool>,
        config: &ChangesConfig,
        slot: String,
        figures: Arc<Figures>,
    ) -> Self {
        let target = Arc::new(Target {
            dsn,
            pool,
            publication: config.publication.clone(),
            slot,
            config: config.slot.clone(),
            is_new_slot: AtomicBool::new(false),
        });
        Self {
            state: State::Connecting(Box::pin(target.clone().connect(false))),
            target,
            failures: 0,
            connection: 0,
            system: None,
            is_over_budget: false,
            figures,
        }
    }

    /// Whether there is a stream.
    pub(super) fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// Whether the last attempt failed and the next one is not under way yet.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, State::Pausing(_))
    }

    /// Whether the slot outlives its connection.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self.target.config, SlotConfig::Durable { .. })
    }

    /// Name of the slot.
    pub(super) fn slot(&self) -> &str {
        &self.target.slot
    }

    /// The slot keeps so much log. Bytes.
    pub(super) fn take_weight(&mut self, bytes_kept: u64) {
        if self.is_streaming() && self.target.config.is_over_budget(bytes_kept) {
            self.give_slot_up(bytes_kept);
        }
    }

    /// Everything up to the end of a transaction is done with.
    pub(super) fn acknowledge(&self, commit: &Piece) {
        if let State::Streaming(stream) = &self.state
            && commit.connection == self.connection
        {
            stream.acknowledge(commit.position);
            self.figures.bytes_behind.set(stream.lag().bytes_behind);
        }
    }

    /// The next step. Cancel-safe.
    pub(super) async fn step(&mut self) -> Step {
        loop {
            match &mut self.state {
                State::Connecting(connecting) => match connecting.as_mut().await {
                    Ok(opened) => return Step::Connected(self.opened(opened)),
                    Err(error) => return self.lost(error),
                },
                State::Streaming(stream) => {
                    let event = match stream.next().await {
                        Ok(event) => event,
                        Err(error) => return self.lost(error),
                    };
                    self.failures = 0;
                    let behind = stream.lag().bytes_behind;
                    self.figures.bytes_behind.set(behind);
                    if self.target.config.is_over_budget(behind) {
                        self.give_slot_up(behind);
                        return Step::Lost;
                    }
                    return self.arrived(event);
                }
                State::Pausing(until) => {
                    tokio::time::sleep_until(*until).await;
                    let connecting = self.target.clone().connect(self.is_over_budget);
                    self.state = State::Connecting(Box::pin(connecting));
                }
            }
        }
    }

    fn arrived(&self, event: Event) -> Step {
        let (position, content) = match event {
            Event::Keepalive { end } => return Step::Keepalive(end),
            Event::XLogData { position, data } => (position, Content::Message(data)),
            Event::Oversized {
                position,
                head,
                bytes_total,
            } => (position, Content::Oversized { head, bytes_total }),
        };
        Step::Piece(Piece {
            connection: self.connection,
            position,
            content,
        })
    }

    fn opened(&mut self, opened: Opened) -> Connected {
        let Target {
            publication,
            slot,
            is_new_slot,
            ..
        } = &*self.target;
        let is_resumed = !is_new_slot.swap(false, Ordering::Relaxed);
        info!(slot, publication, resumed = is_resumed, "streaming changes");
        let System {
            identifier,
            timeline,
            flushed,
        } = opened.system;
        let system = Some((identifier, timeline));
        let continuity = if self.connection == 0 {
            Continuity::First
        } else if is_resumed && system == self.system {
            Continuity::Seamless
        } else {
            Continuity::Gap
        };
        let is_other_system = self.connection > 0 && system != self.system;
        self.connection += 1;
        self.system = system;
        self.is_over_budget = false;
        self.figures.is_streaming.set(true);
        self.state = State::Streaming(Box::new(opened.stream));
        Connected {
            continuity,
            is_other_system,
            is_resumed,
            log_end: flushed,
        }
    }

    /// Gives the stream up: what it sent cannot be understood.
    pub(super) fn give_up(&mut self, error: &dyn std::error::Error) {
        error!(%error, "the stream of changes cannot be understood");
        self.pause();
    }

    /// Ends a stream whose server does not answer questions any more.
    pub(super) fn break_off(&mut self) {
        if self.is_streaming() {
            warn!("the database answers nobody: the stream is broken off, and tried again");
            self.pause();
        }
    }

    /// Tells the server what has been delivered, and ends.
    pub(super) async fn finish(self) {
        if let State::Streaming(stream) = self.state
            && timeout(FINISH_MAX, stream.finish()).await.is_err()
        {
            warn!("the database did not take the end of the stream in time");
        }
    }

    fn give_slot_up(&mut self, behind: u64) {
        error!(
            slot = self.target.slot,
            bytes_behind = behind,
            "the slot keeps more log than it may: it is made anew, and changes in between are not delivered"
        );
        self.is_over_budget = true;
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
        self.figures.is_streaming.set(false);
        self.state = State::Pausing(Instant::now() + pause);
    }
}

impl Target {
    async fn connect(self: Arc<Self>, is_over_budget: bool) -> Result<Opened, Error> {
        let mut connection = Connection::open(&self.dsn).await?;
        let system = connection.identify_system().await?;
        let publications = self.publications().await?;
        let slot = &self.slot;
        match &self.config {
            SlotConfig::Temporary => {
                connection.create_slot(slot, Durability::Temporary).await?;
                self.is_new_slot.store(true, Ordering::Relaxed);
            }
            SlotConfig::Durable { .. } => {
                if is_over_budget || self.is_spoilt().await {
                    drop_slot(&mut connection, slot).await?;
                }
                match connection.create_slot(slot, Durability::Durable).await {
                    // It may take another attempt until it streams.
                    Ok(_) => self.is_new_slot.store(true, Ordering::Relaxed),
                    Err(Error::Definite(Definite::SlotExists { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let started = connection.start_replication(slot, Lsn::ZERO, &publications);
        let stream = match started.await {
            Err(Error::Definite(Definite::SlotLost { .. })) => {
                error!(
                    slot,
                    "the slot has lost its log: it is made anew, and changes in between are not delivered"
                );
                let mut connection = Connection::open(&self.dsn).await?;
                drop_slot(&mut connection, slot).await?;
                return Box::pin(self.connect(false)).await;
            }
            started => started?,
        };
        Ok(Opened { stream, system })
    }

    /// What is streamed: the tables that clients follow, and broadcasts from the database where there are any.
    async fn publications(&self) -> Result<Vec<&str>, Error> {
        let mut publications = vec![self.publication.as_str()];
        match self.pool.has_publication(MESSAGES_PUBLICATION).await {
            Ok(true) => publications.push(MESSAGES_PUBLICATION),
            Ok(false) => {}
            Err(error) => {
                let reason = format!("whether there are broadcasts in the database cannot be asked: {error}");
                return Err(Error::Transient(Transient::Lost { reason }));
            }
        }
        Ok(publications)
    }

    /// Whether the slot cannot go on, or keeps more than it may.
    async fn is_spoilt(&self) -> bool {
        // Without an answer, the attempt to use it will tell.
        let Ok(Some(slot)) = self.pool.slot(&self.slot).await else {
            return false;
        };
        let is_spoilt = slot.is_lost() || self.config.is_over_budget(slot.bytes_kept);
        if is_spoilt {
            error!(
                slot = self.slot,
                bytes_kept = slot.bytes_kept,
                "the slot has lost its log, or keeps more than it may: it is made anew, and changes in between are not delivered"
            );
        }
        is_spoilt
    }
}

/// Drops a slot, if it is there: an attempt before may have got as far.
async fn drop_slot(connection: &mut Connection, slot: &str) -> Result<(), Error> {
    match connection.drop_slot(slot).await {
        Err(Error::Definite(Definite::SlotMissing { .. })) => Ok(()),
        dropped => dropped,
    }
}

/// First pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// How long the server may take to hear the last that has been delivered.
const FINISH_MAX: Duration = Duration::from_secs(3);
