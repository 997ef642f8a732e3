//! Listeners: sockets that have joined and been told that what they asked for flows.

use super::arrivals::{Arrivals, Route};
use crate::swarm::{Member, Swarm};
use crate::target::Target;
use crate::{Result, failed, message};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Subscriptions under way at once.
const WINDOW: usize = 256;
/// Longest wait for all subscriptions of a scenario.
const SUBSCRIBE_MAX: Duration = Duration::from_secs(120);

/// The gateway refused a subscription, and said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(
    /// What it said.
    pub(crate) String,
);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the gateway refuses the subscription: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Sockets with standing subscriptions.
pub(crate) struct Audience {
    swarm: Swarm,
    route: &'static Route,
}

impl Audience {
    /// Opens a socket for every `channels_each` of `joins`, which are finished frames, and waits until the gateway has
    /// said of each that what it asks for flows. An error is [`Refused`] if the gateway does not take one.
    pub(crate) fn gather(
        target: &Target,
        route: &'static Route,
        joins: &[Vec<u8>],
        channels_each: usize,
    ) -> Result<Audience> {
        let mut swarm = Swarm::new(target)?;
        let mut members = joins
            .chunks(channels_each)
            .map(|channels| (channels.len(), Member::new(channels.concat())));
        let begun = Instant::now();
        let (mut started, mut standing, mut refusal) = (0, 0, None);
        while standing < joins.len() {
            while started < standing + WINDOW
                && let Some((channels, member)) = members.next()
            {
                swarm.start(member)?;
                started += channels;
            }
            swarm.pump(Duration::from_millis(100), &mut |delivery| {
                if route.is_complaint(delivery.payload) {
                    refusal.get_or_insert_with(|| message_of(delivery.payload));
                } else if route.is_notice(delivery.payload) {
                    standing += 1;
                }
            })?;
            if let Some(refusal) = refusal {
                return Err(Refused(refusal).into());
            }
            if swarm.counts().closed > 0 {
                return failed(swarm.counts().first_failure.clone().unwrap_or_default());
            }
            if begun.elapsed() > SUBSCRIBE_MAX {
                return failed(format!(
                    "{standing} of {} subscriptions stand after {SUBSCRIBE_MAX:?}",
                    joins.len()
                ));
            }
        }
        Ok(Audience { swarm, route })
    }

    /// Nothing yet, of a run that begins with row `first`.
    pub(crate) fn arrivals(&self, first: u64, epoch: Instant) -> Arrivals {
        Arrivals::new(self.route, first, epoch)
    }

    /// Waits at most `timeout` for something to arrive and takes note of it.
    pub(crate) fn listen(&mut self, timeout: Duration, arrivals: &mut Arrivals) -> Result<()> {
        Ok(self
            .swarm
            .pump(timeout, &mut |delivery| arrivals.take(&delivery))?)
    }

    /// Why the gateway closed the first of the sockets it closed.
    pub(crate) fn closed(&self) -> Option<&str> {
        self.swarm.counts().first_failure.as_deref()
    }

    /// Sends a heartbeat on the first `sockets` sockets.
    pub(crate) fn beat(&mut self, sockets: usize) -> Result<()> {
        let heartbeat = message::heartbeat();
        (0..sockets).try_for_each(|socket| Ok(self.swarm.send(socket, &heartbeat)?))
    }
}

/// The text of a `system` message.
fn message_of(frame: &[u8]) -> String {
    let frame: Value = serde_json::from_slice(frame).unwrap_or_default();
    frame
        .get(4)
        .and_then(|payload| payload.get("message"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_refusal_is_its_message() {
        let frame = br#"["1",null,"realtime:r","system",{"message":"no","status":"error","extension":"postgres_changes"}]"#;
        assert_eq!(message_of(frame), "no");
        assert_eq!(message_of(b"["), "");
    }
}
