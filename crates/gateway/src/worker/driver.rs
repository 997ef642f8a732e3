//! What a session asks for, done: the one implementation of [`Effects`].

use std::rc::Rc;

use hub::{Announcement, Subscription, Topic, TopicKey};
use phoenix_wire::Version;
use phoenix_wire::close::CloseReason;
use phoenix_wire::payload::Tracking;
use phoenix_wire::payload::changes::NO_DATABASE;
use presence::MemberId;
use session::{
    AuthorizeFailure, Broadcast, ChangesOutcome, Completion, Effects, Request, Sender, Ticket, TopicName,
};
use websocket::Frame;

use super::Worker;
use super::deadlines::Due;
use super::mail::Mail;
use super::socket::Socket;
use crate::feed::Subscribe;

/// Acts for the session of one socket during one event.
pub(super) struct Driver<'a> {
    worker: &'a Worker,
    socket: &'a Rc<Socket>,
    now: session::Now,
}

impl<'a> Driver<'a> {
    pub(super) fn new(worker: &'a Worker, socket: &'a Rc<Socket>, now: session::Now) -> Self {
        Self { worker, socket, now }
    }

    fn schedule(&self, topic: &std::sync::Arc<Topic>, announcement: Announcement) {
        if let Some(at) = announcement.flush_at {
            self.worker.deadlines.arm(at, Due::Presence(topic.clone()));
        }
    }

    fn complete(&self, completion: Completion) {
        self.worker.shared.ports.send(
            self.worker.id,
            Mail::Complete(self.socket.reference(), completion),
        );
    }
}

impl Effects for Driver<'_> {
    type Subscription = Subscription;

    fn send(&mut self, frame: Frame) {
        self.socket.outbox().push(&frame);
    }

    fn close(&mut self, reason: CloseReason) {
        self.socket.close(reason, self.now.elapsed);
    }

    fn subscribe(&mut self, topic: TopicName<'_>, version: Version) -> Subscription {
        let hub = self.socket.tenant().hub();
        let key = TopicKey {
            private: topic.private,
            name: topic.name.into(),
        };
        let member = MemberId(hub.next_number());
        self.worker
            .hub
            .subscribe(hub, key, member, version, self.socket.outbox().clone())
    }

    fn member(&self, subscription: &Subscription) -> u64 {
        subscription.member().0
    }

    fn unsubscribe(&mut self, subscription: Subscription) {
        let topic = subscription.topic().clone();
        let announcement = self.worker.hub.unsubscribe(self.now.elapsed, subscription);
        self.schedule(&topic, announcement);
    }

    fn set_reads(&mut self, subscription: &Subscription, broadcasts: bool, presence: bool) {
        subscription.set_reads(broadcasts, presence);
    }

    fn has_audience(&self, subscription: &Subscription, version: Version, sender: Sender) -> bool {
        subscription.has_audience(version, sender)
    }

    fn publish(&mut self, from: &Subscription, sender: Sender, message: &Broadcast<'_>) {
        let topic = from.topic().joined();
        let fanout = self
            .worker
            .hub
            .publish(from, sender, None, |version| message.encode(version, topic));
        self.worker.note(fanout);
    }

    fn track(&mut self, subscription: &Subscription, key: &str, meta: &str) -> Tracking {
        let topic = subscription.topic();
        let announcement = topic.track(self.now.elapsed, subscription.member(), key, meta);
        self.schedule(topic, announcement);
        announcement.outcome
    }

    fn untrack(&mut self, subscription: &Subscription) {
        let topic = subscription.topic();
        self.schedule(topic, topic.untrack(self.now.elapsed, subscription.member()));
    }

    fn presence_state(&mut self, subscription: &Subscription) -> String {
        subscription.topic().presence_state()
    }

    fn count_event(&mut self) {
        self.socket.tenant().hub().tally().add_broadcasts(1);
    }

    fn count_presence(&mut self) {
        self.socket.tenant().hub().tally().add_presence(1);
    }

    fn generate_key(&mut self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    fn request(&mut self, request: Request) {
        match request {
            // Policies are not asked yet, so nobody gets in.
            Request::Authorize { ticket, .. } => {
                self.complete(Completion::Authorized(ticket, Err(AuthorizeFailure::Unavailable)));
            }
            // Broadcasts from the database are not served yet.
            Request::AwaitReplication { .. } => {}
            Request::SubscribeChanges {
                ticket,
                replaces,
                topic,
                bindings,
                legacy,
                claims,
            } => {
                let Some(feed) = self.socket.tenant().changes() else {
                    let outcome = ChangesOutcome::Rejected(NO_DATABASE.to_owned());
                    return self.complete(Completion::ChangesSubscribed(ticket, outcome));
                };
                let socket = self.socket.reference();
                let version = self.socket.version();
                feed.subscribe(Subscribe {
                    socket,
                    ticket,
                    replaces,
                    version,
                    topic,
                    bindings,
                    legacy,
                    claims,
                });
            }
        }
    }

    fn forget_changes(&mut self, ticket: Ticket) {
        if let Some(feed) = self.socket.tenant().changes() {
            feed.forget(self.socket.reference(), ticket);
        }
    }
}
