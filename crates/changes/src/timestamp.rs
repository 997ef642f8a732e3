//! Points in time as Postgres counts them.

use std::fmt;

/// Microseconds since 2000-01-01 00:00 UTC; negative before.
///
/// Shown as clients see a commit: UTC to the millisecond, cut and not rounded, `2026-08-21T12:03:56.123Z`.
/// Source: protocol-spec/postgres-changes.md, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

const MICROS_PER_MILLI: i64 = 1000;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// Days from 0000-03-01 to 2000-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_2000: i64 = 730_425;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.div_euclid(MICROS_PER_MILLI);
        let (year, month, day) = date(millis.div_euclid(MILLIS_PER_DAY));
        let of_day = millis.rem_euclid(MILLIS_PER_DAY);
        let (seconds, milli) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

/// Year, month and day of a day counted from 2000-01-01.
///
/// Years are counted from March, so that the day leap years add is the last of its year: then the length of all months
/// but the last follows a linear rule (153 days every five months).
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let days = days + DAYS_TO_2000;
    let era = days.div_euclid(DAYS_PER_ERA);
    let of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The day of a date, counted from 2000-01-01; `None` if there is no such date. The year before 1 is 0.
pub(crate) fn days_since_2000(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let year_from_march = year - i64::from(month <= 2);
    let from_march = (month + 9) % 12;
    let leap_days =
        year_from_march.div_euclid(4) - year_from_march.div_euclid(100) + year_from_march.div_euclid(400);
    let days = 365 * year_from_march + leap_days + (153 * from_march + 2) / 5 + day - 1 - DAYS_TO_2000;
    (date(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_shown_in_utc_to_the_millisecond() {
        for (micros, shown) in [
            (0, "2000-01-01T00:00:00.000Z"),
            (-1, "1999-12-31T23:59:59.999Z"),
            (999, "2000-01-01T00:00:00.000Z"),
            (59 * 86_400_000_000, "2000-02-29T00:00:00.000Z"),
            (60 * 86_400_000_000, "2000-03-01T00:00:00.000Z"),
            (366 * 86_400_000_000 - 1, "2000-12-31T23:59:59.999Z"),
            // select (extract(epoch from …) - 946684800) * 1000000
            (840_629_036_123_456, "2026-08-21T12:03:56.123Z"),
            (-3_155_673_600_000_000, "1900-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), shown);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = date(-40_000);
        for days in -39_999..150_000 {
            let today = date(days);
            let (year, month, day) = today;
            let next = last.2 + 1 == day && (last.0, last.1) == (year, month)
                || day == 1 && last.1 + 1 == month && last.0 == year
                || day == 1 && (last.1, month) == (12, 1) && last.0 + 1 == year;
            assert!(next, "{last:?} {today:?}");
            assert_eq!(days_since_2000(year, month, day), Some(days));
            last = today;
        }
    }

    #[test]
    fn dates_that_do_not_exist_have_no_day() {
        for (year, month, day) in [
            (2026, 2, 29),
            (1900, 2, 29),
            (2026, 4, 31),
            (2026, 0, 1),
            (2026, 13, 1),
            (2026, 1, 0),
        ] {
            assert_eq!(days_since_2000(year, month, day), None);
        }
    }

    #[test]
    fn no_count_overflows() {
        for micros in [i64::MIN, i64::MAX] {
            assert!(Timestamp(micros).to_string().ends_with('Z'));
        }
    }
}
