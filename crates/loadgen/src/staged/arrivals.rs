//! The rows that reached their listeners: which, where and when. A row is told by its number, found in the frame
//! without parsing it.

use super::writer::Commit;
use crate::swarm::Delivery;
use memchr::memmem::{Finder, find};
use std::time::Instant;

/// How rows get to their listeners, and what is known of the frames.
pub(crate) struct Route {
    /// The extension that `system` messages about it name.
    pub(crate) extension: &'static str,
    /// What stands before the number of a row. Blanks may follow.
    pub(crate) number_marker: &'static str,
}

impl Route {
    /// Whether a frame is a `system` message about this route.
    pub(crate) fn is_notice(&self, payload: &[u8]) -> bool {
        let Some(at) = find(payload, EXTENSION_MARKER) else {
            return false;
        };
        let name = payload.get(at + EXTENSION_MARKER.len()..).unwrap_or_default();
        name.starts_with(self.extension.as_bytes()) && name.get(self.extension.len()) == Some(&b'"')
    }

    /// Whether it is one that is not ok.
    pub(crate) fn is_complaint(&self, payload: &[u8]) -> bool {
        self.is_notice(payload) && find(payload, br#""status":"error""#).is_some()
    }
}

const EXTENSION_MARKER: &[u8] = br#""extension":""#;

/// One row on one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    /// Number of the row, from the first of the run on.
    row: u32,
    socket: u32,
    /// Microseconds since the epoch of the run.
    at: u32,
}

/// Who hears of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// How many sockets.
    pub(crate) sockets: u64,
    /// Whether the row of that number is for the socket of that index.
    pub(crate) includes: fn(u64, usize) -> bool,
}

impl Reach {
    /// Every row is for all sockets.
    pub(crate) fn all(sockets: u64) -> Reach {
        Reach {
            sockets,
            includes: |_, _| true,
        }
    }
}

/// What has arrived in a run.
pub(crate) struct Arrivals {
    route: &'static Route,
    marker: Finder<'static>,
    epoch: Instant,
    first: u64,
    seen: Vec<Arrival>,
    payload_bytes: u64,
    last: Instant,
    /// Rows of another run.
    strangers: u64,
    /// What the gateway had to say besides rows.
    complaint: Option<String>,
}

impl Arrivals {
    /// Of a run that begins with row `first`.
    pub(crate) fn new(route: &'static Route, first: u64, epoch: Instant) -> Arrivals {
        Arrivals {
            route,
            marker: Finder::new(route.number_marker),
            epoch,
            first,
            seen: Vec::new(),
            payload_bytes: 0,
            last: epoch,
            strangers: 0,
            complaint: None,
        }
    }

    /// Takes note of a row; anything else is left alone, unless the gateway complains.
    pub(crate) fn take(&mut self, delivery: &Delivery<'_>) {
        let Some(at) = self.marker.find(delivery.payload) else {
            if self.route.is_complaint(delivery.payload) {
                let text = String::from_utf8_lossy(delivery.payload).into_owned();
                self.complaint.get_or_insert(text);
            }
            return;
        };
        let after = at + self.route.number_marker.len();
        let digits = delivery.payload.get(after..).unwrap_or_default();
        let number = digits
            .trim_ascii_start()
            .iter()
            .take_while(|digit| digit.is_ascii_digit())
            .fold(0_u64, |number, digit| {
                number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
            });
        let row = number
            .checked_sub(self.first)
            .and_then(|row| u32::try_from(row).ok());
        let Some(row) = row else {
            self.strangers += 1;
            return;
        };
        let micros = delivery.at.duration_since(self.epoch).as_micros();
        self.seen.push(Arrival {
            row,
            socket: delivery.socket as u32,
            at: u32::try_from(micros).unwrap_or(u32::MAX),
        });
        self.payload_bytes += delivery.payload.len() as u64;
        self.last = delivery.at;
    }

    /// Payload bytes of an arrival, on average.
    pub(crate) fn bytes_each(&self) -> f64 {
        self.payload_bytes as f64 / self.count().max(1) as f64
    }

    /// How many rows have arrived, each counted as often as it did.
    pub(crate) fn count(&self) -> u64 {
        self.seen.len() as u64
    }

    /// When the last one did.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// Whether each of `rows` arrived where it should have, once, and nothing else did. The error says what went wrong.
    pub(crate) fn check(&mut self, rows: u64, reach: &Reach) -> Result<(), String> {
        if let Some(complaint) = &self.complaint {
            return Err(format!("the gateway complained: {complaint}"));
        }
        if self.strangers > 0 {
            return Err(format!("{} rows of another run arrived", self.strangers));
        }
        let expected = rows * reach.sockets;
        if self.count() != expected {
            return Err(format!("{} of {expected} deliveries arrived", self.count()));
        }
        self.seen.sort_unstable();
        let twice = self
            .seen
            .windows(2)
            .filter(|pair| matches!(pair, [one, other] if (one.row, one.socket) == (other.row, other.socket)))
            .count();
        let astray = self
            .seen
            .iter()
            .filter(|arrival| {
                let number = u64::from(arrival.row);
                number >= rows || !(reach.includes)(self.first + number, arrival.socket as usize)
            })
            .count();
        if twice + astray > 0 {
            return Err(format!(
                "{twice} deliveries came twice and {astray} to the wrong socket"
            ));
        }
        Ok(())
    }

    /// Microseconds from a moment of a row's commit to its arrival, of all arrivals; below nothing is nothing.
    pub(crate) fn latency(
        &self,
        commits: &[Commit],
        rows_each: u64,
        from: impl Fn(&Commit) -> u32,
    ) -> Quantiles {
        let delay = |arrival: &Arrival| {
            let commit = commits.get((u64::from(arrival.row) / rows_each) as usize)?;
            Some(arrival.at.saturating_sub(from(commit)))
        };
        Quantiles::of(self.seen.iter().filter_map(delay).collect())
    }
}

/// Values in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantiles {
    sorted: Vec<u32>,
}

impl Quantiles {
    /// Of these values.
    pub(crate) fn of(mut values: Vec<u32>) -> Quantiles {
        values.sort_unstable();
        Quantiles { sorted: values }
    }

    /// The smallest value below or at which `share` (0 to 1) of them lie; 0 if there are none.
    pub(crate) fn at(&self, share: f64) -> u32 {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        let found = self.sorted.get(rank.saturating_sub(1));
        found.or(self.sorted.last()).copied().unwrap_or_default()
    }

    /// The same, of microseconds, in milliseconds.
    pub(crate) fn ms(&self, share: f64) -> f64 {
        f64::from(self.at(share)) / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ROUTE: Route = Route {
        extension: "postgres_changes",
        number_marker: r#""record":{"id":"#,
    };

    fn frame(row: u64) -> String {
        format!(
            r#"[null,null,"realtime:r","postgres_changes",{{"ids":[1],"data":{{"record":{{"id": {row},"key":3}}}}}}]"#
        )
    }

    fn arrived(rows: &[(u64, usize)]) -> Arrivals {
        let epoch = Instant::now();
        let mut arrivals = Arrivals::new(&ROUTE, 100, epoch);
        for (row, socket) in rows {
            let payload = frame(*row);
            arrivals.take(&Delivery {
                socket: *socket,
                payload: payload.as_bytes(),
                at: epoch + Duration::from_micros(50 + row),
            });
        }
        arrivals
    }

    #[test]
    fn all_rows_in_any_order_are_whole() {
        let mut arrivals = arrived(&[(101, 1), (100, 0), (101, 0), (100, 1)]);
        assert_eq!(arrivals.check(2, &Reach::all(2)), Ok(()));
    }

    #[test]
    fn a_row_that_is_missing_twice_there_astray_or_of_another_run_is_noticed() {
        let own = Reach {
            sockets: 1,
            includes: |row, socket| row % 2 == socket as u64,
        };
        let check = |rows: &[(u64, usize)]| arrived(rows).check(2, &own);
        assert_eq!(check(&[(100, 0), (101, 1)]), Ok(()));
        for wrong in [
            &[(100, 0)][..],
            &[(100, 0), (100, 0)],
            &[(100, 0), (101, 0)],
            &[(100, 0), (102, 0)],
            &[(100, 0), (101, 1), (99, 1)],
        ] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_complaint_of_the_gateway_is_noticed_and_other_messages_are_not() {
        let mut arrivals = arrived(&[]);
        let mut say = |text: &str| {
            arrivals.take(&Delivery {
                socket: 0,
                payload: text.as_bytes(),
                at: Instant::now(),
            });
            arrivals.check(0, &Reach::all(1))
        };
        assert!(say(r#"[null,"4","phoenix","phx_reply",{"status":"ok"}]"#).is_ok());
        assert!(say(r#"["1",null,"t","system",{"status":"ok","extension":"postgres_changes"}]"#).is_ok());
        assert!(say(r#"["1",null,"t","system",{"status":"error","extension":"postgres"}]"#).is_ok());
        assert!(say(r#"["1",null,"t","system",{"status":"error","extension":"postgres_changes"}]"#).is_err());
    }

    #[test]
    fn latency_counts_from_the_commit_of_the_row_and_is_never_below_nothing() {
        let arrivals = arrived(&[(100, 0), (101, 0), (102, 0)]);
        let commit = |returned| Commit { sent: 0, returned };
        let latency = arrivals.latency(&[commit(140), commit(999)], 2, |commit| commit.returned);
        assert_eq!((latency.at(0.0), latency.at(0.6), latency.at(1.0)), (0, 10, 11));
        assert_eq!(Quantiles::default().at(0.5), 0);
    }
}
