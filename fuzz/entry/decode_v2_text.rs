//! 2.0.0 text frames.

use phoenix_wire::{MessageKind, Version};

#[path = "round_trip.rs"]
mod round_trip;

/// Decodes `data`.
pub(crate) fn run(data: &[u8]) {
    round_trip::check(Version::V2, MessageKind::Text, data);
}
