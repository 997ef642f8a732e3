//! Variables of the reference that stand in for several flags, or for one under another name.

use std::collections::HashMap;

use replication::Dsn;

/// The process's environment, or a map in its place.
#[derive(Debug)]
pub(crate) struct Environment(HashMap<String, String>);

impl Environment {
    pub(crate) fn of_process() -> Self {
        Self(
            NAMES
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
                .collect(),
        )
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The connection string of the flag, else one made of DB_HOST and its companions, else none.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The string itself is not in the message.
    pub(crate) fn database(&self, flag: Option<&str>) -> Result<Option<Dsn>, String> {
        match (flag, self.get("DB_HOST")) {
            (Some(text), _) => text
                .parse()
                .map(Some)
                .map_err(|error| format!("--database-url: {error}")),
            (None, Some(host)) => {
                let parts = [
                    ("host", Some(host)),
                    ("port", self.get("DB_PORT")),
                    ("user", self.get("DB_USER")),
                    ("password", self.get("DB_PASSWORD")),
                    ("dbname", self.get("DB_NAME")),
                ];
                let quote = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
                let given = parts
                    .iter()
                    .filter_map(|(name, value)| Some(format!("{name}='{}'", quote((*value)?))));
                let text = given.collect::<Vec<_>>().join(" ");
                text.parse()
                    .map(Some)
                    .map_err(|error| format!("DB_HOST and its companions: {error}"))
            }
            (None, None) => Ok(None),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}

/// Every variable that is read besides those of flags.
const NAMES: [&str; 8] = [
    "PORT",
    "DB_HOST",
    "DB_PORT",
    "DB_USER",
    "DB_PASSWORD",
    "DB_NAME",
    "API_JWT_SECRET",
    "API_JWT_JWKS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_parts() {
        let parts = Environment::of(&[
            ("DB_HOST", "db"),
            ("DB_USER", "me"),
            ("DB_PORT", "6543"),
            ("DB_PASSWORD", "it's \\ here"),
        ]);
        let shown = |flag| {
            parts
                .database(flag)
                .unwrap()
                .map(|dsn| dsn.to_string())
                .unwrap_or_default()
        };
        assert!(shown(None).contains("db:6543"));
        assert!(shown(Some("postgres://u@other/d")).contains("other"));
        assert!(Environment::of(&[]).database(None).unwrap().is_none());
    }

    #[test]
    fn a_malformed_address_is_blamed_without_being_shown() {
        let error = Environment::of(&[])
            .database(Some("postgres://u:secret@h:port/d"))
            .unwrap_err();
        assert!(
            error.starts_with("--database-url: ") && !error.contains("secret"),
            "{error}"
        );
    }
}
