//! What the stream says, message by message: transactions of rows, and what their tables look like.
//!
//! The stream describes a table before its first row and again after anything about it has changed: columns, privileges,
//! policies, its place in the publication. The catalog is read again only then, and only if it was read before the
//! transaction with the description could be seen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use changes::pgoutput::{self, Begin, Insert, LogicalMessage};
use changes::{
    Catalog, Mapping, Question, Relation, RelationCache, RelationCacheFull, RowChange, RowMismatch, Timestamp,
};
use database::{Broadcast, Computation};
use tracing::{info, warn};

use super::asking::Asking;
use super::backlog::{Content, Piece};
use super::messages::holds_messages;
use super::round::Entry;
use super::run::Feed;
use super::subscribers::Subscribers;

/// The transaction under way and the tables described so far.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    place: Mark,
    relations: RelationCache,
    /// The transaction in which each table was described last.
    described_in: HashMap<u32, u32>,
    mappings: HashMap<u32, Arc<Mapping>>,
    /// The tables among them that hold broadcasts.
    messages: HashMap<u32, Relation>,
}

/// A place in the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    begin: Option<Begin>,
    /// Rows of the transaction under way that have been passed.
    rows: u64,
    /// The row that was taken last: LSN of its commit, and its number in the transaction. A stream that goes on where
    /// another broke off begins with rows that have been taken.
    taken: (u64, u64),
}

/// A stream that is not what it should be; another connection starts afresh.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Message(#[from] pgoutput::DecodeError),
    #[error(transparent)]
    Row(#[from] RowMismatch),
    #[error(transparent)]
    Relations(#[from] RelationCacheFull),
    #[error("a row outside a transaction")]
    NoTransaction,
    #[error("a row of a table that was not described")]
    NoRelation,
}

/// What it takes to read a row.
enum Prepared {
    Read(Arc<Mapping>, Begin),
    /// Nobody would hear of it.
    Skip,
    /// The catalog has to be read first.
    Outdated,
}

impl Transactions {
    /// Another connection describes everything anew. `is_seamless` says whether its positions can be compared with those
    /// of the one before.
    pub(super) fn restart(&mut self, is_seamless: bool) {
        let taken = if is_seamless { self.place.taken } else { (0, 0) };
        *self = Self::default();
        self.place.taken = taken;
    }

    /// The catalog was read again.
    pub(super) fn forget_mappings(&mut self) {
        self.mappings.clear();
    }

    /// Where the stream stands.
    pub(super) fn mark(&self) -> Mark {
        self.place
    }

    /// Goes back.
    pub(super) fn go_back(&mut self, mark: Mark) {
        self.place = mark;
    }

    fn begin(&mut self, begin: Begin) {
        self.place.begin = Some(begin);
        self.place.rows = 0;
    }

    /// The place of the next row.
    fn next_row(&self) -> Result<(u64, u64), Unreadable> {
        let begin = self.place.begin.ok_or(Unreadable::NoTransaction)?;
        Ok((begin.final_lsn, self.place.rows + 1))
    }

    fn pass_row(&mut self, row: (u64, u64)) {
        self.place.rows = row.1;
        self.place.taken = self.place.taken.max(row);
    }

    fn describe(&mut self, relation: Relation) -> Result<(), Unreadable> {
        let begin = self.place.begin.ok_or(Unreadable::NoTransaction)?;
        self.described_in.insert(relation.oid, begin.xid);
        self.mappings.remove(&relation.oid);
        self.messages.remove(&relation.oid);
        if holds_messages(&relation) {
            self.messages.insert(relation.oid, relation.clone());
        }
        self.relations.insert(relation)?;
        Ok(())
    }

    /// Whether the catalog may be older than the stream's description of a table.
    fn is_newer(&self, relation: u32, subscribers: &Subscribers) -> bool {
        self.described_in
            .get(&relation)
            .is_none_or(|xid| subscribers.is_older_than(*xid))
    }

    fn described_in(&self, relation: u32) -> Option<u32> {
        self.described_in.get(&relation).copied()
    }

    /// How rows of a table are to be read; `None` if it is not published any more.
    fn mapping(&mut self, relation: u32, catalog: &Catalog) -> Result<Option<Arc<Mapping>>, Unreadable> {
        if let Some(mapping) = self.mappings.get(&relation) {
            return Ok(Some(mapping.clone()));
        }
        let described = self.relations.get(relation).ok_or(Unreadable::NoRelation)?;
        let Some(table) = catalog.table(relation) else {
            return Ok(None);
        };
        let mapping = Arc::new(Mapping::new(table.clone(), described.clone()));
        self.mappings.insert(relation, mapping.clone());
        Ok(Some(mapping))
    }
}

/// When the transaction was committed whose end this is.
pub(super) fn committed_at(piece: &Piece) -> Option<Timestamp> {
    match &piece.content {
        Content::Message(data) => match pgoutput::decode(data) {
            Ok(LogicalMessage::Commit(commit)) => Some(commit.timestamp),
            _ => None,
        },
        Content::Oversized { .. } => None,
    }
}

impl Feed {
    /// Takes a message of the stream. If the database has to be asked first, returns what; then the message is to be
    /// taken again after the answer.
    pub(super) fn take_piece(&mut self, piece: &Piece) -> Result<Option<Asking>, Unreadable> {
        let data = match &piece.content {
            Content::Message(data) => data,
            Content::Oversized { head, bytes_total } => {
                self.report_oversized(head, *bytes_total);
                return Ok(None);
            }
        };
        let message = pgoutput::decode(data)?;
        match message {
            LogicalMessage::Begin(begin) => self.transactions.begin(begin),
            LogicalMessage::Relation(relation) => self.transactions.describe(relation)?,
            LogicalMessage::Insert(_) | LogicalMessage::Update(_) | LogicalMessage::Delete(_) => {
                return self.take_row(message);
            }
            LogicalMessage::Commit(_) => {
                self.transactions.place.begin = None;
                if self.round.is_open() {
                    self.round.push(Entry::Commit(piece.clone()));
                } else {
                    self.commit(piece);
                }
            }
            // Nobody is told of truncations, as in the reference.
            LogicalMessage::Truncate(_)
            | LogicalMessage::Message(_)
            | LogicalMessage::Origin(_)
            | LogicalMessage::Type(_) => {}
        }
        Ok(None)
    }

    fn take_row(&mut self, message: LogicalMessage<'_>) -> Result<Option<Asking>, Unreadable> {
        // Whatever becomes of this row, it is no other row's.
        let computed = self.computed.take();
        let row = self.transactions.next_row()?;
        if row <= self.transactions.place.taken {
            // Told before the connection broke.
            self.transactions.pass_row(row);
            return Ok(None);
        }
        let relation = match &message {
            LogicalMessage::Insert(insert) => insert.relation,
            LogicalMessage::Update(update) => update.relation,
            LogicalMessage::Delete(delete) => delete.relation,
            _ => return Ok(None),
        };
        let broadcast = match &message {
            LogicalMessage::Insert(insert) => self.broadcast_in(insert),
            _ => None,
        };
        let asking = match self.prepare(relation)? {
            Prepared::Skip => None,
            Prepared::Outdated => {
                info!("a table was described anew: reading the catalog");
                Some(self.ask_catalog(self.transactions.described_in(relation)))
            }
            Prepared::Read(mapping, begin) => {
                let mut change = match message {
                    LogicalMessage::Insert(insert) => RowChange::insert(&mapping, &begin, insert)?,
                    LogicalMessage::Update(update) => RowChange::update(&mapping, &begin, update)?,
                    LogicalMessage::Delete(delete) => RowChange::delete(&mapping, &begin, delete)?,
                    _ => return Ok(None),
                };
                match (&computed, self.computation(&mapping, &change)) {
                    (None, Some(computation)) => Some(self.ask_computed(computation)),
                    (computed, _) => {
                        if let Some(computed) = computed {
                            change.take_computed(computed.new.as_deref(), computed.old.as_deref());
                        }
                        let asking = self.take_change(&change, begin.xid);
                        if asking.is_some() {
                            self.computed = computed.clone();
                        }
                        asking
                    }
                }
            }
        };
        if asking.is_none() {
            self.figures.changes.add(1);
            self.transactions.pass_row(row);
            match broadcast {
                Some(broadcast) if self.round.is_open() => self.round.push(Entry::Broadcast(broadcast)),
                Some(broadcast) => self.broadcast(&broadcast),
                None => {}
            }
        }
        Ok(asking)
    }

    /// The broadcast a row stands for, if it is of a table of broadcasts.
    fn broadcast_in(&self, insert: &Insert<'_>) -> Option<Broadcast> {
        let described = self.transactions.messages.get(&insert.relation)?;
        self.messages.read(described, insert)
    }

    /// What has to be computed of a row before it is told: its generated columns, which the log does not have.
    fn computation(&self, mapping: &Mapping, change: &RowChange<'_>) -> Option<Computation> {
        if !self.subscribers.index.follows(mapping.table().oid) || mapping.computed().next().is_none() {
            return None;
        }
        Computation::of(mapping, &change.uncomputed())
    }

    fn prepare(&mut self, relation: u32) -> Result<Prepared, Unreadable> {
        if self.subscribers.is_empty() {
            return Ok(Prepared::Skip);
        }
        let begin = self.transactions.place.begin.ok_or(Unreadable::NoTransaction)?;
        if self.transactions.is_newer(relation, &self.subscribers) {
            return Ok(Prepared::Outdated);
        }
        let mapping = self.transactions.mapping(relation, self.subscribers.catalog())?;
        Ok(mapping.map_or(Prepared::Skip, |mapping| Prepared::Read(mapping, begin)))
    }

    fn take_change(&mut self, change: &RowChange<'_>, xid: u32) -> Option<Asking> {
        let mut questions = self.subscribers.unanswered(change);
        if !questions.is_empty() {
            self.look_ahead(&mut questions);
            return Some(self.ask_conditions(questions));
        }
        let mark = self.transactions.mark();
        self.subscribers
            .take_change(change, xid, mark, &mut self.round, &mut self.outgoing);
        None
    }

    /// Adds what will have to be asked about the rows that follow, as far as they can be read now: one question for many.
    fn look_ahead(&self, questions: &mut Vec<Question>) {
        let begin = self.transactions.place.begin;
        let mut asked: HashSet<Question> = questions.iter().cloned().collect();
        for data in self.backlog.next_messages().take(LOOK_AHEAD_MAX) {
            let (Some(begin), Ok(message)) = (begin, pgoutput::decode(data)) else {
                return;
            };
            let mapping = |relation: u32| self.transactions.mappings.get(&relation);
            let change = match message {
                // What it says may change how rows are read.
                LogicalMessage::Relation(_) => return,
                LogicalMessage::Insert(insert) => mapping(insert.relation)
                    .and_then(|mapping| RowChange::insert(mapping, &begin, insert).ok()),
                LogicalMessage::Update(update) => mapping(update.relation)
                    .and_then(|mapping| RowChange::update(mapping, &begin, update).ok()),
                LogicalMessage::Delete(delete) => mapping(delete.relation)
                    .and_then(|mapping| RowChange::delete(mapping, &begin, delete).ok()),
                _ => None,
            };
            for question in change
                .iter()
                .flat_map(|change| self.subscribers.unanswered(change))
            {
                if asked.insert(question.clone()) {
                    questions.push(question);
                }
            }
        }
    }

    /// Says who has to do without a change that was too large to be read.
    fn report_oversized(&mut self, head: &[u8], bytes_total: usize) {
        self.figures.oversized.add(1);
        let relation = pgoutput::relation_of(head);
        let table = relation
            .and_then(|oid| self.subscribers.catalog().table(oid))
            .cloned();
        let Some(table) = table else { return };
        warn!(bytes_total, schema = %table.schema, table = %table.name, "a change is too large to be delivered");
        for notice in self.subscribers.without(&table, bytes_total) {
            self.tell(notice);
        }
    }
}

/// Messages that are looked at ahead when the database has to be asked about filters.
const LOOK_AHEAD_MAX: usize = 512;
