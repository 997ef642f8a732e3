//! Who wants to hear of one table.
//!
//! Subscribers of the same role with the same bindings form a [`Cohort`]: what one of them hears, all of them hear. So a
//! change costs as much as there are cohorts it concerns, however many their members, and of those whose every binding
//! asks for one value of a column only the ones asking for the value of the row are looked at.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use phoenix_wire::payload::changes::Exception;

use crate::binding::{Binding, EventFilter};
use crate::change::{Action, Cell, RowChange};
use crate::payload::View;
use crate::predicate::{Datum, Predicate, Scale};
use crate::table::{ColumnSet, Table};

/// The subscribers of a table.
#[derive(Debug)]
pub(crate) struct Audience<K> {
    primary_key: ColumnSet,
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

/// A binding compiled for the table.
#[derive(Clone, Debug)]
pub(crate) struct TableBinding {
    id: u32,
    event: EventFilter,
    predicates: Vec<Predicate>,
    select: Option<Selection>,
}

/// The columns a binding selects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Selection {
    /// Their names in order: changes for different selections are told apart by these, and come in this order.
    names: Vec<String>,
    /// The columns and the primary key.
    columns: ColumnSet,
}

/// Some who hear of a change, what they hear, and by which of their bindings.
#[derive(Clone, Debug)]
pub struct Match<'a, K> {
    /// What they hear.
    pub view: View,
    /// Ids of the bindings, last binding first; equal bindings are named as often as they are there.
    pub ids: Vec<u32>,
    /// Their role.
    pub role: &'a Arc<str>,
    /// Who they are.
    pub members: &'a [Member<K>],
}

impl TableBinding {
    /// Compiles a binding for a table it covers, for a role that may select the columns in `selectable`.
    pub(crate) fn compile(
        numbered: &NumberedBinding,
        table: &Table,
        selectable: &ColumnSet,
    ) -> Result<Self, Exception> {
        let visible = |name: &str| {
            table
                .position(name)
                .filter(|position| selectable.contains(*position))
        };
        let compile_condition = |condition: &crate::filter::Condition| {
            let found = visible(&condition.column).and_then(|at| Some((at, table.columns.get(at)?)));
            let Some((position, column)) = found else {
                return Err(Exception::FilterColumn(condition.column.clone()));
            };
            Predicate::compile(condition, position, &column.r#type)
        };
        let binding = &numbered.binding;
        Ok(Self {
            id: numbered.id,
            event: binding.event,
            predicates: binding
                .filters
                .iter()
                .map(compile_condition)
                .collect::<Result<_, _>>()?,
            select: binding
                .select
                .as_ref()
                .map(|names| select(names, table, visible))
                .transpose()?,
        })
    }

    fn holds(&self, change: &RowChange<'_>) -> bool {
        self.predicates
            .iter()
            .all(|predicate| predicate.holds(change.filtered(predicate.position())))
    }

    /// A value the binding asks for: position of the column and value.
    fn required_value(&self) -> Option<(usize, Scale, &Datum<'static>)> {
        self.predicates.iter().find_map(|predicate| {
            let (scale, value) = predicate.required_value()?;
            Some((predicate.position(), scale, value))
        })
    }
}

fn select(
    names: &[String],
    table: &Table,
    visible: impl Fn(&str) -> Option<usize>,
) -> Result<Selection, Exception> {
    let mut columns = table.primary_key();
    for name in names {
        columns.insert(visible(name).ok_or_else(|| Exception::SelectColumn(name.as_str().into()))?);
    }
    let mut names = names.to_vec();
    names.sort();
    Ok(Selection { names, columns })
}

impl<K: Copy + Eq + Hash> Audience<K> {
    pub(crate) fn new(table: &Table) -> Self {
        Self {
            primary_key: table.primary_key(),
            cohorts: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            by_value: HashMap::new(),
            by_nothing: BTreeSet::new(),
            roles: HashMap::new(),
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

    /// Who hears of a change. `selectable` says which columns of the table a role may select.
    pub(crate) fn matches<'a>(
        &'a self,
        change: &RowChange<'_>,
        selectable: impl Fn(&str) -> &'a ColumnSet,
    ) -> Vec<Match<'a, K>> {
        let refusal = |role: &str| self.refusal(change.action(), selectable(role));
        // Whoever is refused the rows hears of all of them, whatever the filters.
        let candidates = if self.roles.keys().any(|role| refusal(role).is_some()) {
            (0..self.cohorts.len()).collect()
        } else {
            self.candidates(change)
        };
        let mut matches = Vec::new();
        for cohort in candidates
            .into_iter()
            .filter_map(|slot| self.cohorts.get(slot)?.as_ref())
        {
            let role = &*cohort.key.role;
            match refusal(role) {
                Some(view) => cohort.match_all(change.action(), view, &mut matches),
                None => cohort.match_rows(change, selectable(role), &mut matches),
            }
        }
        matches
    }

    /// How many cohorts are looked at for a change.
    #[cfg(test)]
    pub(crate) fn candidate_count(&self, change: &RowChange<'_>) -> usize {
        self.candidates(change).len()
    }

    /// What a role hears instead of rows. Deleted rows are told in any case.
    fn refusal(&self, action: Action, selectable: &ColumnSet) -> Option<View> {
        if action == Action::Delete {
            None
        } else if self.primary_key.is_empty() {
            Some(View::NoPrimaryKey)
        } else if !self.primary_key.is_subset(selectable) {
            Some(View::Unauthorized)
        } else {
            None
        }
    }

    /// The slots of all cohorts a change may concern by the values of its row.
    fn candidates(&self, change: &RowChange<'_>) -> BTreeSet<usize> {
        let mut slots = self.by_nothing.clone();
        for (position, by_value) in &self.by_value {
            let Cell::Text(text) = change.filtered(*position) else {
                continue;
            };
            let found = by_value
                .scale
                .read(text)
                .and_then(|value| by_value.slots.get(&value));
            slots.extend(found.into_iter().flatten());
        }
        slots
    }
}

impl<K> Cohort<K> {
    /// Every binding for the action, in one match.
    fn match_all<'a>(&'a self, action: Action, view: View, matches: &mut Vec<Match<'a, K>>) {
        let bindings = self
            .bindings
            .iter()
            .rev()
            .filter(|binding| binding.event.covers(action));
        let ids: Vec<u32> = bindings.map(|binding| binding.id).collect();
        if !ids.is_empty() {
            matches.push(self.matched(view, ids));
        }
    }

    /// The bindings whose filters the row satisfies, in a match for each selection.
    fn match_rows<'a>(
        &'a self,
        change: &RowChange<'_>,
        selectable: &ColumnSet,
        matches: &mut Vec<Match<'a, K>>,
    ) {
        let mut by_selection: Vec<(Option<&Selection>, Vec<u32>)> = Vec::new();
        let bindings = self
            .bindings
            .iter()
            .rev()
            .filter(|binding| binding.event.covers(change.action()));
        for binding in bindings.filter(|binding| binding.holds(change)) {
            let select = binding.select.as_ref();
            match by_selection.iter_mut().find(|(known, _)| *known == select) {
                Some((_, ids)) => ids.push(binding.id),
                None => by_selection.push((select, vec![binding.id])),
            }
        }
        by_selection.sort_by_key(|(select, _)| *select);
        for (select, ids) in by_selection {
            let visible = select.map_or_else(
                || selectable.clone(),
                |select| selectable.intersection(&select.columns),
            );
            matches.push(self.matched(View::Columns(visible), ids));
        }
    }

    fn matched(&self, view: View, ids: Vec<u32>) -> Match<'_, K> {
        Match {
            view,
            ids,
            role: &self.key.role,
            members: &self.members,
        }
    }
}
