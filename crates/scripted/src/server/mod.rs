//! The I/O: sockets, HTTP and the clock. Everything runs on one thread, each connection as a task of its own.

mod connection;
mod request;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tracing::{debug, info, warn};

use crate::stage::Stage;

/// A server that plays files.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    stage: Stage,
}

/// What all connections share.
#[derive(Clone, Debug)]
struct Shared {
    stage: Rc<RefCell<Stage>>,
    /// Becomes true when the server stops.
    stops: watch::Receiver<bool>,
    /// Open as long as a connection is.
    alive: mpsc::Sender<()>,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// If it cannot be had.
    pub fn bind(listen: SocketAddr, stage: Stage) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, stage })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The files it plays.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Serves until `shutdown` resolves; then sockets are closed with 1012. Has to be called on a runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// Those of the listener.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let address = self.address()?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let (stop, stops) = watch::channel(false);
        let (alive, mut ended) = mpsc::channel(1);
        let shared = Shared {
            stage: Rc::new(RefCell::new(self.stage)),
            stops,
            alive,
        };
        let tasks = LocalSet::new();
        tasks
            .run_until(async move {
                info!(%address, "serving");
                tokio::pin!(shutdown);
                loop {
                    tokio::select! {
                        () = &mut shutdown => break,
                        accepted = listener.accept() => match accepted {
                            Ok((stream, _)) => serve(shared.clone(), stream),
                            Err(error) => {
                                warn!(%error, "a connection could not be accepted");
                                tokio::time::sleep(ACCEPT_PAUSE).await;
                            }
                        },
                    }
                }
                info!("stopping");
                stop.send_replace(true);
                drop(shared);
                // Resolves when the last connection has let go of its end.
                let _ = tokio::time::timeout(STOP_PATIENCE, ended.recv()).await;
                Ok(())
            })
            .await
    }
}

/// Serves the requests of one connection, until it becomes a socket or ends.
fn serve(shared: Shared, stream: tokio::net::TcpStream) {
    // Frames are small and awaited.
    if let Err(error) = stream.set_nodelay(true) {
        return debug!(%error, "connection lost before it was served");
    }
    tokio::task::spawn_local(async move {
        let mut stops = shared.stops.clone();
        let service = service_fn(|request| request::answer(shared.clone(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                debug!(%error, "connection ended");
            },
            _ = stops.wait_for(|stops| *stops) => {}
        }
    });
}

/// How long to wait after a connection could not be accepted, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connections may take to end when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
