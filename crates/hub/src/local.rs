//! One worker's half: its subscriptions and the fan-out to their outboxes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use phoenix_wire::Version;
use phoenix_wire::payload::broadcast::Sender;
use presence::MemberId;
use websocket::Frame;

use crate::{
    Announcement, Delivery, DeliveryKind, Hub, Outbox, Publication, SocketId, Topic, TopicKey, WorkerId,
};

/// The subscriptions of one worker, over all tenants.
pub struct LocalHub {
    worker: WorkerId,
    topics: RefCell<HashMap<*const Topic, Rc<LocalTopic>, RandomState>>,
}

/// A channel's place among the listeners of its topic. Given back with [`LocalHub::unsubscribe`].
pub struct Subscription {
    local: Rc<LocalTopic>,
    slot: u32,
    member: MemberId,
    version: Version,
}

/// What a delivery to one worker's listeners came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fanout {
    /// Channels that got the message on this worker.
    pub delivered: u64,
    /// The channels that got it, when the tenant is overloaded and they are therefore to be shut down.
    pub overloaded: Vec<(SocketId, MemberId)>,
}

struct LocalTopic {
    topic: Arc<Topic>,
    listeners: RefCell<Listeners>,
}

/// A slab: slots are reused, so leaving costs the same in a topic of ten as in one of ten thousand.
#[derive(Default)]
struct Listeners {
    slots: Vec<Option<Listener>>,
    free: Vec<u32>,
}

struct Listener {
    outbox: Rc<Outbox>,
    member: MemberId,
    version: Version,
    reads_broadcasts: Cell<bool>,
    reads_presence: Cell<bool>,
    replayed: Option<Rc<HashSet<Box<str>>>>,
}

impl LocalHub {
    /// No subscriptions yet.
    pub fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            topics: RefCell::default(),
        }
    }

    /// Makes `outbox` a listener of a topic. From this call on every publication reaches it.
    pub fn subscribe(
        &self,
        hub: &Arc<Hub>,
        key: TopicKey,
        member: MemberId,
        version: Version,
        outbox: Rc<Outbox>,
    ) -> Subscription {
        let topic = hub.enter(key, self.worker, version);
        let local = self
            .topics
            .borrow_mut()
            .entry(Arc::as_ptr(&topic))
            .or_insert_with(|| {
                Rc::new(LocalTopic {
                    topic,
                    listeners: RefCell::default(),
                })
            })
            .clone();
        let listener = Listener {
            outbox,
            member,
            version,
            reads_broadcasts: Cell::new(true),
            reads_presence: Cell::new(true),
            replayed: None,
        };
        let slot = local.listeners.borrow_mut().insert(listener);
        Subscription {
            local,
            slot,
            member,
            version,
        }
    }

    /// Removes a listener and its presence; nothing is delivered to it any more.
    pub fn unsubscribe(&self, now: Duration, subscription: Subscription) -> Announcement {
        let Subscription {
            local,
            slot,
            member,
            version,
        } = subscription;
        let empty = local.listeners.borrow_mut().remove(slot);
        if empty {
            self.topics.borrow_mut().remove(&Arc::as_ptr(&local.topic));
        }
        // Before the topic is left: with its last listener it is forgotten, and nobody may be present there then.
        let announcement = local.topic.untrack(now, member);
        local.topic.hub().leave(&local.topic, self.worker, version);
        announcement
    }

    /// Publishes a broadcast of a member: encodes once per serializer that somebody else listens with, delivers to
    /// this worker's listeners now and to other workers by mail.
    pub fn publish(
        &self,
        from: &Subscription,
        sender: Sender,
        id: Option<&str>,
        encode: impl FnMut(Version) -> Option<Frame>,
    ) -> Fanout {
        let topic = &from.local.topic;
        let mut publication = Publication::encode(|version| from.has_audience(version, sender), encode);
        publication.id = id.map(Into::into);
        topic
            .hub()
            .send_to_others(Some(self.worker), topic, &publication, DeliveryKind::Broadcast);
        let passed_over = (sender == Sender::Excluded).then_some(from.member);
        from.local
            .deliver(&publication, DeliveryKind::Broadcast, passed_over)
    }

    /// Hands a delivery that came by mail to this worker's listeners.
    pub fn deliver(&self, delivery: &Delivery) -> Fanout {
        let local = self.topics.borrow().get(&Arc::as_ptr(&delivery.topic)).cloned();
        local
            .map(|local| local.deliver(&delivery.publication, delivery.kind, None))
            .unwrap_or_default()
    }
}

impl Subscription {
    /// The topic listened to.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.local.topic
    }

    /// The member it was made for.
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// Whether somebody would get a broadcast of this member encoded for `version`.
    pub fn has_audience(&self, version: Version, sender: Sender) -> bool {
        let own = u32::from(sender == Sender::Excluded && version == self.version);
        self.local.topic.listeners(version) > own
    }

    /// Sets what the member may read; both are open until a policy closes them.
    pub fn set_reads(&self, broadcasts: bool, presence: bool) {
        if let Some(listener) = self.local.listeners.borrow().get(self.slot) {
            listener.reads_broadcasts.set(broadcasts);
            listener.reads_presence.set(presence);
        }
    }

    /// From now on passes over broadcasts whose id is among `ids`: the member got them by replay.
    pub fn set_replayed(&self, ids: HashSet<Box<str>>) {
        if let Some(listener) = self.local.listeners.borrow_mut().get_mut(self.slot) {
            listener.replayed = Some(Rc::new(ids));
        }
    }
}

impl LocalTopic {
    fn deliver(
        &self,
        publication: &Publication,
        kind: DeliveryKind,
        passed_over: Option<MemberId>,
    ) -> Fanout {
        let mut fanout = Fanout::default();
        let tally = self.topic.hub().tally();
        let overloaded = kind == DeliveryKind::Broadcast && tally.is_overloaded();
        for listener in self.listeners.borrow().slots.iter().flatten() {
            if Some(listener.member) == passed_over || !listener.reads(kind) || listener.has_seen(publication)
            {
                continue;
            }
            let Some(frame) = publication.frame(listener.version) else {
                continue;
            };
            listener.outbox.push(frame);
            fanout.delivered += 1;
            if overloaded {
                fanout
                    .overloaded
                    .push((listener.outbox.socket(), listener.member));
            }
        }
        match kind {
            DeliveryKind::Broadcast => tally.add_broadcasts(fanout.delivered),
            DeliveryKind::Presence => tally.add_presence(fanout.delivered),
        }
        fanout
    }
}

impl Listener {
    fn reads(&self, kind: DeliveryKind) -> bool {
        match kind {
            DeliveryKind::Broadcast => self.reads_broadcasts.get(),
            DeliveryKind::Presence => self.reads_presence.get(),
        }
    }

    fn has_seen(&self, publication: &Publication) -> bool {
        match (&self.replayed, &publication.id) {
            (Some(replayed), Some(id)) => replayed.contains(&**id),
            _ => false,
        }
    }
}

impl Listeners {
    fn insert(&mut self, listener: Listener) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(listener);
                slot
            }
            None => {
                self.slots.push(Some(listener));
                u32::try_from(self.slots.len() - 1)
                    .expect("a socket listens once, and sockets are numbered with 32 bits")
            }
        }
    }

    fn get(&self, slot: u32) -> Option<&Listener> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut Listener> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Returns whether none is left.
    fn remove(&mut self, slot: u32) -> bool {
        if self.slots[slot as usize].take().is_some() {
            self.free.push(slot);
        }
        self.free.len() == self.slots.len()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.local.topic)
            .field("member", &self.member)
            .finish()
    }
}
