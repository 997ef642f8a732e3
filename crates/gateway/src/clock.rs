//! The one place that reads the clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use session::Now;

/// Time since the process started its server, and the wall clock beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Starts counting.
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// Both clocks, for a session.
    pub(crate) fn now(&self) -> Now {
        Now {
            elapsed: self.elapsed(),
            unix_ms: i64::try_from(since_unix_epoch().as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// The monotonic clock alone.
    pub(crate) fn elapsed(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// When `elapsed` is, for a timer of the runtime.
    pub(crate) fn instant(&self, elapsed: Duration) -> Instant {
        self.epoch + elapsed
    }
}

/// The wall clock: time since the Unix epoch.
pub(crate) fn since_unix_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
