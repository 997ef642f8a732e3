//! A hub with workers that run only when a test lets them.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hub::{Courier, Delivery, DirtyList, Fanout, Hub, LocalHub, Outbox, SocketId, Subscription, Tally};
use hub::{TopicKey, WorkerId};
use phoenix_wire::{RefView, Version, encode};
use presence::MemberId;
use websocket::Frame;

/// Keeps the mail until somebody looks.
#[derive(Default)]
pub(crate) struct Post(Mutex<Vec<(WorkerId, Delivery)>>);

impl Courier for Post {
    fn deliver(&self, worker: WorkerId, delivery: Delivery) {
        self.0
            .lock()
            .expect("no test panics while it holds the post")
            .push((worker, delivery));
    }
}

/// One tenant's hub and two workers.
pub(crate) struct House {
    pub(crate) hub: Arc<Hub>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) workers: [LocalHub; 2],
    post: Arc<Post>,
    dirty: Rc<DirtyList>,
}

/// A channel and the outbox of its socket.
pub(crate) struct Listener {
    pub(crate) worker: usize,
    pub(crate) subscription: Subscription,
    pub(crate) outbox: Rc<Outbox>,
}

pub(crate) const NOON: Duration = Duration::from_secs(43_200);

pub(crate) fn key(name: &str) -> TopicKey {
    TopicKey {
        private: false,
        name: name.into(),
    }
}

/// A text broadcast as it is encoded for `version`.
pub(crate) fn frame(version: Version, text: &str) -> Frame {
    encode::message(
        version,
        RefView::NULL,
        RefView::NULL,
        "realtime:room",
        "broadcast",
        &format!("\"{text}\""),
    )
}

impl House {
    pub(crate) fn new() -> Self {
        let (post, tally) = (Arc::new(Post::default()), Arc::new(Tally::default()));
        Self {
            hub: Hub::new(2, post.clone(), tally.clone(), 7),
            tally,
            workers: [LocalHub::new(WorkerId(0)), LocalHub::new(WorkerId(1))],
            post,
            dirty: Rc::new(DirtyList::default()),
        }
    }

    pub(crate) fn listener(&self, worker: usize, topic: &str, version: Version) -> Listener {
        let number = self.hub.next_number();
        let socket = SocketId(u32::try_from(number).expect("tests are short"));
        let outbox = Outbox::new(socket, 1 << 20, self.dirty.clone());
        let local = &self.workers[worker];
        let subscription = local.subscribe(&self.hub, key(topic), MemberId(number), version, outbox.clone());
        Listener {
            worker,
            subscription,
            outbox,
        }
    }

    pub(crate) fn leave(&self, listener: Listener) {
        self.workers[listener.worker].unsubscribe(NOON, listener.subscription);
    }

    /// Hands out the mail that has gathered; what each delivery came to.
    pub(crate) fn hand_out(&self) -> Vec<Fanout> {
        let mail = std::mem::take(&mut *self.post.0.lock().expect("as above"));
        mail.iter()
            .map(|(worker, delivery)| self.workers[usize::from(worker.0)].deliver(delivery))
            .collect()
    }

    /// Number of mails that wait for `worker`.
    pub(crate) fn mails(&self, worker: u16) -> usize {
        let post = self.post.0.lock().expect("as above");
        post.iter().filter(|(to, _)| *to == WorkerId(worker)).count()
    }
}

impl Listener {
    /// The texts of the frames that wait for its socket, which are taken out.
    pub(crate) fn read(&self) -> Vec<String> {
        let mut texts = Vec::new();
        self.outbox.drain(0, |queue| {
            texts.extend(
                queue
                    .iter()
                    .map(|frame| String::from_utf8_lossy(frame.payload()).into_owned()),
            );
            queue.iter().map(Frame::len).sum()
        });
        texts
    }
}
