//! What the stream says, message by message: transactions of rows, and what their tables look like.
//!
//! The stream describes a table before its first row and again after anything about it has changed: columns, privileges,
//! policies, its place in the publication. The catalog is read again only then, and only if it was read before the
//! transaction with the description could be seen.

use std::collections::HashMap;
use std::sync::Arc;

use changes::pgoutput::{self, Begin, LogicalMessage};
use changes::{Catalog, Mapping, Relation, RelationCache, RelationCacheFull, RowChange, RowMismatch};
use replication::{Event, Position};
use tracing::{info, warn};

use super::catalog::Reading;
use super::outgoing::Outgoing;
use super::run::Feed;
use super::subscribers::Subscribers;

/// The transaction under way and the tables described so far.
#[derive(Debug)]
pub(super) struct Transactions {
    begin: Option<Begin>,
    relations: RelationCache,
    /// The transaction in which each table was described last.
    described_in: HashMap<u32, u32>,
    /// The transaction during which the catalog could not be read: it is not tried again for each of its rows.
    unread_in: Option<u32>,
    mappings: HashMap<u32, Arc<Mapping>>,
    pub(super) outgoing: Outgoing,
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

impl Transactions {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self {
            begin: None,
            relations: RelationCache::default(),
            described_in: HashMap::new(),
            unread_in: None,
            mappings: HashMap::new(),
            outgoing,
        }
    }

    /// A new connection describes everything anew.
    pub(super) fn restart(&mut self) {
        self.begin = None;
        self.relations = RelationCache::default();
        self.described_in.clear();
        self.mappings.clear();
    }

    /// The catalog was read again.
    pub(super) fn forget_mappings(&mut self) {
        self.mappings.clear();
    }

    fn describe(&mut self, relation: Relation) -> Result<(), Unreadable> {
        let begin = self.begin.ok_or(Unreadable::NoTransaction)?;
        self.described_in.insert(relation.oid, begin.xid);
        self.mappings.remove(&relation.oid);
        self.relations.insert(relation)?;
        Ok(())
    }

    /// Whether the catalog may be older than the stream's description of a table.
    fn is_newer(&self, relation: u32, subscribers: &Subscribers) -> bool {
        self.described_in
            .get(&relation)
            .is_none_or(|xid| subscribers.is_older_than(*xid))
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

impl Feed {
    /// Something arrived on the stream.
    pub(super) async fn take_event(&mut self, event: Event) -> Result<(), Unreadable> {
        match event {
            Event::Keepalive { .. } => Ok(()),
            Event::Oversized { bytes_total, .. } => {
                warn!(bytes_total, "a change is too large to be delivered");
                Ok(())
            }
            Event::XLogData { position, data } => self.take_message(position, &data).await,
        }
    }

    async fn take_message(&mut self, position: Position, data: &[u8]) -> Result<(), Unreadable> {
        match pgoutput::decode(data)? {
            LogicalMessage::Begin(begin) => self.transactions.begin = Some(begin),
            LogicalMessage::Relation(relation) => self.transactions.describe(relation)?,
            LogicalMessage::Insert(insert) => {
                if let Some((mapping, begin)) = self.prepare(insert.relation).await? {
                    self.deliver(&RowChange::insert(&mapping, &begin, insert)?, &begin)
                        .await;
                }
            }
            LogicalMessage::Update(update) => {
                if let Some((mapping, begin)) = self.prepare(update.relation).await? {
                    self.deliver(&RowChange::update(&mapping, &begin, update)?, &begin)
                        .await;
                }
            }
            LogicalMessage::Delete(delete) => {
                if let Some((mapping, begin)) = self.prepare(delete.relation).await? {
                    self.deliver(&RowChange::delete(&mapping, &begin, delete)?, &begin)
                        .await;
                }
            }
            LogicalMessage::Commit(_) => {
                self.transactions.begin = None;
                self.transactions.outgoing.flush().await;
                if let Some(stream) = self.link.stream() {
                    stream.acknowledge(position);
                }
            }
            // Nobody is told of truncations, as in the reference.
            LogicalMessage::Truncate(_)
            | LogicalMessage::Message(_)
            | LogicalMessage::Origin(_)
            | LogicalMessage::Type(_) => {}
        }
        Ok(())
    }

    /// What it takes to read a row of a table; `None` if nobody would hear of it.
    async fn prepare(&mut self, relation: u32) -> Result<Option<(Arc<Mapping>, Begin)>, Unreadable> {
        if self.subscribers.is_empty() {
            return Ok(None);
        }
        let begin = self.transactions.begin.ok_or(Unreadable::NoTransaction)?;
        if self.transactions.is_newer(relation, &self.subscribers) && !self.refresh(begin.xid).await {
            return Ok(None);
        }
        let mapping = self.transactions.mapping(relation, self.subscribers.catalog())?;
        Ok(mapping.map(|mapping| (mapping, begin)))
    }

    async fn deliver(&mut self, change: &RowChange<'_>, begin: &Begin) {
        self.subscribers
            .deliver(change, begin.xid, &mut self.transactions.outgoing);
        if self.transactions.outgoing.is_full() {
            self.transactions.outgoing.flush().await;
        }
    }

    /// Reads the catalog before a row is delivered whose table it may describe wrongly; the stream waits meanwhile. If it
    /// cannot be read, the row is not delivered: nothing goes out by a description that may be wrong.
    async fn refresh(&mut self, xid: u32) -> bool {
        if self.transactions.unread_in == Some(xid) {
            return false;
        }
        match self.start_reading(self.subscribers.roles()).await {
            Ok(reading) => {
                info!("a table was described anew: read the catalog");
                self.adopt(reading);
                true
            }
            Err(error) => {
                warn!(%error, "the catalog cannot be read: changes of an altered table are not delivered");
                self.transactions.unread_in = Some(xid);
                false
            }
        }
    }

    pub(super) fn adopt(&mut self, reading: Reading) {
        for (socket, ticket, outcome) in self.subscribers.adopt(reading) {
            self.tell(socket, ticket, outcome);
        }
        self.transactions.forget_mappings();
    }
}
