//! Reads an object whose members are all known: whatever nobody asked for is an error.

use crate::json::Value;

/// What is wrong with a line, in words.
pub(crate) type Reason = String;

/// The members of one object that nobody took yet.
pub(crate) struct Fields<'a> {
    left: Vec<(&'a str, &'a Value)>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value) -> Result<Self, Reason> {
        match value.as_object() {
            Some(members) => Ok(Self {
                left: members
                    .iter()
                    .map(|(name, value)| (name.as_str(), value))
                    .collect(),
            }),
            None => Err(format!("an object is expected, not {}", value.kind())),
        }
    }

    /// The name of the first member.
    pub(crate) fn first(&self) -> Option<&'a str> {
        self.left.first().map(|(name, _)| *name)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<&'a Value> {
        let at = self.left.iter().position(|(left, _)| *left == name)?;
        Some(self.left.remove(at).1)
    }

    pub(crate) fn need(&mut self, name: &str) -> Result<&'a Value, Reason> {
        self.take(name).ok_or_else(|| format!("{name} is missing"))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<&'a str>, Reason> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(crate) fn need_text(&mut self, name: &str) -> Result<&'a str, Reason> {
        self.text(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<u64>, Reason> {
        self.typed(name, "a natural number", |value| match value {
            Value::Number(number) => number.as_u64(),
            _ => None,
        })
    }

    pub(crate) fn need_integer(&mut self, name: &str) -> Result<u64, Reason> {
        self.integer(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    pub(crate) fn code(&mut self, name: &str) -> Result<Option<u16>, Reason> {
        let code = self.integer(name)?;
        code.map(|code| u16::try_from(code).map_err(|_| format!("{name} is out of range")))
            .transpose()
    }

    /// A flag that is only ever written when it holds.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Reason> {
        let value = self.typed(name, "a boolean", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })?;
        Ok(value.unwrap_or(false))
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<&'a [Value]>, Reason> {
        self.typed(name, "an array", Value::as_array)
    }

    /// A list of strings; empty if absent.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, Reason> {
        let list = self.list(name)?.unwrap_or_default();
        list.iter()
            .map(|value| {
                value
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| format!("{name} has to be a list of strings"))
            })
            .collect()
    }

    /// The members of an object; empty if absent.
    pub(crate) fn members(&mut self, name: &str) -> Result<&'a [(String, Value)], Reason> {
        Ok(self
            .typed(name, "an object", Value::as_object)?
            .unwrap_or_default())
    }

    /// A hexadecimal text as bytes.
    pub(crate) fn hex(&mut self, name: &str) -> Result<Option<Vec<u8>>, Reason> {
        let text = self.text(name)?;
        text.map(|text| from_hex(text).ok_or_else(|| format!("{name} is not hexadecimal")))
            .transpose()
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Reason> {
        match self.left.first() {
            Some((name, _)) => Err(format!("unknown key {name}")),
            None => Ok(()),
        }
    }

    fn typed<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Reason> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| format!("{name} has to be {expected}, not {}", value.kind()))
    }
}

/// A hexadecimal text as bytes.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_for_is_named() {
        let value = Value::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        let mut fields = Fields::of(&value).unwrap();
        assert_eq!(fields.first(), Some("a"));
        assert_eq!(fields.integer("a"), Ok(Some(1)));
        assert_eq!(fields.integer("b"), Ok(Some(2)));
        assert_eq!(fields.finish(), Err("unknown key a".into()), "the second a");
        assert_eq!(
            Fields::of(&Value::Null).err(),
            Some("an object is expected, not null".into())
        );
    }

    #[test]
    fn types_are_checked() {
        let value = Value::parse(r#"{"a":1.5,"b":70000,"c":[1],"d":"0g","e":"f","f":"00fF"}"#).unwrap();
        let mut fields = Fields::of(&value).unwrap();
        assert_eq!(
            fields.integer("a"),
            Err("a has to be a natural number, not a number".into())
        );
        assert_eq!(fields.code("b"), Err("b is out of range".into()));
        assert_eq!(fields.texts("c"), Err("c has to be a list of strings".into()));
        assert_eq!(fields.hex("d"), Err("d is not hexadecimal".into()));
        assert_eq!(fields.hex("e"), Err("e is not hexadecimal".into()));
        assert_eq!(fields.hex("f"), Ok(Some(vec![0x00, 0xff])));
        assert_eq!(fields.need_text("g"), Err("g is missing".into()));
    }
}
