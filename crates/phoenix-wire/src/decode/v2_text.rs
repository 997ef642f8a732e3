//! 2.0.0, text: `[join_ref, ref, topic, event, payload]`. Elements after the fifth are ignored.

use super::Malformed;
use super::v1::name;
use crate::json::{Scanner, text_of};
use crate::{Incoming, Payload, RefView};

pub(super) fn decode(bytes: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let mut scanner = Scanner::new(text_of(bytes)?);
    if !scanner.eat(b'[') {
        scanner.value()?;
        scanner.end()?;
        return Err(Malformed::NotFiveElements);
    }
    if scanner.eat(b']') {
        scanner.end()?;
        return Err(Malformed::NotFiveElements);
    }
    let mut elements = [None; 5];
    let mut slots = elements.iter_mut();
    loop {
        let value = scanner.value()?;
        if let Some(slot) = slots.next() {
            *slot = Some(value);
        }
        if !scanner.eat(b',') {
            break;
        }
    }
    scanner.expect(b']')?;
    scanner.end()?;
    let [
        Some(join_ref),
        Some(reference),
        Some(topic),
        Some(event),
        Some(payload),
    ] = elements
    else {
        return Err(Malformed::NotFiveElements);
    };
    Ok(Incoming {
        join_ref: RefView::Json(scanner.raw(join_ref)),
        reference: RefView::Json(scanner.raw(reference)),
        topic: name(scanner.raw(topic)),
        event: name(scanner.raw(event)),
        payload: Payload::Json(scanner.checked(payload)),
    })
}
