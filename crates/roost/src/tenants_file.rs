//! The file of `--tenants`: a JSON object from the first label of a host to the settings of a project, under the
//! reference's names for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use auth::{Keys, Secret};
use gateway::config::{Limits, TenantConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::PUBLICATION;
use crate::problems::Problems;

/// One project of the file. What it does not say is `defaults`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// A remark for readers of the file.
    #[serde(rename = "about")]
    _about: Option<String>,
    jwt_secret: Option<String>,
    jwt_jwks: Option<Value>,
    database_url: Option<String>,
    publication: Option<String>,
    max_concurrent_users: Option<u64>,
    max_channels_per_client: Option<u64>,
    max_joins_per_second: Option<u64>,
    max_events_per_second: Option<u64>,
    max_presence_events_per_second: Option<u64>,
    max_client_presence_events_per_window: Option<u64>,
    client_presence_window_ms: Option<u64>,
    max_payload_size_in_kb: Option<u64>,
    max_bytes_per_second: Option<u64>,
    #[serde(default)]
    private_only: bool,
    #[serde(default)]
    presence_enabled: bool,
    #[serde(default)]
    suspend: bool,
}

/// Reads the file.
///
/// # Errors
///
/// Every mistake in it, each with file, project and field.
pub(crate) fn read(path: &Path, defaults: &Limits) -> Result<BTreeMap<String, TenantConfig>, Problems> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &path.display().to_string(), defaults),
        Err(error) => Problems::check(
            vec![format!("--tenants {}: {error}", path.display())],
            BTreeMap::new(),
        ),
    }
}

fn parse(text: &str, file: &str, defaults: &Limits) -> Result<BTreeMap<String, TenantConfig>, Problems> {
    let mut problems = Vec::new();
    let mut tenants = BTreeMap::new();
    match serde_json::from_str::<BTreeMap<String, Value>>(text) {
        Err(error) => problems.push(format!(
            "{file}: an object from label to settings is expected: {error}"
        )),
        Ok(found) if found.is_empty() => problems.push(format!("{file}: there is no project in it")),
        Ok(found) => {
            for (label, value) in found {
                let settings = serde_json::from_value::<Settings>(value).map_err(|error| error.to_string());
                match settings.and_then(|settings| settings.into_config(&label, defaults)) {
                    Ok(config) => _ = tenants.insert(label, config),
                    Err(problem) => problems.push(format!("{file}: {label}: {problem}")),
                }
            }
        }
    }
    Problems::check(problems, tenants)
}

impl Settings {
    fn into_config(self, label: &str, defaults: &Limits) -> Result<TenantConfig, String> {
        let secret = self.jwt_secret.map(Secret::new);
        if secret.is_none() && self.jwt_jwks.is_none() {
            return Err("jwt_secret or jwt_jwks is needed".to_owned());
        }
        let database = self.database_url.map(|text| text.parse()).transpose();
        Ok(TenantConfig {
            name: label.to_owned(),
            keys: Keys::new(secret.as_ref(), self.jwt_jwks.as_ref())
                .map_err(|error| format!("jwt_jwks: {error}"))?,
            database: database.map_err(|error| format!("database_url: {error}"))?,
            limits: Limits {
                concurrent_users_max: self.max_concurrent_users.or(defaults.concurrent_users_max),
                channels_per_client_max: self.max_channels_per_client.or(defaults.channels_per_client_max),
                joins_per_second_max: self.max_joins_per_second.or(defaults.joins_per_second_max),
                events_per_second_max: self.max_events_per_second.or(defaults.events_per_second_max),
                presence_events_per_second_max: self
                    .max_presence_events_per_second
                    .or(defaults.presence_events_per_second_max),
                client_presence_calls_max: self
                    .max_client_presence_events_per_window
                    .or(defaults.client_presence_calls_max),
                client_presence_window: self
                    .client_presence_window_ms
                    .map_or(defaults.client_presence_window, Duration::from_millis),
                payload_kb_max: self.max_payload_size_in_kb.or(defaults.payload_kb_max),
                bytes_per_second_max: self.max_bytes_per_second.or(defaults.bytes_per_second_max),
            },
            private_only: self.private_only,
            presence_enabled: self.presence_enabled,
            suspend: self.suspend,
            publication: self.publication.unwrap_or_else(|| PUBLICATION.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<BTreeMap<String, TenantConfig>, String> {
        parse(text, "tenants.json", &Limits::standard()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn what_a_project_does_not_say_is_the_default() {
        let tenants = parsed(r#"{"acme":{"about":"us","jwt_secret":"s","max_joins_per_second":3}}"#).unwrap();
        let limits = &tenants["acme"].limits;
        assert_eq!(
            (limits.joins_per_second_max, limits.events_per_second_max),
            (Some(3), Some(100))
        );
        assert!(!tenants["acme"].suspend);
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = r#"{"a":{"jwt_secret":"s","max_user":1},"b":{},"c":{"jwt_secret":"s","private_only":"yes"},
            "d":{"jwt_secret":"s","database_url":"postgres://u:hidden@h:x/"},"e":7}"#;
        let error = parsed(text).unwrap_err();
        for expected in [
            "5 mistakes",
            "tenants.json: a: unknown field `max_user`",
            "tenants.json: b: jwt_secret or",
            "tenants.json: c: invalid type",
            "tenants.json: d: database_url:",
            "tenants.json: e: invalid type",
        ] {
            assert!(error.contains(expected), "{expected} in {error}");
        }
        assert!(!error.contains("hidden"));
    }

    #[test]
    fn a_file_without_projects_is_a_mistake() {
        for text in ["", "[]", "{}"] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
    }
}
