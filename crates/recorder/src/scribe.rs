//! What happened, as steps of a transcript.

use std::collections::HashMap;

use transcript::binary::{BinaryMessage, Encoding};
use transcript::{Value, bytes_of_view, view};

use crate::cause::{Belonging, Causes, Change, change_of};
use crate::disguise::{Disguise, Origin};
use crate::redaction::Redaction;
use crate::secrets::blot;
use crate::window::{Heard, Members, Stream, Window};

/// Something that happened between a client and the server.
#[derive(Debug)]
pub(crate) enum Event {
    /// A handshake was answered.
    Opened {
        connection: u64,
        /// What follows the question mark.
        query: String,
        headers: Vec<(String, String)>,
        /// The answer, unless it was 101.
        refused: Option<Answer>,
    },
    /// One side said something.
    Said {
        connection: u64,
        origin: Origin,
        message: Message,
    },
    /// One side is gone.
    Ended { connection: u64, origin: Origin },
    /// A request was made.
    Called { call: u64, request: Box<Request> },
    /// It was answered; `None` if its answer cannot be recorded.
    Answered { call: u64, answer: Option<Answer> },
}

/// A message of a WebSocket.
#[derive(Debug)]
pub(crate) enum Message {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// A broadcast over HTTP.
#[derive(Debug)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer of HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Event {
    /// Bytes it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        let held = match self {
            Self::Opened { query, refused, .. } => {
                query.len() + refused.as_ref().map_or(0, |answer| answer.body.len())
            }
            Self::Said { message, .. } => message.bytes(),
            Self::Called { request, .. } => request.target.len() + request.body.len(),
            Self::Answered { answer, .. } => answer.as_ref().map_or(0, |answer| answer.body.len()),
            Self::Ended { .. } => 0,
        };
        held + std::mem::size_of::<Self>()
    }
}

impl Message {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes.len(),
            Self::Close(_) => 2,
        }
    }
}

/// What a replay needs beside the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Handshakes of clients, also those that were refused.
    pub sockets: u64,
    /// Names of the keys that it has to be given.
    pub keys: Vec<String>,
    /// Changes of tables: what changed them is not in the file.
    pub changes: usize,
}

/// Turns what happens into lines.
#[derive(Debug)]
pub(crate) struct Scribe {
    /// The name of the file, and of the server.
    name: String,
    server: String,
    /// When time began. Milliseconds since the epoch.
    start_unix_ms: i64,
    disguise: Disguise,
    connections: HashMap<u64, Link>,
    opened: u64,
    /// Serializer versions that were asked for.
    versions: Vec<String>,
    causes: Causes,
    window: Window,
    /// Changes of tables, each once however many heard of it.
    changes: usize,
}

#[derive(Debug)]
struct Link {
    name: String,
    /// The step that opened it: nothing it hears stands before.
    opened: u64,
    is_closing: bool,
}

impl Scribe {
    /// Nothing has happened yet.
    pub(crate) fn new(name: &str, server: &str, redactions: Vec<Redaction>, start_unix_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            server: server.to_owned(),
            start_unix_ms,
            disguise: Disguise::new(redactions),
            connections: HashMap::new(),
            opened: 0,
            versions: Vec::new(),
            causes: Causes::default(),
            window: Window::default(),
            changes: 0,
        }
    }

    /// The header as it is by now.
    pub(crate) fn header(&self, takes_ms: u64) -> String {
        let members = [
            ("transcript", Value::from(2)),
            ("name", self.name.as_str().into()),
            ("area", "recorded".into()),
            ("title", "A recorded session".into()),
            ("shows", "what clients and the server said to each other".into()),
            (
                "reference",
                object([
                    ("server", self.server.as_str().into()),
                    ("version", "unknown".into()),
                    ("commit", "unknown".into()),
                ]),
            ),
            (
                "vsn",
                Value::Array(
                    self.versions
                        .iter()
                        .map(|version| version.as_str().into())
                        .collect(),
                ),
            ),
            ("tenant", "main".into()),
            ("jwt", self.disguise.secrets().header()),
            ("takes_ms", takes_ms.into()),
        ];
        object(members).to_string()
    }

    /// What a replay needs beside the file.
    pub(crate) fn recorded(&self) -> Recorded {
        Recorded {
            sockets: self.opened,
            keys: self.disguise.secrets().keys().map(str::to_owned).collect(),
            changes: self.changes,
        }
    }

    /// Whether everything that was heard is written.
    pub(crate) fn is_idle(&self) -> bool {
        self.window.is_empty()
    }

    /// Lines that are complete.
    pub(crate) fn take(&mut self, now_ms: u64) -> String {
        self.window.take(now_ms)
    }

    /// All lines there are.
    pub(crate) fn finish(&mut self) -> String {
        self.window.finish()
    }

    /// Takes in what happened, in milliseconds since the beginning.
    pub(crate) fn hear(&mut self, at_ms: u64, event: Event) {
        let bytes = event.bytes();
        match event {
            Event::Opened {
                connection,
                query,
                headers,
                refused,
            } => self.opened(at_ms, connection, &query, &headers, refused),
            Event::Said {
                connection,
                origin: Origin::Client,
                message,
            } => self.sent(at_ms, connection, message, bytes),
            Event::Said {
                connection,
                origin: Origin::Server,
                message,
            } => self.received(at_ms, connection, &message, bytes),
            Event::Ended { connection, origin } => self.ended(at_ms, connection, origin),
            Event::Called { call, request } => {
                let step = self.request(at_ms, *request);
                self.window.call(at_ms, call, bytes, step);
            }
            Event::Answered {
                call,
                answer: Some(answer),
            } => {
                let expect = ("expect".to_owned(), self.answer(at_ms, answer));
                self.window.answered(at_ms, call, bytes, expect);
            }
            Event::Answered { call, answer: None } => self.window.unanswered(call),
        }
    }

    fn opened(
        &mut self,
        at_ms: u64,
        connection: u64,
        query: &str,
        headers: &[(String, String)],
        refused: Option<Answer>,
    ) {
        let name = letters(self.opened);
        self.opened += 1;
        let mut step = vec![member("open", name.as_str())];
        let mut parameters = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = self.disguise.parameter(&key, &value, self.unix_ms(at_ms));
            if key == "vsn" {
                if !self.versions.contains(&value) && self.versions.len() < VERSIONS_MAX {
                    self.versions.push(value.clone());
                }
                step.push(("vsn".to_owned(), Value::String(value)));
            } else {
                parameters.push((key.into_owned(), Value::String(value)));
            }
        }
        if !parameters.is_empty() {
            step.push(("params".to_owned(), Value::Object(parameters)));
        }
        step.extend(self.headers(at_ms, headers));
        let client = name.clone();
        match refused {
            Some(answer) => step.push(("refused".to_owned(), self.answer(at_ms, answer))),
            None => {
                let link = Link {
                    name,
                    opened: self.window.next(),
                    is_closing: false,
                };
                self.connections.insert(connection, link);
            }
        }
        self.window.step(at_ms, Some(&client), 0, step);
    }

    fn sent(&mut self, at_ms: u64, connection: u64, message: Message, bytes: usize) {
        let Some(link) = self.connections.get_mut(&connection) else {
            return;
        };
        let name = link.name.clone();
        let send = member("send", name.as_str());
        let step = match message {
            Message::Close(code) => {
                if !std::mem::replace(&mut link.is_closing, true) {
                    self.causes.ended(self.window.next(), connection);
                    let mut step = vec![member("close", name.as_str())];
                    step.extend(
                        code.filter(|code| *code != 1000)
                            .map(|code| member("code", u64::from(code))),
                    );
                    self.window.close(at_ms, &name, step);
                }
                return;
            }
            Message::Ping(payload) => match String::from_utf8(payload) {
                Ok(text) => {
                    self.causes.pinged(self.window.next(), connection, &text);
                    vec![send, member("ping", text.as_str())]
                }
                Err(_) => {
                    tracing::warn!(
                        connection = name,
                        "a ping that is no text is left out of the recording"
                    );
                    return;
                }
            },
            // Answers to the server's pings; a replay answers on its own.
            Message::Pong(_) => return,
            Message::Text(text) => self.sent_text(at_ms, connection, send, &text),
            Message::Binary(message) => self.sent_binary(at_ms, connection, send, &message),
        };
        self.window.step(at_ms, Some(&name), bytes, step);
    }

    fn sent_text(&mut self, at_ms: u64, connection: u64, send: (String, Value), text: &[u8]) -> Members {
        if let Ok(message) = Value::parse_bytes(text) {
            self.causes.sent(self.window.next(), connection, &message);
            let message = self
                .disguise
                .message(Origin::Client, &message, self.unix_ms(at_ms));
            return vec![send, ("text".to_owned(), message)];
        }
        match String::from_utf8(blot(text)) {
            Ok(text) => vec![send, member("raw", text.as_str())],
            Err(_) => vec![
                send,
                member("bytes", hex(&blot(text)).as_str()),
                member("opcode", "text"),
            ],
        }
    }

    fn sent_binary(&mut self, at_ms: u64, connection: u64, send: (String, Value), bytes: &[u8]) -> Members {
        // JSON in a binary frame, which serializer 1.0.0 takes for text.
        if bytes.first().is_some_and(|byte| matches!(byte, b'{' | b'['))
            && let Ok(text) = String::from_utf8(blot(bytes))
        {
            return vec![send, member("raw", text.as_str()), member("opcode", "binary")];
        }
        let mut step = vec![send];
        if let Some(BinaryMessage::UserBroadcastPush {
            join_ref,
            reference,
            broadcast,
        }) = BinaryMessage::decode(bytes)
        {
            let as_sent = view(bytes).unwrap_or(Value::Null);
            self.causes.sent(self.window.next(), connection, &as_sent);
            let shown = self
                .disguise
                .message(Origin::Client, &as_sent, self.unix_ms(at_ms));
            let payload = Value::parse_bytes(broadcast.payload).ok();
            let is_plain = broadcast.encoding == Encoding::Json
                && broadcast.meta.is_empty()
                && !join_ref.contains("${")
                && !reference.contains("${");
            if let (true, Some(payload), Some(said)) = (is_plain, &payload, shown.get("payload")) {
                // The bytes are those of the JSON without white space, or else they are not the client's any more.
                let is_as_sent = payload.to_string().as_bytes() == broadcast.payload;
                if is_as_sent || said != payload {
                    let text = |name| shown.get(name).cloned().unwrap_or(Value::text(""));
                    let push = object([
                        ("join_ref", join_ref.into()),
                        ("ref", reference.into()),
                        ("topic", text("topic")),
                        ("event", text("event")),
                        ("payload", said.clone()),
                    ]);
                    step.push(("push".to_owned(), push));
                    return step;
                }
            }
            let kept = if shown == as_sent {
                bytes.to_vec()
            } else {
                bytes_of_view(&shown).unwrap_or_else(|| blot(bytes))
            };
            step.push(member("bytes", hex(&kept).as_str()));
            step.push(("view".to_owned(), shown));
            return step;
        }
        step.push(member("bytes", hex(&blot(bytes)).as_str()));
        step
    }

    fn received(&mut self, at_ms: u64, connection: u64, message: &Message, bytes: usize) {
        let Some(link) = self.connections.get(&connection) else {
            return;
        };
        let (name, opened, is_closing) = (link.name.clone(), link.opened, link.is_closing);
        let unix_ms = self.unix_ms(at_ms);
        let (stream, cause, frame) = match message {
            Message::Text(text) => {
                let Ok(message) = Value::parse_bytes(text) else {
                    tracing::warn!(
                        connection = name,
                        "the server sent text that is no JSON, which a transcript cannot expect: it is left out"
                    );
                    return;
                };
                let said = self.disguise.message(Origin::Server, &message, unix_ms);
                let cause = match change_of(&message) {
                    Some(change) => Some(self.changed(at_ms, connection, &change)),
                    None => self.causes.of(connection, &message),
                };
                (stream_of(&message), cause, ("text".to_owned(), said))
            }
            Message::Binary(bytes) => match view(bytes) {
                Some(shown) => {
                    let said = self.disguise.message(Origin::Server, &shown, unix_ms);
                    let cause = self.causes.of(connection, &shown);
                    (stream_of(&shown), cause, ("view".to_owned(), said))
                }
                None => {
                    let bytes = member("bytes", hex(&blot(bytes)).as_str());
                    (Stream::Channel(String::new()), None, bytes)
                }
            },
            Message::Pong(payload) => match std::str::from_utf8(payload) {
                Ok(text) => {
                    let cause = self.causes.of_pong(connection, text);
                    (Stream::Pong, cause, member("pong", text))
                }
                Err(_) => return,
            },
            Message::Ping(_) => return,
            Message::Close(code) => {
                self.closed(at_ms, connection, code.unwrap_or(NO_CODE));
                return;
            }
        };
        let cause = cause.filter(|cause| cause.step >= opened || cause.joined.is_some());
        let heard = Heard {
            at_ms,
            connection: name,
            stream,
            bytes,
            frame: vec![frame],
            cause,
        };
        if is_closing {
            self.window.received_late(heard);
        } else {
            self.window.received(heard);
        }
    }

    /// Something changed a table. Whoever is the first to hear of it tells that it happened, and where in the file a
    /// statement may have to stand.
    fn changed(&mut self, at_ms: u64, connection: u64, change: &Change<'_>) -> Belonging {
        self.causes.of_change(connection, change).unwrap_or_else(|| {
            self.changes += 1;
            let step = self.window.mark(at_ms);
            self.causes.changed(step, connection, change);
            Belonging {
                step,
                ..Belonging::default()
            }
        })
    }

    fn ended(&mut self, at_ms: u64, connection: u64, origin: Origin) {
        match origin {
            Origin::Server => self.closed(at_ms, connection, ABNORMAL),
            Origin::Client => {
                if let Some(link) = self.connections.remove(&connection) {
                    if link.is_closing {
                        self.window.closed(&link.name);
                    } else {
                        self.causes.ended(self.window.next(), connection);
                        let step = vec![member("close", link.name.as_str()), member("abrupt", true)];
                        self.window.step(at_ms, Some(&link.name), 0, step);
                    }
                }
            }
        }
    }

    /// The server's end of a connection.
    fn closed(&mut self, at_ms: u64, connection: u64, code: u16) {
        if let Some(link) = self.connections.remove(&connection) {
            if link.is_closing {
                self.window.closed(&link.name);
            } else {
                let step = vec![
                    member("closed", link.name.as_str()),
                    member("code", u64::from(code)),
                ];
                self.window.step(at_ms, Some(&link.name), 0, step);
            }
        }
    }

    fn request(&mut self, at_ms: u64, request: Request) -> Members {
        let (path, query) = request
            .target
            .split_once('?')
            .map_or((request.target.as_str(), None), |(path, query)| {
                (path, Some(query))
            });
        let is_batch = path == BATCH;
        let mut target = path.replace("${", "$%7B");
        if let Some(query) = query {
            let pairs = form_urlencoded::parse(query.as_bytes()).map(|(key, value)| {
                let said = self.disguise.parameter(&key, &value, self.unix_ms(at_ms));
                let encode =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let value = if said == value { encode(&value) } else { said };
                format!("{}={value}", encode(&key))
            });
            target = format!("{target}?{}", pairs.collect::<Vec<_>>().join("&"));
        }
        let mut step = vec![member("http", format!("POST {target}").as_str())];
        let content_type = request.headers.iter().find(|(name, _)| name == CONTENT_TYPE);
        let is_json = content_type.is_none_or(|(_, value)| value.starts_with(JSON));
        let parsed = Value::parse_bytes(&request.body).ok();
        let unix_ms = self.unix_ms(at_ms);
        let (body, keeps_type) = match parsed {
            Some(body) if is_json => {
                self.broadcast(path, &body);
                let body = self.disguise.body(Origin::Client, &body, is_batch, unix_ms);
                (("body".to_owned(), body), false)
            }
            _ => {
                self.broadcast(path, &Value::text(hex(&request.body)));
                let body = blot(&request.body);
                let body = String::from_utf8(body)
                    .map(|text| member("raw", text.as_str()))
                    .unwrap_or_else(|error| member("hex", hex(error.as_bytes()).as_str()));
                (body, true)
            }
        };
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .filter(|(name, _)| keeps_type || name != CONTENT_TYPE)
            .cloned()
            .collect();
        step.extend(self.headers(at_ms, &headers));
        step.push(body);
        step
    }

    fn headers(&mut self, at_ms: u64, headers: &[(String, String)]) -> Option<(String, Value)> {
        let unix_ms = self.unix_ms(at_ms);
        let said: Members = headers
            .iter()
            .map(|(name, value)| {
                let value = self.disguise.parameter(name, value, unix_ms);
                (name.clone(), Value::String(value))
            })
            .collect();
        (!said.is_empty()).then(|| ("headers".to_owned(), Value::Object(said)))
    }

    fn answer(&mut self, at_ms: u64, answer: Answer) -> Value {
        let body = Value::parse_bytes(&answer.body)
            .unwrap_or_else(|_| Value::text(String::from_utf8_lossy(&answer.body)));
        let mut members = vec![member("status", u64::from(answer.status))];
        members.extend(answer.content_type.map(|text| member("type", text.as_str())));
        members.push((
            "body".to_owned(),
            self.disguise.answer(&body, self.unix_ms(at_ms)),
        ));
        Value::Object(members)
    }

    /// What a body broadcasts.
    fn broadcast(&mut self, path: &str, body: &Value) {
        let step = self.window.next();
        if path == BATCH {
            let messages = body.get("messages").and_then(Value::as_array).unwrap_or_default();
            for message in messages {
                let text = |name| message.get(name).and_then(Value::as_str);
                if let (Some(topic), Some(event), Some(payload)) =
                    (text("topic"), text("event"), message.get("payload"))
                {
                    self.causes.called(step, topic, event, payload);
                }
            }
            return;
        }
        let single = path.strip_prefix(BATCH).and_then(|rest| rest.strip_prefix('/'));
        if let Some((topic, event)) = single.and_then(|rest| rest.split_once("/events/")) {
            self.causes.called(step, &decoded(topic), &decoded(event), body);
        }
    }

    fn unix_ms(&self, at_ms: u64) -> i64 {
        self.start_unix_ms
            .saturating_add(i64::try_from(at_ms).unwrap_or(i64::MAX))
    }
}

fn stream_of(message: &Value) -> Stream {
    let (topic, event) = match message {
        Value::Array(elements) => (elements.get(2), elements.get(3)),
        other => (other.get("topic"), other.get("event")),
    };
    // The decoded form of a binary message has the user's event.
    let is_view = message.get("encoding").is_some() && message.get("kind").is_some();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let topic = text(topic);
    match text(event).as_str() {
        _ if is_view => Stream::Broadcast(topic),
        "broadcast" => Stream::Broadcast(topic),
        "presence_diff" => Stream::Presence(topic),
        "postgres_changes" | "INSERT" | "UPDATE" | "DELETE" => Stream::Changes(topic),
        _ => Stream::Channel(topic),
    }
}

/// A segment of a path without its escapes.
fn decoded(segment: &str) -> String {
    // In a path, a plus stands for itself.
    let query = segment
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    form_urlencoded::parse(query.as_bytes())
        .map(|(text, _)| text.into_owned())
        .collect()
}

/// `a`, `b`, …, `z`, `aa`, …
fn letters(mut number: u64) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + (number % 26) as u8));
        match (number / 26).checked_sub(1) {
            Some(rest) => number = rest,
            None => return letters.iter().rev().collect(),
        }
    }
}

fn member(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Serializer versions the header lists.
const VERSIONS_MAX: usize = 16;
/// The path of a body with several messages.
const BATCH: &str = "/api/broadcast";
const CONTENT_TYPE: &str = "content-type";
const JSON: &str = "application/json";
/// A close without a code, and an end without a close. Source: RFC 6455, section 7.1.5.
const NO_CODE: u16 = 1005;
const ABNORMAL: u16 = 1006;

#[cfg(test)]
mod tests;
