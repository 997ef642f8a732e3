//! Which commits are done with: their changes, and those of all commits before, are in the hands of the kernel.
//!
//! A durable slot repeats what has not been acknowledged, and forgets the rest. So a commit is acknowledged when its last
//! frame has been written, and not before: a gateway that is killed loses nothing it had received, and repeats only what
//! it had written within the last moment.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::backlog::Piece;
use crate::worker::mail::Receipt;

/// Commits that are not done with, in their order.
#[derive(Debug)]
pub(super) struct Receipts {
    commits: VecDeque<Commit>,
    /// Number of the first of them.
    first: u64,
    returned: mpsc::UnboundedReceiver<u64>,
    sender: mpsc::UnboundedSender<u64>,
}

#[derive(Debug)]
struct Commit {
    piece: Piece,
    is_done: bool,
}

impl Receipts {
    pub(super) fn new() -> Self {
        let (sender, returned) = mpsc::unbounded_channel();
        Self {
            commits: VecDeque::new(),
            first: 0,
            returned,
            sender,
        }
    }

    /// A receipt for a commit, to go with its frames; without a copy of it, the commit is done with.
    pub(super) fn issue(&mut self, piece: &Piece) -> Arc<Receipt> {
        let number = self.first + self.commits.len() as u64;
        self.commits.push_back(Commit {
            piece: piece.clone(),
            is_done: false,
        });
        Arc::new(Receipt::new(number, self.sender.clone()))
    }

    /// Whether every commit is done with.
    pub(super) fn are_all_back(&self) -> bool {
        self.commits.is_empty()
    }

    /// The next time commits are done with: the last of them. Cancel-safe.
    pub(super) async fn next(&mut self) -> Piece {
        loop {
            // The sender is our own: there is always one.
            if let Some(number) = self.returned.recv().await
                && let Some(piece) = self.settle(number)
            {
                return piece;
            }
        }
    }

    fn settle(&mut self, number: u64) -> Option<Piece> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.commits.get_mut(at)?.is_done = true;
        let mut last = None;
        while self.commits.front().is_some_and(|commit| commit.is_done) {
            last = self.commits.pop_front();
            self.first += 1;
        }
        last.map(|commit| commit.piece)
    }
}
