//! The client against a server that does exactly what a test says.

use std::ops::ControlFlow;

use client::{Answer, Connection, Endpoint, Opening, RECEIVED_MAX, Received, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use websocket::{Event, FrameBuilder, FrameReader, Opcode, Role, close_frame, ping_frame, pong_frame};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (
        listener,
        Endpoint::parse(&format!("ws://{address}")).expect("an address"),
    )
}

/// The next request's head, in lower case, and the stream behind it.
async fn accept(listener: &TcpListener) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await.expect("a client");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    (String::from_utf8_lossy(&head).to_lowercase(), stream)
}

async fn open(endpoint: &Endpoint) -> Connection {
    match endpoint
        .open("h", "/socket/websocket?vsn=2.0.0", &[])
        .await
        .expect("an answer")
    {
        Opening::Open(connection) => connection,
        Opening::Refused(answer) => panic!("refused: {answer:?}"),
    }
}

/// A connection of both sides.
async fn pair() -> (Connection, TcpStream) {
    let (listener, endpoint) = listen().await;
    let server = async {
        let (_, mut stream) = accept(&listener).await;
        stream
            .write_all(SWITCH.as_bytes())
            .await
            .expect("an open connection");
        stream
    };
    tokio::join!(open(&endpoint), server)
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = FrameBuilder::new(opcode, payload.len());
    frame.extend_from_slice(payload);
    frame.finish().as_bytes().to_vec()
}

/// Reads client frames until there are `count`, shown as text.
async fn client_frames(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut reader = FrameReader::new(Role::Server, 1 << 24);
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 4096]);
    while seen.len() < count {
        let bytes = stream.read(&mut buffer).await.expect("an open connection");
        assert!(bytes > 0, "the client is gone after {seen:?}");
        let mut on = |event: Event<'_>| {
            seen.push(format!("{event:?}"));
            ControlFlow::Continue(())
        };
        reader.feed(&mut buffer[..bytes], &mut on).expect("valid frames");
    }
    seen
}

#[tokio::test]
async fn a_handshake_says_what_it_was_told_to_say() {
    let (listener, endpoint) = listen().await;
    let headers = [("x-api-key".to_owned(), "k".to_owned())];
    let client = endpoint.open(
        "main.localhost",
        "/socket/websocket?vsn=2.0.0&apikey[]=x",
        &headers,
    );
    let server = async {
        let (head, mut stream) = accept(&listener).await;
        stream.write_all(SWITCH.as_bytes()).await.unwrap();
        head
    };
    let (opening, head) = tokio::join!(client, server);
    assert!(matches!(opening.unwrap(), Opening::Open(_)));
    assert!(
        head.starts_with("get /socket/websocket?vsn=2.0.0&apikey[]=x http/1.1\r\n"),
        "{head}"
    );
    for line in [
        "host: main.localhost",
        "upgrade: websocket",
        "connection: upgrade",
        "x-api-key: k",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
}

#[tokio::test]
async fn paths_go_below_the_prefix_of_a_server() {
    let (listener, _) = listen().await;
    let address = listener.local_addr().expect("a bound socket has an address");
    let endpoint = Endpoint::parse(&format!("http://{address}/some/prefix/")).expect("an address");
    let client = endpoint.open("h", "/socket/websocket?vsn=2.0.0", &[]);
    let server = async {
        let (head, mut stream) = accept(&listener).await;
        stream.write_all(SWITCH.as_bytes()).await.unwrap();
        head
    };
    let (opening, head) = tokio::join!(client, server);
    assert!(matches!(opening.unwrap(), Opening::Open(_)));
    assert!(
        head.starts_with("get /some/prefix/websocket?vsn=2.0.0 http/1.1\r\n"),
        "{head}"
    );
    let request = Request {
        method: "POST".to_owned(),
        target: "/api/broadcast?a=b".to_owned(),
        host: "h".to_owned(),
        ..Request::default()
    };
    let server = async {
        let (head, mut stream) = accept(&listener).await;
        stream
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        head
    };
    let (answer, head) = tokio::join!(endpoint.call(&request), server);
    assert_eq!(answer.unwrap().status, 202);
    assert!(
        head.starts_with("post /some/prefix/api/broadcast?a=b http/1.1\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_refused_handshake_shows_its_answer() {
    let (listener, endpoint) = listen().await;
    let refuse = async {
        let (_, mut stream) = accept(&listener).await;
        let answer =
            "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).await.unwrap();
    };
    let (opening, ()) = tokio::join!(endpoint.open("h", "/", &[]), refuse);
    match opening.unwrap() {
        Opening::Refused(answer) => {
            assert_eq!((answer.status, answer.body.as_ref()), (401, b"{}".as_slice()));
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        Opening::Open(_) => panic!("open"),
    }
}

#[tokio::test]
async fn a_wrong_accept_header_is_noticed() {
    let (listener, endpoint) = listen().await;
    let server = async {
        let (_, mut stream) = accept(&listener).await;
        stream
            .write_all(SWITCH.replace("s3pP", "xxxx").as_bytes())
            .await
            .unwrap();
    };
    let (opening, ()) = tokio::join!(endpoint.open("h", "/", &[]), server);
    assert!(opening.unwrap_err().to_string().contains("sec-websocket-accept"));
}

#[tokio::test]
async fn frames_that_came_with_the_handshake_are_not_lost() {
    let (listener, endpoint) = listen().await;
    let server = async {
        let (_, mut stream) = accept(&listener).await;
        let mut bytes = SWITCH.as_bytes().to_vec();
        bytes.extend(frame(Opcode::Text, b"early"));
        stream.write_all(&bytes).await.unwrap();
        stream
    };
    let (mut connection, _stream) = tokio::join!(open(&endpoint), server);
    assert_eq!(connection.receive().await, Some(Received::Text("early".into())));
}

#[tokio::test]
async fn everything_that_is_sent_arrives_masked_and_in_order() {
    let (mut connection, mut stream) = pair().await;
    connection.send_text("[1]").await.unwrap();
    connection.send_text(b"\xff").await.unwrap();
    connection.send_binary(&[3, 0]).await.unwrap();
    connection.send_ping(b"p").await.unwrap();
    connection.send_close(4000).await.unwrap();
    let seen = client_frames(&mut stream, 5).await;
    assert_eq!(
        seen,
        [
            "Text([91, 49, 93])",
            "Text([255])",
            "Binary([3, 0])",
            "Ping([112])",
            "Close { code: Some(4000), reason: [] }"
        ]
    );
}

#[tokio::test]
async fn everything_that_arrives_is_received_in_order() {
    let (mut connection, mut stream) = pair().await;
    let bytes = [
        frame(Opcode::Text, b"a"),
        frame(Opcode::Binary, b"b"),
        pong_frame(b"c").as_bytes().to_vec(),
        close_frame(1012, "restart").as_bytes().to_vec(),
    ]
    .concat();
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(connection.receive().await, Some(Received::Text("a".into())));
    assert_eq!(connection.receive().await, Some(Received::Binary("b".into())));
    assert_eq!(connection.receive().await, Some(Received::Pong("c".into())));
    assert_eq!(
        connection.receive().await,
        Some(Received::Closed {
            code: 1012,
            reason: "restart".into()
        })
    );
    assert_eq!(connection.receive().await, None);
    assert_eq!(
        client_frames(&mut stream, 1).await,
        ["Close { code: Some(1012), reason: [] }"]
    );
}

#[tokio::test]
async fn pings_of_the_server_are_answered_and_not_shown() {
    let (mut connection, mut stream) = pair().await;
    stream.write_all(ping_frame(b"x").as_bytes()).await.unwrap();
    stream.write_all(&frame(Opcode::Text, b"after")).await.unwrap();
    assert_eq!(connection.receive().await, Some(Received::Text("after".into())));
    assert_eq!(client_frames(&mut stream, 1).await, ["Pong([120])"]);
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_1006() {
    let (mut connection, stream) = pair().await;
    drop(stream);
    assert!(matches!(
        connection.receive().await,
        Some(Received::Closed { code: 1006, .. })
    ));

    let (mut connection, mut stream) = pair().await;
    stream.write_all(&[0xFF, 0xFF]).await.unwrap();
    match connection.receive().await {
        Some(Received::Closed { code: 1006, reason }) => assert!(reason.contains("reserved bit"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_close_frame_may_have_no_code() {
    let (mut connection, mut stream) = pair().await;
    stream.write_all(&frame(Opcode::Close, b"")).await.unwrap();
    assert_eq!(
        connection.receive().await,
        Some(Received::Closed {
            code: 1005,
            reason: String::new()
        })
    );
}

#[tokio::test]
async fn a_close_is_said_once() {
    let (mut connection, mut stream) = pair().await;
    connection.send_close(1000).await.unwrap();
    assert_eq!(
        client_frames(&mut stream, 1).await,
        ["Close { code: Some(1000), reason: [] }"]
    );
    stream.write_all(close_frame(1000, "").as_bytes()).await.unwrap();
    assert_eq!(
        connection.receive().await,
        Some(Received::Closed {
            code: 1000,
            reason: String::new()
        })
    );
    drop(connection);
    assert_eq!(
        stream.read(&mut [0; 16]).await.unwrap(),
        0,
        "more than one close frame"
    );
}

#[tokio::test]
async fn dropping_a_connection_drops_tcp_without_a_close_frame() {
    let (mut connection, mut stream) = pair().await;
    connection.send_ping(b"").await.unwrap();
    assert_eq!(client_frames(&mut stream, 1).await, ["Ping([])"]);
    drop(connection);
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_queue_stops_the_server_and_loses_nothing() {
    let (mut connection, mut stream) = pair().await;
    let count = RECEIVED_MAX * 4;
    let payload = vec![b'x'; 16 << 10];
    let server = tokio::spawn(async move {
        for _ in 0..count {
            stream.write_all(&frame(Opcode::Binary, &payload)).await.unwrap();
        }
        stream
    });
    for received in 0..count {
        if received == 1 {
            assert!(
                !server.is_finished(),
                "64 MiB fit into a queue that nobody empties"
            );
        }
        assert!(matches!(connection.receive().await, Some(Received::Binary(_))));
    }
    server.await.unwrap();
}

#[tokio::test]
async fn a_request_is_sent_as_told_and_its_answer_shown() {
    let (listener, endpoint) = listen().await;
    let request = Request {
        method: "POST".into(),
        target: "/api/broadcast?x=1".into(),
        host: "main.localhost".into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: "{}".into(),
    };
    let server = async {
        let (head, mut stream) = accept(&listener).await;
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 202 Accepted\r\nX-A: b\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        (head, body)
    };
    let (answer, (head, body)) = tokio::join!(endpoint.call(&request), server);
    assert!(head.starts_with("post /api/broadcast?x=1 http/1.1\r\n"), "{head}");
    for line in [
        "host: main.localhost",
        "connection: close",
        "content-length: 2",
        "content-type: application/json",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    assert_eq!(&body, b"{}");
    let Answer {
        status,
        headers,
        body,
    } = answer.unwrap();
    assert_eq!((status, body.len()), (202, 0));
    assert!(headers.contains(&("x-a".into(), "b".into())));
}
