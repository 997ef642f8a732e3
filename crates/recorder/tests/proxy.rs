//! The proxy between a client and a server that are both nothing but TCP, so that every byte can be looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use client::Endpoint;
use recorder::{Options, Recorded, Recorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use transcript::{Action, Ending, Outgoing, Transcript};
use websocket::{Opcode, mask_frame};

/// How long something may take that has to happen.
const LIMIT: Duration = Duration::from_secs(20);

/// A recorder and the server behind it.
struct Proxy {
    address: SocketAddr,
    upstream: TcpListener,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Recorded>,
    folder: PathBuf,
}

impl Proxy {
    async fn start(path: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("roost-proxy-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}{path}", upstream.local_addr().unwrap());
        let recorder = Recorder::bind(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            upstream: Endpoint::parse(&url).unwrap(),
            out: folder.join("s.jsonl"),
            redactions: vec![],
        })
        .await
        .unwrap();
        let address = recorder.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            recorder.run(shutdown).await.unwrap()
        });
        Self {
            address,
            upstream,
            stop: Some(stop),
            running,
            folder,
        }
    }

    /// A client, its handshake as it came to the server, and the server's side, which has not answered.
    async fn connect(&self, head: &str) -> (TcpStream, String, TcpStream) {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut server, _) = timeout(LIMIT, self.upstream.accept()).await.unwrap().unwrap();
        let head = head_of(&mut server).await;
        (client, head, server)
    }

    /// The transcript, once the recording has ended.
    async fn end(mut self) -> Transcript {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(LIMIT, &mut self.running).await.unwrap().unwrap();
        let transcript = read(&self.folder.join("s.jsonl"));
        std::fs::remove_dir_all(&self.folder).unwrap();
        transcript
    }
}

fn read(path: &Path) -> Transcript {
    let text = std::fs::read_to_string(path).unwrap();
    let transcript = Transcript::parse("s.jsonl", &text).unwrap();
    assert!(transcript.problems().is_empty(), "{:?}", transcript.problems());
    transcript
}

/// Everything up to the empty line, in lower case.
async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

async fn bytes_of(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(LIMIT, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

const HANDSHAKE: &str = "GET /realtime/v1/websocket?vsn=2.0.0&apikey=hush HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c29tZSBrZXkgb2YgbWluZQ==\r\n\
     Sec-WebSocket-Extensions: permessage-deflate\r\nX-My: 1\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: whatever\r\n\r\n";

#[tokio::test]
async fn every_byte_passes_as_it_is_in_both_directions() {
    let proxy = Proxy::start("/a/realtime/v1").await;
    let (mut client, head, mut server) = proxy.connect(HANDSHAKE).await;
    assert!(
        head.starts_with("get /a/realtime/v1/websocket?vsn=2.0.0&apikey=hush http/1.1\r\n"),
        "{head}"
    );
    let host = format!("\r\nhost: {}\r\n", proxy.upstream.local_addr().unwrap());
    assert!(head.contains(&host), "{head}");
    assert!(
        head.contains("c29tzsbrzxkgb2ygbwluzq==") && !head.contains("extensions"),
        "{head}"
    );

    // The server's first frames come with its answer; a message in fragments, with a ping between them.
    let down =
        b"\x01\x03[1,\x89\x01p\x80\x022]\x82\x02\xff\xfe\x0f and then something that is no frame at all";
    server
        .write_all(&[SWITCH.as_bytes(), down].concat())
        .await
        .unwrap();
    assert!(
        head_of(&mut client)
            .await
            .contains("sec-websocket-accept: whatever")
    );
    assert_eq!(bytes_of(&mut client, down.len()).await, down);

    let mut up = mask_frame(Opcode::Text, br#"{"a":1}"#, [1, 2, 3, 4]);
    up.extend(mask_frame(Opcode::Ping, b"x", [9, 9, 9, 9]));
    for byte in &up {
        client.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(bytes_of(&mut server, up.len()).await, up);

    drop(client);
    assert_eq!(
        timeout(LIMIT, server.read(&mut [0; 1])).await.unwrap().unwrap(),
        0
    );
    drop(server);
    let transcript = proxy.end().await;
    let said: Vec<_> = transcript.steps.iter().map(|step| &step.action).collect();
    assert!(
        matches!(
            &said[..],
            [
                Action::Open(_),
                Action::Receive { .. },
                Action::Receive { .. },
                Action::Send {
                    message: Outgoing::Json(_),
                    ..
                },
                Action::Send {
                    message: Outgoing::Ping(_),
                    ..
                },
                Action::Close {
                    ending: Ending::Abrupt,
                    ..
                },
            ]
        ),
        "{said:?}"
    );
    assert!(!transcript.line(2).contains("hush"));
}

#[tokio::test]
async fn a_server_that_does_not_read_stops_the_client() {
    let proxy = Proxy::start("").await;
    let (mut client, _, mut server) = proxy.connect(HANDSHAKE).await;
    server.write_all(SWITCH.as_bytes()).await.unwrap();
    head_of(&mut client).await;
    let chunk = vec![0xFF; 64 << 10];
    let mut written = 0;
    while let Ok(wrote) = timeout(Duration::from_secs(2), client.write(&chunk)).await {
        written += wrote.unwrap();
        assert!(written < 128 << 20, "it takes and takes");
    }
    // When the server reads, it goes on, and nothing is lost.
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        received.len()
    });
    drop(client);
    assert_eq!(timeout(LIMIT, reading).await.unwrap().unwrap(), written);
    proxy.end().await;
}

#[tokio::test]
async fn a_broadcast_over_http_is_kept_and_other_requests_are_not() {
    let proxy = Proxy::start("/socket").await;
    let request = "POST /realtime/v1/api/broadcast HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hush\r\n\
                   Content-Type: application/json\r\nAccept-Encoding: gzip\r\nContent-Length: 15\r\n\r\n{\"messages\":[]}";
    let (mut client, head, mut server) = proxy.connect(request).await;
    assert!(head.starts_with("post /api/broadcast http/1.1\r\n"), "{head}");
    assert!(head.contains("bearer hush") && !head.contains("gzip"), "{head}");
    assert_eq!(bytes_of(&mut server, 15).await, b"{\"messages\":[]}");
    server
        .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok")
        .await
        .unwrap();
    let head = head_of(&mut client).await;
    assert!(
        head.starts_with("http/1.1 202") && head.contains("x-a: b"),
        "{head}"
    );
    assert_eq!(bytes_of(&mut client, 2).await, b"ok");

    let request = "GET /auth/v1/user?a=b HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    // On the connection that is there already.
    let head = head_of(&mut server).await;
    assert!(
        head.starts_with("get /auth/v1/user?a=b http/1.1\r\n") && head.contains("gzip"),
        "{head}"
    );
    server
        .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(head_of(&mut client).await.starts_with("http/1.1 404"));

    let transcript = proxy.end().await;
    assert_eq!(transcript.steps.len(), 1);
    let line = transcript.line(2);
    assert!(
        line.starts_with(r#"{"http":"POST /api/broadcast","headers":{"authorization":"Bearer ${jwt:key}"},"#),
        "{line}"
    );
    assert!(
        line.contains(r#""body":{"messages":[]},"expect":{"status":202,"body":"ok"}"#),
        "{line}"
    );
}

#[tokio::test]
async fn a_body_without_end_passes_and_is_left_out() {
    let proxy = Proxy::start("/socket").await;
    let request = "POST /api/broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n", vec![b'x'; 0x10_0000].as_slice(), b"\r\n"].concat();
    let sending = tokio::spawn(async move {
        for _ in 0..12 {
            client.write_all(&chunk).await.unwrap();
        }
        client.write_all(b"0\r\n\r\n").await.unwrap();
        client
    });
    let (mut server, _) = timeout(LIMIT, proxy.upstream.accept()).await.unwrap().unwrap();
    head_of(&mut server).await;
    let (mut body, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    while !body.ends_with(b"\r\n0\r\n\r\n") {
        let bytes = timeout(LIMIT, server.read(&mut buffer)).await.unwrap().unwrap();
        body.extend_from_slice(&buffer[..bytes]);
    }
    assert_eq!(body.iter().filter(|byte| **byte == b'x').count(), 12 << 20);
    server
        .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut client = timeout(LIMIT, sending).await.unwrap().unwrap();
    assert!(head_of(&mut client).await.starts_with("http/1.1 413"));
    assert_eq!(proxy.end().await.steps.len(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let Proxy {
        address,
        upstream,
        stop,
        running,
        folder,
    } = Proxy::start("").await;
    let gone = upstream.local_addr().unwrap().to_string();
    drop(upstream);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let head = head_of(&mut client).await;
    assert!(head.starts_with("http/1.1 502"), "{head}");
    let mut text = String::new();
    client.shutdown().await.unwrap();
    timeout(LIMIT, client.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    assert!(text.contains(&gone), "{text}");
    drop(stop);
    let recorded = running.await.unwrap();
    assert_eq!((recorded.keys.len(), recorded.changes), (0, 0));
    assert_eq!(read(&folder.join("s.jsonl")).steps.len(), 0);
    std::fs::remove_dir_all(folder).unwrap();
}
