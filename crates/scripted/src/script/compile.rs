//! From the steps of a transcript to the parts of its connections.

use phoenix_wire::{MessageKind, Version, encode, event};
use transcript::{
    Action, Body, Expectation, Expected, Fault, FaultKind, Frame, Open, Outgoing, Query, Step, Transcript,
    Value, view,
};

use super::{Actor, Deed, End, Life, Part, Script, ScriptError, Telling};
use crate::blanks::{Blanks, pattern};
use crate::message::Message;

pub(super) fn script(name: String, transcript: &Transcript) -> Result<Script, ScriptError> {
    let mut names: Vec<&str> = Vec::new();
    for step in &transcript.steps {
        if let Action::Open(open) = &step.action
            && !names.contains(&open.connection.as_str())
        {
            names.push(&open.connection);
        }
    }
    if names.is_empty() {
        return Err(ScriptError::Empty(transcript.file.clone()));
    }
    let mut passed_over = Vec::new();
    let mut actors = Vec::new();
    for name in names {
        let mut compiler = Compiler::new(transcript, name);
        let mut before: Option<&str> = None;
        for step in &transcript.steps {
            compiler.step(step, before)?;
            before = step.action.connection().or(before);
        }
        passed_over.append(&mut compiler.passed_over);
        actors.push(Actor {
            name: name.to_owned(),
            lives: compiler.lives.into_iter().map(finished).collect(),
        });
    }
    passed_over.sort();
    let requests = transcript.steps.iter().filter_map(|step| match &step.action {
        Action::Http(call) => Some(call.clone()),
        _ => None,
    });
    Ok(Script {
        name,
        file: transcript.file.clone(),
        actors,
        requests: requests.collect(),
        passed_over,
    })
}

/// Whether the body of a request is the one of the file.
pub(super) fn is_body(expected: &Body, body: &Value) -> bool {
    match expected {
        Body::Absent => true,
        Body::Json(json) => Blanks::new().compare(&pattern(json), body).is_ok(),
        Body::Exact(bytes) => Value::parse_bytes(bytes).is_ok_and(|json| json == *body),
    }
}

/// Collects the parts of one connection.
struct Compiler<'a> {
    transcript: &'a Transcript,
    name: &'a str,
    lives: Vec<Life>,
    /// The serializer of the last of them.
    version: Version,
    /// Whether the last of them goes on.
    is_open: bool,
    /// Since the step before. Milliseconds.
    slept_ms: u64,
    /// By a fault, of the next frame. Milliseconds.
    delay_ms: u64,
    /// Replies still to be left out.
    muted: u64,
    /// The response of the next reply, by a fault.
    error: Option<Value>,
    /// When the last step of this connection was. Milliseconds.
    at_ms: Option<u64>,
    passed_over: Vec<(usize, String)>,
}

impl<'a> Compiler<'a> {
    fn new(transcript: &'a Transcript, name: &'a str) -> Self {
        Self {
            transcript,
            name,
            lives: Vec::new(),
            version: Version::V1,
            is_open: false,
            slept_ms: 0,
            delay_ms: 0,
            muted: 0,
            error: None,
            at_ms: None,
            passed_over: Vec::new(),
        }
    }

    /// `before` is the connection of the step before.
    fn step(&mut self, step: &Step, before: Option<&str>) -> Result<(), ScriptError> {
        let connection = match &step.action {
            Action::Sleep { ms } => {
                self.slept_ms += ms;
                return Ok(());
            }
            Action::Fault(_) => match step.action.connection().or(before) {
                None => {
                    return Err(
                        self.misplaced(step.line, "no step before says which connection this is about")
                    );
                }
                connection => connection,
            },
            other => other.connection(),
        };
        if connection != Some(self.name) {
            return Ok(());
        }
        if let Action::Open(open) = &step.action {
            self.open(step, open);
            return Ok(());
        }
        if !self.is_open {
            let reason = format!(
                "connection {} is not open; open it again for what happens next",
                self.name
            );
            return Err(self.misplaced(step.line, &reason));
        }
        match &step.action {
            Action::Send { message, .. } => self.send(step.line, message),
            Action::Receive { expected, .. } => self.receive(step, expected),
            Action::Close { .. } => self.end(step.line, End::ByClient),
            Action::Closed { codes, .. } => {
                let end = match codes.first().copied() {
                    None | Some(1006) => End::Drop,
                    Some(code) => End::Close {
                        code,
                        reason: String::new(),
                    },
                };
                self.end(step.line, end);
            }
            Action::Fault(fault) => self.fault(step.line, fault),
            Action::Silence { .. }
            | Action::Open(_)
            | Action::Http(_)
            | Action::Sql(_)
            | Action::Sleep { .. } => {}
        }
        self.at_ms = step.at_ms.or(self.at_ms);
        Ok(())
    }

    fn misplaced(&self, line: usize, reason: &str) -> ScriptError {
        ScriptError::Place {
            file: self.transcript.file.clone(),
            line,
            reason: reason.to_owned(),
        }
    }

    fn push(&mut self, line: usize, deed: Deed) {
        if let Some(life) = self.lives.last_mut() {
            life.parts.push(Part { line, deed });
        }
    }

    fn open(&mut self, step: &Step, open: &Open) {
        let vsn = match &open.query {
            Query::Parameters(parameters) => parameters.iter().find(|(name, _)| name == "vsn"),
            Query::Literal(_) => None,
        };
        self.version = Version::negotiate(vsn.map(|(_, vsn)| vsn.as_str())).unwrap_or(Version::V2);
        self.is_open = open.refused.is_none();
        self.lives.push(Life {
            line: step.line,
            refused: open.refused.clone(),
            parts: Vec::new(),
        });
        (self.slept_ms, self.delay_ms, self.muted, self.error) = (0, 0, 0, None);
        self.at_ms = step.at_ms;
    }

    fn end(&mut self, line: usize, end: End) {
        self.push(line, Deed::End(end));
        self.is_open = false;
    }

    fn send(&mut self, line: usize, outgoing: &Outgoing) {
        let message = match outgoing {
            Outgoing::Json(json) => Message::of_json(json),
            Outgoing::Exact(frame, bytes) => {
                let kind = match frame {
                    Frame::Text => MessageKind::Text,
                    Frame::Binary => MessageKind::Binary,
                };
                Message::of_client(self.version, kind, bytes).ok()
            }
            Outgoing::Push(push) => Some(Message {
                join_ref: Some(Value::text(&push.join_ref)),
                reference: Value::text(&push.reference),
                topic: push.topic.clone(),
                event: event::BROADCAST.to_owned(),
                payload: Value::Object(vec![
                    ("event".to_owned(), Value::text(&push.event)),
                    ("payload".to_owned(), push.payload.clone()),
                ]),
            }),
            // Answered whenever they come.
            Outgoing::Ping(_) => return,
        };
        let Some(mut message) = message.and_then(with_plain_topic) else {
            let reason = "no client library sends this; it is not waited for".to_owned();
            return self.passed_over.push((line, reason));
        };
        if message.topic == event::PHOENIX_TOPIC && message.event == event::HEARTBEAT {
            return;
        }
        message.payload = pattern(&message.payload);
        let is_answerable = message.event != event::ACCESS_TOKEN;
        match self.error.take_if(|_| is_answerable) {
            None => self.push(line, Deed::Hear(message)),
            Some(response) => {
                let refused = message.reply(encode::Status::Error, response);
                let again = (message.event == event::JOIN).then(|| message.clone());
                self.push(line, Deed::Hear(message));
                self.tell(line, refused, None, false, 0);
                // A client joins again, and then the file goes on as it stands.
                if let Some(message) = again {
                    self.push(line, Deed::Hear(message));
                }
            }
        }
    }

    fn receive(&mut self, step: &Step, expected: &[Expectation]) {
        let mut pause_ms = match (step.at_ms, self.at_ms) {
            (Some(now), Some(before)) => now.saturating_sub(before),
            _ => step.after_ms.unwrap_or(0).saturating_add(self.slept_ms),
        };
        self.slept_ms = 0;
        // What the server really said, where the expectation is wider.
        let sample = Value::parse(self.transcript.line(step.line))
            .ok()
            .and_then(|line| line.get("sample").cloned())
            .filter(|_| expected.len() == 1);
        for expectation in expected {
            let (message, bytes, is_binary) = match &expectation.frame {
                Expected::Text(json) => (Message::of_json(sample.as_ref().unwrap_or(json)), None, false),
                Expected::Bytes(bytes) => {
                    let message = view(bytes).and_then(|view| Message::of_view(&view));
                    (message, Some(bytes.clone()), true)
                }
                Expected::View(view) => (Message::of_view(view), None, true),
                Expected::Pong(_) => continue,
            };
            let Some(message) = message.and_then(with_plain_topic) else {
                let reason = "no frame that can be written for every client; it is not sent".to_owned();
                self.passed_over.push((step.line, reason));
                continue;
            };
            if expectation.optional || (message.topic == event::PHOENIX_TOPIC && !self.was_heard(&message)) {
                continue;
            }
            if message.is_reply() {
                if self.is_answered(&message) {
                    continue;
                }
                if let Some(left) = self.muted.checked_sub(1) {
                    self.muted = left;
                    continue;
                }
            }
            self.tell(
                step.line,
                message,
                bytes,
                is_binary,
                std::mem::take(&mut pause_ms),
            );
        }
    }

    /// Whether what this answers is waited for.
    fn was_heard(&self, reply: &Message) -> bool {
        let parts = self.lives.last().map(|life| life.parts.as_slice());
        parts.unwrap_or_default().iter().any(|part| match &part.deed {
            Deed::Hear(message) => message.topic == reply.topic && message.reference == reply.reference,
            _ => false,
        })
    }

    /// Whether a fault has already answered what this answers.
    fn is_answered(&self, reply: &Message) -> bool {
        let parts = self.lives.last().map(|life| life.parts.as_slice());
        let is_same =
            |message: &Message| message.topic == reply.topic && message.reference == reply.reference;
        for part in parts.unwrap_or_default().iter().rev() {
            match &part.deed {
                Deed::Tell(Telling { message, .. }) if message.is_reply() && is_same(message) => return true,
                Deed::Hear(message) if is_same(message) => return false,
                _ => {}
            }
        }
        false
    }

    fn tell(
        &mut self,
        line: usize,
        message: Message,
        bytes: Option<Vec<u8>>,
        is_binary: bool,
        pause_ms: u64,
    ) {
        let telling = Telling {
            message,
            bytes,
            is_binary,
            pause_ms,
            delay_ms: std::mem::take(&mut self.delay_ms),
            after: None,
        };
        self.push(line, Deed::Tell(telling));
    }

    fn fault(&mut self, line: usize, fault: &Fault) {
        match &fault.kind {
            FaultKind::Delay { ms } => self.delay_ms += ms,
            FaultKind::Drop => self.end(line, End::Drop),
            FaultKind::Close { code, reason } => {
                let (code, reason) = (*code, reason.clone());
                self.end(line, End::Close { code, reason });
            }
            FaultKind::Error { response } => self.error = Some(response.clone()),
            FaultKind::MuteReplies { count } => self.muted += count,
            FaultKind::MuteHeartbeats { count } => self.push(line, Deed::MuteHeartbeats(*count)),
        }
    }
}

/// The message, if its topic is one that can be told before anything is said.
fn with_plain_topic(message: Message) -> Option<Message> {
    let Value::String(topic) = pattern(&Value::text(&message.topic)) else {
        return None;
    };
    let mut blanks = Blanks::new();
    let filled = blanks.fill(&Value::text(&topic));
    let is_plain = !blanks.has_made_any() && topic == message.topic;
    let topic = filled.as_str().filter(|_| is_plain)?.to_owned();
    Some(Message { topic, ..message })
}

/// The last look at a life: messages that lead to nothing are not waited for, and who waits for whom is settled.
fn finished(mut life: Life) -> Life {
    let is_kept = |at: usize, part: &Part| match &part.deed {
        // Libraries send their token when they like.
        Deed::Hear(message) if message.event == event::ACCESS_TOKEN => {
            let mut later = life.parts.iter().skip(at + 1);
            let next = later.find(|next| next.topic() == part.topic());
            matches!(next.map(|next| &next.deed), Some(Deed::Tell(_)))
        }
        _ => true,
    };
    let kept: Vec<bool> = life
        .parts
        .iter()
        .enumerate()
        .map(|(at, part)| is_kept(at, part))
        .collect();
    let mut kept = kept.into_iter();
    life.parts.retain(|_| kept.next().unwrap_or(true));
    let afters: Vec<Option<usize>> = (0..life.parts.len()).map(|at| after(&life.parts, at)).collect();
    for (part, after) in life.parts.iter_mut().zip(afters) {
        if let Deed::Tell(telling) = &mut part.deed {
            telling.after = after;
        }
    }
    life
}

/// What a frame that answers nothing comes after, on another topic: the last message of the client before it, unless that
/// is the join of another channel. Clients join their channels in any order.
fn after(parts: &[Part], at: usize) -> Option<usize> {
    let Deed::Tell(Telling { message: told, .. }) = &parts.get(at)?.deed else {
        return None;
    };
    if told.is_reply() {
        return None;
    }
    for (before, earlier) in parts.iter().enumerate().take(at).rev() {
        let Deed::Hear(message) = &earlier.deed else {
            continue;
        };
        if message.topic == told.topic {
            return None;
        }
        if ![event::JOIN, event::ACCESS_TOKEN].contains(&message.event.as_str()) {
            return Some(before);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = concat!(
        r#"{"transcript":2,"name":"n","area":"a","title":"t","shows":"s","#,
        r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":["2.0.0"],"tenant":"main","takes_ms":5}"#
    );

    fn script(steps: &str) -> Result<Script, ScriptError> {
        Script::parse("folder/n.jsonl", &format!("{HEADER}\n{steps}"))
    }

    /// The parts of the first life of the first connection.
    fn parts(steps: &str) -> Vec<String> {
        let script = script(steps).unwrap();
        let parts = &script.life(0, 0).unwrap().parts;
        let shown = |part: &Part| match &part.deed {
            Deed::Hear(message) => format!("{} hear {}", part.line, message.event),
            Deed::Tell(telling) => format!(
                "{} tell {} +{}+{} {:?}",
                part.line, telling.message.event, telling.pause_ms, telling.delay_ms, telling.after
            ),
            other => format!("{} {other:?}", part.line),
        };
        parts.iter().map(shown).collect()
    }

    const OPEN: &str = r#"{"open":"a"}"#;
    const JOIN: &str = r#"{"send":"a","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]}"#;

    #[test]
    fn heartbeats_pings_and_idle_tokens_are_not_waited_for() {
        let steps = format!(
            r#"{OPEN}
{JOIN}
{{"send":"a","text":[null,"2","phoenix","heartbeat",{{}}]}}
{{"recv":"a","text":[null,"2","phoenix","phx_reply",{{"status":"ok","response":{{}}}}]}}
{{"send":"a","ping":"p"}}
{{"recv":"a","pong":"p"}}
{{"send":"a","text":["1","3","realtime:x","access_token",{{"access_token":null}}]}}
{{"silence":"a","ms":100}}
{{"close":"a"}}"#
        );
        assert_eq!(
            parts(&steps),
            [
                "3 hear phx_join",
                "4 tell phx_reply +0+0 None",
                "11 End(ByClient)"
            ]
        );
    }

    #[test]
    fn a_token_with_consequences_is_waited_for() {
        let steps = format!(
            r#"{OPEN}
{{"send":"a","text":["1","3","realtime:x","access_token",{{"access_token":"x"}}]}}
{{"recv":"a","text":["1","3","realtime:x","phx_close",{{}}]}}"#
        );
        assert_eq!(
            parts(&steps),
            ["3 hear access_token", "4 tell phx_close +0+0 None"]
        );
    }

    #[test]
    fn pauses_are_those_of_the_recording() {
        let steps = format!(
            r#"{OPEN}
{{"sleep":20}}
{{"recv":"a","text":[null,null,"realtime:x","system",{{}}],"after_ms":5}}
{{"fault":"delay","ms":7}}
{{"recv":"a","text":[null,null,"realtime:x","system",{{}}]}}
{{"send":"a","text":[null,null,"realtime:x","other",{{}}],"at_ms":100}}
{{"recv":"a","text":[null,null,"realtime:x","system",{{}}],"at_ms":130}}"#
        );
        assert_eq!(
            parts(&steps),
            [
                "4 tell system +25+0 None",
                "6 tell system +0+7 None",
                "7 hear other",
                "8 tell system +30+0 None"
            ]
        );
    }

    #[test]
    fn an_error_refuses_a_join_once_and_replaces_the_reply_to_anything_else() {
        let steps = format!(
            r#"{OPEN}
{{"fault":"error","response":{{"reason":"no"}}}}
{JOIN}
{{"fault":"error","response":{{"reason":"full"}}}}
{{"send":"a","text":["1","2","realtime:x","broadcast",{{}}]}}
{{"recv":"a","text":["1","2","realtime:x","phx_reply",{{"status":"ok","response":{{}}}}]}}"#
        );
        assert_eq!(
            parts(&steps),
            [
                "4 hear phx_join",
                "4 tell phx_reply +0+0 None",
                "4 hear phx_join",
                "5 tell phx_reply +0+0 None",
                "7 hear broadcast",
                "7 tell phx_reply +0+0 None",
            ]
        );
    }

    #[test]
    fn muted_replies_do_not_come() {
        let steps = format!("{OPEN}\n{{\"fault\":\"mute\",\"replies\":1}}\n{JOIN}");
        assert_eq!(parts(&steps), ["4 hear phx_join"]);
        let steps = format!("{OPEN}\n{{\"fault\":\"mute\",\"heartbeats\":2}}");
        assert_eq!(parts(&steps), ["3 MuteHeartbeats(2)"]);
    }

    #[test]
    fn what_answers_nothing_waits_for_what_was_said_elsewhere_but_not_for_joins() {
        let steps = format!(
            r#"{OPEN}
{JOIN}
{{"send":"a","text":["2","2","realtime:y","phx_join",{{}}]}}
{{"recv":"a","text":[null,null,"realtime:x","system",{{}}]}}
{{"send":"a","text":["2","3","realtime:y","broadcast",{{}}]}}
{{"recv":"a","text":["2","3","realtime:y","phx_reply",{{}}]}}
{{"recv":"a","text":[null,null,"realtime:x","postgres_changes",{{}}]}}"#
        );
        assert_eq!(
            parts(&steps),
            [
                "3 hear phx_join",
                "4 tell phx_reply +0+0 None",
                "5 hear phx_join",
                "6 tell system +0+0 None",
                "7 hear broadcast",
                "8 tell phx_reply +0+0 None",
                "9 tell postgres_changes +0+0 Some(4)",
            ]
        );
    }

    #[test]
    fn a_connection_has_as_many_lives_as_it_is_opened() {
        let steps = r#"{"open":"a"}
{"fault":"drop"}
{"open":"b","refused":{"status":403}}
{"open":"a"}
{"fault":"close","code":1012,"on":"a"}"#;
        let script = script(steps).unwrap();
        let lines = |actor: &Actor| actor.lives.iter().map(|life| life.line).collect::<Vec<_>>();
        let lines: Vec<_> = script.actors().iter().map(lines).collect();
        assert_eq!(lines, [vec![2, 5], vec![4]]);
        assert_eq!(script.name(), "n");
        let refused = script.life(1, 0).unwrap().refused.as_ref().unwrap();
        assert_eq!(refused.status, 403);
    }

    #[test]
    fn nothing_happens_on_a_connection_that_is_over() {
        for (steps, shown) in [
            (
                "{\"open\":\"a\"}\n{\"fault\":\"drop\"}\n{\"close\":\"a\"}",
                "folder/n.jsonl:4: connection a is not open; open it again for what happens next",
            ),
            (
                "{\"fault\":\"drop\"}\n{\"open\":\"a\"}",
                "folder/n.jsonl:2: no step before says which connection this is about",
            ),
            (
                "{\"sleep\":1}",
                "folder/n.jsonl: no connection is opened, so there is nothing to play",
            ),
        ] {
            assert_eq!(script(steps).unwrap_err().to_string(), shown);
        }
    }
}
