//! Who is present on one topic, and what changed since it was last told.
//!
//! A [`PresenceSet`] holds what every member tracks; each mutation returns a [`Change`]. A [`Diff`] collects changes
//! until somebody tells them. What a client makes of a snapshot and the diffs after it is given by phoenix.js: `joins`
//! first, each replacing and appending by `phx_ref`, then `leaves`, removing by `phx_ref`.
//!
//! # Invariants
//!
//! - A member has at most one meta. Several members may share a key; their metas stand in order of arrival, and an
//!   updated meta arrives anew.
//! - A meta keeps its text from join to leave: the same in the snapshot, in `joins` and in `leaves`.
//! - A snapshot followed by the diffs of all later changes, in order, yields the set, for every client that started
//!   from any snapshot.
//! - Metas are JSON text throughout; nothing is parsed into a tree.
//!
//! Nothing here reads a clock, draws a `phx_ref` or knows who listens. Source: protocol-spec/presence.md.

mod diff;
mod meta;
mod set;

pub use diff::Diff;
pub use set::{Change, MemberId, PresenceSet};
