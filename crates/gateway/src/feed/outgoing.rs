//! Frames on their way to the workers, collected so that a commit costs each worker one mail.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;

use phoenix_wire::payload::changes::change;
use phoenix_wire::{RefView, Version, encode, event};
use websocket::Frame;

use super::figures::Figures;
use super::subscribers::Subscriber;
use crate::worker::mail::{ChangeFrame, Mail, Ports, Receipt};

/// Frames not mailed yet, by worker.
#[derive(Debug)]
pub(super) struct Outgoing {
    ports: Arc<Ports>,
    frames: Box<[Vec<ChangeFrame>]>,
    waiting: usize,
    /// Of these frames.
    bytes: usize,
    /// Publications since the last mail, which went to the workers by themselves.
    published: usize,
    /// The workers that have got something of the transaction under way without a receipt.
    owing: Box<[bool]>,
    /// A worker may be far behind.
    is_held_up: bool,
    figures: Arc<Figures>,
}

impl Outgoing {
    pub(super) fn new(ports: Arc<Ports>, figures: Arc<Figures>) -> Self {
        let frames: Box<[Vec<ChangeFrame>]> = ports.workers().map(|_| Vec::new()).collect();
        Self {
            ports,
            owing: frames.iter().map(|_| false).collect(),
            frames,
            waiting: 0,
            bytes: 0,
            published: 0,
            is_held_up: false,
            figures,
        }
    }

    /// Queues a frame for one channel. Of a large transaction, a part is mailed before it is whole.
    pub(super) fn push(&mut self, frame: ChangeFrame) {
        if let Some(frames) = self.frames.get_mut(usize::from(frame.socket.worker.0)) {
            self.waiting += 1;
            self.bytes += frame.frame.len();
            frames.push(frame);
        }
        if self.waiting >= FRAMES_MAX || self.bytes >= BYTES_MAX {
            self.mail(None);
        }
    }

    /// A publication has gone to the workers.
    pub(super) fn note_publication(&mut self) {
        self.published += 1;
        self.owing.fill(true);
        self.is_held_up |= self.published.is_multiple_of(PUBLICATIONS_MAX);
    }

    /// Mails everything. `receipt` is gone once every worker that got something since the last one has written it.
    pub(super) fn mail(&mut self, receipt: Option<&Arc<Receipt>>) {
        self.figures.deliveries.add(self.waiting);
        self.is_held_up |= self.waiting > 0 || self.published > 0;
        (self.waiting, self.bytes, self.published) = (0, 0, 0);
        let workers = self.ports.workers().zip(&mut self.frames).zip(&mut self.owing);
        for ((worker, frames), owes) in workers {
            *owes |= !frames.is_empty();
            // What it has got before is written before what comes behind it.
            if frames.is_empty() && !(*owes && receipt.is_some()) {
                continue;
            }
            *owes &= receipt.is_none();
            self.ports
                .send(worker, Mail::Changes(std::mem::take(frames), receipt.cloned()));
        }
    }

    /// Whether nothing should be taken from the stream before [`Outgoing::relaxed`].
    pub(super) fn is_held_up(&self) -> bool {
        self.is_held_up
    }

    /// Waits until no worker is far behind; for ever if none was looked at anew.
    pub(super) async fn relaxed(&mut self) {
        if !self.is_held_up {
            std::future::pending::<()>().await;
        }
        poll_fn(|cx| self.ports.poll_relaxed(cx)).await;
        self.is_held_up = false;
    }
}

/// The frames of one change for those who hear the same of it by the same bindings: one per serializer and topic.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    pub(super) ids: &'a [u32],
    /// JSON text.
    pub(super) data: &'a str,
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub(super) action: &'static str,
    /// By serializer, form, and the address of the topic: subscribers to one topic share its text.
    made: HashMap<Group, Frame>,
    /// The one that was wanted last is mostly wanted next.
    last: Option<(Group, Frame)>,
}

/// Those who get the same frame.
type Group = (Version, bool, *const u8);

impl<'a> Frames<'a> {
    pub(super) fn new(ids: &'a [u32], data: &'a str, action: &'static str) -> Self {
        Self {
            ids,
            data,
            action,
            made: HashMap::new(),
            last: None,
        }
    }

    /// The frame for a subscriber, written when the first of its group needs it.
    pub(super) fn frame(&mut self, to: &Subscriber) -> Frame {
        let group = (to.version, to.legacy, to.topic.as_ptr());
        if let Some((last, frame)) = &self.last
            && *last == group
        {
            return frame.clone();
        }
        let write = || write(to, self.ids, self.data, self.action);
        let frame = self.made.entry(group).or_insert_with(write).clone();
        self.last = Some((group, frame.clone()));
        frame
    }
}

fn write(to: &Subscriber, ids: &[u32], data: &str, action: &str) -> Frame {
    let null = RefView::NULL;
    if to.legacy {
        encode::message(to.version, null, null, &to.topic, action, data)
    } else {
        encode::message(
            to.version,
            null,
            null,
            &to.topic,
            event::POSTGRES_CHANGES,
            &change(ids, data),
        )
    }
}

/// Publications of one transaction that are not followed by a look at the workers.
const PUBLICATIONS_MAX: usize = 1_024;
/// Bytes of them: well below what one outbox holds.
const BYTES_MAX: usize = 1 << 20;
/// Frames of one transaction that wait before they are mailed.
const FRAMES_MAX: usize = 4_096;
