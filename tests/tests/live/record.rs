//! `roost record` between clients and a server: what it writes is what was said, and replays.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use client::{Connection, Endpoint, Opening, Received, Request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use replayer::{Options, Target, Verdict, replay};
use serde_json::json;
use tests::gateway::{Gateway, binary};
use tests::peer::{Peer, SECRET, token};
use tests::tls::Authority;
use transcript::binary::{Encoding, UserBroadcast};
use transcript::{Failure, Transcript};

/// How often a recording has to replay.
const TIMES: usize = 10;

/// A running `roost record`, and a folder with what it writes.
struct Recording {
    child: Child,
    address: String,
    folder: PathBuf,
}

impl Recording {
    fn start(upstream: &str, flags: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("roost-record-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        let mut child = Command::new(binary())
            .args([
                "record",
                "--listen",
                "127.0.0.1:0",
                "--upstream",
                upstream,
                "--out",
            ])
            .arg(folder.join("session.jsonl"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let address = stdout.lines().map_while(Result::ok).find_map(|line| {
            let (_, url) = line.split_once("createClient('http://")?;
            Some(url.split('\'').next()?.to_owned())
        });
        Self {
            child,
            address: address.expect("it says where it listens"),
            folder,
        }
    }

    fn signal(&mut self, signal: Signal) -> bool {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).expect("it runs");
        self.child.wait().expect("it is our child").success()
    }

    /// What it wrote.
    fn text(&self) -> String {
        fs::read_to_string(self.folder.join("session.jsonl")).expect("a file of text")
    }

    /// What it wrote once it was stopped.
    fn stop(mut self) -> String {
        assert!(self.signal(Signal::SIGINT), "it stops cleanly");
        self.text()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn parsed(text: &str) -> Transcript {
    let transcript = Transcript::parse("session.jsonl", text).expect("a transcript");
    assert!(transcript.problems().is_empty(), "{:?}", transcript.problems());
    transcript
}

async fn replayed(text: &str, gateway: &Gateway) -> Result<(), Box<Failure>> {
    let tenants = json!({"profiles": {"main": [{"name": "roost", "jwt_secret": SECRET}]}});
    let target = Target::parse(
        Endpoint::parse(&format!("ws://{}", gateway.address())).expect("an address"),
        &tenants.to_string(),
    )
    .expect("a target");
    let mut outcomes = replay(vec![parsed(text)], &target, Options::default(), &mut |_| {}).await;
    match outcomes.pop().expect("one outcome").verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed(failure) => Err(failure),
        Verdict::LeftOut(reason) => panic!("left out: {reason}"),
    }
}

async fn open(address: &str, query: &str) -> Connection {
    let endpoint = Endpoint::parse(&format!("ws://{address}")).expect("an address");
    let target = format!("/realtime/v1/websocket?{query}");
    match endpoint.open(address, &target, &[]).await.expect("a server") {
        Opening::Open(connection) => connection,
        Opening::Refused(answer) => panic!("refused with {}", answer.status),
    }
}

/// Two members of a room who track, broadcast in text and bytes, hear of a broadcast over HTTP, and go.
async fn meet(address: &str) {
    let config = |key: &str| json!({"broadcast": {"self": true, "ack": true}, "presence": {"enabled": true, "key": key}});
    let topic = "realtime:room";
    let mut ann = Peer::connect(address).await;
    ann.join(topic, config("ann")).await;
    ann.next_of("presence_state").await;
    let mut ben = open(address, &format!("vsn=2.0.0&apikey={}", token("authenticated"))).await;
    let join =
        json!(["1", "1", topic, "phx_join", {"config": config(""), "access_token": token("authenticated")}]);
    ben.send_text(join.to_string()).await.expect("an open connection");
    until(&mut ben, "presence_state").await;

    let track =
        json!({"type": "presence", "event": "track", "payload": {"email": "ann@example.com", "n": 1}});
    ann.send(&json!(["1", "2", topic, "presence", track])).await;
    until(&mut ben, "presence_diff").await;
    let hello = json!({"type": "broadcast", "event": "say", "payload": {"text": "hello", "email": "ann@example.com"}});
    ann.send(&json!(["1", "3", topic, "broadcast", hello])).await;
    until(&mut ben, "hello").await;
    let bytes = UserBroadcast {
        topic,
        event: "say",
        meta: b"",
        encoding: Encoding::Json,
        payload: br#"{"text":"hi","price":"${5}"}"#,
    };
    let bytes = bytes.push("1", "4").expect("short fields");
    ben.send_binary(&bytes).await.expect("an open connection");
    loop {
        let frame = ann.next_of_any_kind().await;
        if frame.to_string().contains("hi") {
            break;
        }
    }
    let request = Request {
        method: "POST".to_owned(),
        target: "/realtime/v1/api/broadcast".to_owned(),
        host: address.to_owned(),
        headers: vec![
            (
                "authorization".to_owned(),
                format!("Bearer {}", token("service_role")),
            ),
            ("content-type".to_owned(), "application/json".to_owned()),
        ],
        body: json!({"messages": [{"topic": "room", "event": "say", "payload": {"text": "post"}}]})
            .to_string()
            .into(),
    };
    let endpoint = Endpoint::parse(&format!("ws://{address}")).expect("an address");
    assert_eq!(endpoint.call(&request).await.expect("an answer").status, 202);
    until(&mut ben, "post").await;

    drop(ann);
    until(&mut ben, "leaves\":{\"ann").await;
    let leave = json!(["1", "9", topic, "phx_leave", {}]);
    ben.send_text(leave.to_string())
        .await
        .expect("an open connection");
    ben.send_close(1000).await.expect("an open connection");
    while ben.receive().await.is_some() {}
}

/// Waits for a frame with this text in it.
async fn until(connection: &mut Connection, text: &str) {
    loop {
        let (Received::Text(bytes) | Received::Binary(bytes)) =
            connection.receive().await.expect("more to come")
        else {
            panic!("neither text nor binary");
        };
        if String::from_utf8_lossy(&bytes).contains(text) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_replays_ten_times_and_a_changed_byte_shows() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET]);
    let upstream = format!("ws://{}/realtime/v1", gateway.address());
    let recording = Recording::start(
        &upstream,
        &["--redact", "$.payload.email", "--redact", "$..text_of_nobody"],
    );
    meet(&recording.address).await;
    let text = recording.stop();
    for secret in [
        &token("anon"),
        &token("authenticated"),
        &token("service_role"),
        SECRET,
    ] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!text.contains("ann@example.com"), "{text}");

    for time in 1..=TIMES {
        if let Err(failure) = replayed(&text, &gateway).await {
            panic!("replay {time}: {failure}\n{text}");
        }
    }

    let heard = text
        .lines()
        .find(|line| line.starts_with(r#"{"recv":"b""#) && line.contains("hello"))
        .expect("it was heard");
    let failure = replayed(&text.replace(heard, &heard.replace("hello", "hellp")), &gateway)
        .await
        .expect_err("nobody says hellp");
    let line = text.lines().position(|line| line == heard).expect("it is there") + 1;
    assert_eq!(failure.line, line);
    let mismatch = failure.mismatch.expect("values that differ");
    assert!(mismatch.path.ends_with("payload.text"), "{mismatch}");
    assert_eq!((&*mismatch.expected, &*mismatch.got), ("\"hellp\"", "\"hello\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_is_killed_leaves_what_it_has_heard() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET]);
    let mut recording = Recording::start(&format!("ws://{}/socket", gateway.address()), &[]);
    let mut ann = Peer::connect(&recording.address).await;
    ann.join("realtime:room", json!({"broadcast": {"ack": true}}))
        .await;
    let mut number = 0;
    while recording.text().lines().count() < 100 {
        number += 1;
        let payload = json!({"n": number});
        ann.send(&json!([
            "1",
            number.to_string(),
            "realtime:room",
            "broadcast",
            payload
        ]))
        .await;
        ann.next().await;
    }
    assert!(!recording.signal(Signal::SIGKILL));
    let transcript = parsed(&recording.text());
    assert!(transcript.steps.len() >= 99, "{} steps", transcript.steps.len());
    assert!(transcript.header.jwt.contains_key("anon"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_keys_replay_too() {
    let key = "sb_publishable_only_for_tests";
    let gateway = Gateway::serve(&[
        "--jwt-secret",
        SECRET,
        "--api-key",
        &format!("{key}=anon"),
        "--connect-error-backoff-ms",
        "1",
    ]);
    let recording = Recording::start(&format!("ws://{}", gateway.address()), &[]);
    let endpoint = Endpoint::parse(&format!("ws://{}", recording.address)).expect("an address");
    let refused = endpoint
        .open(&recording.address, "/socket/websocket?vsn=2.0.0", &[])
        .await
        .expect("an answer");
    assert!(matches!(refused, Opening::Refused(_)));
    let mut ann = Peer::connect_with(&recording.address, key).await;
    ann.join("realtime:room", json!({})).await;
    let text = recording.stop();
    assert!(!text.contains(key), "{text}");
    let raw = "insert sb_publishable here";
    assert!(
        text.contains(raw) && text.contains(r#""refused":{"status":401"#),
        "{text}"
    );
    replayed(&text.replace(raw, key), &gateway)
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_is_recorded_if_its_certificate_is_trusted() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET]);
    let authority = Authority::new();
    let port = authority.terminate(gateway.address()).await;
    let upstream = format!("wss://localhost:{port}/realtime/v1");
    let recording = Recording::start(&upstream, &["--ca-file", &authority.file()]);
    meet(&recording.address).await;
    let text = recording.stop();
    replayed(&text, &gateway)
        .await
        .unwrap_or_else(|failure| panic!("{failure}\n{text}"));

    let recording = Recording::start(&upstream, &[]);
    let endpoint = Endpoint::parse(&format!("ws://{}", recording.address)).expect("an address");
    let opening = endpoint
        .open(&recording.address, "/socket/websocket?vsn=2.0.0", &[])
        .await
        .expect("an answer");
    let Opening::Refused(answer) = opening else {
        panic!("nobody knows that certificate");
    };
    assert_eq!(answer.status, 502);
    let told = String::from_utf8_lossy(&answer.body);
    assert!(told.contains("--ca-file"), "{told}");
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let folder = std::env::temp_dir().join(format!("roost-record-told-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files");
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = occupied.local_addr().expect("it is bound").to_string();
    let (there, out) = (folder.join("there.jsonl"), folder.join("out.jsonl"));
    let nowhere = folder.join("nowhere/out.jsonl");
    fs::write(&there, "").expect("the folder was made above");
    let record = |listen: &str, out: &PathBuf| {
        let mut command = Command::new(binary());
        command
            .args([
                "record",
                "--upstream",
                "ws://127.0.0.1:1",
                "--listen",
                listen,
                "--out",
            ])
            .arg(out)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    for (listen, out, reason) in [
        (
            taken.as_str(),
            &out,
            "choose another address or port with --listen",
        ),
        (
            "127.0.0.1:0",
            &there,
            "exists: give the recording another name, or remove it",
        ),
        ("127.0.0.1:0", &nowhere, "is its folder there"),
    ] {
        let output = record(listen, out).output().expect("the binary was built");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(reason), "{told}");
    }

    let mut child = record("127.0.0.1:0", &out)
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary was built");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("more to come").expect("text");
    let told = next();
    assert!(
        told.starts_with("roost: 127.0.0.1:1 cannot be reached: "),
        "{told}"
    );
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it runs");
    assert!(next().ends_with("out.jsonl is complete"));
    let told = next();
    assert!(
        told.starts_with("roost: there is no conversation in it: no client opened a socket at 127.0.0.1:"),
        "{told}"
    );
    assert!(child.wait().expect("it is our child").success());
    fs::remove_dir_all(&folder).expect("it was made above");
}
