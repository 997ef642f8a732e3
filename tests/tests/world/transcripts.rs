//! The recorded conversations, replayed without a server: sessions and hub on a virtual clock in place of sockets.
//!
//! It is the same replay as over sockets ([`transcript::Replay`]) with another driver. What a world does not have is left
//! out, and listed: a database and its policies, HTTP, handshakes that are refused, pings.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use auth::Secret;
use phoenix_wire::{MessageKind, Version};
use replayer::{KeyRing, load, profile_settings};
use serde_json::Value;
use session::TenantPolicy;
use tests::world::{BEGINNING, Client, SECRET, World};
use transcript::{
    Action, Arrived, Environment, Event, Frame, Moment, Outgoing, Replay, Settings, Task, Transcript, view,
};
use websocket::Opcode;

/// Conversations that are replayed at least; more of them is better.
const REPLAYED_MIN: usize = 67;

#[test]
fn conversations_that_need_no_database_go_as_they_went() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-spec/transcripts");
    let files = load::find(&[folder.display().to_string()]).expect("the recordings");
    let (mut replayed, mut failures) = (0, Vec::new());
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let transcript = load::read(&file).expect("a valid transcript");
        if let Some(reason) = lacking(&transcript) {
            *left_out.entry(reason).or_default() += 1;
            continue;
        }
        replayed += 1;
        if let Err(failure) = replay(&transcript) {
            failures.push(failure.to_string());
        }
    }
    println!("{replayed} replayed; left out: {left_out:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        replayed >= REPLAYED_MIN,
        "only {replayed}; left out: {left_out:?}"
    );
}

/// What the conversation needs that a world does not have.
fn lacking(transcript: &Transcript) -> Option<&'static str> {
    let header = &transcript.header;
    let whole: String = transcript.lines().map(|(_, line)| line).collect();
    let has = |wanted: fn(&Action) -> bool| transcript.steps.iter().any(|step| wanted(&step.action));
    let of_worker = ["connect-ok", "idle-timeout", "connect-api-key-header"];
    if !header.setup.is_empty() || has(|action| matches!(action, Action::Sql(_))) {
        Some("SQL")
    } else if whole.contains(r#""private":true"#) || whole.contains("postgres_changes\":[{") {
        Some("policies or changes")
    } else if has(|action| matches!(action, Action::Http(_))) {
        Some("HTTP")
    } else if has(|action| matches!(action, Action::Open(open) if open.refused.is_some())) {
        Some("refused handshakes")
    } else if has(|action| {
        matches!(
            action,
            Action::Send {
                message: Outgoing::Ping(_),
                ..
            }
        )
    }) || of_worker.contains(&header.name.as_str())
    {
        Some("what workers do")
    } else {
        None
    }
}

fn replay(transcript: &Transcript) -> Result<(), Box<transcript::Failure>> {
    let keys = KeyRing::parse(KEYS).expect("the keys of the fixtures");
    let secret = Secret::new(SECRET);
    let signed = |token| {
        keys.sign(token, &secret, None, BEGINNING)
            .expect("a key to sign with")
    };
    let tokens = transcript.header.jwt.iter();
    let environment = Environment {
        tenant: "main".to_owned(),
        host: "main.localhost".to_owned(),
        secret: SECRET.to_owned(),
        tokens: tokens
            .map(|(name, token)| (name.clone(), signed(token)))
            .collect(),
    };
    let settings = profile_settings()
        .remove(&transcript.header.tenant)
        .expect("a profile");
    let mut stage = Stage {
        world: World::new(|policy| apply(&settings, policy)),
        sockets: BTreeMap::new(),
    };
    let mut replay = Replay::new(transcript, environment, Settings::default());
    let mut event = Event::Done;
    loop {
        let elapsed = stage.world.elapsed();
        let since = i64::try_from(elapsed.as_millis()).expect("worlds do not last that long");
        let now = Moment {
            elapsed,
            unix_ms: BEGINNING * 1000 + since,
        };
        match replay.advance(now, event) {
            Task::Done => return replay.finish().map(|_| ()),
            task => event = stage.perform(task),
        }
    }
}

const KEYS: &str = include_str!("../../../protocol-spec/transcripts/fixtures/keys.json");

/// The settings of a profile, as the gateway reads them.
fn apply(settings: &serde_json::Map<String, Value>, policy: &mut TenantPolicy) {
    let number = |name: &str| settings.get(name).and_then(Value::as_u64);
    let size = |name: &str| number(name).map(|value| usize::try_from(value).expect("a small number"));
    let count = |name: &str| number(name).map(|value| u32::try_from(value).expect("a small number"));
    let flag = |name: &str| settings.get(name).and_then(Value::as_bool).unwrap_or_default();
    policy.concurrent_users_max = count("max_concurrent_users");
    policy.channels_per_client_max = size("max_channels_per_client");
    policy.joins_per_second_max = number("max_joins_per_second");
    policy.events_per_second_max = number("max_events_per_second");
    policy.presence_events_per_second_max = number("max_presence_events_per_second");
    policy.client_presence_calls_max = count("max_client_presence_events_per_window");
    if let Some(ms) = number("client_presence_window_ms") {
        policy.client_presence_window = Duration::from_millis(ms);
    }
    policy.payload_bytes_max = size("max_payload_size_in_kb").map(|kb| kb * 1000 + 500);
    policy.private_only = flag("private_only");
    policy.presence_enabled = flag("presence_enabled");
}

/// A world and its sockets by name.
struct Stage {
    world: World,
    sockets: BTreeMap<String, Socket>,
}

struct Socket {
    client: Client,
    arrived: VecDeque<Event>,
}

impl Stage {
    fn perform(&mut self, task: Task) -> Event {
        match task {
            Task::Open {
                connection, target, ..
            } => {
                let (version, token) = handshake(&target);
                let client = self.world.connect_with(version, &token);
                let arrived = VecDeque::new();
                self.sockets.insert(connection, Socket { client, arrived });
                Event::Done
            }
            Task::Send {
                connection,
                frame,
                bytes,
            } => {
                let kind = match frame {
                    Frame::Text => MessageKind::Text,
                    Frame::Binary => MessageKind::Binary,
                };
                let client = self.sockets[&connection].client;
                self.world.send_frame(client, kind, &bytes);
                Event::Done
            }
            // The answer to it is the worker's.
            Task::Close { connection, code } => {
                let socket = self.sockets.get_mut(&connection).expect("an open socket");
                self.world.disconnect(socket.client);
                let reason = String::new();
                socket.arrived.push_back(Event::Ended { code, reason });
                Event::Done
            }
            Task::Drop { connection } => {
                if let Some(socket) = self.sockets.remove(&connection) {
                    self.world.disconnect(socket.client);
                }
                Event::Done
            }
            Task::Receive { connection, until } => {
                let socket = self.sockets.get_mut(&connection).expect("an open socket");
                if socket.arrived.is_empty() {
                    let frames = self.world.listen(socket.client, until);
                    socket.arrived.extend(frames.iter().map(arrived));
                }
                socket.arrived.pop_front().unwrap_or(Event::Nothing)
            }
            Task::Sleep { until } => {
                let time = until.saturating_sub(self.world.elapsed());
                self.world.pass(time);
                Event::Done
            }
            Task::Ping { .. } | Task::Call { .. } | Task::Run { .. } | Task::Done => {
                panic!("left out above: {task:?}")
            }
        }
    }
}

/// What the query of a handshake says: the serializer and the token.
fn handshake(target: &str) -> (Version, String) {
    let (_, query) = target.split_once('?').expect("a query");
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let version = match value("vsn") {
        Some(vsn) if vsn.starts_with('2') => Version::V2,
        _ => Version::V1,
    };
    let token = value("apikey").unwrap_or_default();
    assert!(!token.contains('%'), "tokens need no escapes");
    (version, token.to_owned())
}

fn arrived(frame: &websocket::Frame) -> Event {
    let payload = frame.payload();
    match frame.opcode() {
        Opcode::Text => Event::Arrived(Arrived::text(payload)),
        Opcode::Binary => Event::Arrived(Arrived::Binary {
            view: view(payload),
            bytes: payload.to_vec(),
        }),
        Opcode::Close => Event::Ended {
            code: u16::from_be_bytes([payload[0], payload[1]]),
            reason: String::new(),
        },
        other => panic!("the server sent a {other:?} frame"),
    }
}
