//! WebSocket framing without a socket: RFC 6455, section 5, as data.
//!
//! Two halves that never meet:
//!
//! * outgoing: a [`FrameBuilder`] collects a payload behind room for its header and ends as a [`Frame`], one
//!   contiguous, reference-counted run of bytes. The same `Frame` goes to every subscriber.
//! * incoming: a [`FrameReader`] is fed whatever the transport delivered and reports whole messages and control
//!   frames as [`Event`]s.
//!
//! What is not here: no I/O, no clock, no randomness (the caller brings the masking key), no handshake, no
//! compression (`permessage-deflate` is never negotiated, so a reserved bit is an error), and no UTF-8 check of
//! text messages. The layer above parses them as JSON and finds out there.

mod error;
mod frame;
mod header;
mod mask;
mod opcode;
mod reader;

pub use error::ProtocolError;
pub use frame::{Frame, FrameBuilder, close_frame, ping_frame, pong_frame};
pub use mask::mask_frame;
pub use opcode::Opcode;
pub use reader::{Event, FrameReader, Role};

/// The longest payload of a control frame. Bytes. Source: RFC 6455, section 5.5.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;
