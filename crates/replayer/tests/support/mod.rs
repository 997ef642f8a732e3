//! A server that does what the frames it gets ask for, and answers HTTP by path.
//!
//! | Text frame | What it does |
//! | --- | --- |
//! | `["say", a, b, …]` | sends `a`, `b`, … as text frames |
//! | `["close", code]` | sends a close frame |
//! | `["drop"]` | drops TCP |
//! | any other text or binary frame | sends it back |
//!
//! `GET /socket/websocket` without an `apikey` is answered with 401; other requests with 200 and what they were.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use client::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transcript::Value;
use websocket::{Event, FrameBuilder, FrameReader, Opcode, Role, close_frame, pong_frame};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    /// The heads of all requests, in lower case.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    /// Most sockets that were open at a time.
    pub(crate) most_open: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Server {
            endpoint: Endpoint::parse(&format!("ws://{address}")).expect("an address"),
            heads: Arc::default(),
            most_open: Arc::default(),
        };
        let (heads, most_open) = (Arc::clone(&server.heads), Arc::clone(&server.most_open));
        let open = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (heads, most_open, open) =
                    (Arc::clone(&heads), Arc::clone(&most_open), Arc::clone(&open));
                tokio::spawn(async move {
                    let now = open.fetch_add(1, Ordering::SeqCst) + 1;
                    most_open.fetch_max(now, Ordering::SeqCst);
                    // A client that drops its connection is what some tests are about.
                    let _ = serve(stream, &heads).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }
}

async fn serve(mut stream: TcpStream, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let request = head.lines().next().unwrap_or_default().to_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    heads.lock().expect("no test panics with it").push(head);
    let answer = |status: &str, body: &str| {
        let bytes = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n{body}"
        )
    };
    if !request.starts_with("get /socket/websocket") {
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let body = Value::Array(vec![request.as_str().into(), body.as_str().into()]).to_string();
        return stream.write_all(answer("200 OK", &body).as_bytes()).await;
    }
    if !request.contains("apikey") {
        return stream
            .write_all(answer("401 Unauthorized", r#"{"error":"no key"}"#).as_bytes())
            .await;
    }
    stream.write_all(SWITCH.as_bytes()).await?;

    let mut frames = FrameReader::new(Role::Server, 1 << 24);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let bytes = stream.read(&mut buffer).await?;
        let mut answers = Vec::new();
        let mut is_over = bytes == 0;
        let mut on = |event: Event<'_>| {
            match event {
                Event::Text(text) => is_over |= !obey(text, &mut answers),
                Event::Binary(bytes) => answers.extend(frame(Opcode::Binary, bytes)),
                Event::Ping(payload) => answers.extend_from_slice(pong_frame(payload).as_bytes()),
                Event::Close { code, .. } => {
                    answers.extend_from_slice(close_frame(code.unwrap_or(1000), "").as_bytes());
                }
                Event::Pong(_) => {}
            }
            ControlFlow::Continue(())
        };
        frames
            .feed(&mut buffer[..bytes], &mut on)
            .map_err(std::io::Error::other)?;
        stream.write_all(&answers).await?;
        if is_over {
            return Ok(());
        }
    }
}

/// Whether the connection goes on.
fn obey(text: &[u8], answers: &mut Vec<u8>) -> bool {
    let order = Value::parse_bytes(text).ok();
    match order.as_ref().and_then(Value::as_array) {
        Some([word, frames @ ..]) if word.as_str() == Some("say") => {
            for value in frames {
                answers.extend(frame(Opcode::Text, value.to_string().as_bytes()));
            }
        }
        Some([word, Value::Number(code)]) if word.as_str() == Some("close") => {
            let code = u16::try_from(code.as_u64().unwrap_or_default()).unwrap_or_default();
            answers.extend_from_slice(close_frame(code, "").as_bytes());
        }
        Some([word]) if word.as_str() == Some("drop") => return false,
        _ => answers.extend(frame(Opcode::Text, text)),
    }
    true
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = FrameBuilder::new(opcode, payload.len());
    frame.extend_from_slice(payload);
    frame.finish().as_bytes().to_vec()
}
