//! What claims have to be, where they are present.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::VerifyError;
use crate::json::same_value;

/// The checks on claims: `exp` and `iat` always, others as the operator wants. A check passes over a claim the token
/// does not carry.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimValidators(BTreeMap<String, Check>);

#[derive(Clone, Debug, PartialEq)]
enum Check {
    /// A number greater than now.
    Future,
    /// A number.
    Number,
    /// This value.
    Equals(Value),
}

/// The text is no JSON object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("claim validators are a JSON object of claims and the values they must have")]
pub struct ValidatorsError;

impl ClaimValidators {
    /// From a JSON object of claims and the values they must have. Entries for `exp` and `iat` change nothing.
    pub fn parse(json: &str) -> Result<ClaimValidators, ValidatorsError> {
        let values: serde_json::Map<String, Value> =
            serde_json::from_str(json).map_err(|_| ValidatorsError)?;
        let mut checks: BTreeMap<_, _> = values
            .into_iter()
            .map(|(claim, value)| (claim, Check::Equals(value)))
            .collect();
        checks.extend(Self::default().0);
        Ok(ClaimValidators(checks))
    }

    /// Checks claims as of `now`, seconds since the epoch. Of several that fail, the first by name is reported.
    pub(crate) fn check(&self, claims: &BTreeMap<String, &RawValue>, now: i64) -> Result<(), VerifyError> {
        for (claim, check) in &self.0 {
            let Some(json) = claims.get(claim) else { continue };
            let value: Option<Value> = serde_json::from_str(json.get()).ok();
            if !value.as_ref().is_some_and(|value| check.passes(value, now)) {
                return Err(failure(check, claim, value.as_ref(), now));
            }
        }
        Ok(())
    }
}

impl Check {
    fn passes(&self, value: &Value, now: i64) -> bool {
        match self {
            Check::Future => match value.as_i64() {
                Some(seconds) => seconds > now,
                None => value.as_f64().is_some_and(|seconds| seconds > now as f64),
            },
            Check::Number => value.is_number(),
            Check::Equals(expected) => same_value(expected, value),
        }
    }
}

fn failure(check: &Check, claim: &str, value: Option<&Value>, now: i64) -> VerifyError {
    match (check, value.and_then(Value::as_i64)) {
        (Check::Future, Some(exp)) => VerifyError::Expired {
            seconds_ago: now.saturating_sub(exp),
        },
        _ => VerifyError::InvalidClaim {
            claim: claim.to_owned(),
        },
    }
}

impl Default for ClaimValidators {
    fn default() -> Self {
        Self(
            [
                ("exp".to_owned(), Check::Future),
                ("iat".to_owned(), Check::Number),
            ]
            .into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_json_object_configures_validators() {
        for json in ["", "[]", "{", "null", "\"iss\""] {
            assert_eq!(ClaimValidators::parse(json), Err(ValidatorsError), "{json}");
        }
        assert_eq!(ClaimValidators::parse("{}"), Ok(ClaimValidators::default()));
        assert_eq!(
            ClaimValidators::parse(r#"{"exp":1,"iat":"x"}"#),
            Ok(ClaimValidators::default())
        );
    }
}
