//! One measured stretch of load: senders on their own thread, receivers on this one, the server's CPU around both.

use crate::histogram::Histogram;
use crate::message::stamp_of;
use crate::pacer::{self, Schedule, Sender};
use crate::server::Server;
use crate::swarm::{Delivery, Swarm};
use crate::{Result, process};
use std::time::{Duration, Instant};

/// How long a stretch waits for the deliveries still missing once everything is sent and nothing arrives any more.
const SILENCE: Duration = Duration::from_secs(1);
/// How long it waits for them in any case.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Load before each measurement, so that caches, buffers and CPU clocks are warm; not counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// Between the last delivery and the look at the server's CPU time: it may still be in the system call that
/// delivered it, and the clock of a running thread is behind by up to a scheduler tick.
const COME_TO_REST: Duration = Duration::from_millis(20);

/// What a stretch of load came to.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Deliveries that should have arrived.
    pub expected: u64,
    /// Deliveries that did.
    pub delivered: u64,
    /// From the first due time to the last delivery.
    pub wall: Duration,
    /// CPU time of the server; `None` if its process is not known.
    pub server_cpu: Option<Duration>,
    /// CPU time of the load tool itself.
    pub tool_cpu: Duration,
    /// Payload bytes of the deliveries.
    pub payload_bytes: u64,
    /// Microseconds from the intended send time to the delivery.
    pub latency: Histogram,
}

/// Deliveries are missing, or there are too many: the server did other work than was to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Void {
    /// Deliveries that should have arrived.
    pub expected: u64,
    /// Deliveries that did.
    pub delivered: u64,
}

impl Void {
    /// An error unless as many were delivered as expected.
    pub fn unless(expected: u64, delivered: u64) -> Result<(), Void> {
        if delivered == expected {
            Ok(())
        } else {
            Err(Void { expected, delivered })
        }
    }
}

impl std::fmt::Display for Void {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} messages were delivered",
            self.delivered, self.expected
        )
    }
}

impl std::error::Error for Void {}

impl Reading {
    /// An error if not exactly the expected deliveries arrived.
    pub fn whole(self) -> Result<Reading, Void> {
        Void::unless(self.expected, self.delivered)?;
        Ok(self)
    }

    /// Payload bytes of a delivery, on average: equal on servers that do the same work.
    pub fn bytes_per_delivery(&self) -> f64 {
        self.payload_bytes as f64 / self.delivered.max(1) as f64
    }

    /// CPU time of the load tool per delivery. Microseconds.
    pub fn tool_us_per_delivery(&self) -> f64 {
        self.tool_cpu.as_secs_f64() * 1e6 / self.delivered.max(1) as f64
    }

    /// Server CPU per delivery. Microseconds.
    pub fn cpu_us_per_delivery(&self) -> Option<f64> {
        Some(self.server_cpu?.as_secs_f64() * 1e6 / self.delivered.max(1) as f64)
    }

    /// Deliveries per second of server CPU.
    pub fn deliveries_per_cpu_second(&self) -> Option<f64> {
        Some(self.delivered as f64 / self.server_cpu?.as_secs_f64().max(1e-9))
    }

    /// Deliveries per second.
    pub fn deliveries_per_second(&self) -> f64 {
        self.delivered as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// A latency quantile in milliseconds.
    pub fn latency_ms(&self, share: f64) -> f64 {
        self.latency.quantile(share) as f64 / 1e3
    }
}

/// Counts deliveries and their latency.
pub struct Tally {
    epoch: Instant,
    /// Deliveries so far.
    pub delivered: u64,
    /// Their payload bytes.
    pub payload_bytes: u64,
    /// When the last arrived.
    pub last: Instant,
    /// Microseconds from the stamp.
    pub latency: Histogram,
}

impl Tally {
    /// Stamps count from `epoch`.
    pub fn new(epoch: Instant) -> Tally {
        Tally {
            epoch,
            delivered: 0,
            payload_bytes: 0,
            last: epoch,
            latency: Histogram::default(),
        }
    }

    /// Counts a delivery if it carries a stamp.
    pub fn take(&mut self, delivery: &Delivery<'_>) {
        if let Some(stamp) = stamp_of(delivery.payload) {
            self.delivered += 1;
            self.payload_bytes += delivery.payload.len() as u64;
            self.last = delivery.at;
            let now = delivery.at.duration_since(self.epoch).as_micros() as u64;
            self.latency.record(now.saturating_sub(stamp));
        }
    }
}

/// Sends `schedule` from `senders` to the sockets of `swarm`, `receivers` of which get each message, after a short
/// warm-up at the same rate. [`Void`] if not each arrived.
pub fn measure(
    server: &Server,
    swarm: &mut Swarm,
    senders: &mut [Sender],
    receivers: u64,
    schedule: Schedule,
) -> Result<Reading> {
    let warm_up = Schedule::bursts(schedule.rate, schedule.burst, WARM_UP);
    run(server, swarm, senders, receivers, warm_up)?.whole()?;
    Ok(run(server, swarm, senders, receivers, schedule)?.whole()?)
}

/// The same without warm-up and whether or not each arrived.
pub fn run(
    server: &Server,
    swarm: &mut Swarm,
    senders: &mut [Sender],
    receivers: u64,
    schedule: Schedule,
) -> Result<Reading> {
    let expected = schedule.total * receivers;
    let cpu_before = server.cpu_time()?;
    let tool_before = process::cpu_time(std::process::id())?;
    let epoch = Instant::now();
    let mut tally = Tally::new(epoch);
    let sending: Result<()> = std::thread::scope(|scope| {
        let thread = scope.spawn(|| pacer::send(schedule, senders, epoch));
        let mut finished: Option<Instant> = None;
        while tally.delivered < expected {
            swarm.pump(Duration::from_millis(50), &mut |delivery| tally.take(&delivery))?;
            if thread.is_finished() {
                let since = *finished.get_or_insert_with(Instant::now);
                if since.max(tally.last).elapsed() > SILENCE || since.elapsed() > DRAIN_MAX {
                    break;
                }
            }
        }
        Ok(thread.join().map_err(|_| "the sending thread panicked")??)
    });
    sending?;
    let tool_cpu = process::cpu_time(std::process::id())?.saturating_sub(tool_before);
    std::thread::sleep(COME_TO_REST);
    let server_cpu = match (cpu_before, server.cpu_time()?) {
        (Some(before), Some(after)) => Some(after.saturating_sub(before)),
        _ => None,
    };
    Ok(Reading {
        expected,
        delivered: tally.delivered,
        wall: tally.last.duration_since(epoch),
        server_cpu,
        tool_cpu,
        payload_bytes: tally.payload_bytes,
        latency: tally.latency,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::stamped_payload;

    #[test]
    fn only_stamped_deliveries_are_counted_and_their_latency_counts_from_the_stamp() {
        let epoch = Instant::now();
        let mut tally = Tally::new(epoch);
        let at = epoch + Duration::from_micros(50);
        let stamped = stamped_payload(100).replacen("at=000000000000", "at=000000000020", 1);
        for payload in [b"[null,\"4\",\"phoenix\"]".as_slice(), stamped.as_bytes()] {
            tally.take(&Delivery {
                socket: 0,
                payload,
                at,
            });
        }
        assert_eq!((tally.delivered, tally.payload_bytes, tally.last), (1, 100, at));
        assert_eq!(tally.latency.quantile(1.0), 30);
    }

    #[test]
    fn a_reading_with_too_few_or_too_many_deliveries_is_void() {
        for (delivered, whole) in [(9, false), (10, true), (11, false)] {
            let reading = Reading {
                expected: 10,
                delivered,
                wall: Duration::from_secs(1),
                server_cpu: None,
                tool_cpu: Duration::ZERO,
                payload_bytes: 0,
                latency: Histogram::default(),
            };
            assert_eq!(reading.whole().is_ok(), whole, "{delivered}");
        }
    }
}
