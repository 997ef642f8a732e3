//! The server's side of one connection of a file, for one client. No I/O: it is told what was said and what time it is.
//!
//! The parts of a topic, its *lane*, happen strictly in their order. Lanes go on independently, as channels do, but for
//! what [`Telling::after`] holds back, and for the end of the connection, which comes when everything before it has come.
//!
//! ```text
//!            ┌── join again, or after a leave ──┐
//!            ▼                                  │
//!  Hear ─▶ Tell ─▶ Tell ─▶ Hear ─▶ … ─▶ (nothing left)
//!    │ not what is to come: leave ─▶ answered, the lane rests;  token ─▶ nothing;  else ─▶ a note
//! ```
//!
//! Invariants: what a client says while its lane waits for the time or for another lane is kept and taken in order, up to
//! [`WAITING_MAX`] messages. A client that goes on is not held back: what it says next ends the wait for another lane.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use phoenix_wire::{Version, encode, event};
use transcript::{Mismatch, Value, bytes_of_view};
use websocket::{Frame, FrameBuilder, Opcode};

use crate::act::{Act, Note};
use crate::blanks::Blanks;
use crate::likeness;
use crate::message::Message;
use crate::script::{Deed, End, Life, Script, Telling};

/// Most messages of one topic that are kept.
pub const WAITING_MAX: usize = 1000;

/// One run of one life.
#[derive(Debug)]
pub(crate) struct Player {
    script: Arc<Script>,
    role: Role,
    has_pauses: bool,
    done: Vec<bool>,
    lanes: BTreeMap<String, Lane>,
    blanks: Blanks,
    /// Heartbeats that are not to be answered.
    muted_heartbeats: u64,
}

/// Which part of which file is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// Index of the script.
    pub(crate) script: usize,
    /// Index of the connection in it.
    pub(crate) actor: usize,
    /// Index of its life.
    pub(crate) life: usize,
}

/// What a client that comes back finds: where the file goes on, and what its names stand for.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) role: Role,
    pub(crate) blanks: Blanks,
}

/// What is known of one topic.
#[derive(Debug, Default)]
struct Lane {
    heard: Vec<Heard>,
    waiting: VecDeque<Message>,
    has_left: bool,
    /// Another lane is not waited for.
    is_waived: bool,
    /// Since when the next frame could be sent.
    ready_since: Option<Duration>,
}

/// Refs of a message in the file, and those the client used.
#[derive(Debug)]
struct Heard {
    recorded_join_ref: Option<Value>,
    recorded: Value,
    join_ref: Value,
    reference: Value,
}

impl Player {
    pub(crate) fn new(script: Arc<Script>, rest: Rest, has_pauses: bool) -> Self {
        let Rest { role, blanks } = rest;
        let life = script.life(role.actor, role.life);
        let done = vec![false; life.map_or(0, |life| life.parts.len())];
        let topics = life.into_iter().flat_map(|life| &life.parts);
        let lanes = topics
            .filter_map(|part| Some((part.topic()?.to_owned(), Lane::default())))
            .collect();
        Self {
            script,
            role,
            has_pauses,
            done,
            lanes,
            blanks,
            muted_heartbeats: 0,
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Whether the file has anything about the topic.
    pub(crate) fn has(&self, topic: &str) -> bool {
        self.lanes.contains_key(topic)
    }

    /// Takes what the client said about a topic that it [`has`](Self::has). Nothing happens before [`run`](Self::run).
    pub(crate) fn hear(&mut self, message: Message, acts: &mut Vec<Act>) {
        let Some(lane) = self.lanes.get_mut(&message.topic) else {
            return;
        };
        if lane.waiting.len() == WAITING_MAX {
            acts.push(Act::Close {
                code: TOO_MUCH,
                reason: "more is said than the file waits for".to_owned(),
            });
            return;
        }
        lane.waiting.push_back(message);
    }

    /// Whether a heartbeat is passed over; counts it.
    pub(crate) fn mutes_heartbeat(&mut self) -> bool {
        match self.muted_heartbeats.checked_sub(1) {
            Some(left) => {
                self.muted_heartbeats = left;
                true
            }
            None => false,
        }
    }

    /// Does everything that can be done now. `now` is the time since the connection was opened.
    pub(crate) fn run(&mut self, version: Version, now: Duration, acts: &mut Vec<Act>) {
        let script = self.script.clone();
        let Some(life) = script.life(self.role.actor, self.role.life) else {
            return;
        };
        while self.advance(life, version, now, acts) {}
    }

    /// When there is something to do without a word of the client.
    pub(crate) fn due(&self) -> Option<Duration> {
        let life = self.script.life(self.role.actor, self.role.life)?;
        let waits = self.lanes.iter().filter_map(|(topic, lane)| {
            let since = lane.ready_since?;
            let mut parts = life.parts.iter().zip(&self.done);
            let (part, _) = parts.find(|(part, done)| !**done && part.topic() == Some(topic))?;
            match &part.deed {
                Deed::Tell(telling) => Some(since.saturating_add(self.pause(telling))),
                _ => None,
            }
        });
        waits.min()
    }

    /// Where the file goes on after this connection; nothing if the client went away too early or nothing follows.
    pub(crate) fn rest(self) -> Option<Rest> {
        let life = self.script.life(self.role.actor, self.role.life)?;
        let is_through = life
            .parts
            .iter()
            .zip(&self.done)
            .all(|(part, done)| *done || part.deed == Deed::End(End::ByClient));
        let role = Role {
            life: self.role.life + 1,
            ..self.role
        };
        self.script.life(role.actor, role.life).filter(|_| is_through)?;
        Some(Rest {
            role,
            blanks: self.blanks,
        })
    }

    /// Does one thing; false if there is nothing to do.
    fn advance(&mut self, life: &Life, version: Version, now: Duration, acts: &mut Vec<Act>) -> bool {
        let mut held_back = BTreeSet::new();
        for (at, part) in life.parts.iter().enumerate() {
            if self.is_done(at) {
                continue;
            }
            let is_first = held_back.is_empty();
            let has_moved = match &part.deed {
                Deed::End(End::ByClient) => false,
                Deed::End(end) if is_first => {
                    acts.push(act_of(end));
                    self.finish(at)
                }
                Deed::MuteHeartbeats(count) if is_first => {
                    self.muted_heartbeats += count;
                    self.finish(at)
                }
                Deed::End(_) | Deed::MuteHeartbeats(_) => false,
                Deed::Hear(Message { topic, .. })
                | Deed::Tell(Telling {
                    message: Message { topic, .. },
                    ..
                }) => {
                    if held_back.contains(topic.as_str()) {
                        continue;
                    }
                    let has_moved = match &part.deed {
                        Deed::Hear(recorded) => self.listen(life, at, recorded, version, acts),
                        Deed::Tell(telling) => self.speak(life, at, telling, version, now, acts),
                        Deed::End(_) | Deed::MuteHeartbeats(_) => false,
                    };
                    held_back.insert(topic.as_str());
                    has_moved
                }
            };
            if has_moved {
                return true;
            }
            if let Deed::End(_) = part.deed {
                break;
            }
        }
        // Topics about which the file has nothing more to say.
        let over = self
            .lanes
            .iter_mut()
            .find(|(topic, lane)| !held_back.contains(topic.as_str()) && !lane.waiting.is_empty());
        let Some(said) = over.and_then(|(_, lane)| lane.waiting.pop_front()) else {
            return false;
        };
        self.stray(life, None, said, version, acts);
        true
    }

    fn is_done(&self, at: usize) -> bool {
        self.done.get(at).copied().unwrap_or(true)
    }

    fn finish(&mut self, at: usize) -> bool {
        if let Some(done) = self.done.get_mut(at) {
            *done = true;
        }
        true
    }

    /// The next of the file's is something of the client.
    fn listen(
        &mut self,
        life: &Life,
        at: usize,
        recorded: &Message,
        version: Version,
        acts: &mut Vec<Act>,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(&recorded.topic) else {
            return false;
        };
        let Some(said) = lane.waiting.pop_front() else {
            return false;
        };
        if lane.has_left || said.event != recorded.event {
            self.stray(life, Some(at), said, version, acts);
            return true;
        }
        if let Err(mismatch) = likeness::compare(recorded, &said, &mut self.blanks) {
            self.refuse(life, Some(at), &said, Some(&mismatch), version, acts);
            return true;
        }
        lane.is_waived = false;
        lane.heard.push(Heard {
            recorded_join_ref: recorded.join_ref.clone(),
            recorded: recorded.reference.clone(),
            join_ref: said.join_ref.unwrap_or(Value::Null),
            reference: said.reference,
        });
        self.finish(at)
    }

    /// The next of the file's is something of the server.
    fn speak(
        &mut self,
        life: &Life,
        at: usize,
        telling: &Telling,
        version: Version,
        now: Duration,
        acts: &mut Vec<Act>,
    ) -> bool {
        let pause = self.pause(telling);
        let is_behind = telling.after.is_some_and(|other| !self.is_done(other));
        let topic = &telling.message.topic;
        let Some(lane) = self.lanes.get_mut(topic) else {
            return false;
        };
        let is_behind = is_behind && !lane.is_waived;
        if !lane.has_left && !is_behind {
            let since = *lane.ready_since.get_or_insert(now);
            if now >= since.saturating_add(pause) {
                lane.ready_since = None;
                acts.extend(self.frame(telling, version).map(Act::Send));
                return self.finish(at);
            }
        }
        // The client may have gone on already.
        let next = next_heard(life, topic, at);
        let Some(said) = lane.waiting.front() else {
            return false;
        };
        let is_next = next.is_some_and(|next| next.event == said.event);
        let goes_elsewhere = CHANGES_OF_MIND.contains(&said.event.as_str()) && !is_next;
        if lane.has_left || goes_elsewhere {
            if let Some(said) = lane.waiting.pop_front() {
                self.stray(life, Some(at), said, version, acts);
            }
            return true;
        }
        lane.is_waived |= is_behind;
        is_behind
    }

    /// Something that the file does not have there.
    fn stray(
        &mut self,
        life: &Life,
        at: Option<usize>,
        said: Message,
        version: Version,
        acts: &mut Vec<Act>,
    ) {
        let begins_with_join =
            next_heard(life, &said.topic, 0).is_some_and(|first| first.event == event::JOIN);
        match said.event.as_str() {
            event::ACCESS_TOKEN => {}
            event::LEAVE => self.leave(&said, version, acts),
            event::JOIN if begins_with_join => {
                for (part, done) in life.parts.iter().zip(&mut self.done) {
                    if part.topic() == Some(&said.topic) {
                        *done = false;
                        if let Deed::Hear(message) = &part.deed {
                            self.blanks.forget(&message.payload);
                        }
                    }
                }
                let lane = self.lanes.entry(said.topic.clone()).or_default();
                let waiting = std::mem::take(&mut lane.waiting);
                *lane = Lane::default();
                lane.waiting = waiting;
                lane.waiting.push_front(said);
            }
            _ => self.refuse(life, at, &said, None, version, acts),
        }
    }

    /// A client may always leave.
    fn leave(&mut self, said: &Message, version: Version, acts: &mut Vec<Act>) {
        acts.extend(left(said, version));
        if let Some(lane) = self.lanes.get_mut(&said.topic) {
            lane.has_left = true;
            lane.ready_since = None;
        }
    }

    /// Says what was to come; a join is told so too.
    fn refuse(
        &self,
        life: &Life,
        at: Option<usize>,
        said: &Message,
        mismatch: Option<&Mismatch>,
        version: Version,
        acts: &mut Vec<Act>,
    ) {
        let lane = self.lanes.get(&said.topic);
        let next = at.and_then(|at| {
            let mut parts = life.parts.iter().enumerate().skip(at);
            parts.find_map(|(at, part)| match &part.deed {
                Deed::Hear(message) if message.topic == said.topic && !self.is_done(at) => {
                    Some((part.line, message))
                }
                _ => None,
            })
        });
        let (line, expected) = match next {
            _ if lane.is_some_and(|lane| lane.has_left) => {
                (life.line, "a join: the client has left".to_owned())
            }
            Some((line, message)) => (line, message.to_string()),
            None => (life.line, format!("nothing more on {}", said.topic)),
        };
        let note = Note {
            file: self.script.file().to_owned(),
            line,
            expected,
            got: said.to_string(),
            differs: mismatch.map(ToString::to_string),
        };
        if said.event == event::JOIN {
            let difference = note.differs.as_deref().unwrap_or("another message was to come");
            let reason = format!("{}:{line} has another join: {difference}", self.script.file());
            acts.push(Act::Send(refused(said, &reason).frame(version)));
        }
        acts.push(Act::Note(note));
    }

    fn pause(&self, telling: &Telling) -> Duration {
        let recorded_ms = if self.has_pauses { telling.pause_ms } else { 0 };
        Duration::from_millis(recorded_ms.saturating_add(telling.delay_ms))
    }

    /// The frame for this client; none if its serializer cannot express it.
    fn frame(&mut self, telling: &Telling, version: Version) -> Option<Frame> {
        let recorded = &telling.message;
        let message = Message {
            payload: self.blanks.fill(&recorded.payload),
            ..self.readdressed(recorded)
        };
        match (telling.is_binary, version) {
            (false, _) => Some(message.frame(version)),
            (true, Version::V1) => (!message.is_binary()).then(|| message.frame(version)),
            (true, Version::V2) => {
                let bytes = telling.bytes.clone();
                let bytes = bytes.or_else(|| bytes_of_view(&message.view()))?;
                let mut frame = FrameBuilder::new(Opcode::Binary, bytes.len());
                frame.extend_from_slice(&bytes);
                Some(frame.finish())
            }
        }
    }

    /// With the refs of this client in place of the recorded ones.
    fn readdressed(&self, recorded: &Message) -> Message {
        let mut message = recorded.clone();
        let heard = self.lanes.get(&recorded.topic).map(|lane| lane.heard.as_slice());
        let heard = || heard.unwrap_or_default().iter().rev();
        let answered = || heard().find(|heard| heard.recorded == recorded.reference);
        // The ref of the join that goes by this name in the file; without one, a channel goes by the ref of its join message.
        let join_ref_of = |name: &Value| {
            let same = heard().find(|heard| heard.recorded_join_ref.as_ref() == Some(name));
            let joined = || heard().find(|heard| heard.recorded == *name);
            same.or_else(|| heard().next().filter(|latest| latest.recorded_join_ref.is_none()))
                .map(|heard| &heard.join_ref)
                .or_else(|| joined().map(|heard| &heard.reference))
                .cloned()
        };
        if let Some(name) = recorded.join_ref.as_ref().filter(|name| **name != Value::Null) {
            message.join_ref = join_ref_of(name).or(message.join_ref);
        }
        if recorded.reference == Value::Null {
            return message;
        }
        if [event::CLOSE, event::ERROR].contains(&recorded.event.as_str()) {
            // Clients know the end of a channel by the ref of its join.
            message.reference = join_ref_of(&recorded.reference).unwrap_or(message.reference);
        } else if let Some(answered) = answered() {
            message.reference = answered.reference.clone();
            if recorded.join_ref.is_none() {
                message.join_ref = Some(answered.join_ref.clone());
            }
        }
        message
    }
}

/// The next message of the client about a topic, from this part on.
fn next_heard<'a>(life: &'a Life, topic: &str, from: usize) -> Option<&'a Message> {
    life.parts.iter().skip(from).find_map(|part| match &part.deed {
        Deed::Hear(message) if message.topic == topic => Some(message),
        _ => None,
    })
}

fn act_of(end: &End) -> Act {
    match end {
        End::Close { code, reason } => Act::Close {
            code: *code,
            reason: reason.clone(),
        },
        End::Drop | End::ByClient => Act::Drop,
    }
}

/// The answer to a leave, and the end of the channel.
pub(crate) fn left(said: &Message, version: Version) -> [Act; 2] {
    let nothing = Value::Object(Vec::new());
    let reply = said.reply(encode::Status::Ok, nothing.clone());
    let close = Message {
        reference: said.join_ref.clone().unwrap_or(Value::Null),
        event: event::CLOSE.to_owned(),
        payload: nothing,
        ..said.clone()
    };
    [reply, close].map(|message| Act::Send(message.frame(version)))
}

/// The answer to a join that no file has.
pub(crate) fn refused(said: &Message, reason: &str) -> Message {
    let reason = Value::text(format!("roost serve --script: {reason}"));
    let response = Value::Object(vec![("reason".to_owned(), reason)]);
    said.reply(encode::Status::Error, response)
}

/// What a client says whenever it likes, whatever the file says.
const CHANGES_OF_MIND: [&str; 3] = [event::JOIN, event::LEAVE, event::ACCESS_TOKEN];
/// The close code of whoever says more than is kept.
const TOO_MUCH: u16 = 1008;
