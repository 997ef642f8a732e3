//! Which channels hear of which changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use changes::{
    Answers, Binding, Catalog, NumberedBinding, Question, RowChange, Selectable, Subscription,
    SubscriptionIndex, Table, Unproven,
};
use database::Snapshot;
use phoenix_wire::Version;
use phoenix_wire::payload::changes::Exception;
use phoenix_wire::payload::incomplete as text;
use session::{ChangesOutcome, Ticket};

use super::Subscribe;
use super::catalog::Reading;
use super::catch_up::Stage;
use super::viewers::{ViewerId, Viewers};
use crate::worker::mail::SocketRef;

/// The subscribed channels of one database.
#[derive(Debug)]
pub(super) struct Subscribers {
    pub(super) index: SubscriptionIndex<Key>,
    pub(super) known: HashMap<Key, Subscriber>,
    pub(super) viewers: Viewers,
    /// The topics of all of them: whoever is on the same shares its text.
    topics: HashSet<Arc<str>>,
    /// Those that are not in the index, because nothing they may follow is published at the moment.
    dormant: HashSet<Key>,
    /// The latest reading of the catalog; its tables are in the index.
    pub(super) reading: Reading,
    /// Which transactions that reading includes.
    since: Arc<Snapshot>,
    /// What the database said of conditions that are not evaluated here.
    pub(super) answers: Answers,
}

/// Names a channel's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) socket: SocketRef,
    pub(super) ticket: Ticket,
}

/// What it takes to write a frame for a channel.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) version: Version,
    pub(super) topic: Arc<str>,
    pub(super) legacy: bool,
    pub(super) subscription: Subscription,
    pub(super) viewer: ViewerId,
    /// Transactions it saw are not told: they were there before the channel.
    pub(super) since: Arc<Snapshot>,
    /// Whether it has been given the rows that were there.
    pub(super) stage: Stage,
    /// It has been told that policies fail for it.
    pub(super) knows_of_failure: bool,
}

/// What a channel is to be told of its subscription.
pub(super) type Notice = (Key, ChangesOutcome);

impl Subscribers {
    pub(super) fn new() -> Self {
        Self {
            index: SubscriptionIndex::new(Catalog::default()),
            known: HashMap::new(),
            viewers: Viewers::default(),
            topics: HashSet::new(),
            dormant: HashSet::new(),
            reading: Reading::default(),
            since: Arc::default(),
            answers: Answers::default(),
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

    /// What has to be asked before it is known who hears of a change.
    pub(super) fn unanswered(&self, change: &RowChange<'_>) -> Vec<Question> {
        let mut questions = self.index.questions(change);
        questions.retain(|question| !self.answers.has(question));
        questions
    }

    /// Keeps answers. They are true as long as the catalog is what it is; only so many are kept.
    pub(super) fn learn(&mut self, answers: Vec<(Question, Option<bool>)>) {
        if self.answers.len() > ANSWERS_MAX {
            self.answers = Answers::default();
        }
        for (question, answer) in answers {
            self.answers.insert(question, answer);
        }
    }

    /// Goes by another reading of the catalog from now on. If other tables are published than before, everybody is told
    /// anew how the subscription stands, as in the reference (postgres-changes.md, section 9); if not, those for whom it
    /// stands otherwise than before.
    pub(super) fn adopt(&mut self, mut reading: Reading) -> Vec<Notice> {
        let tables = std::mem::take(&mut reading.tables);
        let is_other = !tables.lists_the_same_as(self.catalog());
        // What has been said of conditions holds as long as types and operators are what they were.
        if tables != *self.catalog() || reading.version != self.reading.version {
            self.answers = Answers::default();
        }
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
        for (key, reason) in self.index.replace_catalog(tables, selectable) {
            refused.insert(key, reason.message);
        }
        self.viewers.unbind();
        self.since = Arc::new(std::mem::take(&mut reading.snapshot));
        self.reading = reading;
        let slept = std::mem::take(&mut self.dormant);
        for key in slept.iter().copied() {
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
        let outcome = |key| match refused.get(key) {
            Some(text) => ChangesOutcome::Rejected(text.clone()),
            None => ChangesOutcome::Live,
        };
        let is_told = |key: &&Key| is_other || slept.contains(key) != self.dormant.contains(key);
        let told = self.known.keys().filter(is_told);
        told.map(|key| (*key, outcome(key))).collect()
    }

    /// What everybody is told after the stream was interrupted.
    pub(super) fn after_gap(&self) -> Vec<Notice> {
        let awake = self.known.keys().filter(|key| !self.dormant.contains(key));
        awake.map(|key| (*key, ChangesOutcome::LiveAfterGap)).collect()
    }

    /// What those are told who follow a table and have to do without a change of it, which has so many bytes.
    pub(super) fn without(&self, table: &Table, bytes: usize) -> Vec<Notice> {
        let notice = text::oversized(&table.schema, &table.name, bytes);
        let follows = |subscription: &Subscription| {
            let mut bindings = subscription.bindings.iter();
            bindings.any(|numbered| numbered.binding.covers(table))
        };
        self.index
            .subscriptions()
            .filter(|(_, subscription)| follows(subscription))
            .map(|(key, _)| (key, ChangesOutcome::Incomplete(notice.clone())))
            .collect()
    }

    /// What a channel is told when its policies fail, if it has not been told yet.
    pub(super) fn failed(&mut self, key: Key, table: u32) -> Option<Notice> {
        let table = self.index.catalog().table(table)?;
        let subscriber = self.known.get_mut(&key)?;
        if std::mem::replace(&mut subscriber.knows_of_failure, true) {
            return None;
        }
        let notice = text::policies_failed(&table.schema, &table.name);
        Some((key, ChangesOutcome::Incomplete(notice)))
    }

    /// The conditions of a subscription that the database has to read before it can be added.
    ///
    /// # Errors
    ///
    /// What the channel is told if it cannot be added at all.
    pub(super) fn unproven(&mut self, subscribe: &Subscribe) -> Result<Vec<Unproven>, String> {
        let subscription = self.understand(subscribe)?;
        let unproven = self.index.unproven(&subscription);
        self.index.forget_unused_role(&subscription.role);
        Ok(unproven)
    }

    /// Adds a channel, in place of the subscription it replaces. `everything` says that it is told of all that is
    /// streamed from now on, whenever it was committed.
    ///
    /// # Errors
    ///
    /// What the channel is told. What was there before stays.
    pub(super) fn insert(&mut self, subscribe: &Subscribe, everything: bool) -> Result<Key, String> {
        let subscription = self.understand(subscribe)?;
        let key = subscribe.key();
        self.index
            .insert(key, subscription.clone())
            .map_err(|refused| refused.message)?;

        let replaced = subscribe
            .replaces
            .and_then(|ticket| self.take(Key { ticket, ..key }));
        let viewer = self.viewers.enter(&subscription.role, &subscription.claims);
        let topic = self.topic(&subscribe.topic);
        // A channel with a new token goes on where it was.
        let (since, stage) = match replaced {
            Some(replaced) => (replaced.since, replaced.stage),
            None if everything => (Arc::default(), Stage::of(&subscription)),
            None => (self.since.clone(), Stage::of(&subscription)),
        };
        self.known.insert(
            key,
            Subscriber {
                version: subscribe.version,
                topic,
                legacy: subscribe.legacy,
                subscription,
                viewer,
                since,
                stage,
                knows_of_failure: false,
            },
        );
        Ok(key)
    }

    /// Whether the rows it asked for have still to be read.
    pub(super) fn waits_for_rows(&self, key: Key) -> bool {
        let subscriber = self.known.get(&key);
        subscriber.is_some_and(|subscriber| matches!(subscriber.stage, Stage::Reading(_)))
    }

    /// Reads a subscription, and makes the privileges of its role known.
    fn understand(&mut self, subscribe: &Subscribe) -> Result<Subscription, String> {
        let bindings = parse(subscribe)?;
        let role: Arc<str> = subscribe.claims.role().unwrap_or_default().into();
        match (bindings.first(), self.reading.roles.get(&role)) {
            (Some(_), Some(selectable)) => self.index.set_selectable(&role, selectable.clone()),
            (Some(first), None) => {
                let missing = Exception::RoleMissing((*role).into());
                return Err(first.binding.rejected(&missing).message);
            }
            (None, _) => {}
        }
        Ok(Subscription {
            role,
            claims: subscribe.claims.json().into(),
            bindings,
        })
    }

    /// Takes a channel out, if it is there.
    pub(super) fn remove(&mut self, key: Key) {
        self.take(key);
    }

    fn take(&mut self, key: Key) -> Option<Subscriber> {
        self.index.remove(key);
        self.dormant.remove(&key);
        let subscriber = self.known.remove(&key)?;
        self.viewers.leave(subscriber.viewer);
        // One is here, one in the set.
        if Arc::strong_count(&subscriber.topic) <= 2 {
            self.topics.remove(&subscriber.topic);
        }
        Some(subscriber)
    }

    fn topic(&mut self, topic: &str) -> Arc<str> {
        if let Some(known) = self.topics.get(topic) {
            return known.clone();
        }
        let topic: Arc<str> = topic.into();
        self.topics.insert(topic.clone());
        topic
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

/// What a channel is told one of whose bindings is rejected.
pub(super) fn rejected(subscribe: &Subscribe, binding: usize, exception: &Exception) -> String {
    let bindings = parse(subscribe).unwrap_or_default();
    let binding = bindings.get(binding).map(|numbered| &numbered.binding);
    binding.map_or_else(
        || exception.to_string(),
        |binding| binding.rejected(exception).message,
    )
}

/// Answers about conditions that are kept.
const ANSWERS_MAX: usize = 10_000;
