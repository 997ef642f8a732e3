//! One subscriber among a thousand stops reading: do the others notice, and is it closed?
//!
//! The stalled socket is alone on a topic of its own, which is flooded while the thousand are measured on theirs with
//! the same server. Afterwards the stalled socket is read to its end: what it still gets is what the server and the
//! kernel had queued for it.

use super::{Figure, OPEN_LIMIT, Scenario, Settings, audience, figure};
use crate::Result;
use crate::measure::measure;
use crate::message::{self, Broadcast};
use crate::pacer::{self, Schedule, Sender};
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use std::io::Read;
use std::time::{Duration, Instant};

const SUBSCRIBERS: usize = 999;
const RATE: f64 = 40.0;
/// 64 kB a hundred times a second: 32 MB over the stretch, more than a server should queue for one socket.
const FLOOD_BYTES: usize = 64_000;
const FLOOD_RATE: f64 = 100.0;
const STRETCH: Duration = Duration::from_secs(5);
/// The kernel should hold little of the flood.
const RECEIVE_BUFFER_BYTES: usize = 4096;
const END_LIMIT: Duration = Duration::from_secs(3);

pub(super) const SCENARIO: Scenario = Scenario {
    name: "stalled",
    about: "1,000 subscribers, one of which does not read while 32 MB are sent to it",
    run,
    restarts: false,
    goal: None,
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let (mut swarm, mut senders) = audience(server, settings, "stalled", SUBSCRIBERS)?;
    let schedule = Schedule::even(RATE, STRETCH);
    let before = measure(server, &mut swarm, &mut senders, SUBSCRIBERS as u64, schedule)?;

    let mut flood = Swarm::new(&server.target)?;
    let mut member = Member::new(message::join("flood", &server.target.token, false));
    let flooder = member.clone();
    member.receive_buffer_bytes = Some(RECEIVE_BUFFER_BYTES);
    flood.open([member, flooder], 2, OPEN_LIMIT)?;
    let mut stalled = flood.detach(0)?;
    let mut flooders = [Sender::new(
        flood.detach(1)?,
        Broadcast::new(settings.wire, "flood", FLOOD_BYTES),
    )?];
    let during = std::thread::scope(|scope| {
        let flooding =
            scope.spawn(|| pacer::send(Schedule::even(FLOOD_RATE, STRETCH), &mut flooders, Instant::now()));
        let during = measure(server, &mut swarm, &mut senders, SUBSCRIBERS as u64, schedule);
        flooding.join().map_err(|_| "the flooding thread panicked")??;
        during
    })?;

    let (queued_bytes, ended) = read_to_end(&mut stalled)?;
    Ok(vec![
        figure("latency p99 of the others, before", "ms", before.latency_ms(0.99)),
        figure("latency p99 of the others, during", "ms", during.latency_ms(0.99)),
        figure("stalled socket closed", "", f64::from(u8::from(ended))),
        figure("queued for the stalled socket", "MB", queued_bytes as f64 / 1e6),
    ])
}

/// Bytes until the peer's end, and whether that end came.
fn read_to_end(stream: &mut std::net::TcpStream) -> Result<(usize, bool)> {
    stream.set_read_timeout(Some(END_LIMIT))?;
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok((total, true)),
            Ok(bytes) => total += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok((total, true)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok((total, false)),
            Err(error) => return Err(error.into()),
        }
    }
}
