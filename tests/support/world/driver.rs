//! The effects of a session in a world.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use hub::{Outbox, OutboxState, Sender, Subscription, TopicKey};
use phoenix_wire::Version;
use phoenix_wire::close::CloseReason;
use phoenix_wire::payload::Tracking;
use presence::MemberId;
use session::{Broadcast, Effects, Request, Ticket, TopicName};
use websocket::Frame;

use super::Client;
use super::place::Place;

/// Acts for the session of one client.
pub(super) struct Driver<'a> {
    pub(super) place: &'a Place,
    pub(super) client: Client,
    pub(super) outbox: &'a Rc<Outbox>,
    pub(super) worker: usize,
}

/// A channel's place among the listeners of its topic.
#[derive(Debug)]
pub(super) struct Listening {
    subscription: Subscription,
    /// Where what is published waits, until it is released, and in which serializer.
    held: Option<(Rc<Outbox>, Version)>,
    reads: Cell<(bool, bool)>,
}

/// Bytes that may wait.
pub(super) const HELD_BYTES_MAX: usize = 1 << 16;

impl Driver<'_> {
    fn listen(&self, key: TopicKey, version: Version, outbox: Rc<Outbox>) -> Subscription {
        let member = MemberId(self.place.hub.next_number());
        self.place.workers[self.worker].subscribe(&self.place.hub, key, member, version, outbox)
    }
}

fn key(topic: TopicName<'_>) -> TopicKey {
    TopicKey {
        private: topic.private,
        name: topic.name.into(),
    }
}

impl Effects for Driver<'_> {
    type Subscription = Listening;

    fn send(&mut self, frame: Frame) {
        self.outbox.push(&frame);
    }

    fn close(&mut self, reason: CloseReason) {
        self.outbox.finish(Some(&reason.frame()));
    }

    fn subscribe(&mut self, topic: TopicName<'_>, version: Version) -> Listening {
        Listening {
            subscription: self.listen(key(topic), version, self.outbox.clone()),
            held: None,
            reads: Cell::new((true, true)),
        }
    }

    fn subscribe_held(&mut self, topic: TopicName<'_>, version: Version) -> Listening {
        let held = Outbox::new(self.outbox.socket(), HELD_BYTES_MAX, Rc::default());
        Listening {
            subscription: self.listen(key(topic), version, held.clone()),
            held: Some((held, version)),
            reads: Cell::new((true, true)),
        }
    }

    fn release(&mut self, listening: &mut Listening, replayed: HashSet<Box<str>>) -> bool {
        let Some((held, version)) = listening.held.take() else {
            return true;
        };
        let topic = listening.subscription.topic().key().clone();
        let live = self.listen(topic, version, self.outbox.clone());
        let (broadcasts, presence) = listening.reads.get();
        live.set_reads(broadcasts, presence);
        held.drain(0, |frames| {
            for frame in frames {
                let id = session::broadcast::id_of(frame, version);
                if id.is_none_or(|id| !replayed.contains(&*id)) {
                    self.outbox.push(frame);
                }
            }
            frames.iter().map(Frame::len).sum()
        });
        live.set_replayed(replayed);
        let former = std::mem::replace(&mut listening.subscription, live);
        self.place.workers[self.worker].unsubscribe(self.place.elapsed.get(), former);
        held.state() != OutboxState::Overflowed
    }

    fn member(&self, listening: &Listening) -> u64 {
        listening.subscription.member().0
    }

    fn unsubscribe(&mut self, listening: Listening) {
        let subscription = listening.subscription;
        let topic = subscription.topic().clone();
        let announcement =
            self.place.workers[self.worker].unsubscribe(self.place.elapsed.get(), subscription);
        self.place.schedule(&topic, announcement.flush_at);
    }

    fn set_reads(&mut self, listening: &Listening, broadcasts: bool, presence: bool) {
        listening.reads.set((broadcasts, presence));
        listening.subscription.set_reads(broadcasts, presence);
    }

    fn has_audience(&self, listening: &Listening, version: Version, sender: Sender) -> bool {
        listening.subscription.has_audience(version, sender)
    }

    fn publish(&mut self, from: &Listening, sender: Sender, message: &Broadcast<'_>) {
        let from = &from.subscription;
        let topic = from.topic().joined();
        let encode = |version| message.encode(version, topic);
        self.place
            .note(self.place.workers[self.worker].publish(from, sender, None, encode));
    }

    fn track(&mut self, Listening { subscription, .. }: &Listening, key: &str, meta: &str) -> Tracking {
        let topic = subscription.topic();
        let announcement = topic.track(self.place.elapsed.get(), subscription.member(), key, meta);
        self.place.schedule(topic, announcement.flush_at);
        announcement.outcome
    }

    fn untrack(&mut self, Listening { subscription, .. }: &Listening) {
        let topic = subscription.topic();
        let announcement = topic.untrack(self.place.elapsed.get(), subscription.member());
        self.place.schedule(topic, announcement.flush_at);
    }

    fn presence_state(&mut self, listening: &Listening) -> String {
        listening.subscription.topic().presence_state()
    }

    fn count_event(&mut self) {
        self.place.hub.tally().add_broadcasts(1);
    }

    fn count_presence(&mut self) {
        self.place.hub.tally().add_presence(1);
    }

    fn is_replicating(&self) -> bool {
        self.place.script.borrow().is_replicating
    }

    fn generate_key(&mut self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.place.hub.next_number())
    }

    fn request(&mut self, request: Request) {
        self.place.requests.borrow_mut().push_back((self.client, request));
    }

    fn forget_changes(&mut self, ticket: Ticket) {
        self.place.forgotten.borrow_mut().push(ticket);
    }
}
