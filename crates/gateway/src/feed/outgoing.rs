//! Frames on their way to the workers, collected so that a commit costs each worker one mail.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;

use phoenix_wire::payload::changes::change;
use phoenix_wire::{RefView, Version, encode, event};
use websocket::Frame;

use super::subscribers::Subscriber;
use crate::worker::mail::{ChangeFrame, Mail, Ports};

/// Frames not mailed yet, by worker.
#[derive(Debug)]
pub(super) struct Outgoing {
    ports: Arc<Ports>,
    frames: Box<[Vec<ChangeFrame>]>,
    waiting: usize,
}

impl Outgoing {
    pub(super) fn new(ports: Arc<Ports>) -> Self {
        let frames = ports.workers().map(|_| Vec::new()).collect();
        Self {
            ports,
            frames,
            waiting: 0,
        }
    }

    /// Queues a frame for one channel.
    pub(super) fn push(&mut self, frame: ChangeFrame) {
        if let Some(frames) = self.frames.get_mut(usize::from(frame.socket.worker.0)) {
            frames.push(frame);
            self.waiting += 1;
        }
    }

    /// Whether a transaction has queued so much that it should be mailed in parts.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= FRAMES_MAX
    }

    /// Mails everything, then waits until no worker is far behind.
    pub(super) async fn flush(&mut self) {
        if self.waiting > 0 {
            self.mail();
            poll_fn(|cx| self.ports.poll_relaxed(cx)).await;
        }
    }

    /// Mails everything at once.
    pub(super) fn mail(&mut self) {
        self.waiting = 0;
        for (worker, frames) in self.ports.workers().zip(&mut self.frames) {
            if !frames.is_empty() {
                self.ports.send(worker, Mail::Changes(std::mem::take(frames)));
            }
        }
    }
}

/// The frames of one change for those who hear the same of it by the same bindings: one per serializer and topic.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    ids: &'a [u32],
    /// JSON text.
    data: &'a str,
    /// `INSERT`, `UPDATE` or `DELETE`.
    action: &'static str,
    made: HashMap<(Version, Arc<str>, bool), Frame>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(ids: &'a [u32], data: &'a str, action: &'static str) -> Self {
        Self {
            ids,
            data,
            action,
            made: HashMap::new(),
        }
    }

    /// The frame for a subscriber, written when the first one needs it.
    pub(super) fn frame(&mut self, to: &Subscriber) -> Frame {
        let key = (to.version, to.topic.clone(), to.legacy);
        self.made
            .entry(key)
            .or_insert_with(|| write(to, self.ids, self.data, self.action))
            .clone()
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

/// Frames of one transaction that wait before they are mailed.
const FRAMES_MAX: usize = 4_096;
