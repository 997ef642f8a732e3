//! JSON looked at without building a tree of it.

use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// Whether a JSON text is an object.
pub(crate) fn is_object(json: &RawValue) -> bool {
    json.get().trim_start().starts_with('{')
}

/// Whether two values are the same: numbers by their value, whatever their notation, objects without regard to order.
pub(crate) fn same_value(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => same_number(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same_value(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, left)| right.get(name).is_some_and(|right| same_value(left, right)))
        }
        (left, right) => left == right,
    }
}

fn same_number(left: &Number, right: &Number) -> bool {
    left == right || ((left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: &str, right: &str, expected: bool) {
        let parse = |text| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            same_value(&parse(left), &parse(right)),
            expected,
            "{left} {right}"
        );
    }

    #[test]
    fn numbers_are_compared_by_value_and_objects_without_order() {
        check("1", "1.0", true);
        check("1", "2", false);
        check("9007199254740993", "9007199254740992", false);
        check("[1,{\"a\":1e0}]", "[1.0,{\"a\":1}]", true);
        check(r#"{"a":1,"b":null}"#, r#"{"b":null,"a":1}"#, true);
        check(r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false);
        check("\"1\"", "1", false);
    }
}
