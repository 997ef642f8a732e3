//! The whole server: listener, workers, tenants, and their end.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hub::{Hub, Tally, WorkerId};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{ServerConfig, SlotConfig, TenantConfig};
use crate::feed;
use crate::http::Readers;
use crate::private;
use crate::tenant::{TenantRuntime, Tenants};
use crate::worker::mail::{Mail, Ports};
use crate::worker::{self, Settings, Shared};

/// A server that is bound to its port and does not serve yet.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; is another server running there? Choose another address with --listen"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A thread or its runtime cannot be made.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
    /// The listener failed.
    #[error("the listener failed: {0}")]
    Listener(io::Error),
}

impl Server {
    /// Binds the port.
    ///
    /// # Errors
    ///
    /// [`ServerError::Bind`].
    pub fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        let address = config.listen;
        let (listener, address) = listen(address).map_err(|source| ServerError::Bind { address, source })?;
        Ok(Self {
            config,
            listener,
            address,
        })
    }

    /// Where it listens: the port is a real one even if the configuration said 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done, then closes every socket with 1012 and returns when they are gone, or after
    /// [`DRAIN_TIMEOUT`]. To be called on a current-thread runtime.
    ///
    /// # Errors
    ///
    /// [`ServerError::Worker`] and [`ServerError::Listener`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let listener = TcpListener::from_std(self.listener).map_err(ServerError::Listener)?;
        let workers = u16::try_from(self.config.workers.get()).unwrap_or(u16::MAX);
        let ports = Ports::new(workers);
        let (tenants, feeds) = tenants(&self.config, workers, &ports);
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            ports: ports.clone(),
            tenants,
            settings: Settings {
                outbox_bytes_max: self.config.sizes.outbox_bytes_max,
                frame_bytes_max: self.config.sizes.frame_bytes_max,
                idle_timeout: self.config.idle_timeout,
                handshake_refusal_delay: self.config.delays.handshake_refusal,
            },
            metrics: Readers {
                keys: self.config.metrics,
                validators: self.config.validators,
            },
        });
        let threads = ports
            .workers()
            .map(|id| spawn(shared.clone(), id))
            .collect::<Result<Vec<_>, _>>()?;
        let feeds: Vec<_> = feeds.into_iter().map(tokio::spawn).collect();
        info!(address = %self.address, workers, "serving");
        tokio::select! {
            () = accept(&listener, &ports) => {}
            () = shutdown => {}
        }
        info!("shutting down");
        drop(listener);
        // First, so that what a closing socket would not hear of is not taken from a slot that stays.
        stop(&shared, feeds).await;
        drain(&shared, threads).await;
        Ok(())
    }
}

/// A listener and the address it got. The queue of connections not accepted yet is as long as the system allows: where
/// it overflows, a client waits a second before it tries again.
fn listen(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_QUEUE)?;
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The tenants, and what runs beside the workers for those with a database: feeds, and who answers for private channels.
fn tenants(config: &ServerConfig, workers: u16, ports: &Arc<Ports>) -> (Tenants, Vec<BoxedFeed>) {
    let feeds = RefCell::new(Vec::new());
    let tenants = Tenants::new(&config.tenants, |tenant| {
        let id = Uuid::new_v4();
        let (seed, _) = id.as_u64_pair();
        let hub = Hub::new(workers, ports.clone(), Arc::new(Tally::default()), seed);
        let private = tenant.database.as_ref().map(|dsn| {
            let (handle, private) = private::new(dsn.clone(), tenant, ports.clone());
            feeds.borrow_mut().push(Box::pin(private) as BoxedFeed);
            handle
        });
        let changes = tenant.database.as_ref().map(|dsn| {
            let slot = slot_name(tenant, id);
            let (handle, feed) = feed::new(dsn.clone(), tenant, slot, ports.clone(), hub.clone());
            let private = private.clone();
            // A stream is of the publications that are there when it begins.
            let feed = async move {
                if let Some(private) = private {
                    private.prepared().await;
                }
                feed.await;
            };
            feeds.borrow_mut().push(Box::pin(feed) as BoxedFeed);
            handle
        });
        let validators = config.validators.clone();
        TenantRuntime::new(tenant, validators, config.delays, hub, changes, private)
    });
    (tenants, feeds.into_inner())
}

/// The slot of a tenant: its own for this run, or the one it had in the run before.
fn slot_name(tenant: &TenantConfig, run: Uuid) -> String {
    match &tenant.changes.slot {
        SlotConfig::Temporary => format!("roost_{}", run.simple()),
        SlotConfig::Durable { name, .. } => name.clone(),
    }
}

type BoxedFeed = Pin<Box<dyn Future<Output = ()> + Send>>;

fn spawn(shared: Arc<Shared>, id: WorkerId) -> Result<thread::JoinHandle<()>, ServerError> {
    let run = move || {
        if let Err(error) = worker::run(shared, id) {
            tracing::error!(%error, worker = id.0, "worker cannot run");
        }
    };
    thread::Builder::new()
        .name(format!("worker-{}", id.0))
        .spawn(run)
        .map_err(ServerError::Worker)
}

/// Hands connections to the workers in turn, passing by those that have many sockets, for ever.
async fn accept(listener: &TcpListener, ports: &Ports) {
    let workers: Vec<WorkerId> = ports.workers().collect();
    let mut turns = workers.iter().copied().cycle();
    loop {
        match listener.accept().await.and_then(|(stream, _)| prepare(stream)) {
            Ok(stream) => {
                let worker = turns.by_ref().find(|worker| ports.has_room(*worker));
                let worker = worker.expect("the worker with the fewest sockets has room");
                ports.send(worker, Mail::Connection(stream));
            }
            Err(error) => {
                // Out of file descriptors, mostly: those that have a connection come first.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn prepare(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// Ends the feeds. With the connection of a feed goes its slot, if it is a temporary one.
async fn stop(shared: &Shared, feeds: Vec<JoinHandle<()>>) {
    for tenant in shared.tenants.all() {
        tenant.private().inspect(|private| private.stop());
        tenant.changes().inspect(|feed| feed.stop());
    }
    let deadline = Instant::now() + FEED_TIMEOUT;
    for mut feed in feeds {
        if timeout_at(deadline, &mut feed).await.is_err() {
            feed.abort();
            // It has ended one way or the other.
            let _ = feed.await;
        }
    }
}

async fn drain(shared: &Shared, threads: Vec<thread::JoinHandle<()>>) {
    shared.tenants.all().for_each(|tenant| tenant.session().drain());
    for worker in shared.ports.workers() {
        shared.ports.send(worker, Mail::Drain);
    }
    let joined = tokio::task::spawn_blocking(|| {
        threads.into_iter().for_each(|thread| {
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        });
    });
    if tokio::time::timeout(DRAIN_TIMEOUT, joined).await.is_err() {
        warn!("some sockets did not close in time");
    }
}

/// How long a feed may take to end.
const FEED_TIMEOUT: Duration = Duration::from_secs(5);
/// How long clients may take to answer the close frame of a server that stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that may wait to be accepted; the system cuts it to its own limit.
const LISTEN_QUEUE: i32 = 65_535;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
