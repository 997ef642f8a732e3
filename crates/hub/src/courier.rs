//! The seam between workers: how a publication crosses from one to another.

use std::sync::Arc;

use crate::{Publication, Topic};

/// Index of a worker thread, `0..workers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub u16);

/// Which subscribers of a topic a delivery is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    /// A broadcast: members that may read broadcasts.
    Broadcast,
    /// A presence diff: members that may read presence.
    Presence,
}

/// A publication on its way to the listeners of one worker.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The topic it was published on.
    pub topic: Arc<Topic>,
    /// The finished frames.
    pub publication: Publication,
    /// Who may see it.
    pub kind: DeliveryKind,
}

/// Carries deliveries to other workers. Implemented by the application, which owns the worker threads.
///
/// `deliver` must not block and must keep the order of calls made by one thread, and of calls made under one lock.
pub trait Courier: Send + Sync {
    /// Queues `delivery` for `worker`.
    fn deliver(&self, worker: WorkerId, delivery: Delivery);
}
