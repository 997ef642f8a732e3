//! `POST /api/broadcast`: several messages, all or none. Source: http-api.md, section 3.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::task::Poll;

use hub::TopicKey;
use phoenix_wire::encode;
use phoenix_wire::json::{self, Kind};
use phoenix_wire::payload::broadcast::meta;
use phoenix_wire::refusal::HttpRefusal;

use super::body::{self, BodyKind};
use super::tenant_api::Caller;
use crate::tenant::TenantRuntime;

pub(super) async fn broadcast(
    tenant: &TenantRuntime,
    caller: &Caller,
    kind: BodyKind,
    bytes: &[u8],
) -> Result<(), HttpRefusal> {
    let body = if kind == BodyKind::Json {
        body::object(bytes)?
    } else {
        "{}".to_owned()
    };
    let messages = parse(&body, tenant)?;
    admit(tenant, messages.len())?;
    for message in messages.iter().filter(|message| !message.private) {
        publish(tenant, message);
    }
    let private: Vec<_> = messages.iter().filter(|message| message.private).collect();
    publish_private(tenant, caller, &private).await;
    Ok(())
}

/// Private messages go out topic by topic, in the order in which the topics come first. Those on topics that the caller
/// may not write to are left out without a word, and so they are if nobody can tell.
async fn publish_private(tenant: &TenantRuntime, caller: &Caller, messages: &[&Message<'_>]) {
    let mut topics: Vec<&str> = Vec::new();
    let mut by_topic: HashMap<&str, Vec<&Message<'_>>> = HashMap::new();
    for message in messages {
        let of_topic = by_topic.entry(&message.topic).or_insert_with(|| {
            topics.push(&message.topic);
            Vec::new()
        });
        of_topic.push(message);
    }
    for topics in topics.chunks(TOPICS_ASKED_MAX) {
        let asked = topics.iter().map(|topic| caller.may_broadcast(tenant, topic));
        for (topic, answer) in topics.iter().zip(all(asked).await) {
            if answer == Ok(true) {
                let messages = by_topic.get(topic).into_iter().flatten();
                messages.for_each(|message| publish(tenant, message));
            }
        }
    }
}

/// What comes of all of them, in their order.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

/// Topics of a request that policies are asked about at a time, so that others have their turn.
const TOPICS_ASKED_MAX: usize = 40;

/// Messages of a batch for a tenant without an event limit. The answer to a bad one has an entry for each.
const MESSAGES_MAX: usize = 10_000;

/// One valid message.
#[derive(Debug)]
struct Message<'a> {
    topic: String,
    event: String,
    /// JSON text of an object.
    payload: &'a str,
    private: bool,
    id: Option<String>,
}

fn admit(tenant: &TenantRuntime, count: usize) -> Result<(), HttpRefusal> {
    let events = &tenant.session().events;
    let Some(limit) = events.limit().map(|limit| limit as f64) else {
        return Ok(());
    };
    if events.average() > limit {
        return Err(HttpRefusal::RateLimited);
    }
    if events.average() + count as f64 > limit {
        return Err(HttpRefusal::BatchTooLarge);
    }
    Ok(())
}

fn publish(tenant: &TenantRuntime, message: &Message<'_>) {
    tenant.hub().tally().add_broadcasts(1);
    let meta = message.id.as_deref().map(|id| meta(id, false));
    let key = TopicKey {
        private: message.private,
        name: message.topic.as_str().into(),
    };
    tenant
        .hub()
        .publish_identified(&key, message.id.as_deref(), |topic, version| {
            let (joined, event) = (topic.joined(), &message.event);
            Some(encode::user_broadcast_text(
                version,
                joined,
                event,
                meta.as_deref(),
                message.payload,
            ))
        });
}

fn parse<'a>(body: &'a str, tenant: &TenantRuntime) -> Result<Vec<Message<'a>>, HttpRefusal> {
    let whole = |complaint| Err(HttpRefusal::invalid_field("messages", complaint));
    let Some(list) = json::member(body, "messages") else {
        return whole(HttpRefusal::BLANK);
    };
    if json::kind(list) != Kind::Array || json::elements(list).any(|entry| json::kind(entry) != Kind::Object)
    {
        return whole(HttpRefusal::INVALID);
    }
    if json::elements(list).nth(MESSAGES_MAX).is_some() {
        return Err(HttpRefusal::BatchTooLarge);
    }
    let mut messages = Vec::new();
    let mut complaints = String::new();
    let mut all_valid = true;
    for (index, entry) in json::elements(list).enumerate() {
        let mut fields = Fields::default();
        if let Some(message) = fields.message(entry, tenant) {
            messages.push(message);
        }
        all_valid &= fields.complaints.is_empty();
        let separator = if index > 0 { "," } else { "" };
        let _ = write!(complaints, "{separator}{{{}}}", fields.complaints);
    }
    match (all_valid, messages.is_empty()) {
        (true, false) => Ok(messages),
        (true, true) => whole(HttpRefusal::BLANK),
        (false, _) => Err(HttpRefusal::Invalid {
            errors: format!(r#"{{"messages":[{complaints}]}}"#),
        }),
    }
}

/// Reads the fields of one message and collects what is wrong with them, as members of a JSON object.
#[derive(Debug, Default)]
struct Fields {
    complaints: String,
}

impl Fields {
    fn message<'a>(&mut self, entry: &'a str, tenant: &TenantRuntime) -> Option<Message<'a>> {
        let id = self.id(json::member(entry, "id"));
        let private = self.private(json::member(entry, "private"));
        let topic = self.text("topic", json::member(entry, "topic"));
        let event = self.text("event", json::member(entry, "event"));
        let payload = self.payload(json::member(entry, "payload"), tenant);
        Some(Message {
            topic: topic?,
            event: event?,
            payload: payload?,
            private: private?,
            id: id?,
        })
    }

    fn text(&mut self, field: &str, value: Option<&str>) -> Option<String> {
        match value.filter(|value| *value != "null") {
            None => self.complain(field, HttpRefusal::BLANK),
            Some(value) => match json::string(value) {
                None => self.complain(field, HttpRefusal::INVALID),
                Some(text) if text.trim().is_empty() => self.complain(field, HttpRefusal::BLANK),
                Some(text) => Some(text.into_owned()),
            },
        }
    }

    fn payload<'a>(&mut self, value: Option<&'a str>, tenant: &TenantRuntime) -> Option<&'a str> {
        match value.filter(|value| *value != "null") {
            None => self.complain("payload", HttpRefusal::BLANK),
            Some(value) if json::kind(value) != Kind::Object => {
                self.complain("payload", HttpRefusal::INVALID)
            }
            Some(value) => match body::measured(value) {
                Ok(text) if !tenant.session().is_oversize(text.term_size()) => Some(value),
                _ => self.complain("payload", HttpRefusal::PAYLOAD_TOO_LARGE),
            },
        }
    }

    /// A flag: JSON booleans and the texts that databases take for one.
    fn private(&mut self, value: Option<&str>) -> Option<bool> {
        match value {
            None | Some("null" | "false" | r#""false""# | r#""0""# | r#""""#) => Some(false),
            Some("true" | r#""true""# | r#""1""#) => Some(true),
            Some(_) => self.complain("private", HttpRefusal::INVALID),
        }
    }

    /// Outer `None`: not valid. Inner `None`: not given.
    fn id(&mut self, value: Option<&str>) -> Option<Option<String>> {
        match value {
            None | Some("null") => Some(None),
            Some(value) => match json::string(value) {
                Some(id) => Some((!id.is_empty()).then(|| id.into_owned())),
                None => self.complain("id", HttpRefusal::INVALID),
            },
        }
    }

    fn complain<T>(&mut self, field: &str, complaint: &str) -> Option<T> {
        let separator = if self.complaints.is_empty() { "" } else { "," };
        let _ = write!(self.complaints, r#"{separator}"{field}":["{complaint}"]"#);
        None
    }
}
