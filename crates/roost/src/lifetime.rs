//! How long a token is valid.

use std::time::Duration;

/// Reads `90s`, `15m`, `1h`, `30d`; a number alone is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|char: char| !char.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(format!("{unit:?} is no unit: use s, m, h or d")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a number and a unit, as in 1h".to_owned())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_is_a_time() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("1h", 3_600),
            ("30d", 2_592_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "h", "1w", "1.5h", "-1s", "99999999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
