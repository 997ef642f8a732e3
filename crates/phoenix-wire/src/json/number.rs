//! Numbers: grammar, range and term size, without computing more of the value than these need.

use super::{JsonError, JsonErrorKind, term};

pub(super) struct Number {
    pub(super) end: usize,
    pub(super) term_size: u32,
}

/// Decimal exponents up to here need no closer look: `9.99…e307` is a double.
const SAFE_EXPONENT: i64 = 307;

/// Digits of an integer that always fit 64 bits.
const DIGITS_64_BIT: usize = 19;

/// Digits of an integer that always fit 128 bits.
const DIGITS_128_BIT: usize = 38;

/// Scans the number at `start`, where a digit or a minus sign stands.
///
/// # Errors
///
/// [`JsonErrorKind::BadNumber`], or [`JsonErrorKind::NumberOutOfRange`] for a fraction or exponent form beyond the
/// doubles. Numbers too small for a double are zero, as everywhere.
pub(super) fn scan(text: &str, start: usize) -> Result<Number, JsonError> {
    let bytes = text.as_bytes();
    let negative = bytes.get(start) == Some(&b'-');
    let integer = Digits::at(bytes, start + usize::from(negative))?;
    if integer.len > 1 && bytes.get(integer.start) == Some(&b'0') {
        return Err(bad(bytes, integer.start));
    }
    match bytes.get(integer.end()) {
        Some(b'.' | b'e' | b'E') => scan_float(text, start, &integer),
        _ => Ok(Number {
            end: integer.end(),
            term_size: integer_term_size(text, negative, &integer),
        }),
    }
}

/// Scans what follows the integer part of a fraction or exponent form.
fn scan_float(text: &str, start: usize, integer: &Digits) -> Result<Number, JsonError> {
    let bytes = text.as_bytes();
    let mut end = integer.end();
    if bytes.get(end) == Some(&b'.') {
        end = Digits::at(bytes, end + 1)?.end();
    }
    let mut exponent = 0;
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = bytes.get(end + 1);
        let digits = Digits::at(bytes, end + 1 + usize::from(matches!(sign, Some(b'+' | b'-'))))?;
        let magnitude = if digits.len <= DIGITS_64_BIT {
            digits.value
        } else {
            u64::MAX
        };
        let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX).min(i64::MAX / 2);
        exponent = if sign == Some(&b'-') {
            -magnitude
        } else {
            magnitude
        };
        end = digits.end();
    }
    let may_overflow = exponent + integer.len as i64 > SAFE_EXPONENT;
    if may_overflow && !is_finite(text.get(start..end).unwrap_or_default()) {
        return Err(JsonError {
            kind: JsonErrorKind::NumberOutOfRange,
            at: start,
        });
    }
    Ok(Number {
        end,
        term_size: term::FLOAT,
    })
}

fn is_finite(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Exact up to 38 digits; beyond, from the logarithm, which is off by a byte only within 1e-10 of a power of 256.
fn integer_term_size(text: &str, negative: bool, digits: &Digits) -> u32 {
    if digits.len <= DIGITS_64_BIT {
        return term::integer(negative, digits.value);
    }
    let leading = text
        .get(digits.start..digits.start + digits.len.min(DIGITS_128_BIT))
        .unwrap_or_default();
    if digits.len <= DIGITS_128_BIT {
        let magnitude: u128 = leading.parse().unwrap_or(u128::MAX);
        return term::big(u64::from(u128::BITS - magnitude.leading_zeros()).div_ceil(8));
    }
    let leading: f64 = leading.parse().unwrap_or(1.0);
    let bits = leading.log2() + (digits.len - DIGITS_128_BIT) as f64 * std::f64::consts::LOG2_10;
    term::big((bits / 8.0) as u64 + 1)
}

/// A run of one or more digits.
struct Digits {
    start: usize,
    len: usize,
    /// Their value; meaningless beyond [`DIGITS_64_BIT`] digits.
    value: u64,
}

impl Digits {
    fn at(bytes: &[u8], start: usize) -> Result<Self, JsonError> {
        let mut digits = Self {
            start,
            len: 0,
            value: 0,
        };
        for byte in bytes.get(start..).unwrap_or_default() {
            if !byte.is_ascii_digit() {
                break;
            }
            digits.value = digits.value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            digits.len += 1;
        }
        if digits.len == 0 {
            Err(bad(bytes, start))
        } else {
            Ok(digits)
        }
    }

    fn end(&self) -> usize {
        self.start + self.len
    }
}

fn bad(bytes: &[u8], at: usize) -> JsonError {
    let kind = if at < bytes.len() {
        JsonErrorKind::BadNumber
    } else {
        JsonErrorKind::Truncated
    };
    JsonError { kind, at }
}
