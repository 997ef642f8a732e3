//! Mistakes in the configuration, told together.

use std::fmt;

/// At least one mistake.
#[derive(Debug)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// The value, if nothing was wrong.
    pub(crate) fn check<T>(problems: Vec<String>, value: T) -> Result<T, Problems> {
        if problems.is_empty() {
            Ok(value)
        } else {
            Err(Problems(problems))
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [only] => f.write_str(only),
            several => {
                write!(f, "{} mistakes in the configuration:", several.len())?;
                several.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}
