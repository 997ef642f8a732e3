//! Numbers as decimal text: equal as numbers at any precision, or equal as text.

use std::fmt;

/// A JSON number as it was written.
///
/// `==` compares the text; [`is_same_number`](Self::is_same_number) compares what it stands for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

impl Number {
    /// Takes a text of JSON's number grammar: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let is_valid = is_digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(is_digits)
            && exponent.is_none_or(|text| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)));
        is_valid.then(|| Self(text.to_owned()))
    }

    /// The number made of these digits, which may start with zeros.
    pub fn from_digits(digits: &str) -> Option<Self> {
        let stripped = digits.trim_start_matches('0');
        Self::parse(if stripped.is_empty() && !digits.is_empty() {
            "0"
        } else {
            stripped
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if both are the same decimal number, whatever their notation: `1.50`, `1.5` and `15e-1` are.
    pub fn is_same_number(&self, other: &Self) -> bool {
        self.0 == other.0
            || match (self.decimal(), other.decimal()) {
                (Some(one), Some(two)) => one == two,
                _ => false,
            }
    }

    /// True if the number has no fraction: `7`, but also `7.0` and `7e2`.
    pub fn is_integer(&self) -> bool {
        self.decimal().is_some_and(|decimal| decimal.exponent >= 0)
    }

    /// The number if it is a plain integer within the type.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// None if the exponent is beyond 64 bits; such numbers are only equal as text.
    fn decimal(&self) -> Option<Decimal> {
        let (is_negative, rest) = match self.0.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, self.0.as_str()),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Decimal {
                is_negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let significant = digits.trim_end_matches('0');
        let exponent = exponent
            .parse::<i64>()
            .ok()?
            .checked_sub(i64::try_from(fraction.len()).ok()?)?
            .checked_add(i64::try_from(digits.len() - significant.len()).ok()?)?;
        Some(Decimal {
            is_negative,
            digits: significant.to_owned(),
            exponent,
        })
    }
}

/// `±digits · 10^exponent` without zeros at either end of the digits; zero has none.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn notation_does_not_matter() {
        for (one, two) in [
            ("1.50", "1.5"),
            ("1.5", "15e-1"),
            ("100", "1E+2"),
            ("0", "-0.0"),
            ("0e5", "0"),
            (
                "12345678901234567890.1234567890",
                "1234567890123456789012345678.9e-8",
            ),
            ("1e400", "10e399"),
            ("1e99999999999999999999", "1e99999999999999999999"),
        ] {
            assert!(number(one).is_same_number(&number(two)), "{one} {two}");
        }
    }

    #[test]
    fn the_last_digit_matters() {
        for (one, two) in [
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.10000000000000000000000001"),
            ("1", "-1"),
            ("1e400", "1e401"),
            ("1", "10"),
            ("1e99999999999999999999", "10e99999999999999999998"),
        ] {
            assert!(!number(one).is_same_number(&number(two)), "{one} {two}");
        }
    }

    #[test]
    fn integers_have_no_fraction_in_any_notation() {
        for text in ["0", "-7", "7.0", "7e2", "1.5e1", "12345678901234567890"] {
            assert!(number(text).is_integer(), "{text}");
        }
        for text in ["0.5", "15e-1", "1e-1"] {
            assert!(!number(text).is_integer(), "{text}");
        }
    }

    #[test]
    fn only_the_grammar_of_json_is_a_number() {
        for text in [
            "", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "NaN", "1 ", "--1",
        ] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
        assert_eq!(Number::from_digits("007"), Number::parse("7"));
        assert_eq!(Number::from_digits("00"), Number::parse("0"));
        assert_eq!(Number::from_digits(""), None);
    }
}
