//! One connection of a client, without its I/O.
//!
//! A client may join topics of several files on one connection; each file is then played by a [`Player`] of its own.
//! Heartbeats, leaves and tokens are dealt with whatever the files say, everything else goes to the player of its topic.

use std::time::Duration;

use phoenix_wire::{MessageKind, Version, encode, event};
use tracing::debug;
use transcript::Value;

use crate::act::{Act, Note};
use crate::message::Message;
use crate::player::{self, Player, Role};
use crate::script::Script;
use crate::stage::{Answer, Choice, Stage};

/// A connection that has been accepted.
#[derive(Debug)]
pub struct Socket {
    version: Version,
    choice: Choice,
    /// Indexes of the files that can be meant.
    eligible: Vec<usize>,
    players: Vec<Player>,
    is_strict: bool,
    is_over: bool,
}

impl Socket {
    /// Accepts a client, unless the file refuses it or the client asks for a file that is not there.
    ///
    /// # Errors
    ///
    /// What the handshake is answered with instead.
    pub fn open(stage: &mut Stage, version: Version, choice: Choice) -> Result<(Self, Vec<Act>), Answer> {
        let eligible = stage.eligible(&choice)?;
        let mut socket = Self {
            version,
            choice,
            eligible,
            players: Vec::new(),
            is_strict: stage.rules().is_strict,
            is_over: false,
        };
        let mut acts = Vec::new();
        // If it can only be one, there is no need to wait for a join to know what is played.
        if let [script] = *socket.eligible
            && let Some(actor) = stage.actor(script, &socket.choice)?
        {
            if let Some(answer) = stage.refusal(script, actor) {
                return Err(answer);
            }
            socket.players.extend(stage.player(script, actor));
            acts = socket.run(Duration::ZERO, acts);
        }
        Ok((socket, acts))
    }

    /// Takes a message of the client. `now` is the time since the connection was opened.
    pub fn hear(&mut self, stage: &mut Stage, kind: MessageKind, bytes: &[u8], now: Duration) -> Vec<Act> {
        if self.is_over {
            return Vec::new();
        }
        let message = match Message::of_client(self.version, kind, bytes) {
            Ok(message) => message,
            Err(reason) => {
                debug!(reason, "a frame that is no message");
                return Vec::new();
            }
        };
        let mut acts = Vec::new();
        if message.topic == event::PHOENIX_TOPIC && message.event == event::HEARTBEAT {
            let is_muted = self.players.iter_mut().any(Player::mutes_heartbeat);
            if !is_muted {
                let reply = Message {
                    join_ref: None,
                    ..message.reply(encode::Status::Ok, Value::Object(Vec::new()))
                };
                acts.push(Act::Send(reply.frame(self.version)));
            }
            return acts;
        }
        if !self.players.iter().any(|player| player.has(&message.topic)) && message.event == event::JOIN {
            let taken: Vec<Role> = self.players.iter().map(Player::role).collect();
            let found = stage.joining(&message, &self.eligible, &self.choice, &taken);
            if let Some((script, actor)) = found {
                self.players.extend(stage.player(script, actor));
            }
        }
        match self.players.iter_mut().find(|player| player.has(&message.topic)) {
            Some(player) => player.hear(message, &mut acts),
            None => self.stray(stage, &message, &mut acts),
        }
        self.run(now, acts)
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Duration) -> Vec<Act> {
        self.run(now, Vec::new())
    }

    /// When [`wake`](Self::wake) has something to do; nothing if only the client can bring about more.
    pub fn due(&self) -> Option<Duration> {
        if self.is_over {
            return None;
        }
        self.players.iter().filter_map(Player::due).min()
    }

    /// The connection is over, whoever ended it. Where a file goes on is kept for the client that comes back.
    pub fn end(self, stage: &mut Stage) {
        for rest in self.players.into_iter().filter_map(Player::rest) {
            stage.await_again(rest);
        }
    }

    fn run(&mut self, now: Duration, mut acts: Vec<Act>) -> Vec<Act> {
        if self.is_over {
            return Vec::new();
        }
        for player in &mut self.players {
            player.run(self.version, now, &mut acts);
        }
        if let Some(note) = acts.iter().position(|act| matches!(act, Act::Note(_)))
            && self.is_strict
        {
            acts.truncate(note + 1);
            acts.push(Act::Close {
                code: POLICY_VIOLATION,
                reason: "roost serve --script-strict: the file does not have this; see the log".to_owned(),
            });
        }
        let end = acts
            .iter()
            .position(|act| matches!(act, Act::Close { .. } | Act::Drop));
        if let Some(end) = end {
            acts.truncate(end + 1);
            self.is_over = true;
        }
        acts
    }

    /// A message about a topic that is not played.
    fn stray(&self, stage: &Stage, message: &Message, acts: &mut Vec<Act>) {
        match message.event.as_str() {
            event::ACCESS_TOKEN => return,
            event::LEAVE => return acts.extend(player::left(message, self.version)),
            _ => {}
        }
        let scripts: Vec<&Script> = stage
            .scripts()
            .enumerate()
            .filter(|(at, _)| self.eligible.contains(at))
            .map(|(_, script)| script)
            .collect();
        let there: Vec<String> = scripts
            .iter()
            .map(|script| format!("{} joins {}", script.file(), script.topics().join(", ")))
            .collect();
        let there = there.join("; ");
        if message.event == event::JOIN {
            let reason = format!("no file joins {}: {there}", message.topic);
            acts.push(Act::Send(player::refused(message, &reason).frame(self.version)));
        }
        let file = match scripts.as_slice() {
            [script] => script.file().to_owned(),
            _ => String::new(),
        };
        acts.push(Act::Note(Note {
            file,
            line: 1,
            expected: format!("one of its topics: {there}"),
            got: message.to_string(),
            differs: None,
        }));
    }
}

/// The close code of `--script-strict`. Source: RFC 6455, section 7.4.1.
const POLICY_VIOLATION: u16 = 1008;
