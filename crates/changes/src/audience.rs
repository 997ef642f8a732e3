//! Who wants to hear of one table.
//!
//! Subscribers of the same role with the same bindings form a [`Cohort`]: what one of them hears, all of them hear. So a
//! change costs as much as there are cohorts it concerns, however many their members, and of those whose every binding
//! asks for one value of a column only the ones asking for the value of the row are looked at.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::binding::Binding;
use crate::change::{Action, Cell, RowChange};
use crate::payload::View;
use crate::predicate::{Datum, Scale};
use crate::question::{Answers, Question};
use crate::table::{ColumnSet, Table};
use crate::table_binding::{Questions, Selection, TableBinding, Telling};

/// The subscribers of a table.
#[derive(Debug)]
pub(crate) struct Audience<K> {
    primary_key: ColumnSet,
    row_security: bool,
    /// By slot; an empty slot is listed in `free`.
    cohorts: Vec<Option<Cohort<K>>>,
    free: Vec<usize>,
    slots: HashMap<CohortKey, usize>,
    /// Cohorts by the value they ask for in a column, by the column's position.
    by_value: HashMap<usize, ByValue>,
    /// Cohorts with a binding that does not ask for one value.
    by_nothing: BTreeSet<usize>,
    /// How many cohorts a role has.
    roles: HashMap<Arc<str>, usize>,
    /// Cohorts with a condition that may have to be asked of the database.
    asking: usize,
    /// Cohorts that look at what an updated row was.
    watching: usize,
}

/// Cohorts by the value they ask for in one column.
#[derive(Debug)]
struct ByValue {
    scale: Scale,
    slots: HashMap<Datum<'static>, BTreeSet<usize>>,
}

/// What the members of a cohort have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CohortKey {
    pub(crate) role: Arc<str>,
    /// The bindings that cover the table, in the order of the join.
    pub(crate) bindings: Vec<NumberedBinding>,
}

/// A binding and the number changes name it by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumberedBinding {
    /// See [`phoenix_wire::payload::binding_id`].
    pub id: u32,
    /// What it asks for.
    pub binding: Arc<Binding>,
}

/// Subscribers who hear the same.
#[derive(Debug)]
struct Cohort<K> {
    key: CohortKey,
    bindings: Vec<TableBinding>,
    members: Vec<Member<K>>,
    /// Where each member is.
    seats: HashMap<K, usize>,
}

/// One of those who hear of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<K> {
    /// The subscriber.
    pub key: K,
    /// JSON text of the claims that policies decide by.
    pub claims: Arc<str>,
}

/// Some who hear of a change, what they hear, and by which of their bindings.
#[derive(Clone, Debug)]
pub struct Match<'a, K> {
    /// What they hear.
    pub view: View,
    /// What has to be checked for each of them before they may hear it.
    pub check: Check,
    /// Ids of the bindings, last binding first; equal bindings are named as often as they are there.
    pub ids: Vec<u32>,
    /// Their role.
    pub role: &'a Arc<str>,
    /// Who they are.
    pub members: &'a [Member<K>],
}

/// What decides whether somebody may hear of a change that is meant for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing: the table has no policies, or what is told is told whatever they say.
    Nothing,
    /// Whether they see the row with this key as it is now: [`RowChange::key`].
    CurrentRow,
    /// Whether they have seen the row as it was: [`RowChange::old_row`].
    OldRow,
}

impl<K: Copy + Eq + Hash> Audience<K> {
    pub(crate) fn new(table: &Table) -> Self {
        Self {
            primary_key: table.primary_key(),
            row_security: table.row_security,
            cohorts: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            by_value: HashMap::new(),
            by_nothing: BTreeSet::new(),
            roles: HashMap::new(),
            asking: 0,
            watching: 0,
        }
    }

    /// The slot of a cohort.
    pub(crate) fn slot(&self, key: &CohortKey) -> Option<usize> {
        self.slots.get(key).copied()
    }

    /// Adds a cohort that is not there yet. It is to get a member before anything else happens.
    pub(crate) fn add_cohort(&mut self, key: CohortKey, bindings: Vec<TableBinding>) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.cohorts.push(None);
            self.cohorts.len() - 1
        });
        let values: Option<Vec<_>> = bindings.iter().map(TableBinding::required_value).collect();
        match values {
            Some(values) => {
                for (position, scale, value) in values {
                    let by_value = self.by_value.entry(position).or_insert_with(|| ByValue {
                        scale,
                        slots: HashMap::new(),
                    });
                    by_value.slots.entry(value.clone()).or_default().insert(slot);
                }
            }
            None => {
                self.by_nothing.insert(slot);
            }
        }
        *self.roles.entry(Arc::clone(&key.role)).or_default() += 1;
        self.asking += usize::from(bindings.iter().any(TableBinding::asks));
        self.watching += usize::from(bindings.iter().any(TableBinding::watches_leaving));
        self.slots.insert(key.clone(), slot);
        if let Some(place) = self.cohorts.get_mut(slot) {
            *place = Some(Cohort {
                key,
                bindings,
                members: Vec::new(),
                seats: HashMap::new(),
            });
        }
        slot
    }

    /// Adds a member to a cohort, or gives it other claims.
    pub(crate) fn add_member(&mut self, slot: usize, member: Member<K>) {
        let Some(Some(cohort)) = self.cohorts.get_mut(slot) else {
            return;
        };
        let seat = cohort
            .seats
            .get(&member.key)
            .and_then(|at| cohort.members.get_mut(*at));
        match seat {
            Some(seat) => *seat = member,
            None => {
                cohort.seats.insert(member.key, cohort.members.len());
                cohort.members.push(member);
            }
        }
    }

    /// Takes a member out of a cohort, and the cohort away with its last member.
    pub(crate) fn remove_member(&mut self, slot: usize, key: K) {
        let Some(Some(cohort)) = self.cohorts.get_mut(slot) else {
            return;
        };
        let Some(seat) = cohort.seats.remove(&key) else {
            return;
        };
        cohort.members.swap_remove(seat);
        if let Some(moved) = cohort.members.get(seat) {
            cohort.seats.insert(moved.key, seat);
        }
        if cohort.members.is_empty() {
            self.remove_cohort(slot);
        }
    }

    fn remove_cohort(&mut self, slot: usize) {
        let Some(cohort) = self.cohorts.get_mut(slot).and_then(Option::take) else {
            return;
        };
        self.free.push(slot);
        self.slots.remove(&cohort.key);
        self.asking -= usize::from(cohort.bindings.iter().any(TableBinding::asks));
        self.watching -= usize::from(cohort.bindings.iter().any(TableBinding::watches_leaving));
        if !self.by_nothing.remove(&slot) {
            for (position, _, value) in cohort.bindings.iter().filter_map(TableBinding::required_value) {
                let Some(by_value) = self.by_value.get_mut(&position) else {
                    continue;
                };
                if let Some(slots) = by_value.slots.get_mut(value) {
                    slots.remove(&slot);
                    if slots.is_empty() {
                        by_value.slots.remove(value);
                    }
                }
                if by_value.slots.is_empty() {
                    self.by_value.remove(&position);
                }
            }
        }
        if let Some(count) = self.roles.get_mut(&cohort.key.role) {
            *count -= 1;
            if *count == 0 {
                self.roles.remove(&cohort.key.role);
            }
        }
    }

    /// True without any member.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What has to be asked before [`Self::matches`] can be believed.
    pub(crate) fn questions<'a>(
        &'a self,
        change: &RowChange<'_>,
        selectable: impl Fn(&str) -> &'a ColumnSet,
    ) -> Vec<Question> {
        if self.asking == 0 {
            return Vec::new();
        }
        let mut found = Questions::new();
        for (cohort, refusal) in self.concerned(change, &selectable) {
            for binding in &cohort.bindings {
                match refusal {
                    None => binding.ask(change, &mut found),
                    Some(_) if !binding.covers(change.action()) => binding.ask_leaving(change, &mut found),
                    Some(_) => {}
                }
            }
        }
        found.into_iter().map(|(asked, text)| asked.of(text)).collect()
    }

    /// Who hears of a change. `selectable` says which columns of the table a role may select.
    pub(crate) fn matches<'a>(
        &'a self,
        change: &RowChange<'_>,
        answers: &Answers,
        selectable: impl Fn(&str) -> &'a ColumnSet,
    ) -> Vec<Match<'a, K>> {
        let mut matches = Vec::new();
        for (cohort, refusal) in self.concerned(change, &selectable) {
            let telling = |binding: &TableBinding| binding.telling(change, answers);
            let left = |binding: &TableBinding| {
                let has_left = !binding.covers(change.action()) && binding.has_left(change, answers);
                has_left.then_some(Telling::Left)
            };
            let columns = || selectable(&cohort.key.role);
            match refusal {
                None => cohort.match_rows(self.row_security, change.action(), columns, telling, &mut matches),
                Some(view) => {
                    cohort.match_all(change.action(), view, &mut matches);
                    cohort.match_rows(self.row_security, change.action(), columns, left, &mut matches);
                }
            }
        }
        matches
    }

    /// The cohorts a change may concern, and what they hear instead of rows if their role is refused these.
    fn concerned<'a>(
        &'a self,
        change: &RowChange<'_>,
        selectable: &impl Fn(&str) -> &'a ColumnSet,
    ) -> impl Iterator<Item = (&'a Cohort<K>, Option<View>)> {
        let action = change.action();
        let refusal = move |role: &str| refusal(action, &self.primary_key, selectable(role));
        let is_refused = self.roles.keys().any(|role| refusal(role).is_some());
        // Whoever is refused the rows hears of all of them, whatever the filters.
        let candidates = if is_refused {
            (0..self.cohorts.len()).collect()
        } else {
            self.candidates(change)
        };
        let cohorts = candidates.into_iter();
        cohorts
            .filter_map(|slot| self.cohorts.get(slot)?.as_ref())
            .map(move |cohort| {
                let refusal = is_refused.then(|| refusal(&cohort.key.role));
                (cohort, refusal.flatten())
            })
    }

    /// How many cohorts are looked at for a change.
    #[cfg(test)]
    pub(crate) fn candidate_count(&self, change: &RowChange<'_>) -> usize {
        self.candidates(change).len()
    }

    /// The slots of all cohorts a change may concern by the values of its row, each once.
    fn candidates(&self, change: &RowChange<'_>) -> Vec<usize> {
        let mut slots: Vec<_> = self.by_nothing.iter().copied().collect();
        for (position, by_value) in &self.by_value {
            slots.extend(by_value.slots_of(change.filtered(*position)));
            if self.watching > 0 && change.action() == Action::Update {
                slots.extend(by_value.slots_of(change.old_cell(*position)));
            }
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}

/// What a role hears instead of rows. Deleted rows are told in any case.
pub(crate) fn refusal(action: Action, primary_key: &ColumnSet, selectable: &ColumnSet) -> Option<View> {
    if action == Action::Delete {
        None
    } else if primary_key.is_empty() {
        Some(View::NoPrimaryKey)
    } else if !primary_key.is_subset(selectable) {
        Some(View::Unauthorized)
    } else {
        None
    }
}

impl ByValue {
    /// The cohorts that ask for a value.
    fn slots_of<'c>(&'c self, cell: Cell<'c>) -> impl Iterator<Item = usize> + 'c {
        let value = match cell {
            Cell::Text(text) => self.scale.read(text),
            Cell::Null | Cell::Absent => None,
        };
        let found = value.and_then(|value| self.slots.get(&value));
        found.into_iter().flatten().copied()
    }
}

impl<K> Cohort<K> {
    /// Every binding for the action, in one match.
    fn match_all<'a>(&'a self, action: Action, view: View, matches: &mut Vec<Match<'a, K>>) {
        let bindings = self
            .bindings
            .iter()
            .rev()
            .filter(|binding| binding.covers(action));
        let ids: Vec<u32> = bindings.map(|binding| binding.id).collect();
        if !ids.is_empty() {
            matches.push(self.matched(view, Check::Nothing, ids));
        }
    }

    /// The bindings that have something to tell, in a match for each selection and way of telling.
    fn match_rows<'a>(
        &'a self,
        row_security: bool,
        action: Action,
        selectable: impl Fn() -> &'a ColumnSet,
        telling: impl Fn(&TableBinding) -> Option<Telling>,
        matches: &mut Vec<Match<'a, K>>,
    ) {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for binding in self.bindings.iter().rev() {
            let Some(telling) = telling(binding) else {
                continue;
            };
            let select = binding.select.as_ref();
            let mut known = groups.iter_mut();
            match known.find(|group| group.select == select && group.telling == telling) {
                Some(group) => group.ids.push(binding.id),
                None => groups.push(Group {
                    select,
                    telling,
                    view: binding.view(telling, selectable()),
                    ids: vec![binding.id],
                }),
            }
        }
        groups.sort_by_key(|group| group.select);
        for Group {
            telling, view, ids, ..
        } in groups
        {
            let check = match telling {
                _ if !row_security => Check::Nothing,
                Telling::OldRow | Telling::Left => Check::OldRow,
                Telling::Change if action == Action::Delete => Check::Nothing,
                Telling::Change => Check::CurrentRow,
            };
            matches.push(self.matched(view, check, ids));
        }
    }

    fn matched(&self, view: View, check: Check, ids: Vec<u32>) -> Match<'_, K> {
        Match {
            view,
            check,
            ids,
            role: &self.key.role,
            members: &self.members,
        }
    }
}

/// Bindings of a cohort that tell the same.
struct Group<'a> {
    select: Option<&'a Selection>,
    telling: Telling,
    view: View,
    ids: Vec<u32>,
}
