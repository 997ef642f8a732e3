//! Which step a frame of the server answers or follows from.
//!
//! A reply names what it replies to. A broadcast is what somebody sent; a presence that comes is what somebody tracked, one
//! that goes belongs to somebody who went. Where the cause is not known, there is none. A change of a
//! table is the cause of all messages that tell of it.
//!
//! Contents are remembered as digests, in which members have no order. Invariant: no more than [`RECENT_MAX`] causes are
//! remembered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use transcript::Value;

/// Causes that are remembered; more recent ones take the place of older ones.
pub(crate) const RECENT_MAX: usize = 4_096;
/// Presences that are remembered; then it begins anew.
const TRACKED_MAX: usize = 10_000;

/// What clients did of late.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    recent: VecDeque<Cause>,
    /// What a connection tracks on a topic.
    tracked: HashMap<(u64, String), u64>,
    /// When a connection joined a topic last, or left it.
    moved: HashMap<(u64, String), Move>,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Joined(u64),
    Left(u64),
}

#[derive(Debug)]
struct Cause {
    step: u64,
    connection: Option<u64>,
    topic: String,
    reference: Option<String>,
    kind: Kind,
    /// Connections that have heard of it.
    heard: HashSet<u64>,
    /// Connections that a state has told of it.
    told: HashSet<u64>,
    /// Channels that have heard of it, of a change of a table.
    listeners: HashSet<(u64, String)>,
}

#[derive(Debug)]
enum Kind {
    Join,
    Leave,
    Broadcast(Vec<u64>),
    Track(u64),
    /// Presences went: their topics and digests.
    Gone(Vec<(String, u64)>),
    /// A table changed.
    Changed(u64),
    Other,
}

/// Where a frame belongs, and what it shows of the order in which the server got to things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Belonging {
    /// The step that caused it.
    pub(crate) step: u64,
    /// A join without which it would not have been heard: the server got to it before the cause.
    pub(crate) joined: Option<u64>,
    /// A leaving after which it would not have been heard: the server got to it after the cause.
    pub(crate) left: Option<u64>,
    /// Steps whose outcome it tells: the server got to them before the cause.
    pub(crate) told: Vec<u64>,
    /// It says once more what a state has told; the next time it may not come.
    pub(crate) is_repeated: bool,
}

impl Causes {
    /// A client sent a message, or the decoded form of one.
    pub(crate) fn sent(&mut self, step: u64, connection: u64, message: &Value) {
        let Some(parts) = Parts::of(message) else {
            return;
        };
        let topic = parts.topic.to_owned();
        let place = (connection, topic.clone());
        let kind = match parts.event {
            "phx_join" => {
                self.remember_move(&place, Move::Joined(step));
                Kind::Join
            }
            "phx_leave" => {
                self.remember_move(&place, Move::Left(step));
                if let Some(digest) = self.tracked.remove(&place) {
                    self.remember(
                        step,
                        None,
                        &topic,
                        None,
                        Kind::Gone(vec![(topic.clone(), digest)]),
                    );
                }
                Kind::Leave
            }
            "broadcast" => parts
                .broadcast()
                .map_or(Kind::Other, |digest| Kind::Broadcast(vec![digest])),
            "presence" => match (
                parts.inner("event").and_then(Value::as_str),
                parts.inner("payload"),
            ) {
                (Some("track"), Some(payload)) => {
                    if self.tracked.len() >= TRACKED_MAX {
                        self.tracked.clear();
                    }
                    let digest = digest(payload);
                    self.tracked.insert(place, digest);
                    Kind::Track(digest)
                }
                (Some("untrack"), _) => match self.tracked.remove(&place) {
                    Some(digest) => Kind::Gone(vec![(topic.clone(), digest)]),
                    None => Kind::Other,
                },
                _ => Kind::Other,
            },
            _ => Kind::Other,
        };
        let reference = parts.reference.map(ToString::to_string);
        self.remember(step, Some(connection), &topic, reference, kind);
    }

    /// A broadcast was sent over HTTP: its topic, event and payload.
    pub(crate) fn called(&mut self, step: u64, topic: &str, event: &str, payload: &Value) {
        let digest = of_broadcast(event, payload);
        self.remember(step, None, sub_topic(topic), None, Kind::Broadcast(vec![digest]));
    }

    /// A table changed, of which a connection has heard at this place.
    pub(crate) fn changed(&mut self, step: u64, connection: u64, change: &Change<'_>) {
        let digest = change.digest();
        self.remember(step, None, "", None, Kind::Changed(digest));
        self.of_change(connection, change);
    }

    /// Where a change of a table belongs that other connections have heard of, or another channel of this one.
    pub(crate) fn of_change(&mut self, connection: u64, change: &Change<'_>) -> Option<Belonging> {
        let digest = change.digest();
        let listener = (connection, change.topic.to_owned());
        let mut causes = self.recent.iter_mut();
        let cause = causes.find(|cause| match cause.kind {
            Kind::Changed(known) => known == digest && !cause.listeners.contains(&listener),
            _ => false,
        })?;
        cause.listeners.insert(listener);
        Some(Belonging {
            step: cause.step,
            ..Belonging::default()
        })
    }

    /// A connection ended from the side of the client.
    pub(crate) fn ended(&mut self, step: u64, connection: u64) {
        let mut gone = Vec::new();
        self.tracked.retain(|(of, topic), digest| {
            if *of == connection {
                gone.push((topic.clone(), *digest));
            }
            *of != connection
        });
        self.moved.retain(|(of, _), _| *of != connection);
        if !gone.is_empty() {
            self.remember(step, None, "", None, Kind::Gone(gone));
        }
    }

    /// Where a message that reached a connection belongs, or the decoded form of one.
    pub(crate) fn of(&mut self, connection: u64, message: &Value) -> Option<Belonging> {
        let parts = Parts::of(message)?;
        let newest = |is_it: &dyn Fn(&Cause) -> bool| {
            let own = |cause: &&Cause| cause.connection == Some(connection) && cause.topic == parts.topic;
            let causes = self.recent.iter().rev().filter(own);
            causes
                .into_iter()
                .find(|cause| is_it(cause))
                .map(|cause| cause.step)
        };
        let step = match parts.event {
            "phx_reply" => {
                let reference = parts.reference?.to_string();
                newest(&|cause| cause.reference.as_deref() == Some(&*reference))
            }
            "presence_state" | "system" => newest(&|cause| matches!(cause.kind, Kind::Join)),
            "phx_close" => newest(&|cause| matches!(cause.kind, Kind::Join | Kind::Leave)),
            "broadcast" => {
                let digest = parts.broadcast()?;
                self.hear(connection, |cause| match &cause.kind {
                    Kind::Broadcast(sent) => cause.topic == parts.topic && sent.contains(&digest),
                    _ => false,
                })
            }
            "presence_diff" => self.presence(connection, &parts),
            _ => None,
        }?;
        let mut belonging = Belonging {
            step,
            ..Belonging::default()
        };
        match parts.event {
            "broadcast" | "presence_diff" => {
                let moved = self.moved.get(&(connection, parts.topic.to_owned()));
                let is_told = |cause: &Cause| cause.step == step && cause.told.contains(&connection);
                match moved {
                    Some(Move::Joined(joined)) if self.recent.iter().any(is_told) => {
                        belonging.step = *joined;
                        belonging.is_repeated = true;
                    }
                    Some(Move::Joined(joined)) => belonging.joined = Some(*joined),
                    Some(Move::Left(left)) => belonging.left = Some(*left),
                    None => {}
                }
            }
            "presence_state" => belonging.told = self.told(connection, step, &parts),
            _ => {}
        }
        Some(belonging)
    }

    /// Steps after a join by which presences came that the state after the join has.
    fn told(&mut self, connection: u64, join: u64, parts: &Parts<'_>) -> Vec<u64> {
        let mut steps = Vec::new();
        for digest in metas_of(parts.payload) {
            let is_it = |cause: &&mut Cause| match cause.kind {
                Kind::Track(tracked) => tracked == digest && cause.topic == parts.topic,
                _ => false,
            };
            let mut first = None;
            for cause in self.recent.iter_mut().filter(is_it) {
                cause.told.insert(connection);
                first = first.or(Some(cause.step));
            }
            steps.extend(first.filter(|step| *step > join));
        }
        steps
    }

    /// A client sent a ping.
    pub(crate) fn pinged(&mut self, step: u64, connection: u64, text: &str) {
        self.remember(step, Some(connection), "", Some(ping(text)), Kind::Other);
    }

    /// Where a pong belongs.
    pub(crate) fn of_pong(&self, connection: u64, text: &str) -> Option<Belonging> {
        let reference = ping(text);
        let is_it = |cause: &&Cause| {
            cause.connection == Some(connection) && cause.reference.as_deref() == Some(&*reference)
        };
        let cause = self.recent.iter().rev().find(is_it)?;
        Some(Belonging {
            step: cause.step,
            ..Belonging::default()
        })
    }

    /// The last of the steps by which presences came, or else of those by which they went.
    fn presence(&mut self, connection: u64, parts: &Parts<'_>) -> Option<u64> {
        let mut last = None;
        for digest in metas_of(parts.inner("joins")) {
            let found = self.hear(connection, |cause| match cause.kind {
                Kind::Track(tracked) => cause.topic == parts.topic && tracked == digest,
                _ => false,
            });
            last = last.max(found);
        }
        if last.is_some() {
            return last;
        }
        for digest in metas_of(parts.inner("leaves")) {
            let found = self.hear(connection, |cause| match &cause.kind {
                Kind::Gone(gone) => gone
                    .iter()
                    .any(|(topic, gone)| topic == parts.topic && *gone == digest),
                _ => false,
            });
            last = last.max(found);
        }
        last
    }

    /// The oldest such cause that the connection has not heard of; now it has.
    fn hear(&mut self, connection: u64, is_it: impl Fn(&Cause) -> bool) -> Option<u64> {
        let mut causes = self.recent.iter_mut();
        let cause = causes.find(|cause| !cause.heard.contains(&connection) && is_it(cause))?;
        cause.heard.insert(connection);
        Some(cause.step)
    }

    fn remember_move(&mut self, place: &(u64, String), moved: Move) {
        if self.moved.len() >= TRACKED_MAX {
            self.moved.clear();
        }
        self.moved.insert(place.clone(), moved);
    }

    fn remember(
        &mut self,
        step: u64,
        connection: Option<u64>,
        topic: &str,
        reference: Option<String>,
        kind: Kind,
    ) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Cause {
            step,
            connection,
            topic: topic.to_owned(),
            reference,
            kind,
            heard: HashSet::new(),
            told: HashSet::new(),
            listeners: HashSet::new(),
        });
    }
}

/// A message that tells of a change of a table.
pub(crate) struct Change<'a> {
    topic: &'a str,
    data: &'a Value,
}

/// What a message tells, if that is what it is.
pub(crate) fn change_of(message: &Value) -> Option<Change<'_>> {
    let parts = Parts::of(message)?;
    (parts.event == "postgres_changes").then_some(Change {
        topic: parts.topic,
        data: parts.inner("data")?,
    })
}

impl Change<'_> {
    /// Of what is the same for all who hear of it: others may see other columns, but not of a key.
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for name in ["schema", "table", "type", "commit_timestamp", "old_record"] {
            self.data.get(name).map(digest).hash(&mut hasher);
        }
        let key = self.data.get("record").and_then(|record| record.get("id"));
        key.map(digest).hash(&mut hasher);
        hasher.finish()
    }
}

/// No reference of a message is like it.
fn ping(text: &str) -> String {
    format!("ping {text}")
}

/// What causes are told apart by.
struct Parts<'a> {
    /// Without the prefix of channels, which topics do not have over HTTP.
    topic: &'a str,
    event: &'a str,
    reference: Option<&'a Value>,
    payload: Option<&'a Value>,
    /// The decoded form of a binary message, whose event is the user's.
    user_event: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(message: &'a Value) -> Option<Self> {
        let text = |value: Option<&'a Value>| value.and_then(Value::as_str);
        if let Value::Array(elements) = message {
            return Some(Self {
                topic: sub_topic(text(elements.get(2))?),
                event: text(elements.get(3))?,
                reference: elements.get(1),
                payload: elements.get(4),
                user_event: None,
            });
        }
        let topic = sub_topic(text(message.get("topic"))?);
        let event = text(message.get("event"))?;
        let is_view = message.get("encoding").is_some() && message.get("kind").is_some();
        Some(Self {
            topic,
            event: if is_view { "broadcast" } else { event },
            reference: message.get("ref"),
            payload: message.get("payload").or_else(|| message.get("payload_text")),
            user_event: is_view.then_some(event),
        })
    }

    fn inner(&self, name: &str) -> Option<&'a Value> {
        self.payload?.get(name)
    }

    fn broadcast(&self) -> Option<u64> {
        let payload = self.payload?;
        Some(
            match (self.user_event, payload.get("event"), payload.get("payload")) {
                (Some(event), ..) => of_broadcast(event, payload),
                (None, Some(Value::String(event)), Some(payload)) => of_broadcast(event, payload),
                _ => of_broadcast("", payload),
            },
        )
    }
}

fn sub_topic(topic: &str) -> &str {
    topic.strip_prefix("realtime:").unwrap_or(topic)
}

fn of_broadcast(event: &str, payload: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.hash(&mut hasher);
    digest(payload).hash(&mut hasher);
    hasher.finish()
}

/// Digests of what is tracked, of `{key: {"metas": […]}}`.
fn metas_of(presences: Option<&Value>) -> Vec<u64> {
    let members = presences.and_then(Value::as_object).unwrap_or_default();
    let metas = members
        .iter()
        .filter_map(|(_, entry)| entry.get("metas")?.as_array())
        .flatten();
    metas.map(of_meta).collect()
}

/// Of what was tracked, without what the server has added.
fn of_meta(meta: &Value) -> u64 {
    let Some(members) = meta.as_object() else {
        return digest(meta);
    };
    let tracked = members
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "phx_ref" | "phx_ref_prev"));
    digest(&Value::Object(tracked.cloned().collect()))
}

fn digest(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    match value {
        Value::Array(elements) => {
            elements.len().hash(&mut hasher);
            for element in elements {
                digest(element).hash(&mut hasher);
            }
        }
        Value::Object(members) => {
            let mut digests: Vec<(&str, u64)> = members
                .iter()
                .map(|(name, value)| (name.as_str(), digest(value)))
                .collect();
            digests.sort_unstable();
            // Apart from an array of as many.
            ('{', digests).hash(&mut hasher);
        }
        plain => plain.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    fn of(causes: &mut Causes, connection: u64, text: &str) -> Option<u64> {
        causes
            .of(connection, &value(text))
            .map(|belonging| belonging.step)
    }

    #[test]
    fn replies_follow_what_they_name_and_the_rest_of_a_join_follows_it() {
        let mut causes = Causes::default();
        causes.sent(1, 7, &value(r#"["1","1","realtime:t","phx_join",{}]"#));
        causes.sent(2, 7, &value(r#"["1","2","realtime:t","x",{}]"#));
        causes.sent(
            3,
            7,
            &value(r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"3"}"#),
        );
        causes.sent(4, 7, &value(r#"["1","4","realtime:t","phx_leave",{}]"#));
        for (frame, step) in [
            (r#"["1","1","realtime:t","phx_reply",{}]"#, Some(1)),
            (r#"["1",null,"realtime:t","presence_state",{}]"#, Some(1)),
            (r#"["1",null,"realtime:t","system",{}]"#, Some(1)),
            (
                r#"{"topic":"phoenix","event":"phx_reply","payload":{},"ref":"3"}"#,
                Some(3),
            ),
            (r#"["1","2","realtime:t","phx_reply",{}]"#, Some(2)),
            (r#"["1","1","realtime:t","phx_close",{}]"#, Some(4)),
            (r#"["1","9","realtime:t","phx_reply",{}]"#, None),
            (r#"["1",null,"realtime:u","system",{}]"#, None),
            (r#"[null,null,"realtime:t","postgres_changes",{}]"#, None),
        ] {
            assert_eq!(of(&mut causes, 7, frame), step, "{frame}");
        }
        assert_eq!(
            of(&mut causes, 8, r#"["1","1","realtime:t","phx_reply",{}]"#),
            None
        );
    }

    #[test]
    fn a_broadcast_follows_whoever_sent_it_in_whatever_form() {
        let mut causes = Causes::default();
        let push = r#"{"kind":"user_broadcast_push","topic":"realtime:t","event":"e","encoding":"json","payload":{"a":1,"b":2}}"#;
        let text =
            r#"["1","2","realtime:t","broadcast",{"type":"broadcast","event":"e","payload":{"a":1,"b":2}}]"#;
        causes.sent(1, 7, &value(push));
        causes.sent(2, 8, &value(text));
        causes.called(3, "t", "e", &value(r#"{"b":2,"a":1}"#));
        let heard = r#"{"ref":null,"topic":"realtime:t","event":"broadcast","payload":{"event":"e","payload":{"b":2,"a":1},"type":"broadcast"}}"#;
        let view = r#"{"kind":"user_broadcast","topic":"realtime:t","event":"e","encoding":"json","payload":{"b":2,"a":1}}"#;
        let steps: Vec<_> = [heard, view, heard, heard]
            .iter()
            .map(|frame| of(&mut causes, 9, frame))
            .collect();
        assert_eq!(steps, [Some(1), Some(2), Some(3), None]);
        assert_eq!(of(&mut causes, 7, heard), Some(1), "others have not heard it");
        assert_eq!(
            of(&mut causes, 7, &heard.replace("realtime:t", "realtime:u")),
            None
        );
    }

    #[test]
    fn a_presence_follows_whoever_came_or_went() {
        let mut causes = Causes::default();
        let track = |n: u64| {
            value(&format!(
                r#"["1","2","t","presence",{{"event":"track","payload":{{"n":{n},"m":0}}}}]"#
            ))
        };
        causes.sent(1, 7, &track(1));
        causes.sent(2, 8, &track(2));
        causes.sent(3, 7, &value(r#"["1","3","t","presence",{"event":"untrack"}]"#));
        causes.ended(4, 8);
        let diff = |joins: &[u64], leaves: &[u64]| {
            let of = |numbers: &[u64]| {
                let metas: Vec<String> = numbers
                    .iter()
                    .map(|n| format!(r#"{{"phx_ref":"r","m":0,"n":{n}}}"#))
                    .collect();
                format!(r#"{{"k":{{"metas":[{}]}}}}"#, metas.join(","))
            };
            format!(
                r#"[null,null,"t","presence_diff",{{"joins":{},"leaves":{}}}]"#,
                of(joins),
                of(leaves)
            )
        };
        assert_eq!(of(&mut causes, 9, &diff(&[1, 2], &[])), Some(2), "both at once");
        assert_eq!(of(&mut causes, 9, &diff(&[], &[1])), Some(3));
        assert_eq!(of(&mut causes, 9, &diff(&[], &[2])), Some(4));
        assert_eq!(of(&mut causes, 9, &diff(&[], &[2])), None);
    }

    #[test]
    fn what_is_heard_shows_what_the_server_got_to_first() {
        let mut causes = Causes::default();
        let broadcast = value(r#"["1","2","t","broadcast",{"a":1}]"#);
        let track = r#"["1","2","t","presence",{"event":"track","payload":{"n":1}}]"#;
        causes.sent(1, 7, &value(r#"["1","1","t","phx_leave",{}]"#));
        causes.sent(2, 8, &broadcast);
        causes.sent(3, 9, &value(r#"["1","1","t","phx_join",{}]"#));
        causes.sent(4, 8, &value(track));
        let belonging = |step, joined, left, told: &[u64]| Belonging {
            step,
            joined,
            left,
            told: told.to_vec(),
            is_repeated: false,
        };
        assert_eq!(causes.of(7, &broadcast), Some(belonging(2, None, Some(1), &[])));
        assert_eq!(causes.of(9, &broadcast), Some(belonging(2, Some(3), None, &[])));
        assert_eq!(causes.of(8, &broadcast), Some(belonging(2, None, None, &[])));
        let state = value(r#"["1",null,"t","presence_state",{"k":{"metas":[{"phx_ref":"r","n":1}]}}]"#);
        assert_eq!(causes.of(9, &state), Some(belonging(3, None, None, &[4])));
        let diff = value(
            r#"[null,null,"t","presence_diff",{"joins":{"k":{"metas":[{"phx_ref":"r","n":1}]}},"leaves":{}}]"#,
        );
        let again = causes.of(9, &diff).unwrap();
        assert!(again.is_repeated && again.step == 3, "{again:?}");
        assert_eq!(causes.of(8, &diff), Some(belonging(4, None, None, &[])));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut causes = Causes::default();
        for number in 0..RECENT_MAX as u64 + 10 {
            causes.called(number, "t", "e", &number.into());
        }
        assert_eq!(causes.recent.len(), RECENT_MAX);
        assert!(causes.recent.front().unwrap().step == 10);
    }
}
