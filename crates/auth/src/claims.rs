//! What a verified token claims.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::VerifyError;

/// The claims of a verified token. `Debug` shows role and expiry only.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    json: Box<str>,
    role: Option<Box<str>>,
    sub: Option<Box<str>>,
    exp: i64,
}

impl Claims {
    /// All claims: the text of a JSON object without duplicate members. `exp` and `iat` are integers, if they are
    /// numbers; all else is verbatim.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The role, if it is text other than the empty one. `None` must be refused by whoever would let a database act in
    /// this role: there, no role means the gateway's own.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The subject, if it is text.
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }

    /// When the token expires. Seconds since the epoch.
    pub fn exp(&self) -> i64 {
        self.exp
    }

    /// Takes what has been verified and checked; `json` is what `members` were read from.
    pub(crate) fn new(json: &str, members: Members<'_>) -> Result<Claims, VerifyError> {
        let rounded = ["exp", "iat"].map(|name| (name, members.get(name).and_then(rounded)));
        let mut members = members;
        let mut verbatim = !members.had_duplicates;
        for (name, integer) in &rounded {
            if let Some(integer) = integer {
                members.values.insert((*name).to_owned(), integer);
                verbatim = false;
            }
        }
        let (Some(_), Some(exp)) = (members.get("role"), members.get("exp")) else {
            return Err(VerifyError::MissingClaims);
        };
        let text = |name| {
            members
                .get(name)
                .and_then(|json| serde_json::from_str::<String>(json.get()).ok())
        };
        Ok(Claims {
            role: text("role").filter(|role| !role.is_empty()).map(Into::into),
            sub: text("sub").map(Into::into),
            exp: exp.get().parse().unwrap_or(i64::MAX),
            json: if verbatim {
                json.into()
            } else {
                members.to_json().into()
            },
        })
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("role", &self.role)
            .field("exp", &self.exp)
            .finish_non_exhaustive()
    }
}

/// A number written with a fraction or an exponent as the nearest integer, halves away from zero. `None` for all else.
fn rounded(json: &RawValue) -> Option<Box<RawValue>> {
    let Ok(Value::Number(number)) = serde_json::from_str(json.get()) else {
        return None;
    };
    let float = number.as_f64().filter(|_| json.get().contains(['.', 'e', 'E']))?;
    // Saturates: an expiry beyond the range of the type is as good as none.
    RawValue::from_string((float.round() as i64).to_string()).ok()
}

/// The members of a JSON object; of duplicates, the first counts.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    pub(crate) values: BTreeMap<String, &'a RawValue>,
    had_duplicates: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn parse(json: &'a str) -> Result<Members<'a>, VerifyError> {
        serde_json::from_str(json).map_err(|_| VerifyError::Malformed)
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.values.get(name).copied()
    }

    fn to_json(&self) -> String {
        serde_json::to_string(&self.values).expect("a map of text to JSON is JSON")
    }
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members {
                    values: BTreeMap::new(),
                    had_duplicates: false,
                };
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    match members.values.entry(name) {
                        Entry::Vacant(vacant) => _ = vacant.insert(value),
                        Entry::Occupied(_) => members.had_duplicates = true,
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
