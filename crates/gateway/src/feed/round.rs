//! Changes that wait for the database to say who may see them.
//!
//! A round is what is asked about at once: the first change that needs an answer opens it, and everything that follows it
//! joins, so that the order is kept. It is asked about as soon as nothing more has arrived; what arrives meanwhile forms
//! the next one. So a lone change is asked about alone and at once, and under load one question covers many changes: the
//! cost per change falls as the load grows.
//!
//! The pieces of the stream it is made of are kept until the answer is there: if the catalog turns out to be of another
//! version than the one they were read with, they are taken again.

use std::collections::HashMap;
use std::sync::Arc;

use database::Broadcast;
use database::visibility::{Answers, Question, Row};

use super::backlog::Piece;
use super::subscribers::Key;
use super::transactions::Mark;
use super::viewers::ViewerId;

/// The round that is being formed or asked about.
#[derive(Debug, Default)]
pub(super) struct Round {
    opened_at: Option<Mark>,
    pieces: Vec<Piece>,
    /// Of the pieces and of what is to be told.
    bytes: usize,
    entries: Vec<Entry>,
    /// Those who may be told, each as often as there is something to tell.
    members: usize,
    questions: Vec<Question>,
    /// Where the question of a viewer about a table is.
    asked: HashMap<(ViewerId, u32), usize>,
    /// How many rows are asked about, each as often as somebody asks.
    checks: usize,
    /// How many answers were found without asking.
    judged: usize,
    /// The transactions of rows that are asked about.
    transactions: Vec<u32>,
}

/// What is to be done once the answers are there.
#[derive(Debug)]
pub(super) enum Entry {
    /// Something to be told.
    Told(Told),
    /// A broadcast from the database, which waits for nothing but its turn.
    Broadcast(Broadcast),
    /// The end of a transaction.
    Commit(Piece),
}

/// One change for those who hear the same of it by the same bindings.
#[derive(Debug)]
pub(super) struct Told {
    /// The transaction it is part of.
    pub(super) xid: u32,
    /// The table. Oid.
    pub(super) table: u32,
    pub(super) ids: Vec<u32>,
    /// JSON text.
    pub(super) data: Arc<str>,
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub(super) action: &'static str,
    pub(super) members: Vec<(Key, Verdict)>,
}

/// Whether somebody may hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    /// As the database says of that row of that question.
    Asked {
        question: usize,
        row: usize,
    },
}

impl Round {
    pub(super) fn is_open(&self) -> bool {
        self.opened_at.is_some()
    }

    /// Whether it should be asked about although more has arrived.
    pub(super) fn is_full(&self) -> bool {
        self.checks >= CHECKS_MAX || self.bytes >= BYTES_MAX || self.members >= MEMBERS_MAX
    }

    /// Opens it, if it is not open, at a place of the stream to go back to.
    pub(super) fn open(&mut self, mark: Mark) {
        self.opened_at.get_or_insert(mark);
    }

    /// Keeps a piece that has been taken while the round is open.
    pub(super) fn keep(&mut self, piece: Piece) {
        self.bytes += piece.bytes();
        self.pieces.push(piece);
    }

    pub(super) fn push(&mut self, entry: Entry) {
        match &entry {
            Entry::Told(told) => {
                self.members += told.members.len();
                self.bytes += told.data.len();
            }
            Entry::Broadcast(broadcast) => self.bytes += broadcast.payload.bytes(),
            Entry::Commit(_) => {}
        }
        self.entries.push(entry);
    }

    /// Asks about a row on behalf of a viewer.
    pub(super) fn ask(
        &mut self,
        viewer: ViewerId,
        table: u32,
        row: &Arc<Row>,
        question: impl FnOnce() -> Question,
    ) -> Verdict {
        let at = *self.asked.entry((viewer, table)).or_insert_with(|| {
            self.questions.push(question());
            self.questions.len() - 1
        });
        let mut place = 0;
        if let Some(question) = self.questions.get_mut(at) {
            // Several bindings may ask for the same row.
            if !question.rows.last().is_some_and(|last| Arc::ptr_eq(last, row)) {
                question.rows.push(row.clone());
                self.checks += 1;
            }
            place = question.rows.len() - 1;
        }
        Verdict::Asked {
            question: at,
            row: place,
        }
    }

    /// Notes that an answer was found without asking.
    pub(super) fn judge(&mut self) {
        self.judged += 1;
    }

    /// How many rows are asked about, each as often as somebody asks.
    pub(super) fn checks(&self) -> usize {
        self.checks
    }

    /// How many answers were found without asking.
    pub(super) fn judged(&self) -> usize {
        self.judged
    }

    /// Notes that the answer has to be of a time when this transaction can be seen.
    pub(super) fn await_transaction(&mut self, xid: u32) {
        if self.transactions.last() != Some(&xid) {
            self.transactions.push(xid);
        }
    }

    /// What to ask, and which transactions the answer has to include.
    pub(super) fn questions(&mut self) -> (Vec<Question>, Vec<u32>) {
        (
            std::mem::take(&mut self.questions),
            std::mem::take(&mut self.transactions),
        )
    }

    /// Ends it: what is to be done.
    pub(super) fn close(&mut self) -> Vec<Entry> {
        std::mem::take(self).entries
    }

    /// Gives it up: where it began, and its pieces.
    pub(super) fn give_up(&mut self) -> (Option<Mark>, Vec<Piece>) {
        let round = std::mem::take(self);
        (round.opened_at, round.pieces)
    }
}

impl Verdict {
    /// Whether the change may be heard of; `Err` if the database could not say.
    pub(super) fn of(self, answers: &Answers) -> Result<bool, ()> {
        match self {
            Self::Yes => Ok(true),
            Self::Asked { question, row } => answers.sees(question, row).ok_or(()),
        }
    }
}

/// Rows times viewers of one round. A database answers some hundred thousand in a second.
const CHECKS_MAX: usize = 16_384;
/// Frames that a round may come to.
const MEMBERS_MAX: usize = 65_536;
/// Bytes of its pieces and payloads.
const BYTES_MAX: usize = 4 << 20;
