//! A tenant without a server: sessions and a hub on a virtual clock, and answers from a script instead of a database.
//!
//! Clients send frames and read frames. After each input everything that follows from it has happened: mail between
//! the two workers is handed out, scripted answers have arrived. Only time passes on demand ([`World::pass`]).

mod driver;
mod place;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use auth::{ClaimValidators, Claims, Keys, Secret};
use hub::{DirtyList, Hub, LocalHub, Outbox, OutboxState, SocketId, Tally, TopicKey, WorkerId};
use phoenix_wire::close::CloseReason;
use phoenix_wire::{MessageKind, Version};
use serde_json::{Value, json};
use session::{
    AuthorizeFailure, ChangesOutcome, Completion, Connection, FrameOutcome, Grants, Now, Replayed, Request,
    Session, Tenant, TenantPolicy, Ticket,
};
use websocket::Frame;

use self::driver::{Driver, Listening};
use self::place::{Place, Post};
use crate::frames;

/// Seconds since the Unix epoch when a world begins.
pub const BEGINNING: i64 = 1_800_000_000;

/// A socket of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(usize);

/// A tenant, its sockets and the time.
pub struct World {
    place: Place,
    clients: Vec<Seat>,
}

/// A socket and its session, which is gone once the socket is closing.
struct Seat {
    session: Option<Session<Listening>>,
    outbox: Rc<Outbox>,
    worker: usize,
    version: Version,
}

/// Everything is allowed.
pub const ALL: Grants = Grants {
    broadcast_read: Some(true),
    broadcast_write: Some(true),
    presence_read: Some(true),
    presence_write: Some(true),
};

/// What the tokens of a world are signed with.
pub const SECRET: &str = "a secret of at least thirty-two bytes";
const WORKERS: usize = 2;
const OUTBOX_BYTES_MAX: usize = 1 << 20;

impl Default for World {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl World {
    /// An empty world whose tenant has the limits of the reference, after `settings` changed them.
    pub fn new(settings: impl FnOnce(&mut TenantPolicy)) -> Self {
        let mut policy = TenantPolicy {
            concurrent_users_max: Some(200),
            channels_per_client_max: Some(100),
            joins_per_second_max: Some(100),
            events_per_second_max: Some(100),
            presence_events_per_second_max: Some(1000),
            client_presence_calls_max: Some(5),
            client_presence_window: Duration::from_secs(30),
            payload_bytes_max: Some(3_000_500),
            private_only: false,
            presence_enabled: false,
            refusal_delay: Duration::from_secs(5),
        };
        settings(&mut policy);
        let keys = Keys::new(Some(&Secret::new(SECRET)), None).expect("the secret is not empty");
        let workers = u16::try_from(WORKERS).expect("two");
        let post = Arc::new(Post::default());
        let place = Place {
            elapsed: Cell::new(Duration::ZERO),
            tenant: Arc::new(Tenant::new(policy, keys, ClaimValidators::default())),
            hub: Hub::new(workers, post.clone(), Arc::new(Tally::default()), 7),
            workers: [LocalHub::new(WorkerId(0)), LocalHub::new(WorkerId(1))],
            post,
            flushes: RefCell::default(),
            overloaded: RefCell::default(),
            requests: RefCell::default(),
            forgotten: RefCell::default(),
            script: RefCell::default(),
        };
        Self {
            place,
            clients: Vec::new(),
        }
    }

    /// A token for `role` that expires `seconds` after the beginning. Two with the same claims are the same.
    pub fn token(role: &str, seconds: i64) -> String {
        let claims = json!({ "role": role, "sub": role, "exp": BEGINNING + seconds });
        auth::sign(claims.as_object().expect("an object"), &Secret::new(SECRET))
    }

    /// A socket that connected with a token that lasts a day. Sockets alternate between the workers.
    pub fn connect(&mut self, version: Version) -> Client {
        self.connect_with(version, &Self::token("anon", 86_400))
    }

    /// A socket that connected with this token.
    pub fn connect_with(&mut self, version: Version, token: &str) -> Client {
        let token = self
            .place
            .tenant
            .verify(token, self.place.now().unix_seconds())
            .expect("a good token");
        let client = Client(self.clients.len());
        let id = SocketId(u32::try_from(client.0).expect("worlds are small"));
        self.clients.push(Seat {
            session: Some(Session::new(
                Connection {
                    version,
                    token,
                    headers: "{}".into(),
                },
                self.place.tenant.clone(),
            )),
            outbox: Outbox::new(id, OUTBOX_BYTES_MAX, Rc::new(DirtyList::default())),
            worker: client.0 % WORKERS,
            version,
        });
        client
    }

    /// A 2.0.0 socket in the channel `realtime:<name>`, joined with ref 1; what came with the join has been read.
    pub fn member(&mut self, name: &str, config: Value) -> Client {
        self.member_speaking(Version::V2, name, config)
    }

    /// As [`World::member`], with a serializer of choice.
    pub fn member_speaking(&mut self, version: Version, name: &str, config: Value) -> Client {
        let client = self.connect(version);
        self.push(
            client,
            Some("1"),
            "1",
            &format!("realtime:{name}"),
            "phx_join",
            json!({ "config": config }),
        );
        let heard = self.read(client);
        let reply = heard.first().unwrap_or(&Value::Null);
        let payload = if version == Version::V2 {
            &reply[4]
        } else {
            &reply["payload"]
        };
        assert_eq!(payload["status"], "ok", "{heard:?}");
        client
    }

    /// Sends `[join_ref, ref, topic, event, payload]`, or the same as an object in 1.0.0.
    pub fn push(
        &mut self,
        client: Client,
        join_ref: Option<&str>,
        reference: &str,
        topic: &str,
        event: &str,
        payload: Value,
    ) {
        let message = match self.clients[client.0].version {
            Version::V2 => json!([join_ref, reference, topic, event, payload]),
            Version::V1 => {
                json!({ "join_ref": join_ref, "ref": reference, "topic": topic, "event": event, "payload": payload })
            }
        };
        self.send(client, message);
    }

    /// Sends a text frame with this JSON.
    pub fn send(&mut self, client: Client, message: Value) {
        self.send_frame(client, MessageKind::Text, message.to_string().as_bytes());
    }

    /// Sends a frame. Returns whether it was a message at all.
    pub fn send_frame(&mut self, client: Client, kind: MessageKind, bytes: &[u8]) -> bool {
        self.place.refresh_rates();
        let outcome = self.with(client, |session, now, driver| {
            session.handle_frame(now, kind, bytes, driver)
        });
        self.settle();
        matches!(outcome, Some(FrameOutcome::Handled))
    }

    /// Everything that arrived at the client since it read last, as [`frames::read`] shows it.
    pub fn read(&self, client: Client) -> Vec<Value> {
        let mut heard = Vec::new();
        self.clients[client.0].outbox.drain(0, |queue| {
            heard.extend(queue.iter().map(frames::read));
            queue.iter().map(Frame::len).sum()
        });
        heard
    }

    /// Waits for what arrives at the client: time passes until something does, or until that time of the world.
    pub fn listen(&mut self, client: Client, until: Duration) -> Vec<Frame> {
        loop {
            let mut heard = Vec::new();
            self.clients[client.0].outbox.drain(0, |queue| {
                heard.extend(queue.iter().cloned());
                queue.iter().map(Frame::len).sum()
            });
            let elapsed = self.elapsed();
            if !heard.is_empty() || elapsed >= until {
                return heard;
            }
            let next = self.next_event().map_or(until, |at| at.min(until));
            self.pass(next.saturating_sub(elapsed));
        }
    }

    /// How much time has passed.
    pub fn elapsed(&self) -> Duration {
        self.place.elapsed.get()
    }

    /// The client's connection is gone.
    pub fn disconnect(&mut self, client: Client) {
        self.end(client);
        self.settle();
    }

    /// Tells all clients to come back later, and closes their sockets.
    pub fn restart(&mut self) {
        for client in (0..self.clients.len()).map(Client) {
            self.with(client, |session, _, driver| session.announce_disconnect(driver));
            self.clients[client.0]
                .outbox
                .finish(Some(&CloseReason::Restart.frame()));
        }
        self.settle();
    }

    /// Lets time pass. Whatever becomes due happens at its time.
    pub fn pass(&mut self, time: Duration) {
        let end = self.place.elapsed.get() + time;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.place.elapsed.set(at.max(self.place.elapsed.get()));
            self.place.refresh_rates();
            self.place.flush();
            for client in (0..self.clients.len()).map(Client) {
                let session = self.clients[client.0].session.as_ref();
                if session
                    .and_then(Session::next_timeout)
                    .is_some_and(|due| due <= at)
                {
                    self.with(client, |session, now, driver| session.handle_timeout(now, driver));
                }
            }
            self.settle();
        }
        self.place.elapsed.set(end);
    }

    /// [`World::pass`], in seconds.
    pub fn pass_seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    fn next_event(&self) -> Option<Duration> {
        let sessions = self
            .clients
            .iter()
            .filter_map(|seat| seat.session.as_ref()?.next_timeout());
        sessions
            .chain(self.place.flushes.borrow().iter().map(|(at, _)| *at))
            .min()
    }

    /// From now on policies answer this; a probe learns only what it asked for. Requests that wait are answered.
    pub fn grant(&mut self, grants: Result<Grants, AuthorizeFailure>) {
        self.set_policies(move |_, _| grants.clone());
    }

    /// As [`World::grant`], by topic and claims.
    pub fn set_policies(
        &mut self,
        policies: impl Fn(&str, &Claims) -> Result<Grants, AuthorizeFailure> + 'static,
    ) {
        self.place.script.borrow_mut().policies = Some(Box::new(policies));
        self.settle();
    }

    /// From now on policies do not answer.
    pub fn hold_grants(&mut self) {
        self.place.script.borrow_mut().policies = None;
    }

    /// From now on subscriptions to changes come to this. Requests that wait are answered.
    pub fn subscribe_changes(&mut self, outcome: fn() -> ChangesOutcome) {
        self.place.script.borrow_mut().changes = Some(outcome);
        self.settle();
    }

    /// From now on these messages are what is replayed; `None` is that they cannot be read. Requests that wait are answered.
    pub fn keep_messages(&mut self, messages: Option<Vec<Replayed>>) {
        self.place.script.borrow_mut().messages = Some(messages);
        self.settle();
    }

    /// From now on broadcasts from the database flow.
    pub fn replicate(&mut self) {
        self.place.script.borrow_mut().is_replicating = true;
        self.settle();
    }

    /// Number of requests that wait for an answer.
    pub fn waiting(&self) -> usize {
        self.place.requests.borrow().len()
    }

    /// The tickets of waiting requests to subscribe to changes, with what they replace.
    pub fn waiting_changes(&self) -> Vec<(Ticket, Option<Ticket>)> {
        let requests = self.place.requests.borrow();
        let ticket = |(_, request): &(Client, Request)| match request {
            Request::SubscribeChanges { ticket, replaces, .. } => Some((*ticket, *replaces)),
            Request::Authorize { .. } | Request::Replay { .. } | Request::AwaitReplication { .. } => None,
        };
        requests.iter().filter_map(ticket).collect()
    }

    /// Tickets of changes that were forgotten so far.
    pub fn forgotten(&self) -> Vec<Ticket> {
        self.place.forgotten.borrow().clone()
    }

    /// Gives an answer by hand, wanted or not.
    pub fn answer(&mut self, client: Client, answer: Completion) {
        self.with(client, |session, now, driver| {
            session.handle_completion(now, answer, driver)
        });
        self.settle();
    }

    /// Publishes a broadcast on a topic from outside any socket.
    pub fn publish(&mut self, private: bool, name: &str, text: &str) {
        let key = TopicKey {
            private,
            name: name.into(),
        };
        self.place.hub.publish(&key, |topic, version| {
            Some(phoenix_wire::encode::user_broadcast_text(
                version,
                topic.joined(),
                "e",
                None,
                text,
            ))
        });
        self.settle();
    }

    /// Publishes a broadcast from the database: it has an id.
    pub fn publish_row(&mut self, private: bool, name: &str, id: &str, text: &str) {
        let key = TopicKey {
            private,
            name: name.into(),
        };
        let meta = phoenix_wire::payload::broadcast::meta(id, false);
        self.place
            .hub
            .publish_identified(&key, Some(id), |topic, version| match version {
                Version::V2 => phoenix_wire::encode::user_broadcast_binary(
                    topic.joined(),
                    "e",
                    &meta,
                    phoenix_wire::Encoding::Json,
                    text.as_bytes(),
                )
                .ok(),
                Version::V1 => Some(phoenix_wire::encode::user_broadcast_text(
                    version,
                    topic.joined(),
                    "e",
                    Some(&meta),
                    text,
                )),
            });
        self.settle();
    }

    /// Whether anybody is on the topic.
    pub fn has_topic(&self, private: bool, name: &str) -> bool {
        self.place
            .hub
            .topic(&TopicKey {
                private,
                name: name.into(),
            })
            .is_some()
    }

    /// The tenant.
    pub fn tenant(&self) -> &Tenant {
        &self.place.tenant
    }

    /// Whether the server has closed the client's socket.
    pub fn is_closed(&self, client: Client) -> bool {
        self.clients[client.0].outbox.state() != OutboxState::Open
    }

    fn with<T>(
        &mut self,
        client: Client,
        act: impl FnOnce(&mut Session<Listening>, Now, &mut Driver<'_>) -> T,
    ) -> Option<T> {
        let Seat {
            session,
            outbox,
            worker,
            ..
        } = &mut self.clients[client.0];
        let mut driver = Driver {
            place: &self.place,
            client,
            outbox,
            worker: *worker,
        };
        session
            .as_mut()
            .map(|session| act(session, self.place.now(), &mut driver))
    }

    fn end(&mut self, client: Client) {
        self.with(client, |session, _, driver| session.end(driver));
        self.clients[client.0].session = None;
    }

    /// Lets happen what follows from what just happened.
    fn settle(&mut self) {
        loop {
            let overloaded = self.place.overloaded.borrow_mut().pop();
            if let Some((socket, member)) = overloaded {
                let client = Client(socket.0 as usize);
                self.with(client, |session, now, driver| {
                    session.handle_overload(now, member.0, driver)
                });
            } else if let Some((worker, delivery)) = self.place.post.take() {
                self.place
                    .note(self.place.workers[usize::from(worker.0)].deliver(&delivery));
            } else if let Some((client, answer)) = self.place.next_answer() {
                self.with(client, |session, now, driver| {
                    session.handle_completion(now, answer, driver)
                });
            } else if let Some(at) = self.clients.iter().position(Seat::is_abandoned) {
                self.end(Client(at));
            } else {
                return;
            }
        }
    }
}

impl Seat {
    fn is_abandoned(&self) -> bool {
        self.session.is_some() && self.outbox.state() != OutboxState::Open
    }
}
