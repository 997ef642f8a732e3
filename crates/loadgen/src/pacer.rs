//! Open-loop sending: message *n* is due at a time fixed beforehand, whatever became of the messages before it.
//!
//! Each message is stamped with the time it was due, not the time it was written, so a server (or a sender) that
//! falls behind shows in the latency. Messages due on one socket at one moment go out in one write.

use crate::message::Broadcast;
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A write that makes no progress for so long ends the sending.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// When messages are due, counted from the start of the sending.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Messages per second, over all senders.
    pub rate: f64,
    /// Messages due at the same moment. 1 spaces them evenly.
    pub burst: u64,
    /// Messages in all.
    pub total: u64,
}

impl Schedule {
    /// Evenly spaced messages.
    pub fn even(rate: f64, duration: Duration) -> Schedule {
        Schedule::bursts(rate, 1, duration)
    }

    /// Messages in bursts of `burst`; at least one burst.
    pub fn bursts(rate: f64, burst: u64, duration: Duration) -> Schedule {
        let bursts = (rate * duration.as_secs_f64() / burst as f64).round() as u64;
        Schedule {
            rate,
            burst,
            total: bursts.max(1) * burst,
        }
    }

    /// When message `n` is due.
    pub fn due(&self, n: u64) -> Duration {
        Duration::from_secs_f64((n - n % self.burst) as f64 / self.rate)
    }

    /// How many messages are due once `elapsed` has passed.
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        let bursts = (elapsed.as_secs_f64() * self.rate / self.burst as f64).floor() as u64 + 1;
        let mut count = bursts.saturating_mul(self.burst).min(self.total);
        // The division may round either way; `due` decides.
        while count > 0 && self.due(count - 1) > elapsed {
            count -= 1;
        }
        while count < self.total && self.due(count) <= elapsed {
            count += 1;
        }
        count
    }
}

/// A joined socket and the message it sends.
pub struct Sender {
    stream: TcpStream,
    message: Broadcast,
}

impl Sender {
    /// `stream` must be joined to the topic of `message`, and blocking.
    pub fn new(stream: TcpStream, message: Broadcast) -> io::Result<Sender> {
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Sender { stream, message })
    }
}

/// Sends all messages of the schedule, the senders taking turns, and returns when the last is written. Stamps count
/// from `epoch`. At most as many messages wait in memory as are due at once.
pub fn send(schedule: Schedule, senders: &mut [Sender], epoch: Instant) -> io::Result<()> {
    let begun = Instant::now();
    let offset = begun.duration_since(epoch);
    let turns = senders.len() as u64;
    let mut sent = 0;
    let mut batch = Vec::new();
    while sent < schedule.total {
        if let Some(early) = schedule.due(sent).checked_sub(begun.elapsed()) {
            std::thread::sleep(early);
        }
        let due = schedule.due_by(begun.elapsed());
        for first in sent..due.min(sent + turns) {
            let Some(sender) = senders.get_mut((first % turns) as usize) else {
                continue;
            };
            batch.clear();
            for n in (first..due).step_by(turns as usize) {
                sender
                    .message
                    .stamp((offset + schedule.due(n)).as_micros() as u64);
                batch.extend_from_slice(sender.message.as_bytes());
            }
            sender.stream.write_all(&batch)?;
        }
        sent = due;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_distances_or_in_bursts() {
        let even = Schedule::even(1000.0, Duration::from_secs(2));
        assert_eq!(
            (even.total, even.due(0), even.due(1500)),
            (2000, Duration::ZERO, Duration::from_millis(1500))
        );
        let bursts = Schedule::bursts(1000.0, 20, Duration::from_secs(1));
        assert_eq!(
            (bursts.total, bursts.due(19), bursts.due(20)),
            (1000, Duration::ZERO, Duration::from_millis(20))
        );
    }

    #[test]
    fn a_message_counts_as_due_exactly_from_its_time_on() {
        for schedule in [
            Schedule::even(997.0, Duration::from_secs(3)),
            Schedule::bursts(300.0, 7, Duration::from_secs(3)),
        ] {
            for n in 0..schedule.total {
                assert!(schedule.due_by(schedule.due(n)) > n);
                let before = schedule.due(n).saturating_sub(Duration::from_nanos(1));
                assert!(n < schedule.burst || schedule.due_by(before) <= n);
            }
            assert_eq!(schedule.due_by(Duration::from_secs(100)), schedule.total);
        }
    }
}
