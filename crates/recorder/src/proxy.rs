//! The proxy: takes connections, passes requests on, and joins the two sides of an upgrade.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use client::Endpoint;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING, UPGRADE,
};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::file::RecordFile;
use crate::journal::{Ending, Journal};
use crate::pool::{Pool, ProxyError};
use crate::redaction::Redaction;
use crate::scribe::{Answer, Event, Recorded, Scribe};
use crate::socket::carry;
use crate::tee::{BODY_BYTES_MAX, Copy, Gathered, Tee, gather};
use crate::upstream::{Kind, Way};

/// Connections of clients at a time; others wait to be taken.
const CONNECTIONS_MAX: usize = 4_096;
/// How long frames that are under way may take when the recording ends. No shorter than a replay waits at the end of a
/// file for frames that should not come.
const LAST_FRAMES: Duration = Duration::from_millis(300);

/// What is recorded, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The server.
    pub upstream: Endpoint,
    /// The file; it must not exist.
    pub out: PathBuf,
    /// Values that are personal.
    pub redactions: Vec<Redaction>,
}

/// Why there is no recording, or no more of one.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}; choose another address or port with --listen")]
    Listen(SocketAddr, io::Error),
    /// The file is there.
    #[error("{0} exists: give the recording another name, or remove it")]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{0} cannot be written: {1}; is its folder there, may you write in it, and is there room?")]
    File(PathBuf, io::Error),
}

/// A proxy that records. Dropping it without running it leaves a file with nothing but its header.
pub struct Recorder {
    listener: TcpListener,
    address: SocketAddr,
    out: PathBuf,
    shared: Arc<Shared>,
    ending: Ending,
}

struct Shared {
    upstream: Endpoint,
    pool: Pool,
    journal: Journal,
    /// Numbers for connections and calls.
    numbers: AtomicU64,
}

/// An upgrade that both sides agreed to, and the number of the connection.
type Agreed = Arc<Mutex<Option<(u64, OnUpgrade, OnUpgrade)>>>;
type Reply = Response<BoxBody<Bytes, hyper::Error>>;

impl Recorder {
    /// Listens and makes the file.
    ///
    /// # Errors
    ///
    /// [`RecordError`]
    pub async fn bind(options: Options) -> Result<Self, RecordError> {
        let Options {
            listen,
            upstream,
            out,
            redactions,
        } = options;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| RecordError::Listen(listen, error))?;
        let address = listener
            .local_addr()
            .map_err(|error| RecordError::Listen(listen, error))?;
        let name = out
            .file_stem()
            .map_or_else(|| "session".into(), |name| name.to_string_lossy().into_owned());
        let scribe = Scribe::new(&name, upstream.authority(), redactions, unix_ms());
        let file = RecordFile::create(&out, scribe.header(0)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RecordError::Exists(out.clone()),
            _ => RecordError::File(out.clone(), error),
        })?;
        let (journal, ending) =
            Journal::start(scribe, file).map_err(|error| RecordError::File(out.clone(), error))?;
        let shared = Shared {
            upstream,
            pool: Pool::default(),
            journal,
            numbers: AtomicU64::new(0),
        };
        Ok(Self {
            listener,
            address,
            out,
            shared: Arc::new(shared),
            ending,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Records until told to stop; then takes the frames that are under way and ends the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Recorded, RecordError> {
        let Self {
            listener,
            out,
            shared,
            mut ending,
            ..
        } = self;
        let (stop, stopped) = watch::channel(false);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        let accept = async || {
            let room = Arc::clone(&room).acquire_owned().await;
            (room, listener.accept().await)
        };
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = &mut ending.failed => break,
                (room, accepted) = accept() => match accepted {
                    Ok((stream, _)) => {
                        let served = serve(stream, Arc::clone(&shared), stopped.clone());
                        connections.spawn(async move {
                            served.await;
                            drop(room);
                        });
                    }
                    Err(error) => {
                        tracing::warn!("a connection could not be taken: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        stop.send_replace(true);
        if !connections.is_empty() {
            tokio::time::sleep(LAST_FRAMES).await;
        }
        connections.shutdown().await;
        drop(shared);
        ending.wait().map_err(|error| RecordError::File(out, error))
    }
}

/// Serves a client's connection to its end, through an upgrade if there is one.
async fn serve(stream: TcpStream, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    // Without it, small frames would wait; that it fails means that the connection is gone.
    let _ = stream.set_nodelay(true);
    let agreed = Agreed::default();
    let service = service_fn(|request| {
        let (shared, agreed) = (Arc::clone(&shared), Arc::clone(&agreed));
        async move { Ok::<_, Infallible>(answer(request, &shared, &agreed).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection of a client ended: {error}");
    }
    let agreed = agreed.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((connection, client, server)) = agreed else {
        return;
    };
    match (client.await, server.await) {
        (Ok(client), Ok(server)) => {
            let (client, server) = (TokioIo::new(client), TokioIo::new(server));
            carry(connection, client, server, shared.journal.clone(), stop).await;
        }
        (Err(error), _) | (_, Err(error)) => tracing::warn!("an upgrade failed: {error}"),
    }
}

async fn answer(request: Request<Incoming>, shared: &Arc<Shared>, agreed: &Agreed) -> Reply {
    let way = Way::of(shared.upstream.address(), request.method(), request.uri().path());
    let answered = match &way.kind {
        Kind::Socket if request.headers().contains_key(UPGRADE) => open(request, way, shared, agreed).await,
        Kind::Broadcast(path) => {
            let path = path.clone();
            broadcast(request, way, path, shared).await
        }
        Kind::Socket | Kind::Other => pass(request, &way, shared)
            .await
            .map(|response| response.map(BodyExt::boxed)),
    };
    answered.unwrap_or_else(|error| {
        let upstream = shared.upstream.authority();
        tracing::warn!("{upstream} did not answer: {error}");
        let text = format!("roost record: {upstream} did not answer: {error}; is it running, and is --upstream its address?\n");
        let mut response = Response::new(whole(text.into()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}

/// A handshake.
async fn open(
    mut request: Request<Incoming>,
    way: Way,
    shared: &Shared,
    agreed: &Agreed,
) -> Result<Reply, ProxyError> {
    let connection = shared.numbers.fetch_add(1, Ordering::Relaxed);
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = recorded(request.headers());
    let client = hyper::upgrade::on(&mut request);
    let mut response = forward(request, &way, shared, true).await?;
    let opened = |refused| Event::Opened {
        connection,
        query,
        headers,
        refused,
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server = hyper::upgrade::on(&mut response);
        shared.journal.tell(opened(None)).await;
        *agreed.lock().unwrap_or_else(PoisonError::into_inner) = Some((connection, client, server));
        return Ok(response.map(BodyExt::boxed));
    }
    let (head, body) = response.into_parts();
    let content_type = content_type(&head.headers);
    let body = Limited::new(body, REFUSAL_BYTES_MAX).collect().await?.to_bytes();
    let refused = Answer {
        status: head.status.as_u16(),
        content_type,
        body: body.to_vec(),
    };
    shared.journal.tell(opened(Some(refused))).await;
    Ok(Response::from_parts(head, whole(body)))
}

/// A broadcast over HTTP.
async fn broadcast(
    request: Request<Incoming>,
    way: Way,
    path: String,
    shared: &Shared,
) -> Result<Reply, ProxyError> {
    let call = shared.numbers.fetch_add(1, Ordering::Relaxed);
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let headers = recorded(request.headers());
    let (head, body) = request.into_parts();
    let body = match gather(body).await? {
        Gathered::Whole(body) => body,
        Gathered::TooLong(body) => {
            tracing::warn!(
                path = target,
                "a broadcast of more than {BODY_BYTES_MAX} bytes passes and is left out of the recording"
            );
            let response = forward(Request::from_parts(head, body), &way, shared, false).await?;
            return Ok(response.map(BodyExt::boxed));
        }
    };
    // All of it is told before any of it passes: whoever hears the broadcast hears it later.
    let request = Box::new(crate::scribe::Request {
        target,
        headers,
        body: body.to_vec(),
    });
    shared.journal.tell(Event::Called { call, request }).await;
    let journal = shared.journal.clone();
    let told = move |answer: Option<Answer>| {
        if answer.is_none() {
            tracing::warn!("a broadcast is not recorded: its answer did not come, or was too long");
        }
        // Whoever drops a body cannot wait.
        tokio::spawn(async move { journal.tell(Event::Answered { call, answer }).await });
    };
    let response = match forward(Request::from_parts(head, Full::new(body)), &way, shared, false).await {
        Ok(response) => response,
        Err(error) => {
            told(None);
            return Err(error);
        }
    };
    let (status, content_type) = (response.status().as_u16(), content_type(response.headers()));
    let done = move |body: Copy| {
        told(body.map(|body| Answer {
            status,
            content_type,
            body,
        }));
    };
    Ok(response.map(|body| Tee::new(body, done).boxed()))
}

/// Anything else.
async fn pass(
    request: Request<Incoming>,
    way: &Way,
    shared: &Shared,
) -> Result<Response<Incoming>, ProxyError> {
    forward(request, way, shared, false).await
}

/// Sends a request on; for an upgrade, on a connection of its own.
async fn forward<B>(
    request: Request<B>,
    way: &Way,
    shared: &Shared,
    is_upgrade: bool,
) -> Result<Response<Incoming>, ProxyError>
where
    B: hyper::body::Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<ProxyError>,
{
    let (mut head, body) = request.into_parts();
    let target = match head.uri.query() {
        Some(query) => format!("{}?{query}", way.path),
        None => way.path.clone(),
    };
    head.uri = target.parse()?;
    head.headers
        .insert(HOST, HeaderValue::from_str(shared.upstream.authority())?);
    // Nobody could read along in compressed frames or answers.
    head.headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    if way.kind != Kind::Other {
        head.headers.remove(ACCEPT_ENCODING);
    }
    if !is_upgrade {
        for name in HOP_BY_HOP {
            head.headers.remove(name);
        }
    }
    let request = Request::from_parts(head, body.map_err(Into::into).boxed());
    let mut response = if is_upgrade {
        let stream = TokioIo::new(shared.upstream.connect().await?);
        let (mut sender, exchange) = hyper::client::conn::http1::handshake(stream).await?;
        // Ends with the answer, or is taken over by the upgrade.
        tokio::spawn(exchange.with_upgrades());
        sender.send_request(request).await?
    } else {
        shared.pool.send(&shared.upstream, request).await?
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        for name in HOP_BY_HOP {
            response.headers_mut().remove(name);
        }
    }
    Ok(response)
}

/// The headers a server looks at: keys, content type, and those that policies may see.
fn recorded(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_recorded = |name: &HeaderName| {
        let name = name.as_str();
        let is_of_policies = name.starts_with("x-") && !BY_PROXIES.iter().any(|by| name.starts_with(by));
        is_of_policies || ["authorization", "apikey", "content-type"].contains(&name)
    };
    headers
        .iter()
        .filter(|(name, _)| is_recorded(name))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn whole(bytes: Bytes) -> BoxBody<Bytes, hyper::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes of the answer to a handshake that is refused.
const REFUSAL_BYTES_MAX: usize = 1 << 20;
/// What is between two neighbours only. Source: RFC 9110, section 7.6.1.
const HOP_BY_HOP: [HeaderName; 4] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];
/// Headers that proxies on the way to this one add.
const BY_PROXIES: [&str; 3] = ["x-forwarded-", "x-real-ip", "x-request-id"];
