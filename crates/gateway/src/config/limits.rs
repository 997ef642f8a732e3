//! The quotas of a tenant, as plain data.

use std::time::Duration;

/// The quotas of a tenant; `None` is no limit. Source: `protocol-spec/errors-and-limits.md`, section 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sockets with at least one successful join.
    pub concurrent_users_max: Option<u64>,
    /// Channels of one socket, joins in progress included.
    pub channels_per_client_max: Option<u64>,
    /// Joins per second, over the tenant.
    pub joins_per_second_max: Option<u64>,
    /// Broadcast events per second, pushes and deliveries, over the tenant.
    pub events_per_second_max: Option<u64>,
    /// Presence events per second, snapshots, tracks and deliveries, over the tenant.
    pub presence_events_per_second_max: Option<u64>,
    /// Presence pushes of one channel in one window.
    pub client_presence_calls_max: Option<u64>,
    /// Length of that window.
    pub client_presence_window: Duration,
    /// Payload of one broadcast or track. Kilobytes of a thousand bytes, to which [`PAYLOAD_BYTES_GRACE`] are added.
    pub payload_kb_max: Option<u64>,
    /// Told to whoever asks and never enforced, as in the reference. Bytes per second.
    pub bytes_per_second_max: Option<u64>,
}

impl Limits {
    /// What a tenant has that nobody set quotas for.
    pub fn standard() -> Self {
        Self {
            concurrent_users_max: Some(200),
            channels_per_client_max: Some(100),
            joins_per_second_max: Some(100),
            events_per_second_max: Some(100),
            presence_events_per_second_max: Some(1_000),
            client_presence_calls_max: Some(5),
            client_presence_window: CLIENT_PRESENCE_WINDOW,
            payload_kb_max: Some(PAYLOAD_KB_MAX),
            bytes_per_second_max: Some(100_000),
        }
    }

    /// What a server that serves itself has: no quotas, and a bound on payloads.
    pub fn unlimited() -> Self {
        Self {
            concurrent_users_max: None,
            channels_per_client_max: None,
            joins_per_second_max: None,
            events_per_second_max: None,
            presence_events_per_second_max: None,
            client_presence_calls_max: None,
            client_presence_window: CLIENT_PRESENCE_WINDOW,
            payload_kb_max: Some(PAYLOAD_KB_MAX),
            bytes_per_second_max: None,
        }
    }

    /// The payload limit in bytes of the reference's external term.
    pub fn payload_bytes_max(&self) -> Option<usize> {
        let bytes = self
            .payload_kb_max?
            .saturating_mul(1_000)
            .saturating_add(PAYLOAD_BYTES_GRACE);
        Some(usize::try_from(bytes).unwrap_or(usize::MAX))
    }
}

/// Added to the payload limit, because the reference measures an encoding with some overhead. Bytes.
const PAYLOAD_BYTES_GRACE: u64 = 500;
/// Length of a window of presence pushes, unless told otherwise.
const CLIENT_PRESENCE_WINDOW: Duration = Duration::from_millis(30_000);
/// Payload limit, unless told otherwise. Kilobytes.
const PAYLOAD_KB_MAX: u64 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_limit_in_bytes_has_some_grace() {
        assert_eq!(Limits::standard().payload_bytes_max(), Some(3_000_500));
        let none = Limits {
            payload_kb_max: None,
            ..Limits::standard()
        };
        assert_eq!(none.payload_bytes_max(), None);
        let absurd = Limits {
            payload_kb_max: Some(u64::MAX),
            ..Limits::standard()
        };
        assert_eq!(absurd.payload_bytes_max(), Some(usize::MAX));
    }
}
