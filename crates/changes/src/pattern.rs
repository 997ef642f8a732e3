//! Which schemas and tables a binding's names stand for.

/// Longest name in the catalog. Bytes; `NAMEDATALEN` less one.
const NAME_BYTES_MAX: usize = 63;

/// A schema or table of a binding: `*` for all, or a pattern of SQL's `LIKE` without escape character, in which `_` is
/// any character and `%` any number of them. So a plain name stands for itself, and `my_table` for `myXtable` as well.
/// Source: protocol-spec/postgres-changes.md, section 3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern {
    text: Box<str>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    All,
    /// The pattern has neither `_` nor `%`.
    Name,
    /// Without a `%` after another, which bounds what a match costs.
    Pattern(Box<[char]>),
    /// Stands for longer names than there can be.
    Nothing,
}

impl NamePattern {
    /// The pattern with this text.
    pub fn new(text: &str) -> Self {
        let form = if text == "*" {
            Form::All
        } else if !text.contains(['_', '%']) {
            Form::Name
        } else {
            let mut pattern: Vec<char> = text.chars().collect();
            pattern.dedup_by(|a, b| *a == '%' && *b == '%');
            let fixed = pattern.iter().filter(|found| **found != '%').count();
            if fixed > NAME_BYTES_MAX {
                Form::Nothing
            } else {
                Form::Pattern(pattern.into())
            }
        };
        Self {
            text: text.into(),
            form,
        }
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True for `*`.
    pub fn is_wildcard(&self) -> bool {
        self.form == Form::All
    }

    /// Whether it stands for this name.
    pub fn matches(&self, name: &str) -> bool {
        match &self.form {
            Form::All => true,
            Form::Name => *self.text == *name,
            Form::Pattern(pattern) => like(pattern, name),
            Form::Nothing => false,
        }
    }
}

/// Tries the shortest text for each `%` first and comes back only to the last one: one that came earlier needs no other
/// text than the shortest.
fn like(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut at_pattern, mut at_name) = (0, 0);
    // After the last `%`, and where its text ends.
    let mut retry = None;
    while let Some(found) = name.get(at_name) {
        match pattern.get(at_pattern) {
            Some('%') => {
                at_pattern += 1;
                retry = Some((at_pattern, at_name));
            }
            Some(wanted) if *wanted == '_' || wanted == found => {
                at_pattern += 1;
                at_name += 1;
            }
            _ => {
                let Some((after_percent, text_end)) = retry else {
                    return false;
                };
                (at_pattern, at_name) = (after_percent, text_end + 1);
                retry = Some((at_pattern, at_name));
            }
        }
    }
    pattern
        .get(at_pattern..)
        .is_some_and(|rest| rest.iter().all(|found| *found == '%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_like_without_escapes() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("notes", "notes", true),
            ("notes", "NOTES", false),
            ("note*", "notes", false),
            ("", "", true),
            ("", "a", false),
            ("my_table", "my_table", true),
            ("my_table", "myxtable", true),
            ("my_table", "myétable", true),
            ("my_table", "mytable", false),
            ("%", "", true),
            ("n%", "notes", true),
            ("%s", "notes", true),
            ("%s", "notes_full", false),
            ("%o%e%", "notes", true),
            ("%e%o%", "notes", false),
            ("a%%_", "a", false),
            ("a%%_", "ab", true),
            ("%ab", "aab", true),
            ("%a_c%", "abaabc", true),
            (r"a\_b", r"a\xb", true),
            (r"a\_b", "a_b", false),
            (r"back\slash", r"back\slash", true),
        ] {
            assert_eq!(
                NamePattern::new(pattern).matches(name),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn long_patterns_cost_nothing() {
        let percents = NamePattern::new(&"%".repeat(1_000_000));
        assert!(matches!(&percents.form, Form::Pattern(pattern) if pattern.len() == 1));
        assert!(percents.matches("notes"));
        let underscores = NamePattern::new(&"%_".repeat(NAME_BYTES_MAX + 1));
        assert_eq!(underscores.form, Form::Nothing);
        assert!(NamePattern::new(&"%_".repeat(NAME_BYTES_MAX)).matches(&"x".repeat(NAME_BYTES_MAX)));
    }
}
