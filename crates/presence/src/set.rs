//! Everything tracked on a topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use phoenix_wire::json;

use crate::meta::{Place, meta_json, write_metas};

/// A channel on the topic; unique for as long as the topic exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u64);

/// Who is present. Empty it holds no memory.
#[derive(Debug, Default)]
pub struct PresenceSet {
    metas: BTreeMap<Place, Arc<str>>,
    members: BTreeMap<MemberId, Tracked>,
    arrivals: u64,
    bytes: usize,
}

/// What one member tracks.
#[derive(Debug)]
struct Tracked {
    place: Place,
    phx_ref: Box<str>,
    /// Hash of the payload as it was tracked: tracking an equal one again changes nothing.
    payload_hash: u64,
}

/// What one mutation did: a join, a leave, or, for an update, both. Told by way of a [`crate::Diff`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub(crate) join: Option<(Place, Arc<str>)>,
    pub(crate) leave: Option<(Place, Arc<str>)>,
}

impl PresenceSet {
    /// Tracks `payload`, the checked text of a JSON object, for `member` under `key`, and names the new meta
    /// `phx_ref`. What the member tracked before leaves in the same change. `None` if that was an equal payload under
    /// the same key.
    pub fn track(&mut self, member: MemberId, key: &str, payload: &str, phx_ref: String) -> Option<Change> {
        let payload_hash = json::content_hash(payload);
        let old = self.members.get(&member);
        if old.is_some_and(|old| old.payload_hash == payload_hash && *old.place.key == *key) {
            return None;
        }
        let meta = meta_json(payload, &phx_ref, old.map(|old| &*old.phx_ref));
        let leave = self.untrack(member).and_then(|change| change.leave);
        let key = match &leave {
            Some((place, _)) if *place.key == *key => place.key.clone(),
            _ => self.key(key),
        };
        self.arrivals += 1;
        let place = Place {
            key,
            arrival: self.arrivals,
        };
        self.bytes += place.key.len() + meta.len();
        self.metas.insert(place.clone(), meta.clone());
        self.members.insert(
            member,
            Tracked {
                place: place.clone(),
                phx_ref: phx_ref.into(),
                payload_hash,
            },
        );
        Some(Change {
            join: Some((place, meta)),
            leave,
        })
    }

    /// Removes what `member` tracks; `None` if that is nothing.
    pub fn untrack(&mut self, member: MemberId) -> Option<Change> {
        let Tracked { place, .. } = self.members.remove(&member)?;
        let leave = self.metas.remove_entry(&place);
        self.bytes -= leave
            .as_ref()
            .map_or(0, |(place, meta)| place.key.len() + meta.len());
        Some(Change { join: None, leave })
    }

    /// The snapshot, as `presence_state` carries it.
    pub fn state_json(&self) -> String {
        let bytes: usize = self
            .metas
            .iter()
            .map(|(place, meta)| place.key.len() + meta.len() + 16)
            .sum();
        let mut out = String::with_capacity(bytes + 2);
        write_metas(&mut out, self.metas.iter());
        out
    }

    /// Size of all keys and metas. Bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nobody is present.
    pub fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// The key as the set holds it already, or a new copy.
    fn key(&self, key: &str) -> Arc<str> {
        let key: Arc<str> = key.into();
        let first = Place {
            key: key.clone(),
            arrival: 0,
        };
        match self.metas.range(first..).next() {
            Some((place, _)) if place.key == key => place.key.clone(),
            _ => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Diff;

    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);

    fn told(change: Option<Change>) -> String {
        let mut diff = Diff::default();
        diff.add(change.expect("a change"));
        diff.to_json()
    }

    #[test]
    fn an_update_is_a_join_and_a_leave_in_one_diff() {
        let mut set = PresenceSet::default();
        assert_eq!(
            told(set.track(A, "k", r#"{"a":1}"#, "r1".into())),
            r#"{"joins":{"k":{"metas":[{"phx_ref":"r1","a":1}]}},"leaves":{}}"#
        );
        assert_eq!(
            told(set.track(A, "k", r#"{"a":2}"#, "r2".into())),
            r#"{"joins":{"k":{"metas":[{"phx_ref":"r2","phx_ref_prev":"r1","a":2}]}},"leaves":{"k":{"metas":[{"phx_ref":"r1","a":1}]}}}"#
        );
        assert_eq!(
            told(set.untrack(A)),
            r#"{"joins":{},"leaves":{"k":{"metas":[{"phx_ref":"r2","phx_ref_prev":"r1","a":2}]}}}"#
        );
        assert!(set.is_empty());
        assert_eq!(set.untrack(A), None);
    }

    #[test]
    fn an_equal_payload_is_no_change_until_it_was_untracked() {
        let mut set = PresenceSet::default();
        assert!(set.track(A, "k", r#"{"a":1,"b":2}"#, "r1".into()).is_some());
        assert_eq!(set.track(A, "k", r#"{ "b":2, "a":1 }"#, "r2".into()), None);
        assert_eq!(
            set.state_json(),
            r#"{"k":{"metas":[{"phx_ref":"r1","a":1,"b":2}]}}"#
        );
        assert!(set.untrack(A).is_some());
        assert!(set.track(A, "k", r#"{"a":1,"b":2}"#, "r3".into()).is_some());
        assert_eq!(
            set.state_json(),
            r#"{"k":{"metas":[{"phx_ref":"r3","a":1,"b":2}]}}"#
        );
    }

    #[test]
    fn members_with_one_key_stand_in_order_of_arrival() {
        let mut set = PresenceSet::default();
        assert_eq!(set.state_json(), "{}");
        set.track(A, "k", "{}", "r1".into());
        set.track(B, "k", "{}", "r2".into());
        assert_eq!(
            set.state_json(),
            r#"{"k":{"metas":[{"phx_ref":"r1"},{"phx_ref":"r2"}]}}"#
        );
        set.track(A, "k", r#"{"x":1}"#, "r3".into());
        assert_eq!(
            set.state_json(),
            r#"{"k":{"metas":[{"phx_ref":"r2"},{"phx_ref":"r3","phx_ref_prev":"r1","x":1}]}}"#
        );
        set.untrack(B);
        assert_eq!(
            set.state_json(),
            r#"{"k":{"metas":[{"phx_ref":"r3","phx_ref_prev":"r1","x":1}]}}"#
        );
    }

    #[test]
    fn one_key_is_kept_once_however_many_share_it() {
        let mut set = PresenceSet::default();
        for member in 0..3 {
            set.track(MemberId(member), "k", "{}", member.to_string());
        }
        let keys: Vec<_> = set.metas.keys().map(|place| &place.key).collect();
        assert!(keys.iter().all(|key| Arc::ptr_eq(key, keys[0])));
    }
}
