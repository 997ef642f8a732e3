//! `config.broadcast.replay`: which messages of the past a join asks for. Source: protocol-spec/broadcast.md, section 7.

use crate::json::{self, Kind};

/// Most messages a replay yields, and how many it yields if the client does not say.
pub const REPLAY_LIMIT_MAX: u8 = 25;

/// Milliseconds since the epoch that a calendar with years of four digits, before or after year 0, can show.
const SINCE_MS: std::ops::RangeInclusive<i64> = -377_705_116_800_000..=253_402_300_799_999;

/// `config.broadcast.replay`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// The member is absent.
    #[default]
    Absent,
    /// Present, but no object: a private channel goes without replay. A public channel is refused even so.
    Ignored,
    /// An object that does not say what it wants: a private channel is refused.
    Invalid,
    /// The newest `limit` messages since an instant.
    Window {
        /// Milliseconds since the epoch.
        since_ms: i64,
        /// `1..=REPLAY_LIMIT_MAX`
        limit: u8,
    },
}

impl Replay {
    /// Reads the member, if it is there.
    pub(super) fn parse(value: Option<&str>) -> Self {
        let Some(value) = value else { return Self::Absent };
        if json::kind(value) != Kind::Object {
            return Replay::Ignored;
        }
        let since = json::member(value, "since").and_then(integer);
        let limit = match json::member(value, "limit").filter(|limit| json::is_truthy(limit)) {
            Some(limit) => integer(limit),
            None => Some(i128::from(REPLAY_LIMIT_MAX)),
        };
        let (Some(since), Some(limit)) = (since, limit) else {
            return Replay::Invalid;
        };
        match i64::try_from(since) {
            Ok(since_ms) if SINCE_MS.contains(&since_ms) => {
                let limit = limit.clamp(1, i128::from(REPLAY_LIMIT_MAX));
                Replay::Window {
                    since_ms,
                    limit: u8::try_from(limit).unwrap_or(REPLAY_LIMIT_MAX),
                }
            }
            _ => Replay::Invalid,
        }
    }

    /// True if the member is there with any value, null included. Public channels are refused then.
    pub fn is_present(self) -> bool {
        self != Self::Absent
    }
}

/// An integer; one beyond 128 bits becomes the nearest that fits, which is as far out of every range.
fn integer(value: &str) -> Option<i128> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let beyond = if value.starts_with('-') {
        i128::MIN
    } else {
        i128::MAX
    };
    Some(value.parse().unwrap_or(beyond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replay_wants_integers_in_range() {
        let window = |since_ms, limit| Replay::Window { since_ms, limit };
        for (value, expected) in [
            (r#"{"since":1}"#, window(1, 25)),
            (r#"{"since":-1,"limit":null}"#, window(-1, 25)),
            (r#"{"since":0,"limit":false}"#, window(0, 25)),
            (r#"{"since":0,"limit":26}"#, window(0, 25)),
            (r#"{"since":0,"limit":0}"#, window(0, 1)),
            (
                r#"{"since":0,"limit":-99999999999999999999999999999999999999999999}"#,
                window(0, 1),
            ),
            (
                r#"{"since":0,"limit":99999999999999999999999999999999999999999999}"#,
                window(0, 25),
            ),
            (r#"{"since":253402300799999}"#, window(253_402_300_799_999, 25)),
            (r#"{"since":253402300800000}"#, Replay::Invalid),
            (r#"{"since":-377705116800001}"#, Replay::Invalid),
            (r#"{"since":100000000000000000}"#, Replay::Invalid),
            (
                r#"{"since":99999999999999999999999999999999999999999999}"#,
                Replay::Invalid,
            ),
            (r#"{"since":"x"}"#, Replay::Invalid),
            (r#"{"since":1.0}"#, Replay::Invalid),
            (r#"{"since":null}"#, Replay::Invalid),
            (r#"{"limit":5}"#, Replay::Invalid),
            (r#"{"since":1,"limit":"x"}"#, Replay::Invalid),
            (r#"{"since":1,"limit":2.5}"#, Replay::Invalid),
            ("{}", Replay::Invalid),
            ("null", Replay::Ignored),
            ("123", Replay::Ignored),
            ("[]", Replay::Ignored),
        ] {
            assert_eq!(Replay::parse(Some(value)), expected, "{value}");
            assert!(expected.is_present());
        }
        assert_eq!(Replay::parse(None), Replay::Absent);
        assert!(!Replay::Absent.is_present());
    }
}
