//! Who listens to what in one tenant, and how a message reaches all of them.
//!
//! The layout is thread-per-core: every socket belongs to one *worker* thread for life, and so do its
//! subscriptions. Two halves follow from that:
//!
//! - [`Hub`], one per tenant, shared by all workers: which worker has listeners for which topic, and the
//!   presence of each topic. Its locks are held for a hash lookup or a presence change, never across I/O.
//! - [`LocalHub`], one per worker, never shared: the subscriptions themselves and the outboxes they feed.
//!   No lock, no atomic reference count of a subscriber.
//!
//! # What a publication costs
//!
//! One encoding per serializer in use on the topic ([`Publication`]), one mailbox push per *other* worker that has
//! listeners ([`Courier`]), and per subscriber one reference count and one queue slot ([`Outbox::push`]). The write to
//! the socket happens when the worker drains its [`DirtyList`], so everything queued in one turn leaves in one
//! vectored write.
//!
//! # Invariants
//!
//! - Nothing here performs I/O, reads the clock or blocks: callers pass `now` as time since an epoch of their own.
//! - Replies and fan-out share the outbox of a socket, so program order is wire order.
//! - An outbox over its byte budget closes its own socket and no other.
//! - All presence diffs of a topic reach each worker in one order ([`room`]).

mod courier;
mod local;
mod outbox;
mod publication;
mod room;
mod tally;
mod topic;

pub use courier::{Courier, Delivery, DeliveryKind, WorkerId};
pub use local::{Fanout, LocalHub, Subscription};
pub use outbox::{DirtyList, Outbox, OutboxState, SocketId};
pub use phoenix_wire::payload::broadcast::Sender;
pub use publication::Publication;
pub use room::{Announcement, ROOM_BYTES_MAX};
pub use tally::Tally;
pub use topic::{Hub, Topic, TopicKey};
