//! Numbers as `numeric` prints them: digits and a point, never an exponent, never a negative zero.

/// Largest exponent, up or down, that is written out as digits. A double needs 324; beyond, a short text would become
/// an arbitrarily long one.
pub const EXPONENT_MAX: i32 = 400;

/// Writes a number of Postgres or JSON. False if the text is none, as `NaN` and `Infinity` are.
///
/// The scale follows `numeric`: an exponent moves the point and takes as many digits from the fraction, so `1.50e1` is
/// `15.0` and `2e3` is `2000`.
pub(super) fn write(out: &mut String, text: &str) -> bool {
    let Some(number) = Number::parse(text) else {
        return false;
    };
    if number.exponent.unsigned_abs() > EXPONENT_MAX.unsigned_abs() {
        out.push_str(text);
        return true;
    }
    let is_zero = number.digits().all(|digit| digit == '0');
    if number.negative && !is_zero {
        out.push('-');
    }
    let integer_digits = number.integer.len() as i64 + i64::from(number.exponent);
    let fraction_digits = (number.fraction.len() as i64 - i64::from(number.exponent)).max(0);
    write_integer(out, &number, integer_digits);
    if fraction_digits > 0 {
        out.push('.');
        for _ in integer_digits..0 {
            out.push('0');
        }
        out.extend(
            number
                .digits()
                .skip(usize::try_from(integer_digits).unwrap_or_default()),
        );
    }
    true
}

/// The first `count` digits without leading zeros, filled up behind; `0` if that is nothing.
fn write_integer(out: &mut String, number: &Number<'_>, count: i64) {
    let count = usize::try_from(count).unwrap_or_default();
    let start = out.len();
    let filled = number.digits().chain(std::iter::repeat('0')).take(count);
    out.extend(filled.skip_while(|digit| *digit == '0'));
    if out.len() == start {
        out.push('0');
    }
}

/// A number taken apart.
struct Number<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        let is_number = is_digits(integer)
            && fraction.is_none_or(is_digits)
            && (integer.len() == 1 || !integer.starts_with('0'));
        is_number.then_some(Self {
            negative,
            integer,
            fraction: fraction.unwrap_or_default(),
            exponent,
        })
    }

    fn digits(&self) -> impl Iterator<Item = char> {
        self.integer.chars().chain(self.fraction.chars())
    }
}

/// An exponent beyond 32 bits comes out as one that is beyond [`EXPONENT_MAX`] as well.
fn parse_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    is_digits(digits).then(|| text.parse().unwrap_or(i32::MAX))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let mut out = String::new();
        write(&mut out, text).then_some(out)
    }

    #[test]
    fn the_point_moves_and_the_scale_follows() {
        // As `select '…'::numeric` prints.
        for (text, numeric) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("0e5", "0"),
            ("0.0e5", "0"),
            ("0e-2", "0.00"),
            ("2e3", "2000"),
            ("2E+3", "2000"),
            ("1.0", "1.0"),
            ("1.50e1", "15.0"),
            ("1.50e2", "150"),
            ("1.50e3", "1500"),
            ("-12.34e-1", "-1.234"),
            ("12.34e-2", "0.1234"),
            ("12.34e-4", "0.001234"),
            ("5e-3", "0.005"),
            ("0.001e2", "0.1"),
            ("0.001e5", "100"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(numeric), "{text}");
        }
    }

    #[test]
    fn every_finite_double_is_written_out() {
        for double in [f64::MAX, f64::MIN_POSITIVE, 5e-324, -1.5e300, 1e22, 0.1] {
            let digits = shown(&format!("{double:e}")).unwrap();
            assert!(!digits.contains('e'));
            assert_eq!(digits.parse::<f64>().unwrap().to_bits(), double.to_bits());
        }
    }

    #[test]
    fn huge_exponents_stay() {
        for text in [
            "1e401",
            "-1.5E-401",
            "1e99999999999999999999",
            "1e-99999999999999999999",
        ] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        assert_eq!(shown("1e400").unwrap().len(), 401);
        assert_eq!(shown("1e-400").unwrap().len(), 402);
    }

    #[test]
    fn what_is_no_number_is_not_written() {
        for text in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1e1.5", "NaN", "Infinity", "0x1", "1 ", "é",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
