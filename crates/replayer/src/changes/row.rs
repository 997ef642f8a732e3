//! Rows as messages show them: values, and placeholders for what is another each time.

use transcript::Value;

/// Columns and their values, in the order of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<(String, Value)>);

impl Row {
    /// Of a `record`; empty if there is none.
    pub(super) fn of(record: Option<&Value>) -> Self {
        Self(record.and_then(Value::as_object).unwrap_or_default().to_vec())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(column, _)| column == name)
            .map(|(_, value)| value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the columns that both have are the same.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.0
            .iter()
            .all(|(name, value)| other.get(name).is_none_or(|other| other == value))
    }

    /// Whether all columns of the other are here, and the same.
    pub(super) fn has(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, value)| self.get(name) == Some(value))
    }

    /// Takes in columns that are not here.
    pub(super) fn add(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            if self.get(name).is_none() {
                self.0.push((name.clone(), value.clone()));
            }
        }
    }

    /// For messages; a long one is cut.
    pub(super) fn shown(&self) -> String {
        let text = Value::Object(self.0.clone()).to_string();
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            None => text,
            Some((at, _)) => format!("{} …", text.get(..at).unwrap_or_default()),
        }
    }
}

/// Characters of a row that are shown.
const SHOWN_CHARS_MAX: usize = 200;
