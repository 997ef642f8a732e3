//! Every limit beside its counter. Source: errors-and-limits.md, section 5.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// An average rate over the last minute and the limit it is held against.
///
/// Events are counted as they happen; every [`TICK`] they become a bucket, and the average of the last [`BUCKETS`]
/// buckets decides until the next tick. Ticks are caught up on when somebody looks ([`RateMeter::refresh`]), so a meter
/// nobody looks at costs nothing. The first look starts it; a young meter has few buckets, so an early burst weighs
/// more. After [`FORGET_AFTER`] without a look it starts anew.
#[derive(Debug)]
pub struct RateMeter {
    limit: Option<u64>,
    tick: Duration,
    /// Events counted here, ever.
    count: AtomicU64,
    next_tick_ms: AtomicU64,
    average_milli: AtomicU64,
    tripped: AtomicBool,
    buckets: Mutex<Buckets>,
}

/// Counts of past ticks, newest first. The counter is born with one empty bucket.
#[derive(Debug)]
struct Buckets {
    counts: Vec<u64>,
    max: usize,
    /// How much of the meter's count belongs to past ticks.
    counted: u64,
    /// Events counted elsewhere that belong to the next bucket.
    uncounted: u64,
}

impl RateMeter {
    /// A meter that trips when the average reaches `limit` events per second; `None` never trips.
    pub fn new(limit: Option<u64>) -> Self {
        Self::with_buckets(limit, TICK, BUCKETS)
    }

    /// As [`RateMeter::new`] with another tick and number of buckets.
    pub fn with_buckets(limit: Option<u64>, tick: Duration, buckets: usize) -> Self {
        Self {
            limit,
            tick,
            count: AtomicU64::new(0),
            next_tick_ms: AtomicU64::new(0),
            average_milli: AtomicU64::new(0),
            tripped: AtomicBool::new(limit == Some(0)),
            buckets: Mutex::new(Buckets {
                counts: vec![0],
                max: buckets,
                counted: 0,
                uncounted: 0,
            }),
        }
    }

    /// The limit, events per second.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Counts `events`.
    pub fn add(&self, events: u64) {
        self.count.fetch_add(events, Ordering::Relaxed);
    }

    /// Events counted with [`RateMeter::add`] so far.
    pub fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Catches up on ticks; `uncounted` gives events counted elsewhere since the last tick, and is called only when a
    /// tick is due. Returns whether the meter is tripped.
    pub fn refresh(&self, now: Duration, uncounted: impl FnOnce() -> u64) -> bool {
        if millis(now) >= self.next_tick_ms.load(Ordering::Relaxed) {
            self.catch_up(now, uncounted());
        }
        self.is_tripped()
    }

    /// Whether the average reached the limit at the last tick.
    pub fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Relaxed)
    }

    /// The average at the last tick, events per second.
    pub fn average(&self) -> f64 {
        self.average_milli.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// Whether the average is above `limit`, strictly: how presence is judged.
    pub fn is_above(&self) -> bool {
        self.limit.is_some_and(|limit| self.average() > limit as f64)
    }

    fn catch_up(&self, now: Duration, uncounted: u64) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.next_tick_ms.load(Ordering::Relaxed);
        let Some(late) = millis(now).checked_sub(due) else {
            buckets.uncounted += uncounted;
            return;
        };
        let tick = millis(self.tick);
        if due == 0 || Duration::from_millis(late) > FORGET_AFTER {
            buckets.counts = vec![0];
            buckets.take(self.total());
            self.next_tick_ms.store(millis(now) + tick, Ordering::Relaxed);
        } else {
            let ticks = 1 + late / tick;
            let count = buckets.take(self.total()) + uncounted;
            buckets.push(count);
            for _ in 1..ticks.min(buckets.max as u64 + 1) {
                buckets.push(0);
            }
            self.next_tick_ms.store(due + ticks * tick, Ordering::Relaxed);
        }
        let average_milli =
            buckets.counts.iter().sum::<u64>() * 1_000_000 / (buckets.counts.len() as u64 * tick);
        self.average_milli.store(average_milli, Ordering::Relaxed);
        self.tripped.store(
            self.limit
                .is_some_and(|limit| average_milli >= limit.saturating_mul(1000)),
            Ordering::Relaxed,
        );
    }
}

impl Buckets {
    /// Events since the last call; `total` is the meter's count.
    fn take(&mut self, total: u64) -> u64 {
        let before = std::mem::replace(&mut self.counted, total);
        total - before + std::mem::take(&mut self.uncounted)
    }

    fn push(&mut self, count: u64) {
        self.counts.insert(0, count);
        self.counts.truncate(self.max);
    }
}

/// A fixed window of calls, starting with the first: how presence pushes of one channel are limited.
#[derive(Debug, Default)]
pub struct CallWindow {
    calls: u32,
    ends_at: Option<Duration>,
}

impl CallWindow {
    /// Counts a call; false if it is one more than `max` in the current window of length `window`.
    pub fn admit(&mut self, now: Duration, max: Option<u32>, window: Duration) -> bool {
        let Some(max) = max else { return true };
        match self.ends_at {
            Some(end) if now <= end && self.calls >= max => false,
            Some(end) if now <= end => {
                self.calls += 1;
                true
            }
            _ => {
                *self = CallWindow {
                    calls: 1,
                    ends_at: Some(now + window),
                };
                true
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How often counts become a bucket.
pub const TICK: Duration = Duration::from_secs(5);
/// Buckets the average is taken over.
pub const BUCKETS: usize = 12;
/// An idle meter starts anew after this time.
const FORGET_AFTER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn started(limit: Option<u64>) -> RateMeter {
        let meter = RateMeter::new(limit);
        meter.refresh(ZERO, || 0);
        meter
    }

    #[test]
    fn the_first_look_starts_the_clock_so_that_time_before_it_does_not_dilute() {
        let meter = RateMeter::new(Some(4));
        assert!(!meter.refresh(seconds(100), || 0));
        meter.add(40);
        assert!(
            meter.refresh(seconds(105), || 0),
            "40 events in two buckets of 5 s are 4 a second"
        );
        assert!(
            !meter.refresh(seconds(1_000), || 0),
            "forgotten after five idle minutes"
        );
    }

    #[test]
    fn a_burst_goes_unnoticed_until_the_tick() {
        let meter = started(Some(100));
        meter.add(1_000);
        assert!(!meter.refresh(seconds(4), || 0));
        assert!(
            meter.refresh(seconds(5), || 0),
            "1000 events in two buckets of 5 s are 100 a second"
        );
        assert_eq!(meter.average(), 100.0);
    }

    #[test]
    fn it_recovers_as_empty_buckets_dilute_the_burst() {
        let meter = started(Some(100));
        meter.add(1_000);
        assert!(meter.refresh(seconds(5), || 0));
        assert!(!meter.refresh(seconds(10), || 0));
    }

    #[test]
    fn the_total_outlives_ticks_and_forgetting() {
        let meter = started(Some(1));
        meter.add(5);
        assert!(!meter.refresh(seconds(5), || 0));
        meter.add(2);
        assert!(!meter.refresh(seconds(1_000), || 0), "forgotten");
        meter.add(4);
        assert_eq!(meter.total(), 11);
        assert!(!meter.refresh(seconds(1_005), || 0), "of 4 events in two buckets");
        assert_eq!(meter.average(), 0.4);
    }

    #[test]
    fn history_is_a_minute() {
        let meter = started(Some(10));
        meter.add(6_000);
        assert!(meter.refresh(seconds(59), || 0));
        assert!(
            !meter.refresh(seconds(66), || 0),
            "the bucket of the burst is the thirteenth"
        );
    }

    #[test]
    fn events_counted_elsewhere_are_taken_at_the_tick() {
        let meter = started(Some(1));
        assert!(!meter.refresh(seconds(1), || unreachable!("no tick is due")));
        assert!(meter.refresh(seconds(5), || 10));
    }

    #[test]
    fn a_limit_of_zero_refuses_everything_and_none_nothing() {
        assert!(RateMeter::new(Some(0)).refresh(ZERO, || 0));
        let unlimited = started(None);
        unlimited.add(u64::from(u32::MAX));
        assert!(!unlimited.refresh(seconds(5), || 0));
    }

    #[test]
    fn the_call_after_the_window_starts_a_new_one() {
        let mut window = CallWindow::default();
        let mut call = |at| window.admit(at, Some(2), seconds(30));
        assert!(call(seconds(0)) && call(seconds(10)));
        assert!(!call(seconds(20)));
        assert!(!call(seconds(30)));
        assert!(call(seconds(31)) && call(seconds(32)));
        assert!(!call(seconds(33)));
    }
}
