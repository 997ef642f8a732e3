//! `POST /api/broadcast`: several messages, all or none. Source: http-api.md, section 3.

use std::fmt::Write as _;

use hub::TopicKey;
use phoenix_wire::encode;
use phoenix_wire::json::{self, Kind};
use phoenix_wire::payload::broadcast::meta;
use phoenix_wire::refusal::HttpRefusal;

use super::body::{self, BodyKind};
use crate::tenant::TenantRuntime;

pub(super) fn broadcast(tenant: &TenantRuntime, kind: BodyKind, bytes: &[u8]) -> Result<(), HttpRefusal> {
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
    // Private messages that may not be written are left out without a word. Policies are not asked yet, so none may.
    Ok(())
}

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
    tenant.hub().publish(&key, |topic, version| {
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
