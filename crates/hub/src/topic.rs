//! The tenant-wide directory: which worker has listeners for which topic.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use phoenix_wire::Version;

use crate::room::Room;
use crate::{Courier, Delivery, DeliveryKind, Publication, Tally, WorkerId};

/// Name of a topic inside a tenant. Public and private topics of one name are different topics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicKey {
    /// Whether members had to pass an authorization check.
    pub private: bool,
    /// The sub-topic: the client's topic without the `realtime:` prefix.
    pub name: Box<str>,
}

/// A topic with at least one listener.
pub struct Topic {
    key: TopicKey,
    joined: Box<str>,
    hub: Arc<Hub>,
    interest: Box<[Interest]>,
    pub(crate) room: Mutex<Room>,
}

/// One tenant's topics. Shared by all workers.
pub struct Hub {
    shards: [Mutex<HashMap<TopicKey, Arc<Topic>, RandomState>>; SHARDS],
    hasher: RandomState,
    workers: u16,
    courier: Arc<dyn Courier>,
    tally: Arc<Tally>,
    /// Source of topic, member and presence numbers: unique within the hub.
    numbers: AtomicU64,
    /// Distinguishes the presence refs of this hub from those of earlier processes.
    seed: u64,
}

/// Listeners of one worker, by serializer. Padded apart so that workers do not contend for a cache line.
#[derive(Default)]
#[repr(align(64))]
struct Interest {
    v1: AtomicU32,
    v2: AtomicU32,
}

impl Hub {
    /// A hub for `workers` worker threads. `seed` makes presence refs unique across restarts.
    pub fn new(workers: u16, courier: Arc<dyn Courier>, tally: Arc<Tally>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            workers,
            courier,
            tally,
            numbers: AtomicU64::new(1),
            seed,
        })
    }

    /// The tenant's counters.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// A number not handed out before.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A presence ref: 16 URL-safe characters, unique (presence.md, section 2).
    pub(crate) fn next_phx_ref(&self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let value = (u128::from(self.seed) << 32) | u128::from(self.next_number() & 0xffff_ffff);
        (0..16)
            .rev()
            .map(|at| char::from(ALPHABET[(value >> (6 * at)) as usize & 63]))
            .collect()
    }

    /// The topic of that name, if anybody listens to it.
    pub fn topic(&self, key: &TopicKey) -> Option<Arc<Topic>> {
        self.shard(key).get(key).cloned()
    }

    /// Where a newcomer to the topic of that name sits best: the worker with most of its listeners, unless that is full
    /// or is `here`. Public and private topics of one name count alike, since a newcomer has not said yet which it means.
    pub fn company(&self, name: &str, here: WorkerId) -> Option<WorkerId> {
        let topics = [false, true].map(|private| {
            let name = name.into();
            self.topic(&TopicKey { private, name })
        });
        let listeners = |worker: WorkerId| -> u32 {
            let topics = topics.iter().flatten();
            topics.map(|topic| topic.interest_of(worker)).sum()
        };
        (0..self.workers)
            .map(WorkerId)
            .map(|worker| (listeners(worker), worker))
            .filter(|(listeners, _)| (1..COMPANY_MAX).contains(listeners))
            .max_by_key(|(listeners, worker)| (*listeners, *worker == here))
            .map(|(_, worker)| worker)
            .filter(|worker| *worker != here)
    }

    /// Listeners of all topics. Goes through every topic, one lock after the other: for who asks now and then.
    pub fn listeners(&self) -> u64 {
        let mut listeners = 0;
        for shard in &self.shards {
            for topic in shard.lock().unwrap_or_else(PoisonError::into_inner).values() {
                let [v1, v2] = [Version::V1, Version::V2].map(|version| topic.listeners(version));
                listeners += u64::from(v1) + u64::from(v2);
            }
        }
        listeners
    }

    /// Adds a listener of `worker`; makes the topic if it is the first.
    pub(crate) fn enter(self: &Arc<Self>, key: TopicKey, worker: WorkerId, version: Version) -> Arc<Topic> {
        let mut shard = self.shard(&key);
        let topic = match shard.entry(key) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(free) => {
                let topic = Arc::new(Topic::new(self.clone(), free.key().clone()));
                free.insert(topic)
            }
        };
        topic.count(worker, version).fetch_add(1, Ordering::SeqCst);
        topic.clone()
    }

    /// Removes a listener of `worker`; forgets the topic with the last one.
    pub(crate) fn leave(&self, topic: &Arc<Topic>, worker: WorkerId, version: Version) {
        let mut shard = self.shard(&topic.key);
        topic.count(worker, version).fetch_sub(1, Ordering::SeqCst);
        if !topic.has_listeners() {
            shard.remove(&topic.key);
        }
    }

    /// Publishes from outside any socket (HTTP, the database): every worker with listeners gets it by mail.
    /// Returns whether anybody listens.
    pub fn publish(
        &self,
        key: &TopicKey,
        encode: impl FnMut(&Topic, Version) -> Option<websocket::Frame>,
    ) -> bool {
        self.publish_identified(key, None, encode)
    }

    /// As [`Hub::publish`]; `id` is the `meta.id` by which channels recognise what they already got by replay.
    pub fn publish_identified(
        &self,
        key: &TopicKey,
        id: Option<&str>,
        mut encode: impl FnMut(&Topic, Version) -> Option<websocket::Frame>,
    ) -> bool {
        let Some(topic) = self.topic(key) else {
            return false;
        };
        let mut publication = Publication::encode(
            |version| topic.listens(version),
            |version| encode(&topic, version),
        );
        publication.id = id.map(Into::into);
        self.send_to_others(None, &topic, &publication, DeliveryKind::Broadcast);
        true
    }

    /// Mails `publication` to every worker with listeners but `own`.
    pub(crate) fn send_to_others(
        &self,
        own: Option<WorkerId>,
        topic: &Arc<Topic>,
        publication: &Publication,
        kind: DeliveryKind,
    ) {
        if publication.is_empty() {
            return;
        }
        for worker in (0..self.workers).map(WorkerId) {
            if Some(worker) != own && topic.interest_of(worker) > 0 {
                let delivery = Delivery {
                    topic: topic.clone(),
                    publication: publication.clone(),
                    kind,
                };
                self.courier.deliver(worker, delivery);
            }
        }
    }

    fn shard(&self, key: &TopicKey) -> MutexGuard<'_, HashMap<TopicKey, Arc<Topic>, RandomState>> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    fn new(hub: Arc<Hub>, key: TopicKey) -> Self {
        Self {
            joined: format!("realtime:{}", key.name).into_boxed_str(),
            interest: (0..hub.workers).map(|_| Interest::default()).collect(),
            room: Mutex::new(Room::default()),
            key,
            hub,
        }
    }

    /// Name inside the tenant.
    pub fn key(&self) -> &TopicKey {
        &self.key
    }

    /// The topic as its members joined it and as frames name it: `realtime:<sub-topic>`.
    pub fn joined(&self) -> &str {
        &self.joined
    }

    /// The hub it belongs to.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Whether anybody listens with that serializer, on any worker.
    pub fn listens(&self, version: Version) -> bool {
        self.interest
            .iter()
            .any(|interest| interest.count(version).load(Ordering::SeqCst) > 0)
    }

    /// Listeners with that serializer on all workers.
    pub fn listeners(&self, version: Version) -> u32 {
        self.interest
            .iter()
            .map(|interest| interest.count(version).load(Ordering::SeqCst))
            .sum()
    }

    pub(crate) fn interest_of(&self, worker: WorkerId) -> u32 {
        let interest = &self.interest[usize::from(worker.0)];
        interest.v1.load(Ordering::SeqCst) + interest.v2.load(Ordering::SeqCst)
    }

    fn count(&self, worker: WorkerId, version: Version) -> &AtomicU32 {
        self.interest[usize::from(worker.0)].count(version)
    }

    fn has_listeners(&self) -> bool {
        self.listens(Version::V1) || self.listens(Version::V2)
    }
}

impl Interest {
    fn count(&self, version: Version) -> &AtomicU32 {
        match version {
            Version::V1 => &self.v1,
            Version::V2 => &self.v2,
        }
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Listeners of one topic that sit together on one worker before others spread. A message for them crosses to no other
/// thread; more of them are worth two threads that write at once.
const COMPANY_MAX: u32 = 1_024;
/// Locks the directory is split over; more than there can be workers, so that they rarely meet.
const SHARDS: usize = 64;
