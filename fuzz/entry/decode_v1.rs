//! 1.0.0 messages.

use phoenix_wire::{MessageKind, Version};

#[path = "round_trip.rs"]
mod round_trip;

/// Decodes `data`.
pub(crate) fn run(data: &[u8]) {
    round_trip::check(Version::V1, MessageKind::Text, data);
}
