//! Dates and times, read from what ISO 8601 and Postgres write alike.
//!
//! Whatever the database writes is read. Of what clients may write it reads many more notations: those with names of
//! months or days, and words like `yesterday`, are not read here.

use crate::timestamp::days_since_2000;

/// Microseconds since 2000-01-01 00:00, of UTC or of nowhere; the two infinities are below and above all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Moment {
    NegativeInfinity,
    At(i128),
    Infinity,
}

/// What of a moment a type keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// The day.
    Date,
    /// Day and time, whatever the offset.
    Timestamp,
    /// The point in time; without an offset that of UTC.
    TimestampTz,
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Years are given with at most as many digits.
const YEAR_DIGITS_MAX: usize = 7;

impl Moment {
    /// Reads a date or time: `2026-02-28`, `2026-02-28 12:34:56.5+02`, `2026-02-28T10:34Z`, `0044-03-15 BC`, `infinity`.
    pub(crate) fn parse(text: &str, precision: Precision) -> Option<Self> {
        let text = text.trim_matches(super::scale::is_space);
        if ["infinity", "+infinity"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
        {
            return Some(Self::Infinity);
        }
        if text.eq_ignore_ascii_case("-infinity") {
            return Some(Self::NegativeInfinity);
        }
        let (text, before_christ) = match text.strip_suffix("BC").or_else(|| text.strip_suffix("bc")) {
            Some(text) => (text.trim_end(), true),
            None => (text, false),
        };
        let (date, rest) = match text.find([' ', 'T', 't']) {
            Some(at) => (text.get(..at)?, text.get(at + 1..)?),
            None => (text, ""),
        };
        let day = parse_date(date, before_christ)?;
        let (time, offset) = if rest.is_empty() {
            (0, 0)
        } else {
            parse_time(rest)?
        };
        let day = i128::from(day) * i128::from(MICROS_PER_DAY);
        Some(Self::At(match precision {
            Precision::Date => day,
            Precision::Timestamp => day + i128::from(time),
            Precision::TimestampTz => day + i128::from(time - offset),
        }))
    }
}

fn parse_date(text: &str, before_christ: bool) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?;
    if year.len() < 4 || year.len() > YEAR_DIGITS_MAX {
        return None;
    }
    let year = number(year)?;
    let month = two_digits(parts.next()?)?;
    let day = two_digits(parts.next()?)?;
    let year = match (before_christ, year) {
        (_, 0) => return None,
        // There is no year zero: 1 BC is followed by 1 AD.
        (true, year) => 1 - year,
        (false, year) => year,
    };
    days_since_2000(year, month, day)
}

/// Microseconds of the day, and the offset to UTC in microseconds.
fn parse_time(text: &str) -> Option<(i64, i64)> {
    let (time, offset) = match text.find(['+', '-', 'Z', 'z']) {
        Some(at) => (text.get(..at)?.trim_end(), parse_offset(text.get(at..)?)?),
        None => (text, 0),
    };
    let mut parts = time.splitn(3, ':');
    let hour = two_digits(parts.next()?)?;
    let minute = two_digits(parts.next()?)?;
    let (second, micros) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            (two_digits(seconds)?, parse_fraction(fraction)?)
        }
    };
    let of_day = (hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + micros;
    let is_time = minute < 60 && second <= 60 && of_day <= MICROS_PER_DAY;
    is_time.then_some((of_day, offset))
}

/// Microseconds of the digits after a point, rounded.
fn parse_fraction(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut shown = digits
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .map(|byte| i64::from(byte - b'0'));
    let micros = shown
        .by_ref()
        .take(6)
        .fold(0, |micros, digit| micros * 10 + digit);
    let rounded_up = shown.next().is_some_and(|digit| digit >= 5);
    Some(micros + i64::from(rounded_up))
}

/// `Z`, `+02`, `+02:30`, `+0230` or `+02:30:15`.
fn parse_offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let mut fields = [0; 3];
    let mut digits = 0;
    for byte in text.bytes().skip(1).filter(|byte| *byte != b':') {
        let field = fields.get_mut(digits / 2).filter(|_| byte.is_ascii_digit())?;
        *field = *field * 10 + i64::from(byte - b'0');
        digits += 1;
    }
    let [hours, minutes, seconds] = fields;
    let is_offset = digits > 0 && digits % 2 == 0 && hours < 16 && minutes < 60 && seconds < 60;
    let offset = (hours * 3600 + minutes * 60 + seconds) * MICROS_PER_SECOND;
    is_offset.then_some(if text.starts_with('-') { -offset } else { offset })
}

fn two_digits(text: &str) -> Option<i64> {
    (1..=2).contains(&text.len()).then(|| number(text))?
}

fn number(text: &str) -> Option<i64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::Precision::*;
    use super::*;

    fn moment(text: &str, precision: Precision) -> Moment {
        Moment::parse(text, precision).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn points_in_time_are_compared_whatever_their_offset() {
        for (a, b) in [
            ("2026-01-31T12:00:00+02:00", "2026-01-31 10:00:00+00"),
            ("2026-01-31T10:00Z", "2026-01-31 10:00:00"),
            ("2026-01-31 00:30:00+0530", "2026-01-30 19:00:00 +00"),
            ("2026-01-31 24:00:00+00", "2026-02-01 00:00:00Z"),
            ("2026-1-3 4:05:06", "2026-01-03 04:05:06.000000"),
            ("2026-01-31 10:00:00.1234567+00", "2026-01-31 10:00:00.123457+00"),
            ("2026-01-31", "2026-01-31 00:00:00+00"),
            ("1900-01-01 00:00:00-01:15:30", "1900-01-01 01:15:30+00"),
        ] {
            assert_eq!(moment(a, TimestampTz), moment(b, TimestampTz), "{a} {b}");
        }
    }

    #[test]
    fn days_and_local_times_have_no_offset() {
        assert_eq!(
            moment("2026-01-31 12:00:00+02", Timestamp),
            moment("2026-01-31 12:00:00", Timestamp)
        );
        assert_eq!(moment("2026-01-31 23:59:59", Date), moment("2026-01-31", Date));
    }

    #[test]
    fn eras_and_infinities_are_in_order() {
        let ascending = [
            "-infinity",
            "0044-03-15 00:00:00 BC",
            "0044-03-16 00:00:00 BC",
            "0001-12-31 23:59:59.999999 BC",
            "0001-01-01",
            "1999-12-31 23:59:59.999999",
            "2000-01-01",
            "2000-02-29",
            "2000-03-01",
            "12026-01-01",
            "5874897-12-31",
            "Infinity",
        ];
        for pair in ascending.windows(2) {
            assert!(
                moment(pair[0], Timestamp) < moment(pair[1], Timestamp),
                "{pair:?}"
            );
        }
        let eve = moment("0001-12-31 BC", Date);
        let Moment::At(eve) = eve else { panic!() };
        assert_eq!(
            moment("0001-01-01", Date),
            Moment::At(eve + i128::from(MICROS_PER_DAY))
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-00-01",
            "2026-01-00",
            "0000-01-01",
            "26-01-01",
            "2026-01-01 25:00:00",
            "2026-01-01 10",
            "2026-01-01 10:60",
            "2026-01-01 10:00:00+",
            "2026-01-01 10:00:00+2",
            "2026-01-01 10:00:00+99",
            "2026-01-01 10:00:00.x",
            "2026-01-01 é",
            "99999999-01-01",
            "Jan 8 1999",
        ] {
            assert_eq!(Moment::parse(text, TimestampTz), None, "{text}");
        }
    }
}
