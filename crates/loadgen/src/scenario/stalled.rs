//! One subscriber among a thousand stops reading: do the others notice, and is it closed?
//!
//! The one is also on a topic of its own, which is flooded while the thousand are measured with the same server: with
//! its own messages alone it would take minutes until its budget is spent. The flood is a load as well, so it flows in
//! all three stretches: in two of them the one reads, in the third it does not. What sets the two apart is chance, and
//! stalling has an effect if it sets the third apart by more. The memory of the server tells how much it keeps for the
//! stalled socket. Afterwards that is read to its end: what it still gets is what the kernel had, and the server if it
//! did not drop it.
//!
//! The floor knows one topic per socket: there the one is only on the flooded topic.

use super::{Figure, OPEN_LIMIT, Scenario, Settings, audience, figure, known};
use crate::Result;
use crate::goal::{Bound, Bounded, Goal};
use crate::measure::measure;
use crate::message::{self, Broadcast};
use crate::pacer::{self, Schedule, Sender};
use crate::server::Server;
use crate::swarm::{Member, Swarm};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TOPIC: &str = "stalled";
const FLOOD_TOPIC: &str = "flood";
const SUBSCRIBERS: usize = 999;
const RATE: f64 = 60.0;
/// 32 MB over a stretch, more than a server should queue for one socket.
const FLOOD_BYTES: usize = 64_000;
const FLOOD_MESSAGES: f64 = 500.0;
const STRETCH: Duration = Duration::from_secs(5);
const STRETCH_QUICK: Duration = Duration::from_secs(2);
/// The kernel should hold little of the flood.
const RECEIVE_BUFFER_BYTES: usize = 4096;
const END_LIMIT: Duration = Duration::from_secs(3);
/// How long a socket that is read has nothing to read before it counts as empty.
const EMPTY: Duration = Duration::from_millis(50);

const EFFECT: &str = "latency p99 of the others, stalled by read";
const CHANCE: &str = "latency p99 of the others, read by read";
const CLOSED: &str = "stalled socket closed";
const QUEUED: &str = "queued for the stalled socket at its end";
const GROWN: &str = "memory grown by while it is stalled";
/// What may wait for one client by default, 16 MiB, the most the kernel's send buffer grows to by default, 4 MiB, and a
/// little for the receive buffer. Megabytes.
const QUEUED_MAX: f64 = 21.1;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(20);

pub(super) const SCENARIO: Scenario = Scenario {
    name: "stalled",
    about: "1,000 subscribers, one of which does not read while 32 MB are sent to it",
    run,
    restarts: false,
    paired: false,
    goals: &[
        Goal {
            figure: EFFECT,
            of: Bounded::Value,
            is: Bound::WithinChance(CHANCE),
        },
        Goal::at_least(CLOSED, 1.0),
        Goal::at_most(QUEUED, QUEUED_MAX),
        Goal::at_most(GROWN, QUEUED_MAX),
    ],
};

fn run(server: &mut Server, settings: &Settings) -> Result<Vec<Figure>> {
    let (mut swarm, mut senders) = audience(server, settings, TOPIC, SUBSCRIBERS)?;
    let stretch = if settings.quick { STRETCH_QUICK } else { STRETCH };
    let schedule = Schedule::even(RATE, stretch);
    let flood = Schedule::even(FLOOD_MESSAGES / stretch.as_secs_f64(), stretch);
    let mut p99 = |flooder: &mut [Sender], reading: Option<&mut TcpStream>| {
        while_flooded(flood, flooder, reading, || {
            let receivers = SUBSCRIBERS as u64;
            Ok(measure(server, &mut swarm, &mut senders, receivers, schedule)?.latency_ms(0.99))
        })
    };

    let token = &server.target.token;
    let joins = [FLOOD_TOPIC, TOPIC].map(|topic| message::join(topic, token, false));
    let member = Member::new(joins.concat());
    let [flooder, _] = joins;
    let mut sockets = Swarm::new(&server.target)?;
    sockets.open([Member::new(flooder), member.clone()], 2, OPEN_LIMIT)?;
    let broadcast = Broadcast::new(settings.wire, FLOOD_TOPIC, FLOOD_BYTES);
    let mut flooder = [Sender::new(sockets.detach(0)?, broadcast)?];
    let mut reading = sockets.detach(1)?;
    let first = p99(&mut flooder, Some(&mut reading))?;
    let second = p99(&mut flooder, Some(&mut reading))?;
    drop(reading);

    let stalling = Member {
        receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES),
        ..member
    };
    sockets.open([stalling], 1, OPEN_LIMIT)?;
    let mut stalled = sockets.detach(2)?;
    let (during, grown) = growth(server, || p99(&mut flooder, None))?;
    let (queued_bytes, ended) = read_to_end(&mut stalled)?;

    let before = f64::midpoint(first, second);
    let mut figures = vec![
        figure("latency p99 of the others, read", "ms", before),
        figure("latency p99 of the others, stalled", "ms", during),
        figure(EFFECT, "×", during / before),
        figure(CHANCE, "×", first.max(second) / first.min(second)),
        figure(CLOSED, "", f64::from(u8::from(ended))),
        figure(QUEUED, "MB", queued_bytes as f64 / 1e6),
    ];
    figures.extend(known(GROWN, "MB", grown.map(|bytes| bytes as f64 / 1e6)));
    Ok(figures)
}

/// Does `load`, and by how many bytes the server's resident memory was above what it was before, at the most.
fn growth<T>(server: &Server, load: impl FnOnce() -> Result<T>) -> Result<(T, Option<u64>)> {
    let before = server.resident_bytes()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = before;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(server.resident_bytes()?);
                std::thread::sleep(LOOK);
            }
            Result::<_>::Ok(most)
        });
        let result = load();
        is_over.store(true, Ordering::Relaxed);
        let most = watching.join().map_err(|_| "the watching thread panicked")??;
        let grown = before.zip(most).map(|(before, most)| most.saturating_sub(before));
        Ok((result?, grown))
    })
}

/// Does `load` while `flooder` sends, and `reading`, if there is one, is read.
fn while_flooded<T>(
    flood: Schedule,
    flooder: &mut [Sender],
    reading: Option<&mut TcpStream>,
    load: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = reading.map(|reading| scope.spawn(|| read(reading, &is_over)));
        let flooding = scope.spawn(|| pacer::send(flood, flooder, Instant::now()));
        let result = load();
        let sent = flooding.join().map_err(|_| "the flooding thread panicked");
        is_over.store(true, Ordering::Relaxed);
        if let Some(reader) = reader {
            reader.join().map_err(|_| "the reading thread panicked")??;
        }
        sent??;
        result
    })
}

/// Reads until it is over and nothing comes any more.
fn read(stream: &mut TcpStream, is_over: &AtomicBool) -> Result<()> {
    stream.set_read_timeout(Some(EMPTY))?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return crate::failed("the socket that reads was closed"),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Bytes until the peer's end, and whether that end came.
fn read_to_end(stream: &mut TcpStream) -> Result<(usize, bool)> {
    stream.set_read_timeout(Some(END_LIMIT))?;
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok((total, true)),
            Ok(bytes) => total += bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok((total, true)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((total, false)),
            Err(error) => return Err(error.into()),
        }
    }
}
