//! Changes that have not been told yet, merged into one `presence_diff`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::meta::{Place, write_metas};
use crate::set::Change;

/// Joins and leaves to be told together.
///
/// A meta that comes and goes between two tellings is not told at all, unless a snapshot that shows it was handed out
/// in between ([`Diff::seal`]). So a diff holds at most one join per member that is present and one leave per meta
/// that anybody has been told of.
#[derive(Debug, Default)]
pub struct Diff {
    joins: BTreeMap<Place, Arc<str>>,
    leaves: BTreeMap<Place, Arc<str>>,
    /// Joins up to this arrival are in somebody's snapshot.
    sealed: u64,
    /// The latest arrival among the joins that were added.
    latest: u64,
}

impl Diff {
    /// Adds a change, after all those it came after.
    pub fn add(&mut self, change: Change) {
        if let Some((place, meta)) = change.leave {
            let unknown = place.arrival > self.sealed && self.joins.remove(&place).is_some();
            if !unknown {
                self.leaves.insert(place, meta);
            }
        }
        if let Some((place, meta)) = change.join {
            self.latest = self.latest.max(place.arrival);
            self.joins.insert(place, meta);
        }
    }

    /// A snapshot of the set has been handed out: what it shows and what has not been told yet can no longer vanish
    /// without a leave.
    pub fn seal(&mut self) {
        self.sealed = self.latest;
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.leaves.is_empty()
    }

    /// The payload of `presence_diff`. Both members are always there.
    pub fn to_json(&self) -> String {
        let metas = self.joins.iter().chain(&self.leaves);
        let bytes: usize = metas.map(|(place, meta)| place.key.len() + meta.len() + 16).sum();
        let mut out = String::with_capacity(bytes + 32);
        out.push_str("{\"joins\":");
        write_metas(&mut out, self.joins.iter());
        out.push_str(",\"leaves\":");
        write_metas(&mut out, self.leaves.iter());
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberId, PresenceSet};

    #[test]
    fn what_nobody_was_told_of_comes_and_goes_in_silence() {
        let (mut set, mut diff) = (PresenceSet::default(), Diff::default());
        let join = set.track(MemberId(1), "k", "{}", "r1".into());
        let leave = set.untrack(MemberId(1));
        join.into_iter().chain(leave).for_each(|change| diff.add(change));
        assert!(diff.is_empty());
    }

    #[test]
    fn what_a_snapshot_showed_is_told_to_have_left() {
        let (mut set, mut diff) = (PresenceSet::default(), Diff::default());
        set.track(MemberId(1), "k", "{}", "r1".into())
            .into_iter()
            .for_each(|change| diff.add(change));
        diff.seal();
        set.untrack(MemberId(1))
            .into_iter()
            .for_each(|change| diff.add(change));
        let meta = r#"{"k":{"metas":[{"phx_ref":"r1"}]}}"#;
        assert_eq!(diff.to_json(), format!(r#"{{"joins":{meta},"leaves":{meta}}}"#));
    }

    #[test]
    fn updates_in_a_row_are_told_as_one() {
        let (mut set, mut diff) = (PresenceSet::default(), Diff::default());
        set.track(MemberId(1), "k", "{}", "r0".into());
        for n in 1..=3 {
            let change = set.track(MemberId(1), "k", &format!(r#"{{"n":{n}}}"#), format!("r{n}"));
            diff.add(change.expect("another payload"));
        }
        assert_eq!(
            diff.to_json(),
            r#"{"joins":{"k":{"metas":[{"phx_ref":"r3","phx_ref_prev":"r2","n":3}]}},"leaves":{"k":{"metas":[{"phx_ref":"r0"}]}}}"#
        );
    }
}
