//! Numbers: grammar, range and term size, without computing more of the value than these need.

use super::{JsonError, JsonErrorKind, term};

pub(super) struct Number {
    pub(super) end: usize,
    pub(super) term_size: u32,
}

/// Digits of an integer that always fit 128 bits.
const EXACT_DIGITS: usize = 38;

/// Decimal exponents up to here need no closer look: `9.99…e307` is a double.
const SAFE_EXPONENT: i64 = 307;

/// Scans the number at `start`, where a digit or a minus sign stands.
///
/// # Errors
///
/// [`JsonErrorKind::BadNumber`], or [`JsonErrorKind::NumberOutOfRange`] for a fraction or exponent form beyond the
/// doubles. Numbers too small for a double are zero, as everywhere.
pub(super) fn scan(text: &str, start: usize) -> Result<Number, JsonError> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes
            .iter()
            .skip(from)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let bad = |at: usize| {
        let kind = if at < bytes.len() {
            JsonErrorKind::BadNumber
        } else {
            JsonErrorKind::Truncated
        };
        JsonError { kind, at }
    };

    let negative = bytes.get(start) == Some(&b'-');
    let integer = start + usize::from(negative);
    let integer_digits = digits(integer);
    if integer_digits == 0 || (integer_digits > 1 && bytes.get(integer) == Some(&b'0')) {
        return Err(bad(integer));
    }
    let mut end = integer + integer_digits;
    let mut is_float = false;

    if bytes.get(end) == Some(&b'.') {
        let fraction_digits = digits(end + 1);
        if fraction_digits == 0 {
            return Err(bad(end + 1));
        }
        is_float = true;
        end += 1 + fraction_digits;
    }
    let mut exponent = 0;
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = bytes.get(end + 1);
        let from = end + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        let exponent_digits = digits(from);
        if exponent_digits == 0 {
            return Err(bad(from));
        }
        is_float = true;
        end = from + exponent_digits;
        let magnitude: i64 = slice(text, from, end).parse().unwrap_or(i64::MAX / 2);
        exponent = if sign == Some(&b'-') {
            -magnitude
        } else {
            magnitude
        };
    }

    let term_size = if is_float {
        if exponent + integer_digits as i64 > SAFE_EXPONENT && !is_finite(slice(text, start, end)) {
            return Err(JsonError {
                kind: JsonErrorKind::NumberOutOfRange,
                at: start,
            });
        }
        term::FLOAT
    } else {
        integer_term_size(negative, slice(text, integer, end))
    };
    Ok(Number { end, term_size })
}

fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

fn is_finite(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Exact up to [`EXACT_DIGITS`]; beyond, from the logarithm, which is off by a byte only within 1e-10 of a power of 256.
fn integer_term_size(negative: bool, digits: &str) -> u32 {
    if let Some(leading) = digits.get(..EXACT_DIGITS)
        && digits.len() > EXACT_DIGITS
    {
        let leading: f64 = leading.parse().unwrap_or(1.0);
        let bits = leading.log2() + (digits.len() - EXACT_DIGITS) as f64 * std::f64::consts::LOG2_10;
        return term::big((bits / 8.0) as u64 + 1);
    }
    term::integer(negative, digits.parse().unwrap_or(u128::MAX))
}
