//! Listeners: sockets that have joined with a binding and been told that it stands.

use super::arrivals::{Arrivals, is_about_changes, is_complaint};
use crate::swarm::{Member, Swarm};
use crate::target::Target;
use crate::{Result, failed, message};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Subscriptions under way at once.
const WINDOW: usize = 256;
/// Longest wait for all subscriptions of a scenario.
const SUBSCRIBE_MAX: Duration = Duration::from_secs(120);

/// One channel with one binding to all changes of a table.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// Its topic, without `realtime:`.
    pub(super) topic: String,
    /// Its token.
    pub(super) token: String,
    /// The table.
    pub(super) table: &'static str,
    /// Its filter.
    pub(super) filter: Option<String>,
}

/// The gateway refused a binding, and said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused(
    /// What it said.
    pub(super) String,
);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the gateway refuses the binding: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Sockets with standing subscriptions.
pub(super) struct Audience {
    swarm: Swarm,
}

impl Audience {
    /// Opens a socket for every `channels_each` of `listeners` and waits until all bindings stand. An error is
    /// [`Refused`] if the gateway does not take one.
    pub(super) fn gather(target: &Target, listeners: &[Listener], channels_each: usize) -> Result<Audience> {
        let mut swarm = Swarm::new(target)?;
        let mut members = listeners.chunks(channels_each).map(|channels| {
            let joins = channels.iter().flat_map(|listener| {
                let Listener {
                    topic,
                    token,
                    table,
                    filter,
                } = listener;
                message::subscription(topic, token, table, filter.as_deref())
            });
            (channels.len(), Member::new(joins.collect()))
        });
        let begun = Instant::now();
        let (mut started, mut standing, mut refusal) = (0, 0, None);
        while standing < listeners.len() {
            while started < standing + WINDOW
                && let Some((channels, member)) = members.next()
            {
                swarm.start(member)?;
                started += channels;
            }
            swarm.pump(Duration::from_millis(100), &mut |delivery| {
                if is_complaint(delivery.payload) {
                    refusal.get_or_insert_with(|| message_of(delivery.payload));
                } else if is_about_changes(delivery.payload) {
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
                    listeners.len()
                ));
            }
        }
        Ok(Audience { swarm })
    }

    /// Waits at most `timeout` for something to arrive and takes note of it.
    pub(super) fn listen(&mut self, timeout: Duration, arrivals: &mut Arrivals) -> Result<()> {
        Ok(self
            .swarm
            .pump(timeout, &mut |delivery| arrivals.take(&delivery))?)
    }

    /// Why the gateway closed the first of the sockets it closed.
    pub(super) fn closed(&self) -> Option<&str> {
        self.swarm.counts().first_failure.as_deref()
    }

    /// Sends a heartbeat on the first `sockets` sockets.
    pub(super) fn beat(&mut self, sockets: usize) -> Result<()> {
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
