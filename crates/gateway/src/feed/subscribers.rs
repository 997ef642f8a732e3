//! Which channels hear of which changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use changes::{Binding, Catalog, NumberedBinding, Payloads, RowChange, Subscription, SubscriptionIndex};
use phoenix_wire::Version;
use phoenix_wire::payload::changes::Exception;
use replication::Lsn;
use session::Ticket;
use tracing::info;

use super::Subscribe;
use super::catalog::Reading;
use super::outgoing::{Frames, Outgoing};
use crate::worker::mail::{ChangeFrame, SocketRef};

/// The subscribed channels of one database.
#[derive(Debug)]
pub(super) struct Subscribers {
    index: SubscriptionIndex<Key>,
    known: HashMap<Key, Subscriber>,
    /// The latest reading of the catalog; its open tables are in the index.
    reading: Reading,
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
    /// Transactions that committed before it are not told.
    since: Lsn,
}

impl Subscribers {
    pub(super) fn new() -> Self {
        Self {
            index: SubscriptionIndex::new(Catalog::default()),
            known: HashMap::new(),
            reading: Reading::default(),
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

    /// Where in the log the catalog was read last.
    pub(super) fn position(&self) -> Lsn {
        self.reading.position
    }

    /// The roles whose privileges matter.
    pub(super) fn roles(&self) -> BTreeSet<Arc<str>> {
        self.index.roles().cloned().collect()
    }

    /// Goes by another reading of the catalog from now on.
    pub(super) fn adopt(&mut self, mut reading: Reading) {
        let open = std::mem::take(&mut reading.open);
        let selectable = reading
            .roles
            .iter()
            .map(|(role, selectable)| (role.clone(), selectable.clone()));
        for (key, refused) in self.index.replace_catalog(open, selectable) {
            self.known.remove(&key);
            info!(socket = %key.socket, reason = refused.message, "a subscription to changes has ended");
        }
        self.reading = reading;
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
            .insert(key, subscription)
            .map_err(|refused| refused.message)?;

        let replaced = replaces.and_then(|ticket| {
            self.take(Key {
                socket: *socket,
                ticket,
            })
        });
        // A channel with a new token goes on where it was.
        let since = replaced.map_or(self.reading.position, |replaced| replaced.since);
        let topic = topic.as_ref().into();
        self.known.insert(
            key,
            Subscriber {
                version: *version,
                topic,
                legacy: *legacy,
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
        self.known.remove(&key)
    }

    /// Writes the frames of a change for everyone who hears of it.
    pub(super) fn deliver(&self, change: &RowChange<'_>, outgoing: &mut Outgoing) {
        let mut payloads = Payloads::new(change);
        let action = change.action().as_str();
        for heard in self.index.matches(change) {
            let mut frames = Frames::new(&heard.ids, payloads.data(&heard.view), action);
            for member in heard.members {
                let Key { socket, ticket } = member.key;
                if let Some(subscriber) = self.known.get(&member.key)
                    && change.commit_lsn() >= subscriber.since.as_u64()
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
