//! From what passed to what the file says: secrets, personal data and what a server makes up become placeholders, and
//! whatever looks like a placeholder of itself is written so that it is none.

use std::collections::HashMap;

use transcript::Value;

use crate::redaction::{Down, Redaction, Trail};
use crate::secrets::{Secrets, claims_of, find};
use crate::volatile::{REMEMBERED_MAX, Volatile};

/// Replaces values, one message after the other, in the order in which they passed.
#[derive(Debug, Default)]
pub(crate) struct Disguise {
    redactions: Vec<Redaction>,
    secrets: Secrets,
    personal: HashMap<String, Personal>,
    volatile: Volatile,
}

/// Whose words they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Client,
    Server,
}

/// A personal value: its number, and who was the first to say it. A client says another word in the replay; one that a
/// server knows of itself is bound when it says it.
#[derive(Clone, Copy, Debug)]
struct Personal {
    number: usize,
    first: Origin,
}

/// Where in a message something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// What people sent each other.
    User,
    /// The payload of a reply.
    Reply,
    /// The bindings in the reply to a join.
    Bindings,
    /// A state or diff of presences.
    Presence,
    /// The payload of anything else.
    Payload,
    /// Below that.
    Inside,
}

/// What holds on the way down.
#[derive(Clone, Copy)]
struct Context {
    origin: Origin,
    place: Place,
    unix_ms: i64,
}

impl Disguise {
    pub(crate) fn new(redactions: Vec<Redaction>) -> Self {
        Self {
            redactions,
            ..Self::default()
        }
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// A message of either serializer, or the decoded form of a binary one.
    pub(crate) fn message(&mut self, origin: Origin, message: &Value, unix_ms: i64) -> Value {
        let start = Trail::start(&self.redactions);
        let event = event_of(message);
        let is_wrapped = matches!(event, Some("broadcast" | "presence"));
        let place = match event {
            Some("broadcast") => Place::User,
            Some("phx_reply") => Place::Reply,
            Some("presence_state" | "presence_diff") => Place::Presence,
            _ => Place::Payload,
        };
        let context = Context {
            origin,
            place,
            unix_ms,
        };
        match message {
            Value::Array(elements) => {
                let names = MEMBERS.iter().copied().chain(std::iter::repeat(""));
                let named = elements.iter().zip(names).map(|(value, name)| {
                    let trail = start.step(&self.redactions, Down::Member(name));
                    let trail = self.with_root(trail, name == "payload" && is_wrapped);
                    self.child(name, value, trail, context)
                });
                Value::Array(named.collect())
            }
            Value::Object(members) if is_view(message) => {
                // As if it were text: what was broadcast is one level further down.
                let inner = start.step(&self.redactions, Down::Member("payload"));
                let inner = self.with_root(inner, true);
                let named = members.iter().map(|(name, value)| {
                    let trail = match (name.as_str(), &inner) {
                        ("event" | "payload" | "meta", Some(inner)) => {
                            inner.step(&self.redactions, Down::Member(name))
                        }
                        ("event" | "payload" | "meta", None) => None,
                        _ => start.step(&self.redactions, Down::Member(name)),
                    };
                    (name.clone(), self.child(name, value, trail, context))
                });
                Value::Object(named.collect())
            }
            Value::Object(members) => {
                let named = members.iter().map(|(name, value)| {
                    let trail = start.step(&self.redactions, Down::Member(name));
                    let trail = self.with_root(trail, name == "payload" && is_wrapped);
                    (self.text(name, context), self.child(name, value, trail, context))
                });
                Value::Object(named.collect())
            }
            other => self.walk(other, &start, context),
        }
    }

    /// A body of HTTP: `{"messages":[…]}`, or what is broadcast itself.
    pub(crate) fn body(&mut self, origin: Origin, body: &Value, is_batch: bool, unix_ms: i64) -> Value {
        let context = Context {
            origin,
            place: Place::User,
            unix_ms,
        };
        let start = Trail::start(&self.redactions);
        if !is_batch {
            let wrapped = start.step(&self.redactions, Down::Member("payload"));
            return match wrapped {
                Some(trail) => self.walk(body, &start.and(trail), context),
                None => self.personal(body, context),
            };
        }
        let Some(members) = body.as_object() else {
            return self.walk(body, &start, context);
        };
        let named = members.iter().map(|(name, value)| {
            let below = start.step(&self.redactions, Down::Member(name));
            let value = match (value, &below) {
                (Value::Array(messages), Some(trail)) if name == "messages" => {
                    let each = |message| match trail.step(&self.redactions, Down::Element) {
                        Some(trail) => {
                            let trail = trail.and(Trail::start(&self.redactions));
                            self.walk(message, &trail, context)
                        }
                        None => self.personal(message, context),
                    };
                    Value::Array(messages.iter().map(each).collect())
                }
                _ => self.child(name, value, below, context),
            };
            (self.text(name, context), value)
        });
        Value::Object(named.collect())
    }

    /// A value of a query or a header of a client.
    pub(crate) fn parameter(&mut self, name: &str, value: &str, unix_ms: i64) -> String {
        let context = Context {
            origin: Origin::Client,
            place: Place::User,
            unix_ms,
        };
        let (scheme, key) = match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => (Some(scheme), key),
            _ => (None, value),
        };
        let is_key = SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str());
        match scheme {
            _ if !is_key => self.text(value, context),
            Some(scheme) => format!("{scheme} {}", self.secret(key, context)),
            None => self.secret(key, context),
        }
    }

    /// An answer's body.
    pub(crate) fn answer(&mut self, body: &Value, unix_ms: i64) -> Value {
        let context = Context {
            origin: Origin::Server,
            place: Place::User,
            unix_ms,
        };
        self.walk(body, &Trail::default(), context)
    }

    fn with_root(&self, trail: Option<Trail>, is_root: bool) -> Option<Trail> {
        match (trail, is_root) {
            (Some(trail), true) => Some(trail.and(Trail::start(&self.redactions))),
            (trail, _) => trail,
        }
    }

    /// A member's value; no trail means that it is personal.
    fn child(&mut self, name: &str, value: &Value, trail: Option<Trail>, context: Context) -> Value {
        let Some(trail) = trail else {
            return self.personal(value, context);
        };
        if let Value::String(text) = value
            && SECRET_MEMBERS.contains(&name)
        {
            return Value::String(self.secret(text, context));
        }
        if context.origin == Origin::Server
            && let Some(made_up) = self.made_up(name, value, context)
        {
            return made_up;
        }
        if let (Place::Presence, "metas", Value::Array(metas)) = (context.place, name, value) {
            return self.metas(metas, &trail, context);
        }
        let place = match (context.place, name) {
            (Place::Reply, "postgres_changes") => Place::Bindings,
            (Place::Payload, name) if name != "payload" => Place::Inside,
            (place, _) => place,
        };
        self.walk(value, &trail, Context { place, ..context })
    }

    /// What is tracked under one key: each is what a client tracked as a payload, and several have no order.
    fn metas(&mut self, metas: &[Value], trail: &Trail, context: Context) -> Value {
        let tracked = Trail::start(&self.redactions).step(&self.redactions, Down::Member("payload"));
        let each = |meta| {
            let below = trail.step(&self.redactions, Down::Element);
            match (below, &tracked) {
                (Some(below), Some(tracked)) => self.walk(meta, &below.and(tracked.clone()), context),
                _ => self.personal(meta, context),
            }
        };
        let said: Vec<Value> = metas.iter().map(each).collect();
        if context.origin == Origin::Server && said.len() > 1 {
            return Value::Object(vec![(UNORDERED.to_owned(), Value::Array(said))]);
        }
        Value::Array(said)
    }

    fn made_up(&mut self, name: &str, value: &Value, context: Context) -> Option<Value> {
        match (context.place, name) {
            (Place::Presence, "phx_ref" | "phx_ref_prev") => self.volatile.reference(value),
            (Place::Bindings, "id") => self.volatile.id(value),
            (Place::Payload | Place::Inside, "commit_timestamp") => self.volatile.time(value),
            (Place::Payload, "ids") => {
                let ids = value.as_array()?.iter().map(|id| self.volatile.id(id));
                ids.collect::<Option<_>>().map(Value::Array)
            }
            _ => None,
        }
    }

    fn walk(&mut self, value: &Value, trail: &Trail, context: Context) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text, context)),
            Value::Array(elements) => {
                let elements = elements.iter().map(|element| {
                    let trail = trail.step(&self.redactions, Down::Element);
                    self.child("", element, trail, context)
                });
                Value::Array(elements.collect())
            }
            Value::Object(members) => {
                let is_alone = members.len() == 1;
                let members = members.iter().map(|(name, value)| {
                    let trail = trail.step(&self.redactions, Down::Member(name));
                    let said = match name.as_str() {
                        UNORDERED if is_alone => UNORDERED.replace('$', DOLLAR),
                        name => self.text(name, context),
                    };
                    (said, self.child(name, value, trail, context))
                });
                Value::Object(members.collect())
            }
            plain => plain.clone(),
        }
    }

    fn personal(&mut self, value: &Value, context: Context) -> Value {
        if let Value::Null = value {
            return Value::Null;
        }
        let key = value.to_string();
        let next = self.personal.len() + 1;
        let is_text = value.as_str().is_some();
        let known = match self.personal.get(&key) {
            Some(known) => *known,
            None if next > REMEMBERED_MAX => {
                return match (context.origin, is_text) {
                    (Origin::Client, _) => "redacted".into(),
                    (Origin::Server, true) => "${text}".into(),
                    (Origin::Server, false) => "${any}".into(),
                };
            }
            None => {
                let new = Personal {
                    number: next,
                    first: context.origin,
                };
                self.personal.insert(key, new);
                new
            }
        };
        Value::String(known.word(is_text))
    }

    /// A key or token by the place where it stands.
    fn secret(&mut self, text: &str, context: Context) -> String {
        if text.is_empty() {
            return String::new();
        }
        match find(text) {
            Some(_) => self.text(text, context),
            None => match self.secrets.placeholder(text) {
                Some(placeholder) => placeholder,
                None => self.secrets.add_key(text),
            },
        }
    }

    fn text(&mut self, text: &str, context: Context) -> String {
        if !self.personal.is_empty()
            && text.chars().count() >= PERSONAL_CHARS_MIN
            && let Some(known) = self.personal.get(&Value::text(text).to_string())
        {
            return known.word(true);
        }
        let made_up = match context.origin {
            Origin::Client => self.volatile.sent(text),
            Origin::Server => self.volatile.received(text, context.unix_ms),
        };
        if let Some(placeholder) = made_up {
            return placeholder;
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(found) = find(rest) {
            let (before, after) = rest.split_at(found.start);
            let (secret, after) = after.split_at(found.end - found.start);
            out.push_str(&literal(before));
            out.push_str(&self.found(secret, context));
            rest = after;
        }
        if let Some(placeholder) = self.secrets.placeholder(rest) {
            return out + &placeholder;
        }
        out + &literal(rest)
    }

    /// What stands for a secret that shows as one.
    fn found(&mut self, secret: &str, context: Context) -> String {
        if let Some(placeholder) = self.secrets.placeholder(secret) {
            return placeholder;
        }
        let Some(mut claims) = claims_of(secret) else {
            return self.secrets.add_key(secret);
        };
        let start = Trail::start(&self.redactions);
        let context = Context {
            origin: Origin::Client,
            place: Place::User,
            ..context
        };
        for (name, value) in &mut claims.claims {
            let trail = start.step(&self.redactions, Down::Member(name));
            *value = self.claim(value, trail, context);
        }
        self.secrets
            .add_token(secret, claims, context.unix_ms.div_euclid(1000))
    }

    /// Claims are signed as they are: they hold no placeholders.
    fn claim(&mut self, value: &Value, trail: Option<Trail>, context: Context) -> Value {
        let Some(trail) = trail else {
            return match self.personal(value, context) {
                Value::String(word) if word.starts_with("${") => "redacted".into(),
                word => word,
            };
        };
        match value {
            Value::Array(elements) => {
                let element = |value| {
                    let trail = trail.step(&self.redactions, Down::Element);
                    self.claim(value, trail, context)
                };
                Value::Array(elements.iter().map(element).collect())
            }
            Value::Object(members) => {
                let member = |(name, value): &(String, Value)| {
                    let trail = trail.step(&self.redactions, Down::Member(name));
                    (name.clone(), self.claim(value, trail, context))
                };
                Value::Object(members.iter().map(member).collect())
            }
            Value::String(text) => {
                // The server may say it; it is not of its making.
                self.volatile.sent(text);
                value.clone()
            }
            plain => plain.clone(),
        }
    }
}

impl Personal {
    fn word(self, is_text: bool) -> String {
        let number = self.number;
        match (self.first, is_text) {
            (Origin::Client, _) => format!("redacted-{number}"),
            (Origin::Server, true) => format!("${{text:redacted{number}}}"),
            (Origin::Server, false) => format!("${{any:redacted{number}}}"),
        }
    }
}

/// The event of a message that is no view: a view's is the user's.
fn event_of(message: &Value) -> Option<&str> {
    match message {
        Value::Array(elements) => elements.get(3)?.as_str(),
        _ if is_view(message) => Some("broadcast"),
        _ => message.get("event")?.as_str(),
    }
}

/// Whether it is the decoded form of a binary message, which has a kind instead of a payload that is an object of its own.
fn is_view(message: &Value) -> bool {
    message.get("kind").is_some() && message.get("encoding").is_some()
}

/// A text that stands for itself, also where it looks like a placeholder.
fn literal(text: &str) -> String {
    text.replace("${", &format!("{DOLLAR}{{"))
}

/// The parts of a message of 2.0.0.
const MEMBERS: [&str; 5] = ["join_ref", "ref", "topic", "event", "payload"];
/// Members that hold a token or key, whatever it looks like.
const SECRET_MEMBERS: [&str; 4] = ["access_token", "user_token", "refresh_token", "apikey"];
/// Parameters of a query and headers that do.
const SECRET_PARAMETERS: [&str; 6] = [
    "apikey",
    "token",
    "access_token",
    "user_token",
    "authorization",
    "x-api-key",
];
/// A dollar sign that begins no placeholder.
const DOLLAR: &str = "${fill:$:1}";
/// The member by which a file says that elements have no order.
const UNORDERED: &str = "$unordered";
/// Shorter texts are too common to be taken for a personal value wherever they are.
const PERSONAL_CHARS_MIN: usize = 3;

#[cfg(test)]
mod tests;
