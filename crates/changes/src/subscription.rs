//! Who wants to hear of which changes.
//!
//! The index holds the catalog its subscriptions were made for: positions of columns mean something only together with
//! it. [`SubscriptionIndex::replace_catalog`] makes all of them anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use phoenix_wire::payload::changes::Exception;

use crate::audience::{Audience, CohortKey, Match, Member, NumberedBinding};
use crate::binding::BindingRefused;
use crate::catalog::Catalog;
use crate::change::RowChange;
use crate::question::{Answers, Question, Unproven};
use crate::snapshot::SnapshotOf;
use crate::table::{ColumnSet, Selectable, Table};
use crate::table_binding::TableBinding;

/// Tables the bindings of one subscriber may cover, each counted as often as it is covered.
pub const TABLES_PER_SUBSCRIBER_MAX: usize = 10_000;

/// What one subscriber wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The role whose privileges count.
    pub role: Arc<str>,
    /// JSON text of the claims that policies decide by.
    pub claims: Arc<str>,
    /// The bindings in the order of the join.
    pub bindings: Vec<NumberedBinding>,
}

/// The subscribers of one database, each known by a `K`.
#[derive(Debug)]
pub struct SubscriptionIndex<K> {
    catalog: Catalog,
    roles: HashMap<Arc<str>, Role>,
    /// By oid of the table; only tables somebody listens to.
    audiences: HashMap<u32, Audience<K>>,
    subscribers: HashMap<K, Subscriber>,
}

#[derive(Debug)]
struct Role {
    selectable: Selectable,
    subscribers: usize,
}

#[derive(Debug)]
struct Subscriber {
    subscription: Subscription,
    /// Oid of the table and slot of the cohort there.
    cohorts: Vec<(u32, usize)>,
}

/// Tables by oid, with the bindings that cover them.
type Covered<'a> = HashMap<u32, (&'a Arc<Table>, Vec<NumberedBinding>)>;

/// Whether a subscription is looked at for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    New,
    /// It was accepted for another reading of the catalog.
    Accepted,
}

/// A place in the audience of a table, there already or to be made.
enum Place {
    Cohort(usize),
    New(CohortKey, Vec<TableBinding>),
}

/// What may be selected of a table nobody asked about.
static NOTHING: ColumnSet = ColumnSet::EMPTY;

impl<K: Copy + Eq + Hash> SubscriptionIndex<K> {
    /// No subscribers, and these tables to subscribe to.
    pub fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            roles: HashMap::new(),
            audiences: HashMap::new(),
            subscribers: HashMap::new(),
        }
    }

    /// The tables there are to subscribe to.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// How many subscribers there are.
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// True without subscribers.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// What each subscriber wants to hear of.
    pub fn subscriptions(&self) -> impl Iterator<Item = (K, &Subscription)> {
        self.subscribers
            .iter()
            .map(|(key, subscriber)| (*key, &subscriber.subscription))
    }

    /// The roles whose privileges are known.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<str>> {
        self.roles.keys()
    }

    /// Whether the privileges of a role are known. They are forgotten with its last subscriber.
    pub fn knows_role(&self, role: &str) -> bool {
        self.roles.contains_key(role)
    }

    /// Says what a role may select of the tables of the catalog. Counts from the next change on.
    pub fn set_selectable(&mut self, role: &str, selectable: Selectable) {
        match self.roles.get_mut(role) {
            Some(known) => known.selectable = selectable,
            None => {
                let subscribers = 0;
                self.roles.insert(
                    role.into(),
                    Role {
                        selectable,
                        subscribers,
                    },
                );
            }
        }
    }

    /// Forgets what a role may select, if it has no subscriber: for a subscription that is given up before it is inserted.
    pub fn forget_unused_role(&mut self, role: &str) {
        self.forget_role_without_subscribers(role);
    }

    /// What the database has to accept before a subscription may be inserted, in the order of trying: the last binding
    /// first, each with its conditions in their order. It ends where [`Self::insert`] would refuse a binding without
    /// asking: what is refused before that is told before that. The privileges of its role have to be known.
    pub fn unproven(&self, subscription: &Subscription) -> Vec<Unproven> {
        let mut found = Vec::new();
        for (at, numbered) in subscription.bindings.iter().enumerate().rev() {
            for table in self.catalog.covered_by(&numbered.binding) {
                let selectable = self.selectable(&subscription.role, table.oid);
                if !TableBinding::unproven(numbered, table, selectable, at, &mut found) {
                    return found;
                }
            }
        }
        found
    }

    /// What the snapshot of a binding consists of; `None` if it asks for none, or its table is not published. What it may
    /// tell is what the role may select by now.
    ///
    /// # Errors
    ///
    /// The binding cannot be served.
    pub fn snapshot_of(
        &self,
        role: &str,
        numbered: &NumberedBinding,
    ) -> Result<Option<SnapshotOf>, BindingRefused> {
        let binding = &numbered.binding;
        let mut tables = self.catalog.tables();
        let table = tables.find(|table| {
            *table.schema == *binding.schema.as_str() && *table.name == *binding.table.as_str()
        });
        let Some(table) = table.filter(|_| binding.snapshot) else {
            return Ok(None);
        };
        let selectable = self.selectable(role, table.oid);
        let compiled = TableBinding::compile(numbered, table, selectable);
        let compiled = compiled.map_err(|exception| binding.rejected(&exception))?;
        Ok(Some(SnapshotOf::new(table, compiled, selectable)))
    }

    /// Adds a subscriber, or replaces what it wanted before. The privileges of its role have to be known; otherwise it
    /// may select nothing.
    ///
    /// # Errors
    ///
    /// The last of its bindings that cannot be served. All or none are: what was there before stays.
    pub fn insert(&mut self, key: K, subscription: Subscription) -> Result<(), BindingRefused> {
        let role = Arc::clone(&subscription.role);
        let inserted = self.try_insert(key, subscription, Standing::New);
        if inserted.is_err() {
            self.forget_role_without_subscribers(&role);
        }
        inserted
    }

    fn try_insert(
        &mut self,
        key: K,
        subscription: Subscription,
        standing: Standing,
    ) -> Result<(), BindingRefused> {
        let places = self.places(&subscription, standing)?;
        if let Some(role) = self.roles.get_mut(&subscription.role) {
            role.subscribers += 1;
        }
        let mut cohorts = Vec::with_capacity(places.len());
        for (table, place) in places {
            let audience = self
                .audiences
                .entry(table.oid)
                .or_insert_with(|| Audience::new(&table));
            let slot = match place {
                Place::Cohort(slot) => slot,
                Place::New(cohort, bindings) => audience.add_cohort(cohort, bindings),
            };
            let claims = Arc::clone(&subscription.claims);
            audience.add_member(slot, Member { key, claims });
            cohorts.push((table.oid, slot));
        }
        let subscriber = Subscriber {
            subscription,
            cohorts,
        };
        if let Some(mut former) = self.subscribers.insert(key, subscriber) {
            // Where it was and still is, it has its new claims already.
            let stays = self
                .subscribers
                .get(&key)
                .map(|now| now.cohorts.clone())
                .unwrap_or_default();
            former.cohorts.retain(|cohort| !stays.contains(cohort));
            self.leave(key, &former);
        }
        Ok(())
    }

    /// Takes a subscriber out. Nothing happens if there is none.
    pub fn remove(&mut self, key: K) {
        if let Some(former) = self.subscribers.remove(&key) {
            self.leave(key, &former);
        }
    }

    /// Makes all subscriptions anew for another reading of the catalog, with what each role may select of its tables.
    /// Columns that are gone cost a subscription no more than the conditions on them; whoever has a binding for which
    /// nothing is published is taken out. Returns who, and why. If the reading says the same as the one before, the subscriptions stay
    /// as they are and only the privileges are new.
    pub fn replace_catalog(
        &mut self,
        catalog: Catalog,
        selectable: impl IntoIterator<Item = (Arc<str>, Selectable)>,
    ) -> Vec<(K, BindingRefused)> {
        let former = if catalog == self.catalog {
            HashMap::new()
        } else {
            std::mem::replace(self, Self::new(catalog)).subscribers
        };
        for (role, selectable) in selectable {
            self.set_selectable(&role, selectable);
        }
        let mut refused = Vec::new();
        for (key, subscriber) in former {
            // A role that is refused now may have a subscriber who is served yet.
            if let Err(error) = self.try_insert(key, subscriber.subscription, Standing::Accepted) {
                refused.push((key, error));
            }
        }
        self.roles.retain(|_, role| role.subscribers > 0);
        refused
    }

    /// Whether anybody listens to a table, by its oid.
    pub fn follows(&self, table: u32) -> bool {
        self.audiences.contains_key(&table)
    }

    /// What the database has to be asked before [`Self::matches`] can be believed, each question once and in no order.
    /// Nothing, unless somebody has a filter that memory cannot evaluate; and of those only what depends on it alone.
    pub fn questions(&self, change: &RowChange<'_>) -> Vec<Question> {
        let oid = change.table().oid;
        let audience = self.audiences.get(&oid);
        audience.map_or_else(Vec::new, |audience| {
            audience.questions(change, |role| self.selectable(role, oid))
        })
    }

    /// Who hears of a change, in groups that hear the same by the same bindings. Someone with different selections among
    /// its bindings is in several groups. Who waits for an answer that is not there does not hear of it.
    pub fn matches(&self, change: &RowChange<'_>, answers: &Answers) -> Vec<Match<'_, K>> {
        let oid = change.table().oid;
        let Some(audience) = self.audiences.get(&oid) else {
            return Vec::new();
        };
        audience.matches(change, answers, |role| self.selectable(role, oid))
    }

    fn selectable(&self, role: &str, table: u32) -> &ColumnSet {
        let role = self.roles.get(role);
        role.and_then(|role| role.selectable.of(table))
            .unwrap_or(&NOTHING)
    }

    /// Where a subscriber belongs: tables, and its cohorts there.
    fn places(
        &self,
        subscription: &Subscription,
        standing: Standing,
    ) -> Result<Vec<(Arc<Table>, Place)>, BindingRefused> {
        let places = self
            .covered(subscription)?
            .into_values()
            .map(|(table, bindings)| {
                let key = CohortKey {
                    role: Arc::clone(&subscription.role),
                    bindings,
                };
                let known = self
                    .audiences
                    .get(&table.oid)
                    .and_then(|audience| audience.slot(&key));
                // Whoever is new is refused what those who are there have lost.
                let place = match (known, standing) {
                    (Some(slot), Standing::Accepted) => Place::Cohort(slot),
                    (Some(slot), Standing::New) => {
                        self.compile(&key, table, standing)?;
                        Place::Cohort(slot)
                    }
                    (None, _) => {
                        let bindings = self.compile(&key, table, standing)?;
                        Place::New(key, bindings)
                    }
                };
                Ok((Arc::clone(table), place))
            });
        places.collect()
    }

    /// The tables of a subscription; their bindings are in the order of the join.
    fn covered(&self, subscription: &Subscription) -> Result<Covered<'_>, BindingRefused> {
        let mut tables = Covered::new();
        let mut count = 0;
        for numbered in subscription.bindings.iter().rev() {
            let before = count;
            for table in self.catalog.covered_by(&numbered.binding) {
                count += 1;
                if count > TABLES_PER_SUBSCRIBER_MAX {
                    let max = TABLES_PER_SUBSCRIBER_MAX;
                    return Err(numbered.binding.rejected(&Exception::TooManyTables { max }));
                }
                let (_, bindings) = tables.entry(table.oid).or_insert_with(|| (table, Vec::new()));
                bindings.push(numbered.clone());
            }
            if count == before {
                return Err(numbered.binding.nothing_published());
            }
        }
        for (_, bindings) in tables.values_mut() {
            bindings.reverse();
        }
        Ok(tables)
    }

    /// Compiles the bindings of a cohort. The last one is the first to be refused.
    fn compile(
        &self,
        key: &CohortKey,
        table: &Table,
        standing: Standing,
    ) -> Result<Vec<TableBinding>, BindingRefused> {
        let selectable = self.selectable(&key.role, table.oid);
        let compile = |numbered: &NumberedBinding| match standing {
            Standing::New => TableBinding::compile(numbered, table, selectable)
                .map_err(|exception| numbered.binding.rejected(&exception)),
            Standing::Accepted => Ok(TableBinding::compile_accepted(numbered, table)),
        };
        let mut bindings = key
            .bindings
            .iter()
            .rev()
            .map(compile)
            .collect::<Result<Vec<_>, _>>()?;
        bindings.reverse();
        Ok(bindings)
    }

    fn leave(&mut self, key: K, former: &Subscriber) {
        for (oid, slot) in &former.cohorts {
            let Some(audience) = self.audiences.get_mut(oid) else {
                continue;
            };
            audience.remove_member(*slot, key);
            if audience.is_empty() {
                self.audiences.remove(oid);
            }
        }
        let role = &former.subscription.role;
        if let Some(known) = self.roles.get_mut(role) {
            known.subscribers = known.subscribers.saturating_sub(1);
        }
        self.forget_role_without_subscribers(role);
    }

    fn forget_role_without_subscribers(&mut self, role: &str) {
        if self.roles.get(role).is_some_and(|known| known.subscribers == 0) {
            self.roles.remove(role);
        }
    }
}

#[cfg(test)]
mod tests;
