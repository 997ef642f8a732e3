//! A client in memory.

use std::time::Duration;

use phoenix_wire::{MessageKind, Version};
use scripted::{Act, Answer, Choice, Rules, Script, Socket, Stage};
use websocket::Opcode;

/// A connected client.
pub(crate) struct Client<'s> {
    stage: &'s mut Stage,
    socket: Option<Socket>,
    acts: Vec<Act>,
    now: Duration,
}

const HEADER: &str = concat!(
    r#"{"transcript":2,"name":"n","area":"a","title":"t","shows":"s","#,
    r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":["2.0.0"],"tenant":"main","takes_ms":5}"#
);

/// A file of that name with these steps from line 2 on.
pub(crate) fn script(name: &str, steps: &str) -> Script {
    Script::parse(&format!("{name}.jsonl"), &format!("{HEADER}\n{steps}"))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Files that are played with their pauses.
pub(crate) fn stage(files: &[(&str, &str)]) -> Stage {
    let scripts = files.iter().map(|(name, steps)| script(name, steps)).collect();
    let rules = Rules {
        has_pauses: true,
        is_strict: false,
    };
    Stage::new(scripts, rules).expect("names differ")
}

impl<'s> Client<'s> {
    /// One of 2.0.0 that asks for nothing.
    pub(crate) fn open(stage: &'s mut Stage) -> Self {
        Self::open_with(stage, Version::V2, None, None).expect("it is accepted")
    }

    /// One of 1.0.0.
    pub(crate) fn open_v1(stage: &'s mut Stage) -> Self {
        Self::open_with(stage, Version::V1, None, None).expect("it is accepted")
    }

    /// One that asks for a file or for a connection of it.
    pub(crate) fn open_with(
        stage: &'s mut Stage,
        version: Version,
        script: Option<&str>,
        connection: Option<&str>,
    ) -> Result<Self, Answer> {
        let choice = Choice {
            script: script.map(str::to_owned),
            connection: connection.map(str::to_owned),
        };
        let (socket, acts) = Socket::open(stage, version, choice)?;
        Ok(Self {
            stage,
            socket: Some(socket),
            acts,
            now: Duration::ZERO,
        })
    }

    pub(crate) fn say(&mut self, text: &str) {
        let socket = self.socket.as_mut().expect("it is open");
        let acts = socket.hear(self.stage, MessageKind::Text, text.as_bytes(), self.now);
        self.acts.extend(acts);
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        let socket = self.socket.as_mut().expect("it is open");
        self.acts.extend(socket.wake(self.now));
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        self.socket.as_ref().expect("it is open").due()
    }

    /// What the server has done since the last look.
    pub(crate) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// The same, of which nothing but frames is expected.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        let shown = |act| match act {
            Act::Send(frame) if frame.opcode() == Opcode::Text => {
                String::from_utf8(frame.payload().to_vec()).expect("text is UTF-8")
            }
            Act::Send(frame) => format!("{:?}", frame.payload()),
            other => panic!("no frame: {other:?}"),
        };
        self.acts().into_iter().map(shown).collect()
    }
}

/// The end of the connection, whoever ends it.
impl Drop for Client<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.end(self.stage);
        }
    }
}
