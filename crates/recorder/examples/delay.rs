//! What recording costs: the same heartbeats and broadcasts, one at a time, to a server and to a recorder in front of it.
//!
//! ```sh
//! cargo build --release -p roost && cargo run --release -p recorder --example delay
//! ```
//!
//! It starts `target/release/roost` (or `ROOST_BIN`), with and without `roost record` before it. Messages go to both in turn, so
//! that a machine that is busy is so for both; what is printed are times from sending to the answer.

#![allow(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::{Connection, Endpoint, Opening, Received};

/// Messages of each kind that are measured, after some that are not.
const MESSAGES: usize = 5_000;
const WARM_UP: usize = 500;
const SECRET: &str = "a secret that only this measurement knows, of 32 characters";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let folder = std::env::temp_dir().join(format!("roost-delay-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--jwt-secret", SECRET];
    let (gateway, direct) = start(&serve, "serving address=", ' ');
    let upstream = format!("ws://{direct}/socket");
    let out = folder.join("delay.jsonl").display().to_string();
    let record = [
        "record",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &upstream,
        "--out",
        &out,
    ];
    let (recorder, recorded) = start(&record, "createClient('http://", '\'');

    let mut sockets = [open(&direct).await, open(&recorded).await];
    println!("from sending to the answer, {MESSAGES} of each, µs       p50     p99");
    for (name, is_broadcast) in [("heartbeat", false), ("broadcast to itself", true)] {
        let mut times = [Vec::new(), Vec::new()];
        for number in 0..MESSAGES + WARM_UP {
            for (socket, times) in sockets.iter_mut().zip(&mut times) {
                let took = exchange(socket, number, is_broadcast).await;
                if number >= WARM_UP {
                    times.push(took);
                }
            }
        }
        let [direct, recorded] = times.map(percentiles);
        for (way, [p50, p99]) in [("direct", direct), ("recorded", recorded)] {
            println!("{name:<20} {way:<32} {p50:>7.0} {p99:>7.0}");
        }
        let [p50, p99] = [recorded[0] - direct[0], recorded[1] - direct[1]];
        println!(
            "{name:<20} {:<32} {p50:>7.0} {p99:>7.0}",
            "difference, both ways together"
        );
    }
    for mut child in [recorder, gateway] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Starts the binary, and waits for the address that it prints after this text.
fn start(arguments: &[&str], before: &str, after: char) -> (Child, String) {
    let binary = std::env::var("ROOST_BIN").unwrap_or_else(|_| "target/release/roost".to_owned());
    let mut child = Command::new(binary)
        .args(arguments)
        .args(["--log-level", "info"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo build --release -p roost comes first");
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    let streams: [Box<dyn Read + Send>; 2] = [Box::new(stdout), Box::new(stderr)];
    for stream in streams {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                // Read to the end, also when nobody listens any more.
                let _ = sender.send(line);
            }
        });
    }
    drop(sender);
    let address = lines.iter().find_map(|line| {
        let (_, rest) = line.split_once(before)?;
        Some(rest.split(after).next()?.to_owned())
    });
    (child, address.expect("it says where it listens"))
}

/// A channel of its own.
struct Socket {
    connection: Connection,
    topic: String,
}

async fn open(address: &str) -> Socket {
    let endpoint = Endpoint::parse(&format!("ws://{address}")).unwrap();
    let token = token();
    let opening = endpoint
        .open(
            address,
            &format!("/socket/websocket?vsn=2.0.0&apikey={token}"),
            &[],
        )
        .await;
    let Opening::Open(mut connection) = opening.unwrap() else {
        panic!("the handshake was refused");
    };
    let topic = format!("realtime:{address}");
    let join = format!(r#"["1","join","{topic}","phx_join",{{"config":{{"broadcast":{{"self":true}}}}}}]"#);
    connection.send_text(join).await.unwrap();
    until(&mut connection, "\"join\"").await;
    Socket { connection, topic }
}

/// Sends a message and waits for what it brings.
async fn exchange(socket: &mut Socket, number: usize, is_broadcast: bool) -> Duration {
    let mark = format!("m{number}.");
    let message = if is_broadcast {
        let payload = format!(r#"{{"type":"broadcast","event":"say","payload":{{"mark":"{mark}"}}}}"#);
        format!(r#"["1","{number}","{}","broadcast",{payload}]"#, socket.topic)
    } else {
        format!(r#"[null,"{mark}","phoenix","heartbeat",{{}}]"#)
    };
    let begun = Instant::now();
    socket.connection.send_text(message).await.unwrap();
    until(&mut socket.connection, &mark).await;
    begun.elapsed()
}

async fn until(connection: &mut Connection, text: &str) {
    loop {
        match connection.receive().await {
            Some(Received::Text(bytes)) if String::from_utf8_lossy(&bytes).contains(text) => return,
            Some(Received::Text(_) | Received::Binary(_) | Received::Pong(_)) => {}
            end => panic!("{end:?}"),
        }
    }
}

/// A token of the binary's making.
fn token() -> String {
    let binary = std::env::var("ROOST_BIN").unwrap_or_else(|_| "target/release/roost".to_owned());
    let output = Command::new(binary)
        .args(["token", "--jwt-secret", SECRET, "--role", "anon"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The middle and the 99th percentile. Microseconds.
fn percentiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    [times.len() / 2, times.len() * 99 / 100].map(|at| times[at].as_secs_f64() * 1e6)
}
