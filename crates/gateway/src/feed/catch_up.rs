//! The rows that were there before: a binding with `snapshot: true` is given them first, then the changes.
//!
//! The subscription is registered before the rows are read, so no change is missed; while they are read, its changes are
//! held. The rows come with the snapshot they were read in. Of a change whose transaction that snapshot saw, the rows have
//! told already, whenever it is streamed: the bindings that were given rows do not hear of it.

use std::sync::Arc;

use changes::pgoutput::Value;
use changes::{Mapping, RowChange, SnapshotOf, Subscription, View, data};
use database::Snapshot;
use database::rows::{CurrentRows, RowsWanted};
use phoenix_wire::payload::incomplete as text;

use super::outgoing::{Frames, Outgoing};
use super::subscribers::{Key, Subscriber, Subscribers};
use super::telling::push;
use crate::worker::mail::ChangeFrame;

/// Rows that one binding asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) of: SnapshotOf,
    pub(super) rows: RowsWanted,
}

/// Where a subscription is between the rows that were there and the changes.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing but changes was asked for.
    Changes,
    /// The rows are being read; changes are held.
    Reading(Held),
    /// The bindings that were given rows, and the snapshot these are of.
    Told { ids: Vec<u32>, snapshot: Snapshot },
}

/// Changes that wait for the rows before them.
#[derive(Debug, Default)]
pub(super) struct Held {
    changes: Vec<HeldChange>,
    bytes: usize,
    /// There were more than can be held.
    pub(super) is_incomplete: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct HeldChange {
    pub(super) xid: u32,
    pub(super) ids: Vec<u32>,
    pub(super) data: Arc<str>,
    pub(super) action: &'static str,
}

/// How much of a change is told now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    /// To these bindings.
    Part(Vec<u32>),
    Nothing,
}

impl Stage {
    /// That of a new subscription.
    pub(super) fn of(subscription: &Subscription) -> Self {
        if snapshot_ids(subscription).is_empty() {
            Self::Changes
        } else {
            Self::Reading(Held::default())
        }
    }

    /// A change comes by: what of it is to be told now.
    pub(super) fn share(&mut self, xid: u32, frames: &Frames<'_>) -> Share {
        match self {
            Self::Changes => Share::Whole,
            Self::Reading(held) => {
                held.push(xid, frames);
                Share::Nothing
            }
            Self::Told { ids, snapshot } if snapshot.sees(xid) => {
                let rest: Vec<u32> = frames
                    .ids
                    .iter()
                    .copied()
                    .filter(|id| !ids.contains(id))
                    .collect();
                if rest.is_empty() {
                    Share::Nothing
                } else {
                    Share::Part(rest)
                }
            }
            Self::Told { .. } => Share::Whole,
        }
    }

    /// The rows have been read: changes go on from the snapshot they are of. Returns what was held.
    pub(super) fn go_on(&mut self, ids: Vec<u32>, snapshot: Snapshot) -> Held {
        match std::mem::replace(self, Self::Told { ids, snapshot }) {
            Self::Reading(held) => held,
            Self::Changes | Self::Told { .. } => Held::default(),
        }
    }
}

impl Held {
    fn push(&mut self, xid: u32, frames: &Frames<'_>) {
        if self.bytes > HELD_BYTES_MAX {
            self.is_incomplete = true;
            return;
        }
        self.bytes += frames.data.len();
        self.changes.push(HeldChange {
            xid,
            ids: frames.ids.to_vec(),
            data: frames.data.into(),
            action: frames.action,
        });
    }

    /// In their order.
    pub(super) fn into_changes(self) -> Vec<HeldChange> {
        self.changes
    }
}

/// The ids of the bindings that ask for the rows that are there.
pub(super) fn snapshot_ids(subscription: &Subscription) -> Vec<u32> {
    let bindings = subscription.bindings.iter();
    bindings
        .filter(|numbered| numbered.binding.snapshot)
        .map(|numbered| numbered.id)
        .collect()
}

/// Changes that are held for one subscription while its rows are read. Bytes of their payloads.
const HELD_BYTES_MAX: usize = 8 << 20;

impl Subscribers {
    /// What rows a subscription asks for, binding by binding.
    pub(super) fn rows_wanted(&self, key: Key, rows_max: usize) -> Vec<Wanted> {
        let Some(subscriber) = self.known.get(&key) else {
            return Vec::new();
        };
        let Subscription {
            role,
            claims,
            bindings,
        } = &subscriber.subscription;
        let bindings = bindings.iter().filter(|numbered| numbered.binding.snapshot);
        bindings
            .filter_map(|numbered| {
                // Its table may have gone since it was subscribed to: then there are no rows.
                let of = self.index.snapshot_of(role, numbered).ok().flatten()?;
                let View::Columns(columns) = of.view() else {
                    return None;
                };
                Some(Wanted {
                    rows: RowsWanted {
                        table: of.table().clone(),
                        columns: columns.clone(),
                        role: role.clone(),
                        claims: claims.clone(),
                        conditions: numbered.binding.filters.clone(),
                        rows_max,
                    },
                    of,
                })
            })
            .collect()
    }

    /// Tells a subscription of the rows that were there, then of what has been held. Returns what else is to be said.
    pub(super) fn catch_up(
        &mut self,
        key: Key,
        read: Result<Vec<(SnapshotOf, CurrentRows)>, Vec<SnapshotOf>>,
        snapshot: Snapshot,
        outgoing: &mut Outgoing,
    ) -> Vec<String> {
        let Some(subscriber) = self.known.get_mut(&key) else {
            return Vec::new();
        };
        let ids = snapshot_ids(&subscriber.subscription);
        let mut notices = Vec::new();
        let held = match read {
            Ok(read) => {
                for (of, rows) in &read {
                    tell_rows(subscriber, key, of, rows, outgoing);
                    if rows.more {
                        let table = of.table();
                        notices.push(text::snapshot_cut(&table.schema, &table.name, rows.rows.len()));
                    }
                }
                subscriber.stage.go_on(ids, snapshot)
            }
            Err(of) => {
                let tables = of.iter().map(SnapshotOf::table);
                notices.extend(tables.map(|table| text::snapshot_failed(&table.schema, &table.name)));
                subscriber.stage.go_on(Vec::new(), snapshot)
            }
        };
        if held.is_incomplete {
            notices.push(text::HELD_TOO_MANY.to_owned());
        }
        for change in held.into_changes() {
            let mut frames = Frames::new(&change.ids, &change.data, change.action);
            push(subscriber, key, change.xid, &mut frames, outgoing);
        }
        notices
    }
}

fn tell_rows(
    subscriber: &Subscriber,
    key: Key,
    of: &SnapshotOf,
    rows: &CurrentRows,
    outgoing: &mut Outgoing,
) {
    let mapping = Mapping::of_table(of.table().clone());
    let ids = [of.id()];
    for row in &rows.rows {
        let values: Vec<Value<'_>> = row
            .iter()
            .map(|value| value.as_deref().map_or(Value::Null, Value::Text))
            .collect();
        let Ok(row) = RowChange::snapshot(&mapping, &values) else {
            continue;
        };
        let data = data(&row, of.view());
        let frame = Frames::new(&ids, &data, row.action().as_str()).frame(subscriber);
        let Key { socket, ticket } = key;
        outgoing.push(ChangeFrame {
            socket,
            ticket,
            frame,
        });
    }
}
