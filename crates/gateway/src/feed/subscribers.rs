//! Which channels hear of which changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use changes::{
    Binding, Catalog, NumberedBinding, Payloads, RowChange, Selectable, Subscription, SubscriptionIndex,
};
use database::Snapshot;
use phoenix_wire::Version;
use phoenix_wire::payload::changes::Exception;
use session::{ChangesOutcome, Ticket};

use super::Subscribe;
use super::catalog::Reading;
use super::outgoing::{Frames, Outgoing};
use crate::worker::mail::{ChangeFrame, SocketRef};

/// The subscribed channels of one database.
#[derive(Debug)]
pub(super) struct Subscribers {
    index: SubscriptionIndex<Key>,
    known: HashMap<Key, Subscriber>,
    /// Those among them that are not in the index, because nothing they may follow is published at the moment.
    dormant: HashSet<Key>,
    /// The latest reading of the catalog; its open tables are in the index.
    reading: Reading,
    /// Which transactions that reading includes.
    since: Arc<Snapshot>,
}

/// Names a channel's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    socket: SocketRef,
    ticket: Ticket,
}

/// What it takes to write a frame for a channel.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) version: Version,
    pub(super) topic: Arc<str>,
    pub(super) legacy: bool,
    subscription: Subscription,
    /// Transactions it saw are not told: they were there before the channel.
    since: Arc<Snapshot>,
}

/// What a channel is to be told of its subscription.
pub(super) type Notice = (SocketRef, Ticket, ChangesOutcome);

impl Subscribers {
    pub(super) fn new() -> Self {
        Self {
            index: SubscriptionIndex::new(Catalog::default()),
            known: HashMap::new(),
            dormant: HashSet::new(),
            reading: Reading::default(),
            since: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The tables whose changes are delivered.
    pub(super) fn catalog(&self) -> &Catalog {
        self.index.catalog()
    }

    /// Whether the catalog was read before this transaction could be seen.
    pub(super) fn is_older_than(&self, xid: u32) -> bool {
        !self.since.sees(xid)
    }

    /// The roles whose privileges matter.
    pub(super) fn roles(&self) -> BTreeSet<Arc<str>> {
        let dormant = self.dormant.iter().filter_map(|key| self.known.get(key));
        let dormant = dormant.map(|subscriber| subscriber.subscription.role.clone());
        self.index.roles().cloned().chain(dormant).collect()
    }

    /// Goes by another reading of the catalog from now on. If other tables are published than before, everybody is told
    /// anew how the subscription stands, as in the reference (postgres-changes.md, section 9).
    pub(super) fn adopt(&mut self, mut reading: Reading) -> Vec<Notice> {
        let open = std::mem::take(&mut reading.open);
        let is_other = !open.lists_the_same_as(self.catalog());
        // A role that is gone may select nothing.
        let selectable = self
            .index
            .roles()
            .cloned()
            .map(|role| (role, Selectable::default()));
        let mut selectable: HashMap<Arc<str>, Selectable> = selectable.collect();
        selectable.extend(
            reading
                .roles
                .iter()
                .map(|(role, known)| (role.clone(), known.clone())),
        );
        let mut refused: HashMap<Key, String> = HashMap::new();
        for (key, reason) in self.index.replace_catalog(open, selectable) {
            refused.insert(key, reason.message);
        }
        self.since = Arc::new(std::mem::take(&mut reading.snapshot));
        self.reading = reading;
        for key in self.dormant.drain() {
            let Some(subscriber) = self.known.get(&key) else {
                continue;
            };
            let subscription = subscriber.subscription.clone();
            if let Some(selectable) = self.reading.roles.get(&subscription.role) {
                self.index.set_selectable(&subscription.role, selectable.clone());
            }
            if let Err(reason) = self.index.insert(key, subscription) {
                refused.insert(key, reason.message);
            }
        }
        self.dormant.extend(refused.keys().copied());
        if !is_other {
            return Vec::new();
        }
        let outcome = |key| match refused.get(key) {
            Some(text) => ChangesOutcome::Rejected(text.clone()),
            None => ChangesOutcome::Live,
        };
        self.known
            .keys()
            .map(|key| (key.socket, key.ticket, outcome(key)))
            .collect()
    }

    /// What everybody is told after the stream was interrupted.
    pub(super) fn after_gap(&self) -> Vec<Notice> {
        let awake = self.known.keys().filter(|key| !self.dormant.contains(key));
        awake
            .map(|key| (key.socket, key.ticket, ChangesOutcome::LiveAfterGap))
            .collect()
    }

    /// Adds a channel, in place of the subscription it replaces.
    ///
    /// # Errors
    ///
    /// What the channel is told. What was there before stays.
    pub(super) fn insert(&mut self, subscribe: &Subscribe) -> Result<(), String> {
        let Subscribe {
            socket,
            ticket,
            replaces,
            version,
            topic,
            legacy,
            claims,
            ..
        } = subscribe;
        let bindings = parse(subscribe)?;
        let role: Arc<str> = claims.role().unwrap_or_default().into();
        if let Some(first) = bindings.first() {
            let Some(selectable) = self.reading.roles.get(&role) else {
                return Err(first
                    .binding
                    .rejected(&Exception::RoleMissing((*role).into()))
                    .message);
            };
            self.index.set_selectable(&role, selectable.clone());
        }
        for numbered in &bindings {
            self.refuse_guarded(&numbered.binding)?;
        }
        let key = Key {
            socket: *socket,
            ticket: *ticket,
        };
        let subscription = Subscription {
            role,
            claims: claims.json().into(),
            bindings,
        };
        self.index
            .insert(key, subscription.clone())
            .map_err(|refused| refused.message)?;

        let replaced = replaces.and_then(|ticket| {
            self.take(Key {
                socket: *socket,
                ticket,
            })
        });
        // A channel with a new token goes on where it was.
        let since = replaced.map_or_else(|| self.since.clone(), |replaced| replaced.since);
        let topic = topic.as_ref().into();
        self.known.insert(
            key,
            Subscriber {
                version: *version,
                topic,
                legacy: *legacy,
                subscription,
                since,
            },
        );
        Ok(())
    }

    /// Refuses a binding that stands for guarded tables and no others.
    fn refuse_guarded(&self, binding: &Binding) -> Result<(), String> {
        let covers =
            |schema: &str, table: &str| binding.schema.matches(schema) && binding.table.matches(table);
        let guarded = self
            .reading
            .guarded
            .iter()
            .find(|table| covers(&table.schema, &table.name));
        match guarded {
            Some(table)
                if !self
                    .catalog()
                    .tables()
                    .any(|open| covers(&open.schema, &open.name)) =>
            {
                let exception = Exception::RowSecurity {
                    schema: table.schema.clone(),
                    table: table.name.clone(),
                };
                Err(binding.rejected(&exception).message)
            }
            _ => Ok(()),
        }
    }

    /// Takes a channel out, if it is there.
    pub(super) fn remove(&mut self, socket: SocketRef, ticket: Ticket) {
        self.take(Key { socket, ticket });
    }

    fn take(&mut self, key: Key) -> Option<Subscriber> {
        self.index.remove(key);
        self.dormant.remove(&key);
        self.known.remove(&key)
    }

    /// Writes the frames of a change for everyone who hears of it. `xid` is the transaction it is part of.
    pub(super) fn deliver(&self, change: &RowChange<'_>, xid: u32, outgoing: &mut Outgoing) {
        let mut payloads = Payloads::new(change);
        let action = change.action().as_str();
        for heard in self.index.matches(change) {
            let mut frames = Frames::new(&heard.ids, payloads.data(&heard.view), action);
            for member in heard.members {
                let Key { socket, ticket } = member.key;
                if let Some(subscriber) = self.known.get(&member.key)
                    && !subscriber.since.sees(xid)
                {
                    outgoing.push(ChangeFrame {
                        socket,
                        ticket,
                        frame: frames.frame(subscriber),
                    });
                }
            }
        }
    }
}

fn parse(subscribe: &Subscribe) -> Result<Vec<NumberedBinding>, String> {
    let parse = |(raw, id): &(_, u32)| {
        let binding = Binding::parse(raw).map_err(|refused| refused.message)?;
        Ok(NumberedBinding {
            id: *id,
            binding: Arc::new(binding),
        })
    };
    subscribe.bindings.iter().map(parse).collect()
}
