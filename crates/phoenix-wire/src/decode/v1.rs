//! 1.0.0: `{"topic":…,"event":…,"payload":…,"ref":…,"join_ref":…}`, members in any order.

use super::Malformed;
use crate::json::{self, JsonError, Scanner, Span, text_of};
use crate::{Incoming, Name, Payload, RefView};

pub(super) fn decode(bytes: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let mut scanner = Scanner::new(text_of(bytes)?);
    let fields = match scan_fields(&mut scanner)? {
        Some(fields) => fields,
        None => {
            // Tell bad JSON from the wrong type: the log should say which it was.
            scanner.value()?;
            scanner.end()?;
            return Err(Malformed::NotAnObject);
        }
    };
    let [topic, event, payload, reference] = [
        (fields.topic, "topic"),
        (fields.event, "event"),
        (fields.payload, "payload"),
        (fields.reference, "ref"),
    ]
    .map(|(field, name)| field.ok_or(Malformed::MissingMember(name)));
    Ok(Incoming {
        join_ref: fields
            .join_ref
            .map_or(RefView::NULL, |span| RefView::Json(scanner.raw(span))),
        reference: RefView::Json(scanner.raw(reference?)),
        topic: name(scanner.raw(topic?)),
        event: name(scanner.raw(event?)),
        payload: Payload::Json(scanner.checked(payload?)),
    })
}

/// A topic or event out of its JSON text.
pub(super) fn name(text: &str) -> Name<'_> {
    json::string(text).map_or(Name::Other(text), Name::Text)
}

#[derive(Default)]
struct Fields {
    topic: Option<Span>,
    event: Option<Span>,
    payload: Option<Span>,
    reference: Option<Span>,
    join_ref: Option<Span>,
}

/// The members that matter; the first of a name wins. `None`, with nothing consumed, if this is no object.
fn scan_fields(scanner: &mut Scanner<'_>) -> Result<Option<Fields>, JsonError> {
    let mut fields = Fields::default();
    if !scanner.eat(b'{') {
        return Ok(None);
    }
    if scanner.eat(b'}') {
        scanner.end()?;
        return Ok(Some(fields));
    }
    loop {
        let name = scanner.name()?;
        scanner.expect(b':')?;
        let value = scanner.value()?;
        let field = match &*name {
            "topic" => Some(&mut fields.topic),
            "event" => Some(&mut fields.event),
            "payload" => Some(&mut fields.payload),
            "ref" => Some(&mut fields.reference),
            "join_ref" => Some(&mut fields.join_ref),
            _ => None,
        };
        if let Some(field) = field {
            field.get_or_insert(value);
        }
        if !scanner.eat(b',') {
            break;
        }
    }
    scanner.expect(b'}')?;
    scanner.end()?;
    Ok(Some(fields))
}
