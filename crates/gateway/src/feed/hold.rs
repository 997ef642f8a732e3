//! Waiting for clients that come back.
//!
//! A durable slot keeps what was committed while the gateway was down. When the gateway is there again its clients are not
//! yet: they notice, wait a moment, connect and join. So after a start on a slot that has something to tell, nothing is
//! told until the time for coming back is over; whoever is subscribed by then hears of everything since the gateway went.
//! If the log turns out to hold no changes, there is nothing to wait for.

use std::future::pending;
use std::time::Duration;

use replication::Lsn;
use tokio::time::{Instant, sleep_until};
use tracing::info;

/// Whether changes are held back.
#[derive(Debug)]
pub(super) struct Hold {
    /// How long clients have for coming back; none once they have had it.
    window: Option<Duration>,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    until: Instant,
    /// The time is over; those who are being subscribed are waited for.
    has_expired: bool,
    /// End of the log when the gateway started.
    log_end: Lsn,
    /// Something has come that may have to be told.
    has_changes: bool,
}

impl Hold {
    pub(super) fn new(window: Option<Duration>) -> Self {
        Self { window, held: None }
    }

    /// A slot that was there before streams; the log ends at `log_end`. Only the first one after the start matters.
    pub(super) fn start(&mut self, log_end: Lsn) {
        if let Some(window) = self.window.take() {
            info!(
                seconds = window.as_secs(),
                "changes since the last run are told when clients have come back"
            );
            self.held = Some(Held {
                until: Instant::now() + window,
                has_expired: false,
                log_end,
                has_changes: false,
            });
        }
    }

    /// There is nothing to hold back for: the slot is new.
    pub(super) fn waive(&mut self) {
        self.window = None;
    }

    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// A message has come.
    pub(super) fn see_message(&mut self) {
        if let Some(held) = &mut self.held {
            held.has_changes = true;
        }
    }

    /// Everything before `end` has come.
    pub(super) fn reach(&mut self, end: Lsn) {
        if self
            .held
            .as_ref()
            .is_some_and(|held| !held.has_changes && end >= held.log_end)
        {
            self.held = None;
        }
    }

    /// Until the time is over; for ever if nothing is held back. Cancel-safe.
    pub(super) async fn over(&self) {
        match &self.held {
            Some(held) => sleep_until(held.until).await,
            None => pending().await,
        }
    }

    /// The time is over. Those who are just being subscribed have a little more.
    pub(super) fn expire(&mut self) {
        match &mut self.held {
            Some(held) if !held.has_expired => {
                held.has_expired = true;
                held.until = Instant::now() + GRACE;
            }
            _ => self.end(),
        }
    }

    /// Whether only those are waited for who are just being subscribed.
    pub(super) fn has_expired(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.has_expired)
    }

    /// Nobody is waited for any more.
    pub(super) fn end(&mut self) {
        self.held = None;
    }
}

/// How long subscriptions that are under way at the end may take.
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slot_with_something_to_tell_is_held_and_only_once() {
        let window = Some(Duration::from_secs(10));
        let mut hold = Hold::new(window);
        hold.start(Lsn::from(100));
        assert!(hold.holds());
        hold.reach(Lsn::from(99));
        assert!(hold.holds(), "there may be something before the end");
        hold.reach(Lsn::from(100));
        assert!(!hold.holds());
        hold.start(Lsn::from(200));
        assert!(!hold.holds(), "the database was away, not the gateway");

        let mut hold = Hold::new(window);
        hold.start(Lsn::from(100));
        hold.see_message();
        hold.reach(Lsn::from(100));
        assert!(hold.holds() && !hold.has_expired());
        hold.expire();
        assert!(hold.holds() && hold.has_expired());
        hold.expire();
        assert!(!hold.holds());

        let mut hold = Hold::new(window);
        hold.waive();
        hold.start(Lsn::from(100));
        assert!(!hold.holds());
    }
}
