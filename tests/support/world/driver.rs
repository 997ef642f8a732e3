//! The effects of a session in a world.

use phoenix_wire::payload::Tracking;
use std::rc::Rc;

use hub::{Outbox, Sender, Subscription, TopicKey};
use phoenix_wire::Version;
use phoenix_wire::close::CloseReason;
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

impl Effects for Driver<'_> {
    type Subscription = Subscription;

    fn send(&mut self, frame: Frame) {
        self.outbox.push(&frame);
    }

    fn close(&mut self, reason: CloseReason) {
        self.outbox.finish(Some(&reason.frame()));
    }

    fn subscribe(&mut self, topic: TopicName<'_>, version: Version) -> Subscription {
        let key = TopicKey {
            private: topic.private,
            name: topic.name.into(),
        };
        let member = MemberId(self.place.hub.next_number());
        self.place.workers[self.worker].subscribe(&self.place.hub, key, member, version, self.outbox.clone())
    }

    fn member(&self, subscription: &Subscription) -> u64 {
        subscription.member().0
    }

    fn unsubscribe(&mut self, subscription: Subscription) {
        let topic = subscription.topic().clone();
        let announcement =
            self.place.workers[self.worker].unsubscribe(self.place.elapsed.get(), subscription);
        self.place.schedule(&topic, announcement.flush_at);
    }

    fn set_reads(&mut self, subscription: &Subscription, broadcasts: bool, presence: bool) {
        subscription.set_reads(broadcasts, presence);
    }

    fn has_audience(&self, subscription: &Subscription, version: Version, sender: Sender) -> bool {
        subscription.has_audience(version, sender)
    }

    fn publish(&mut self, from: &Subscription, sender: Sender, message: &Broadcast<'_>) {
        let topic = from.topic().joined();
        let encode = |version| message.encode(version, topic);
        self.place
            .note(self.place.workers[self.worker].publish(from, sender, None, encode));
    }

    fn track(&mut self, subscription: &Subscription, key: &str, meta: &str) -> Tracking {
        let topic = subscription.topic();
        let announcement = topic.track(self.place.elapsed.get(), subscription.member(), key, meta);
        self.place.schedule(topic, announcement.flush_at);
        announcement.outcome
    }

    fn untrack(&mut self, subscription: &Subscription) {
        let topic = subscription.topic();
        let announcement = topic.untrack(self.place.elapsed.get(), subscription.member());
        self.place.schedule(topic, announcement.flush_at);
    }

    fn presence_state(&mut self, subscription: &Subscription) -> String {
        subscription.topic().presence_state()
    }

    fn count_event(&mut self) {
        self.place.hub.tally().add_broadcasts(1);
    }

    fn count_presence(&mut self) {
        self.place.hub.tally().add_presence(1);
    }

    fn generate_key(&mut self) -> String {
        format!("key-{}", self.place.hub.next_number())
    }

    fn request(&mut self, request: Request) {
        self.place.requests.borrow_mut().push_back((self.client, request));
    }

    fn forget_changes(&mut self, ticket: Ticket) {
        self.place.forgotten.borrow_mut().push(ticket);
    }
}
