//! The presence of one topic, and when its changes are told.
//!
//! A change is told at once as long as the room stays within its budget of diffs ([`Pacer`]); beyond it, changes are
//! merged and told together a little later. So a lone change in a room of any size is immediate, and a storm costs
//! every member a bounded number of frames (presence.md, section 2).
//!
//! All diffs of a topic are mailed to every worker, the own one included, while the room is locked: each worker sees
//! them in one order, and a `leave` can never overtake the `join` it belongs to.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use phoenix_wire::payload::Tracking;
use phoenix_wire::{RefView, Version, encode, event};
use presence::{Change, Diff, MemberId, PresenceSet};

use crate::{DeliveryKind, Publication, Topic};

/// Who is present on a topic and what of it has not been told yet.
#[derive(Default)]
pub(crate) struct Room {
    set: PresenceSet,
    untold: Diff,
    pacer: Pacer,
    flush_scheduled: bool,
}

/// What came of a presence change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// What it came to.
    pub outcome: Tracking,
    /// When [`Topic::flush_presence`] is to be called, if it is and nobody has been asked to yet.
    pub flush_at: Option<Duration>,
}

impl Topic {
    /// Tracks `member` under `key` with `meta`, a JSON object; replaces what it tracked before.
    pub fn track(self: &Arc<Self>, now: Duration, member: MemberId, key: &str, meta: &str) -> Announcement {
        let mut room = self.room();
        if room.set.bytes() + key.len() + meta.len() > ROOM_BYTES_MAX {
            return Announcement {
                outcome: Tracking::Refused,
                flush_at: None,
            };
        }
        match room.set.track(member, key, meta, self.hub().next_phx_ref()) {
            Some(change) => self.announce(&mut room, now, change),
            None => Announcement {
                outcome: Tracking::Unchanged,
                flush_at: None,
            },
        }
    }

    /// Removes `member`, if it is tracked.
    pub fn untrack(self: &Arc<Self>, now: Duration, member: MemberId) -> Announcement {
        let mut room = self.room();
        match room.set.untrack(member) {
            Some(change) => self.announce(&mut room, now, change),
            None => Announcement {
                outcome: Tracking::Unchanged,
                flush_at: None,
            },
        }
    }

    /// The full state as `presence_state` carries it. Everything tracked before this call is in it; everything
    /// after it will be told by a diff.
    pub fn presence_state(&self) -> String {
        let mut room = self.room();
        room.untold.seal();
        room.set.state_json()
    }

    /// Tells what was held back, if its time has come. Returns when to call again.
    pub fn flush_presence(self: &Arc<Self>, now: Duration) -> Option<Duration> {
        let mut room = self.room();
        room.flush_scheduled = false;
        self.tell_or_schedule(&mut room, now)
    }

    fn announce(self: &Arc<Self>, room: &mut Room, now: Duration, change: Change) -> Announcement {
        room.untold.add(change);
        Announcement {
            outcome: Tracking::Changed,
            flush_at: self.tell_or_schedule(room, now),
        }
    }

    fn tell_or_schedule(self: &Arc<Self>, room: &mut Room, now: Duration) -> Option<Duration> {
        if room.flush_scheduled || room.untold.is_empty() {
            return None;
        }
        let listeners = self.listeners(Version::V1) + self.listeners(Version::V2);
        match room.pacer.admit(now, listeners) {
            Ok(()) => {
                let diff = std::mem::take(&mut room.untold).to_json();
                let publication = Publication::encode(
                    |version| self.listens(version),
                    |version| {
                        let joined = self.joined();
                        Some(encode::message(
                            version,
                            RefView::NULL,
                            RefView::NULL,
                            joined,
                            event::PRESENCE_DIFF,
                            &diff,
                        ))
                    },
                );
                self.hub()
                    .send_to_others(None, self, &publication, DeliveryKind::Presence);
                None
            }
            Err(at) => {
                room.flush_scheduled = true;
                Some(at)
            }
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Admits diffs at a rate that falls with the size of the room: a generic cell rate algorithm.
///
/// The room as a whole may cause [`FRAMES_PER_SECOND`] frames; each member gets at least four and at most 200 diffs a
/// second, so that no change waits longer than [`WINDOW_MAX`]. What may come at once is a number of frames as well, so
/// that a small room hears of every change by itself and a thousand who arrive together are told of in some ninety diffs.
#[derive(Debug, Default)]
struct Pacer {
    /// When the budget is whole again.
    restored_at: Duration,
}

impl Pacer {
    /// Takes one diff from the budget, or says when there will be one.
    fn admit(&mut self, now: Duration, listeners: u32) -> Result<(), Duration> {
        let interval = (Duration::from_secs(1) * listeners / FRAMES_PER_SECOND).clamp(WINDOW_MIN, WINDOW_MAX);
        let burst = (BURST_FRAMES / listeners.max(1)).clamp(BURST_MIN, BURST_MAX);
        // What a larger room has spent weighs no more than a spent burst of this one.
        self.restored_at = self.restored_at.min(now + interval * burst);
        let earliest = self.restored_at.saturating_sub(interval * (burst - 1));
        if now < earliest {
            return Err(earliest);
        }
        self.restored_at = self.restored_at.max(now) + interval;
        Ok(())
    }
}

/// Size of the presence of one topic, keys and metas. Bytes. Its snapshot has to fit an outbox of ordinary size.
pub const ROOM_BYTES_MAX: usize = 8 << 20;
/// Presence frames a room may cause per second, over all its members, once its burst is spent.
const FRAMES_PER_SECOND: u32 = 1_000;
/// Frames that diffs may cause which follow each other without a pause.
const BURST_FRAMES: u32 = 400;
/// Fewest diffs that may follow each other without a pause, in however large a room.
const BURST_MIN: u32 = 4;
/// Most diffs that may follow each other without a pause.
const BURST_MAX: u32 = 20;
/// Shortest pause between diffs of a room that has spent its burst.
const WINDOW_MIN: Duration = Duration::from_millis(5);
/// Longest time a change waits for others to be merged with.
const WINDOW_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_lone_change_is_told_at_once_in_a_room_of_any_size() {
        for listeners in [1, 300, 100_000] {
            let mut pacer = Pacer::default();
            assert_eq!(pacer.admit(ms(10_000), listeners), Ok(()));
            assert_eq!(pacer.admit(ms(20_000), listeners), Ok(()));
        }
    }

    #[test]
    fn a_room_that_shrank_does_not_pay_for_what_it_was() {
        let mut pacer = Pacer::default();
        while pacer.admit(ms(10_000), 100_000).is_ok() {}
        let at = pacer.admit(ms(10_000), 1).expect_err("the burst is spent");
        assert!(at <= ms(10_000) + WINDOW_MIN, "{at:?}");
        assert_eq!(pacer.admit(at, 1), Ok(()));
    }

    #[test]
    fn a_storm_in_a_large_room_is_told_in_a_bounded_number_of_diffs_and_nobody_waits_long() {
        let mut pacer = Pacer::default();
        let (mut told, mut waiting_since) = (0, None);
        for now in (0..10_000).map(ms) {
            match pacer.admit(now, 1_000) {
                Ok(()) => {
                    told += 1;
                    waiting_since = None;
                }
                Err(at) => {
                    let since = *waiting_since.get_or_insert(now);
                    assert!(at - since <= WINDOW_MAX);
                }
            }
        }
        assert!((40..=BURST_MIN + 41).contains(&told), "{told}");
    }

    #[test]
    fn a_room_that_fills_with_a_thousand_members_in_ten_seconds_is_told_in_less_than_a_hundred_diffs() {
        let mut pacer = Pacer::default();
        let (mut told, mut flush_at) = (0, None);
        let mut tell = |now, listeners, flush_at: &mut Option<Duration>| match pacer.admit(now, listeners) {
            Ok(()) => told += 1,
            Err(at) => *flush_at = Some(at),
        };
        for member in 1..=1_000 {
            let now = ms(u64::from(member) * 10);
            while let Some(at) = flush_at.take_if(|at| *at <= now) {
                tell(at, member, &mut flush_at);
            }
            if flush_at.is_none() {
                tell(now, member, &mut flush_at);
            }
        }
        assert!((70..100).contains(&told), "{told}");
    }

    #[test]
    fn a_small_room_is_told_of_twenty_changes_one_by_one() {
        let mut pacer = Pacer::default();
        let told = (0..30).filter(|_| pacer.admit(ms(10_000), 20).is_ok()).count();
        assert_eq!(told, 20);
    }
}
