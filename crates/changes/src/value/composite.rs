//! Composite values: `(1,"a ""b""",)`.

use std::borrow::Cow;

use phoenix_wire::json::write_string;

use super::write as write_value;
use crate::jsonb;
use crate::table::Field;

/// Writes a composite value as an object. False if the text is none, or not one of these fields.
pub(super) fn write(out: &mut String, fields: &[Field], text: &str) -> bool {
    let Some(values) = parse(text, fields.len()) else {
        return false;
    };
    let mut members: Vec<_> = fields.iter().zip(values).collect();
    members.sort_by(|(a, _), (b, _)| jsonb::compare_keys(&a.name, &b.name));
    out.push('{');
    for (index, (field, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(out, &field.name);
        out.push(':');
        match value {
            Some(value) => write_value(out, &field.r#type, &value),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    true
}

/// The texts of `count` fields; `None` where there is nothing between two commas, which is NULL.
fn parse(text: &str, count: usize) -> Option<Vec<Option<Cow<'_, str>>>> {
    let mut rest = text.strip_prefix('(')?;
    let mut values = Vec::with_capacity(count);
    if count > 0 {
        loop {
            let value;
            (value, rest) = parse_field(rest)?;
            values.push(value);
            match rest.strip_prefix(',') {
                Some(found) if values.len() < count => rest = found,
                _ => break,
            }
        }
    }
    (values.len() == count && rest == ")").then_some(values)
}

/// The field the text starts with, and what follows it.
fn parse_field(text: &str) -> Option<(Option<Cow<'_, str>>, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let (bare, rest) = text.split_at(text.find([',', ')'])?);
        return Some(((!bare.is_empty()).then_some(Cow::Borrowed(bare)), rest));
    };
    let mut value = String::new();
    loop {
        let (plain, special) = rest.split_at(rest.find(['"', '\\'])?);
        value.push_str(plain);
        let mut chars = special.chars();
        let quote = chars.next() == Some('"');
        // Both are written twice; a quote that stands alone is the closing one.
        if quote && !chars.as_str().starts_with('"') {
            return Some((Some(Cow::Owned(value)), chars.as_str()));
        }
        value.push(chars.next()?);
        rest = chars.as_str();
    }
}
