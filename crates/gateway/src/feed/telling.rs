//! From a change to frames for those who may hear of it.
//!
//! What nobody has to be asked about goes out at once: for each group that hears the same, the payload is written once,
//! and for each serializer and topic the frame. Where policies decide, they are evaluated in memory if they are proven to
//! be simple; even then the change waits in the round, until the database has said that the policies are those that were
//! read. Everything else is asked.

use std::collections::HashMap;
use std::sync::Arc;

use changes::policy::{Image, RowPolicies, SeenRow};
use changes::{Check, Member, Payloads, RowChange};
use database::visibility::{Answers, Question, Row};

use super::catch_up::Share;
use super::outgoing::{Frames, Outgoing};
use super::round::{Entry, Round, Told, Verdict};
use super::subscribers::{Key, Notice, Subscriber, Subscribers};
use super::transactions::Mark;
use super::viewers::{ViewerId, Viewers};
use crate::worker::mail::ChangeFrame;

impl Subscribers {
    /// Tells of a change, or puts it into the round. `xid` is the transaction it is part of, `mark` its place in the
    /// stream.
    pub(super) fn take_change(
        &mut self,
        change: &RowChange<'_>,
        xid: u32,
        mark: Mark,
        round: &mut Round,
        outgoing: &mut Outgoing,
    ) {
        let matches = self.index.matches(change, &self.answers);
        if matches.iter().any(|heard| heard.check != Check::Nothing) {
            round.open(mark);
        }
        let mut payloads = Payloads::new(change);
        for heard in matches {
            let action = heard.view.action(change).as_str();
            if !round.is_open() {
                let data = payloads.data(&heard.view);
                let mut frames = Frames::new(&heard.ids, &data, action);
                for member in heard.members {
                    if let Some(subscriber) = self.known.get_mut(&member.key) {
                        push(subscriber, member.key, xid, &mut frames, outgoing);
                    }
                }
                continue;
            }
            let members = match heard.check {
                Check::Nothing => heard
                    .members
                    .iter()
                    .map(|member| (member.key, Verdict::Yes))
                    .collect(),
                check => {
                    let policies = (heard.role.clone(), change.table().oid);
                    let judge = Judge::new(change, check, self.reading.policies.get(&policies));
                    judged(judge, heard.members, &self.known, &mut self.viewers, xid, round)
                }
            };
            if !members.is_empty() {
                round.push(Entry::Told(Told {
                    xid,
                    table: change.table().oid,
                    data: payloads.data(&heard.view),
                    ids: heard.ids,
                    action,
                    members,
                }));
            }
        }
    }

    /// Tells of what has been asked about. Returns what is to be said to those whose policies failed.
    pub(super) fn tell(&mut self, told: &Told, answers: &Answers, outgoing: &mut Outgoing) -> Vec<Notice> {
        let mut frames = Frames::new(&told.ids, &told.data, told.action);
        let mut notices = Vec::new();
        for (key, verdict) in &told.members {
            match verdict.of(answers) {
                Ok(true) => {
                    if let Some(subscriber) = self.known.get_mut(key) {
                        push(subscriber, *key, told.xid, &mut frames, outgoing);
                    }
                }
                Ok(false) => {}
                Err(()) => notices.extend(self.failed(*key, told.table)),
            }
        }
        notices
    }
}

/// Queues the frame of a change for a subscriber, as far as it is to hear of it now.
pub(super) fn push(
    subscriber: &mut Subscriber,
    key: Key,
    xid: u32,
    frames: &mut Frames<'_>,
    outgoing: &mut Outgoing,
) {
    if subscriber.since.sees(xid) {
        return;
    }
    let frame = match subscriber.stage.share(xid, frames) {
        Share::Whole => frames.frame(subscriber),
        Share::Part(ids) => Frames::new(&ids, frames.data, frames.action).frame(subscriber),
        Share::Nothing => return,
    };
    let Key { socket, ticket } = key;
    outgoing.push(ChangeFrame {
        socket,
        ticket,
        frame,
    });
}

/// Those who may hear of a change, and those of whom the database has to say. Whoever has the same role and claims as
/// another shares the answer.
fn judged(
    mut judge: Judge<'_, '_, '_>,
    members: &[Member<Key>],
    subscribers: &HashMap<Key, Subscriber>,
    viewers: &mut Viewers,
    xid: u32,
    round: &mut Round,
) -> Vec<(Key, Verdict)> {
    let mut verdicts: HashMap<ViewerId, Option<Verdict>> = HashMap::new();
    let mut told = Vec::new();
    for member in members {
        let Some(subscriber) = subscribers.get(&member.key) else {
            continue;
        };
        let verdict = *verdicts
            .entry(subscriber.viewer)
            .or_insert_with(|| judge.verdict(subscriber.viewer, viewers, round));
        told.extend(verdict.map(|verdict| (member.key, verdict)));
    }
    if told.iter().any(|(_, verdict)| *verdict != Verdict::Yes) {
        round.await_transaction(xid);
    }
    told
}

/// How the policies of a table judge a change.
struct Judge<'s, 'c, 'a> {
    change: &'c RowChange<'a>,
    image: Image,
    policies: Option<&'s RowPolicies>,
    /// The row as the policies see it.
    seen: Option<SeenRow<'a>>,
    /// The row as the database is asked about it, once it is; `None` in it if it cannot be.
    row: Option<Option<Arc<Row>>>,
}

impl<'s, 'c, 'a> Judge<'s, 'c, 'a> {
    fn new(change: &'c RowChange<'a>, check: Check, policies: Option<&'s RowPolicies>) -> Self {
        let image = match check {
            Check::OldRow => Image::Old,
            Check::CurrentRow | Check::Nothing => Image::New,
        };
        Self {
            change,
            image,
            policies,
            seen: policies.map(|policies| policies.read(change, image)),
            row: None,
        }
    }

    /// Whether a viewer may hear of it; `None` if not.
    fn verdict(&mut self, viewer: ViewerId, viewers: &mut Viewers, round: &mut Round) -> Option<Verdict> {
        let table = self.change.table();
        if let (Some(policies), Some(seen)) = (self.policies, &self.seen)
            && let Some(sees) = policies.sees(seen, viewers.bind(viewer, table.oid, policies)?)
        {
            round.judge();
            return sees.then_some(Verdict::Yes);
        }
        let who = viewers.get(viewer)?;
        let row = self
            .row
            .get_or_insert_with(|| row(self.change, self.image).map(Arc::new));
        // Of a row the log does not tell enough of nobody is told.
        let row = row.clone()?;
        Some(round.ask(viewer, table.oid, &row, || Question {
            role: who.role.clone(),
            claims: who.claims.clone(),
            schema: (*table.schema).into(),
            table: (*table.name).into(),
            rows: Vec::new(),
        }))
    }
}

/// The row as the database is asked about it.
fn row(change: &RowChange<'_>, image: Image) -> Option<Row> {
    match image {
        Image::New => change.key().map(Row::current),
        Image::Old => change.old_row().map(Row::image),
    }
}
