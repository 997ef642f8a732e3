//! On whose behalf rows are looked at: a role with its claims. Subscribers with the same are one viewer, so they share
//! every answer.

use std::collections::HashMap;
use std::sync::Arc;

use changes::policy::{self, BoundViewer, RowPolicies};

/// Everybody's viewers.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    slots: Vec<Option<Viewer>>,
    free: Vec<u32>,
    known: HashMap<(Arc<str>, Arc<str>), ViewerId>,
}

/// Names a viewer as long as it has subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ViewerId(u32);

/// A role with its claims.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) role: Arc<str>,
    /// JSON text.
    pub(super) claims: Arc<str>,
    /// The claims, read for policies that are evaluated in memory.
    facts: policy::Viewer,
    /// What the policies of a table make of them, by its oid.
    bound: HashMap<u32, BoundViewer>,
    subscribers: usize,
}

impl Viewers {
    /// The viewer of a subscriber that comes.
    pub(super) fn enter(&mut self, role: &Arc<str>, claims: &Arc<str>) -> ViewerId {
        if let Some(id) = self.known.get(&(role.clone(), claims.clone())) {
            let id = *id;
            if let Some(viewer) = self.slot(id) {
                viewer.subscribers += 1;
            }
            return id;
        }
        let viewer = Viewer {
            role: role.clone(),
            claims: claims.clone(),
            facts: policy::Viewer::new(role, claims),
            bound: HashMap::new(),
            subscribers: 1,
        };
        let id = match self.free.pop() {
            Some(free) => ViewerId(free),
            None => {
                self.slots.push(None);
                ViewerId(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
            }
        };
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            *slot = Some(viewer);
        }
        self.known.insert((role.clone(), claims.clone()), id);
        id
    }

    /// A subscriber goes.
    pub(super) fn leave(&mut self, id: ViewerId) {
        let Some(viewer) = self.slot(id) else { return };
        viewer.subscribers -= 1;
        if viewer.subscribers == 0
            && let Some(viewer) = self.slots.get_mut(id.0 as usize).and_then(Option::take)
        {
            self.known.remove(&(viewer.role, viewer.claims));
            self.free.push(id.0);
        }
    }

    pub(super) fn get(&self, id: ViewerId) -> Option<&Viewer> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    /// The viewer as the policies of a table see it.
    pub(super) fn bind(&mut self, id: ViewerId, table: u32, policies: &RowPolicies) -> Option<&BoundViewer> {
        let Viewer { facts, bound, .. } = self.slot(id)?;
        Some(bound.entry(table).or_insert_with(|| policies.bind(facts)))
    }

    /// Policies have changed.
    pub(super) fn unbind(&mut self) {
        for viewer in self.slots.iter_mut().flatten() {
            viewer.bound.clear();
        }
    }

    fn slot(&mut self, id: ViewerId) -> Option<&mut Viewer> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_claims_are_one_viewer_until_the_last_has_gone() {
        let mut viewers = Viewers::default();
        let (anon, ann, bob): (Arc<str>, Arc<str>, Arc<str>) = (
            "anon".into(),
            r#"{"sub":"ann"}"#.into(),
            r#"{"sub":"bob"}"#.into(),
        );
        let first = viewers.enter(&anon, &ann);
        assert_eq!(viewers.enter(&anon, &ann), first);
        let other = viewers.enter(&anon, &bob);
        assert_ne!(other, first);
        viewers.leave(first);
        assert!(viewers.get(first).is_some());
        viewers.leave(first);
        assert!(viewers.get(first).is_none());
        assert_eq!(viewers.enter(&anon, &ann), first, "its place is taken again");
        assert!(viewers.get(other).is_some());
    }
}
