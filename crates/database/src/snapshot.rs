//! Which transactions a statement saw.

use std::num::ParseIntError;
use std::str::FromStr;

/// The snapshot of one statement, as `pg_current_snapshot()` writes it.
///
/// A position in the log is no substitute: a transaction's commit is in the log, and may have been streamed, while it
/// waits for the disk or for a standby and nobody sees it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The first transaction id not given out when it was taken.
    next: u64,
    /// Transactions below it that were not visible yet.
    unfinished: Vec<u64>,
}

impl Snapshot {
    /// Whether the statement saw what this transaction did. `xid` is as in the log, without its epoch, and that of a
    /// transaction that commits in the end.
    pub fn sees(&self, xid: u32) -> bool {
        let xid = self.with_epoch(xid);
        xid < self.next && !self.unfinished.contains(&xid)
    }

    /// Ids of transactions that are compared are less than half of the circle apart.
    fn with_epoch(&self, xid: u32) -> u64 {
        let epoch = self.next & !u64::from(u32::MAX);
        let same = epoch | u64::from(xid);
        if same > self.next.saturating_add(HALF) {
            same.saturating_sub(2 * HALF)
        } else if same.saturating_add(HALF) < self.next {
            same.saturating_add(2 * HALF)
        } else {
            same
        }
    }
}

impl FromStr for Snapshot {
    type Err = ParseIntError;

    /// Reads `xmin:xmax:xip,xip,…`.
    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let mut parts = text.splitn(3, ':').skip(1);
        let next = parts.next().unwrap_or_default().parse()?;
        let unfinished = parts
            .next()
            .unwrap_or_default()
            .split(',')
            .filter(|xid| !xid.is_empty());
        Ok(Self {
            next,
            unfinished: unfinished.map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

/// Half of the circle of 32-bit transaction ids.
const HALF: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().expect("a snapshot")
    }

    #[test]
    fn what_had_not_begun_or_not_ended_is_not_seen() {
        let taken = snapshot("10:20:12,15");
        for (xid, seen) in [
            (3, true),
            (11, true),
            (12, false),
            (15, false),
            (19, true),
            (20, false),
            (21, false),
        ] {
            assert_eq!(taken.sees(xid), seen, "{xid}");
        }
        assert!(snapshot("10:10:").sees(9));
        assert!(!Snapshot::default().sees(3));
    }

    #[test]
    fn ids_go_round_in_a_circle() {
        // 2^32 + 5 is the next one.
        let taken = snapshot("4294967290:4294967301:4294967298");
        for (xid, seen) in [
            (4_294_967_290, true),
            (4, true),
            (2, false),
            (5, false),
            (6, false),
        ] {
            assert_eq!(taken.sees(xid), seen, "{xid}");
        }
        let before = snapshot("4294967290:4294967292:");
        assert!(before.sees(4_294_967_291) && !before.sees(3));
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for text in ["", "1", "1:x:", "1:2:3,x"] {
            assert!(text.parse::<Snapshot>().is_err(), "{text:?}");
        }
    }
}
