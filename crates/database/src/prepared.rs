//! The statements that a session keeps prepared, with the plans the server has made of them.
//!
//! Invariants:
//!
//! * Never more than [`STATEMENTS_MAX`] in one session.
//! * The name says what is behind it. So even where a session is not our own from one transaction to the next, as behind
//!   some proxies, a name is never answered with another statement; there is an error at worst.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a session has prepared.
#[derive(Debug, Default)]
pub(crate) struct Prepared(HashSet<Name>);

/// The name of a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(u64, u64);

/// Statements that a session keeps at most. A plan takes some ten kilobytes of the server's memory.
pub(crate) const STATEMENTS_MAX: usize = 128;

impl Name {
    /// Of a statement for a role: where policies apply, a plan is one role's.
    pub(crate) fn of(role: &str, statement: &str) -> Self {
        let half = |half: u8| {
            let mut hasher = DefaultHasher::new();
            (half, role, statement).hash(&mut hasher);
            hasher.finish()
        };
        Self(half(0), half(1))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "roost_{:016x}{:016x}", self.0, self.1)
    }
}

impl Prepared {
    pub(crate) fn contains(&self, name: Name) -> bool {
        self.0.contains(&name)
    }

    pub(crate) fn insert(&mut self, name: Name) {
        self.0.insert(name);
    }

    pub(crate) fn remove(&mut self, name: Name) {
        self.0.remove(&name);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Name> {
        self.0.iter().copied()
    }
}
