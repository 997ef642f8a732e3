//! Numbers of any precision, compared exactly.

use std::cmp::Ordering;

/// A value of `numeric`. Equal values are equal however they are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Decimal {
    NegativeInfinity,
    Negative(Magnitude),
    Zero,
    Positive(Magnitude),
    Infinity,
    /// Equal to itself and above all others.
    NaN,
}

/// A number above zero: 0.`digits` times ten to the power of `exponent`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Magnitude {
    // Numbers with more digits in front of the point are larger; only then the digits decide. The first and the last
    // digit are not zero.
    exponent: i64,
    digits: Box<str>,
}

impl Decimal {
    /// Reads a number as `numeric` does.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(super::scale::is_space);
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        if text.eq_ignore_ascii_case("nan") {
            return Some(Self::NaN);
        }
        if ["infinity", "inf"]
            .iter()
            .any(|word| unsigned.eq_ignore_ascii_case(word))
        {
            return Some(if negative {
                Self::NegativeInfinity
            } else {
                Self::Infinity
            });
        }
        Some(match Magnitude::parse(unsigned)? {
            None => Self::Zero,
            Some(magnitude) if negative => Self::Negative(magnitude),
            Some(magnitude) => Self::Positive(magnitude),
        })
    }

    fn rank(&self) -> u8 {
        match self {
            Self::NegativeInfinity => 0,
            Self::Negative(_) => 1,
            Self::Zero => 2,
            Self::Positive(_) => 3,
            Self::Infinity => 4,
            Self::NaN => 5,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Positive(a), Self::Positive(b)) => a.cmp(b),
            (Self::Negative(a), Self::Negative(b)) => b.cmp(a),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Magnitude {
    /// `Some(None)` is zero.
    fn parse(text: &str) -> Option<Option<Self>> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [integer, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        let leading_zeros = digits.len() - significant.len();
        let significant = significant.trim_end_matches('0');
        if significant.is_empty() {
            return Some(None);
        }
        Some(Some(Self {
            exponent: exponent + integer.len() as i64 - leading_zeros as i64,
            digits: significant.into(),
        }))
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Beyond 32 bits is beyond all numbers either way.
    is_number.then(|| {
        let limit = if text.starts_with('-') { i32::MIN } else { i32::MAX };
        i64::from(text.parse().unwrap_or(limit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn numbers_are_in_the_order_of_numeric() {
        let ascending = [
            "-Infinity",
            "-1e30",
            "-12345678901234567890.1",
            "-12345678901234567890",
            "-10",
            "-9.5",
            "-1",
            "-0.1",
            "-0.09",
            "0",
            "1e-20",
            "0.099",
            ".1",
            "1",
            "1.0000000000000000000000000000001",
            "9",
            "10",
            "99999999999999999999999999999999999999",
            "1e38",
            "inf",
            "NaN",
        ];
        for (at, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(decimal(a).cmp(&decimal(b)), at.cmp(&other), "{a} {b}");
            }
        }
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        for (a, b) in [
            ("1.50", "1.5"),
            ("+15e-1", " 1.5\t"),
            ("5.", "5"),
            ("100", "1E2"),
            ("-0.000", "0"),
            ("0e999999999999", "0"),
            ("007", "7"),
            ("nan", "NaN"),
            ("+Infinity", "INF"),
        ] {
            assert_eq!(decimal(a), decimal(b), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "", " ", "-", ".", "e5", "1e", "1e+", "1 2", "--1", "1.2.3", "x", "-nan", "1_000", "1e1.5",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
