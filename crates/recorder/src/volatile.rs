//! What a server makes up, so that it is another the next time: refs, ids, times. Each gets a placeholder, and what
//! recurs gets the same one again.
//!
//! A UUID or time that a client sent before is the client's, and stays.

use std::collections::{HashMap, HashSet};

use transcript::{Bindings, Environment, Matcher, Numbers, Value};

/// Values that are remembered, of each kind. More of them are matched, but no longer held against each other.
pub(crate) const REMEMBERED_MAX: usize = 1 << 16;

/// The values seen so far.
#[derive(Debug)]
pub(crate) struct Volatile {
    /// UUIDs and times of clients.
    of_clients: HashSet<String>,
    uuids: Names,
    refs: Names,
    ids: Names,
    environment: Environment,
}

#[derive(Debug, Default)]
struct Names(HashMap<String, usize>);

impl Default for Volatile {
    fn default() -> Self {
        Self {
            of_clients: HashSet::new(),
            uuids: Names::default(),
            refs: Names::default(),
            ids: Names::default(),
            environment: Environment {
                tenant: String::new(),
                host: String::new(),
                secret: String::new(),
                tokens: [].into(),
            },
        }
    }
}

impl Volatile {
    /// A string of a client: what stands for it if a server made it up before.
    pub(crate) fn sent(&mut self, text: &str) -> Option<String> {
        let is_uuid = self.is(text, "${uuid}");
        if is_uuid && let Some(number) = self.uuids.0.get(text) {
            return Some(format!("${{uuid:u{number}}}"));
        }
        if (is_uuid || looks_like_time(text)) && self.of_clients.len() < REMEMBERED_MAX {
            self.of_clients.insert(text.to_owned());
        }
        None
    }

    /// A string of a server: what stands for it if the server made it up.
    pub(crate) fn received(&mut self, text: &str, unix_ms: i64) -> Option<String> {
        if self.of_clients.contains(text) {
            return None;
        }
        if self.is(text, "${uuid}") {
            return Some(self.uuids.placeholder("uuid", "u", text));
        }
        if !looks_like_time(text) || !is_near(text, unix_ms) {
            return None;
        }
        let matches_zone = self.is(text, "${time}");
        Some(if matches_zone { "${time}" } else { "${text}" }.to_owned())
    }

    /// A time of the server, whenever it is.
    pub(crate) fn time(&self, value: &Value) -> Option<Value> {
        let text = value.as_str()?;
        self.is(text, "${time}").then(|| "${time}".into())
    }

    /// A `phx_ref`.
    pub(crate) fn reference(&mut self, value: &Value) -> Option<Value> {
        let text = value.as_str()?;
        self.is(text, "${ref}")
            .then(|| self.refs.placeholder("ref", "r", text).as_str().into())
    }

    /// The id of a binding.
    pub(crate) fn id(&mut self, value: &Value) -> Option<Value> {
        match value {
            Value::Number(number) if number.is_integer() => {
                Some(self.ids.placeholder("int", "id", number.as_str()).as_str().into())
            }
            _ => None,
        }
    }

    fn is(&self, text: &str, pattern: &str) -> bool {
        // The longest is a time; anything longer needs no closer look.
        if text.len() > 64 && pattern != "${ref}" {
            return false;
        }
        let matcher = Matcher {
            environment: &self.environment,
            numbers: Numbers::Decimal,
        };
        matcher
            .value(&pattern.into(), &text.into(), &mut Bindings::default())
            .is_ok()
    }
}

impl Names {
    fn placeholder(&mut self, kind: &str, prefix: &str, value: &str) -> String {
        let next = self.0.len() + 1;
        match self.0.get(value) {
            Some(number) => format!("${{{kind}:{prefix}{number}}}"),
            None if next > REMEMBERED_MAX => format!("${{{kind}}}"),
            None => {
                self.0.insert(value.to_owned(), next);
                format!("${{{kind}:{prefix}{next}}}")
            }
        }
    }
}

/// A date and a time of day, with or without a zone.
fn looks_like_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00";
    text.len() >= shape.len()
        && text.len() <= 40
        && text.bytes().zip(shape).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b' '),
            wanted => byte == *wanted,
        })
}

/// Whether the date is today, yesterday or tomorrow: such a time is the clock's.
fn is_near(text: &str, unix_ms: i64) -> bool {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let date = || Some(days(number(0, 4)?, number(5, 7)?, number(8, 10)?));
    let today = unix_ms.div_euclid(86_400_000);
    date().is_some_and(|date| (date - today).abs() <= 1)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Counted in years that begin in March, so that the day that comes every four years is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "01234567-89ab-4cde-8f01-23456789abcd";
    const TWO: &str = "11234567-89ab-4cde-8f01-23456789abcd";
    /// 2024-02-29T12:00:00Z.
    const NOON: i64 = 1_709_208_000_000;

    #[test]
    fn what_recurs_has_the_same_name() {
        let mut volatile = Volatile::default();
        let told: Vec<_> = [ONE, TWO, ONE]
            .iter()
            .map(|uuid| volatile.received(uuid, NOON).unwrap())
            .collect();
        assert_eq!(told, ["${uuid:u1}", "${uuid:u2}", "${uuid:u1}"]);
        assert_eq!(volatile.sent(TWO).as_deref(), Some("${uuid:u2}"));
        let refs = ["F1", "F2", "F1"].map(|text| volatile.reference(&text.into()).unwrap().to_string());
        assert_eq!(refs, [r#""${ref:r1}""#, r#""${ref:r2}""#, r#""${ref:r1}""#]);
        assert_eq!(
            volatile.id(&Value::from(7)).unwrap().to_string(),
            r#""${int:id1}""#
        );
    }

    #[test]
    fn what_a_client_sent_stays() {
        let mut volatile = Volatile::default();
        let time = "2024-02-29T12:00:00Z";
        assert_eq!(volatile.sent(ONE), None);
        assert_eq!(volatile.sent(time), None);
        assert_eq!(volatile.received(ONE, NOON), None);
        assert_eq!(volatile.received(time, NOON), None);
    }

    #[test]
    fn times_near_the_recording_are_the_clocks() {
        let mut volatile = Volatile::default();
        for (text, placeholder) in [
            ("2024-02-29T12:00:00.5+00:00", Some("${time}")),
            ("2024-03-01T23:00:00Z", Some("${time}")),
            ("2024-02-28 10:00:00", Some("${text}")),
            ("2024-02-27T10:00:00Z", None),
            ("2024-02-29", None),
            ("2024-02-29 is a day", None),
        ] {
            assert_eq!(volatile.received(text, NOON).as_deref(), placeholder, "{text}");
        }
        assert_eq!(
            volatile.time(&"1999-01-01T00:00:00Z".into()),
            Some("${time}".into())
        );
        assert_eq!(volatile.time(&"soon".into()), None);
    }

    #[test]
    fn memory_has_a_bound() {
        let mut volatile = Volatile::default();
        for number in 0..REMEMBERED_MAX as u64 {
            volatile.id(&Value::from(number));
        }
        assert_eq!(volatile.id(&Value::from(1 << 40)), Some("${int}".into()));
        assert_eq!(volatile.id(&Value::from(0)), Some("${int:id1}".into()));
    }
}
