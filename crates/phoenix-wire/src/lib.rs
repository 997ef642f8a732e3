//! The vocabulary of the protocol: messages, serializers, payloads, and every code and text a client can see.
//!
//! Two serializers carry one message model, `(join_ref, ref, topic, event, payload)`: JSON objects ([`Version::V1`])
//! and JSON arrays with binary frames for user broadcasts ([`Version::V2`]). [`decode`] takes a client's message apart
//! into slices of its frame; [`encode`] writes the server's messages straight into finished [`websocket::Frame`]s.
//! [`payload`] reads and writes what the events of the protocol carry, [`refusal`] and [`close`] hold what is said when
//! something is not possible.
//!
//! What is not here: no I/O, no clock, no randomness, no state. Nothing decides *whether* to answer; this crate only
//! knows *how*. JSON is never built into a tree, see [`json`].

pub mod close;
mod decode;
pub mod encode;
pub mod event;
mod inspect;
pub mod json;
mod message;
pub mod payload;
pub mod refusal;
mod version;

pub use decode::{Malformed, MessageKind, REF_BYTES_MAX, TOPIC_BYTES_MAX, decode};
pub use encode::{HEADER_FIELD_BYTES_MAX, HeaderTooLong, Status};
pub use json::JsonText;
pub use message::{Encoding, Incoming, Name, Payload, Ref, RefView, UserBroadcast};
pub use version::{UnsupportedVersion, Version};
