//! Arrays: `{1,NULL,"a \"b\""}`.

use super::write as write_value;
use crate::table::Type;

/// Dimensions an array can have; `MAXDIM` of Postgres.
const DIMENSIONS_MAX: usize = 6;

/// Writes an array. False if the text is none.
pub(super) fn write(out: &mut String, element: &Type, delimiter: char, text: &str) -> bool {
    // Bounds that do not start at 1 stand in front: `[0:2]={…}`.
    let mut rest = match text.strip_prefix('[') {
        Some(bounds) => bounds.split_once('=').map_or("", |(_, array)| array),
        None => text,
    };
    let mut depth = 0_usize;
    // A value has ended, so a delimiter or the end of its array has to follow.
    let mut after_value = false;
    loop {
        if after_value {
            if depth == 0 {
                return rest.is_empty();
            }
            if let Some(found) = rest.strip_prefix('}') {
                rest = found;
                depth -= 1;
                out.push(']');
            } else if let Some(found) = rest.strip_prefix(delimiter) {
                rest = found;
                after_value = false;
                out.push(',');
            } else {
                return false;
            }
        } else if let Some(found) = rest.strip_prefix('{') {
            depth += 1;
            if depth > DIMENSIONS_MAX {
                return false;
            }
            out.push('[');
            rest = found;
            // Only a whole array is empty.
            if depth == 1 && rest == "}" {
                out.push(']');
                return true;
            }
        } else if depth == 0 {
            return false;
        } else {
            let Some(found) = write_element(out, element, delimiter, rest) else {
                return false;
            };
            rest = found;
            after_value = true;
        }
    }
}

/// Writes the element the text starts with and returns what follows it.
fn write_element<'a>(out: &mut String, element: &Type, delimiter: char, text: &'a str) -> Option<&'a str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([delimiter, '}'])?;
        let (bare, rest) = text.split_at(end);
        match bare {
            "" => return None,
            "NULL" => out.push_str("null"),
            _ => write_value(out, element, bare),
        }
        return Some(rest);
    };
    let mut value = String::new();
    let mut rest = quoted;
    loop {
        let (plain, special) = rest.split_at(rest.find(['"', '\\'])?);
        value.push_str(plain);
        let mut chars = special.chars();
        if chars.next() == Some('"') {
            write_value(out, element, &value);
            return Some(chars.as_str());
        }
        value.push(chars.next()?);
        rest = chars.as_str();
    }
}
