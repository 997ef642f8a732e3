//! Every recorded conversation, played to the client it was recorded with: each of its connections hears what it heard then.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::time::Duration;

use phoenix_wire::{MessageKind, Version};
use scripted::{Act, Choice, Rules, Script, Socket, Stage};
use transcript::{
    Action, Bindings, Environment, Expansion, Expectation, Expected, Frame, Matcher, Numbers, Open, Outgoing,
    Query, Transcript, Value, bytes_of_view, view,
};
use websocket::Opcode;

#[test]
fn the_clients_of_the_recordings_hear_what_they_heard() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol-spec/transcripts");
    let (mut heard, mut problems) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|ending| ending != "jsonl") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let transcript = Transcript::parse(&format!("{name}.jsonl"), &text).unwrap();
        let mut names = Vec::new();
        for step in &transcript.steps {
            if let Action::Open(open) = &step.action
                && !names.contains(&open.connection)
            {
                names.push(open.connection.clone());
            }
        }
        for connection in names {
            let script = Script::parse(&format!("{name}.jsonl"), &text).unwrap();
            let mut client = Recorded::new(&transcript, script, connection.clone());
            match client.walk() {
                Ok(()) => heard += client.heard,
                Err(problem) => problems.push(format!("{name}.jsonl, {connection}: {problem}")),
            }
        }
    }
    assert!(problems.is_empty(), "{}\n{}", problems.len(), problems.join("\n"));
    assert!(heard > 700, "{heard}");
}

/// One connection of the recorded client.
struct Recorded<'t> {
    transcript: &'t Transcript,
    connection: String,
    stage: Stage,
    socket: Option<Socket>,
    /// What came, by topic.
    arrived: BTreeMap<String, VecDeque<Arrival>>,
    ended: Option<u16>,
    bindings: Bindings,
    environment: Environment,
    heard: usize,
}

enum Arrival {
    Json(Value),
    Binary(Vec<u8>),
}

impl<'t> Recorded<'t> {
    fn new(transcript: &'t Transcript, script: Script, connection: String) -> Self {
        let tokens = transcript.header.jwt.keys();
        Self {
            transcript,
            connection,
            stage: Stage::new(vec![script], Rules::default()).expect("one file"),
            socket: None,
            arrived: BTreeMap::new(),
            ended: None,
            bindings: Bindings::default(),
            environment: Environment {
                tenant: "roost".into(),
                host: "localhost".into(),
                secret: String::new(),
                tokens: tokens
                    .map(|name| (name.clone(), format!("token of {name}")))
                    .collect(),
            },
            heard: 0,
        }
    }

    fn walk(&mut self) -> Result<(), String> {
        for step in &self.transcript.steps {
            let at = |problem: String| format!("line {}: {problem}", step.line);
            match &step.action {
                Action::Open(open) if open.connection == self.connection => self.open(open).map_err(at)?,
                Action::Send { connection, message } if *connection == self.connection => {
                    self.send(message).map_err(at)?;
                }
                Action::Receive {
                    connection, expected, ..
                } if *connection == self.connection => self.receive(expected).map_err(at)?,
                Action::Close { connection, .. } if *connection == self.connection => {
                    if let Some(socket) = self.socket.take() {
                        socket.end(&mut self.stage);
                    }
                }
                Action::Closed { connection, codes } if *connection == self.connection => {
                    if !self.ended.is_some_and(|code| codes.contains(&code)) {
                        return Err(at(format!("ended with {:?}", self.ended)));
                    }
                    if let Some(socket) = self.socket.take() {
                        socket.end(&mut self.stage);
                    }
                }
                _ => {}
            }
        }
        let left: Vec<_> = self
            .arrived
            .iter()
            .filter(|(_, queue)| !queue.is_empty())
            .map(|(topic, _)| topic)
            .collect();
        match left.as_slice() {
            [] => Ok(()),
            topics => Err(format!("more came on {topics:?}")),
        }
    }

    fn open(&mut self, open: &Open) -> Result<(), String> {
        let choice = Choice {
            script: None,
            connection: Some(self.connection.clone()),
        };
        let Query::Parameters(parameters) = &open.query else {
            return self.open_as(Version::V2, choice, open);
        };
        let vsn = parameters.iter().find(|(name, _)| name == "vsn");
        let version = Version::negotiate(vsn.map(|(_, value)| value.as_str()));
        self.open_as(version.unwrap_or(Version::V2), choice, open)
    }

    fn open_as(&mut self, version: Version, choice: Choice, open: &Open) -> Result<(), String> {
        self.ended = None;
        match (Socket::open(&mut self.stage, version, choice), &open.refused) {
            (Ok((socket, acts)), None) => {
                self.socket = Some(socket);
                self.take(acts)
            }
            (Err(answer), Some(refused)) if answer.status == refused.status => Ok(()),
            (Err(answer), _) => Err(format!("refused with {}", answer.status)),
            (Ok(_), Some(_)) => Err("accepted".into()),
        }
    }

    fn send(&mut self, message: &Outgoing) -> Result<(), String> {
        let expansion = Expansion {
            environment: &self.environment,
            bindings: &self.bindings,
            unix_ms: 1_700_000_000_000,
        };
        let (kind, bytes) = match message {
            Outgoing::Json(json) => {
                let json = expansion.value(json).map_err(|error| error.to_string())?;
                (MessageKind::Text, json.to_string().into_bytes())
            }
            Outgoing::Exact(Frame::Text, bytes) => (MessageKind::Text, bytes.clone()),
            Outgoing::Exact(Frame::Binary, bytes) => (MessageKind::Binary, bytes.clone()),
            Outgoing::Push(push) => {
                let payload = expansion
                    .value(&push.payload)
                    .map_err(|error| error.to_string())?;
                let members = [
                    ("kind", "user_broadcast_push".into()),
                    ("join_ref", Value::text(&push.join_ref)),
                    ("ref", Value::text(&push.reference)),
                    ("topic", Value::text(&push.topic)),
                    ("event", Value::text(&push.event)),
                    ("encoding", "json".into()),
                    ("payload", payload),
                ];
                let view = Value::Object(members.map(|(name, value)| (name.to_owned(), value)).into());
                (MessageKind::Binary, bytes_of_view(&view).ok_or("no frame")?)
            }
            Outgoing::Ping(_) => return Ok(()),
        };
        let Some(socket) = &mut self.socket else {
            return Err("there is no socket".into());
        };
        let acts = socket.hear(&mut self.stage, kind, &bytes, Duration::ZERO);
        self.take(acts)
    }

    fn take(&mut self, acts: Vec<Act>) -> Result<(), String> {
        for act in acts {
            match act {
                Act::Send(frame) => {
                    let bytes = frame.payload().to_vec();
                    let (topic, arrival) = match frame.opcode() {
                        Opcode::Text => {
                            let json = Value::parse_bytes(&bytes).map_err(|error| error.to_string())?;
                            (topic_of(&json), Arrival::Json(json))
                        }
                        _ => (view(&bytes).as_ref().and_then(topic_of), Arrival::Binary(bytes)),
                    };
                    let topic = topic.ok_or("a frame without a topic")?;
                    self.arrived.entry(topic).or_default().push_back(arrival);
                }
                Act::Close { code, .. } => self.ended = Some(code),
                Act::Drop => self.ended = Some(1006),
                Act::Note(note) => return Err(format!("{note:?}")),
            }
        }
        Ok(())
    }

    /// Frames of one topic come in their order; in which order topics come is not looked at.
    fn receive(&mut self, expected: &[Expectation]) -> Result<(), String> {
        for expectation in expected {
            let (pattern, topic) = match &expectation.frame {
                Expected::Text(json) => (json.clone(), topic_of(json)),
                Expected::View(view) => (view.clone(), topic_of(view)),
                Expected::Bytes(bytes) => {
                    let view = view(bytes).ok_or("no view")?;
                    let topic = topic_of(&view);
                    (view, topic)
                }
                Expected::Pong(_) => continue,
            };
            // Topics that are no strings are none of a client library.
            let Some(topic) = topic else { continue };
            let expansion = Expansion {
                environment: &self.environment,
                bindings: &self.bindings,
                unix_ms: 0,
            };
            let topic = expansion.text(&topic).map_err(|error| error.to_string())?;
            let queue = self.arrived.entry(topic.clone()).or_default();
            let Some(arrival) = queue.pop_front() else {
                if expectation.optional {
                    continue;
                }
                return Err(format!("nothing came on {topic}"));
            };
            let actual = match &arrival {
                Arrival::Json(json) => json.clone(),
                Arrival::Binary(bytes) => view(bytes).ok_or("no view")?,
            };
            let matcher = Matcher {
                environment: &self.environment,
                numbers: Numbers::Decimal,
            };
            matcher
                .value(&pattern, &actual, &mut self.bindings)
                .map_err(|mismatch| mismatch.to_string())?;
            self.heard += 1;
        }
        Ok(())
    }
}

fn topic_of(message: &Value) -> Option<String> {
    let topic = match message.as_array() {
        Some(elements) => elements.get(2),
        None => message.get("topic"),
    };
    topic.and_then(Value::as_str).map(str::to_owned)
}
