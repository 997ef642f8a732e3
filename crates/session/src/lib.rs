//! One client connection as a state machine: its channels, joins, limits and timers.
//!
//! A [`Session`] is told what happened ([`Session::handle_frame`], [`Session::handle_completion`],
//! [`Session::handle_timeout`]) and does what follows through [`Effects`], which the driver implements: enqueue a frame,
//! subscribe to a topic, publish, ask the database. Effects are calls rather than a queue of outputs because the hot
//! path borrows: a broadcast goes from the read buffer into the finished frame without being copied in between.
//!
//! # Invariants
//!
//! - Nothing here reads the clock, draws randomness, awaits or performs I/O. `now` is an argument ([`Now`]).
//! - A join, policy check or token refresh that waits for the database holds back only its own topic: messages for it
//!   wait in a bounded [`Backlog`](channel::Backlog) and are then handled in order.
//! - A [`Completion`] whose [`Ticket`] is no longer awaited is dropped: the channel has ended meanwhile.
//! - The reply to a join precedes everything else for that join, and a `system` text precedes its `phx_close`.
//! - Every refusal is one [`phoenix_wire::refusal::JoinRefusal`], delayed by a timer and never by a sleep.

pub mod broadcast;
mod channel;
mod effects;
pub mod limits;
mod refusal;
mod session;
mod tenant;
mod timer;

pub use broadcast::{Broadcast, Replayed, ReplayedPayload};
pub use effects::{
    AuthorizeFailure, ChangesOutcome, Completion, Effects, Grants, Probe, Request, Ticket, TopicName,
};
pub use phoenix_wire::payload::broadcast::Sender;
pub use session::{Connection, FrameOutcome, Now, Session};
pub use tenant::{Tenant, TenantPolicy, Token};
