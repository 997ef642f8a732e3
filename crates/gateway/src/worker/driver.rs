//! What a session asks for, done: the one implementation of [`Effects`].

use std::collections::HashSet;
use std::rc::Rc;

use hub::{Announcement, Outbox, Subscription, Topic, TopicKey};
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
use super::listening::{Held, Listening};
use super::mail::Mail;
use super::socket::Socket;
use crate::feed::Subscribe;
use crate::private::{Question, Replay};

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

    fn listen(&self, key: TopicKey, version: Version, outbox: &Rc<Outbox>) -> Subscription {
        let hub = self.socket.tenant().hub();
        let member = MemberId(hub.next_number());
        self.worker
            .hub
            .subscribe(hub, key, member, version, outbox.clone())
    }

    fn complete(&self, completion: Completion) {
        self.worker.shared.ports.send(
            self.worker.id,
            Mail::Complete(self.socket.reference(), completion),
        );
    }
}

impl Effects for Driver<'_> {
    type Subscription = Listening;

    fn send(&mut self, frame: Frame) {
        self.socket.outbox().push(&frame);
    }

    fn close(&mut self, reason: CloseReason) {
        self.socket.close(reason, self.now.elapsed);
    }

    fn subscribe(&mut self, topic: TopicName<'_>, version: Version) -> Listening {
        let key = TopicKey {
            private: topic.private,
            name: topic.name.into(),
        };
        Listening::new(self.listen(key, version, self.socket.outbox()), None)
    }

    fn subscribe_held(&mut self, topic: TopicName<'_>, version: Version) -> Listening {
        let key = TopicKey {
            private: topic.private,
            name: topic.name.into(),
        };
        let bytes_max = self.worker.shared.settings.outbox_bytes_max;
        let held = Held::new(self.socket.reference().socket, bytes_max);
        Listening::new(self.listen(key, version, held.outbox()), Some(held))
    }

    fn release(&mut self, listening: &mut Listening, replayed: HashSet<Box<str>>) -> bool {
        let Some(held) = listening.held.take() else {
            return true;
        };
        // Nothing is delivered between here and the end.
        let version = self.socket.version();
        let key = listening.subscription.topic().key().clone();
        let live = self.listen(key, version, self.socket.outbox());
        let former = listening.replace(live);
        let is_complete = held.release(&replayed, version, self.socket.outbox());
        listening.subscription.set_replayed(replayed);
        self.worker.hub.unsubscribe(self.now.elapsed, former);
        is_complete
    }

    fn member(&self, listening: &Listening) -> u64 {
        listening.subscription.member().0
    }

    fn unsubscribe(&mut self, listening: Listening) {
        let subscription = listening.subscription;
        let topic = subscription.topic().clone();
        let announcement = self.worker.hub.unsubscribe(self.now.elapsed, subscription);
        self.schedule(&topic, announcement);
    }

    fn set_reads(&mut self, listening: &Listening, broadcasts: bool, presence: bool) {
        listening.set_reads(broadcasts, presence);
    }

    fn has_audience(&self, listening: &Listening, version: Version, sender: Sender) -> bool {
        listening.subscription.has_audience(version, sender)
    }

    fn publish(&mut self, from: &Listening, sender: Sender, message: &Broadcast<'_>) {
        let from = &from.subscription;
        let topic = from.topic().joined();
        let fanout = self
            .worker
            .hub
            .publish(from, sender, None, |version| message.encode(version, topic));
        self.worker.note(fanout);
    }

    fn track(&mut self, Listening { subscription, .. }: &Listening, key: &str, meta: &str) -> Tracking {
        let topic = subscription.topic();
        let announcement = topic.track(self.now.elapsed, subscription.member(), key, meta);
        self.schedule(topic, announcement);
        announcement.outcome
    }

    fn untrack(&mut self, Listening { subscription, .. }: &Listening) {
        let topic = subscription.topic();
        self.schedule(topic, topic.untrack(self.now.elapsed, subscription.member()));
    }

    fn presence_state(&mut self, listening: &Listening) -> String {
        listening.subscription.topic().presence_state()
    }

    fn count_event(&mut self) {
        self.socket.tenant().hub().tally().add_broadcasts(1);
    }

    fn count_presence(&mut self) {
        self.socket.tenant().hub().tally().add_presence(1);
    }

    fn is_replicating(&self) -> bool {
        let feed = self.socket.tenant().changes();
        feed.is_some_and(|feed| feed.figures().is_streaming.get())
    }

    fn generate_key(&mut self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Authorize {
                ticket,
                topic,
                claims,
                headers,
                probe,
            } => {
                let Some(private) = self.socket.tenant().private() else {
                    let outcome = Err(AuthorizeFailure::Unavailable);
                    return self.complete(Completion::Authorized(ticket, outcome));
                };
                let question = Question {
                    topic,
                    claims,
                    headers,
                    questions: Question::of_probe(probe),
                };
                private.ask(question, self.socket.reference(), ticket);
            }
            Request::Replay {
                ticket,
                topic,
                since_ms,
                limit,
            } => {
                let Some(private) = self.socket.tenant().private() else {
                    return self.complete(Completion::Replayed(ticket, None));
                };
                private.replay(Replay {
                    socket: self.socket.reference(),
                    ticket,
                    topic,
                    since_ms,
                    limit,
                });
            }
            Request::AwaitReplication { ticket } => {
                // Without a database they never flow.
                if let Some(feed) = self.socket.tenant().changes() {
                    feed.await_streaming(self.socket.reference(), ticket);
                }
            }
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
