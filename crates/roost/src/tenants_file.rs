//! The file of `--tenants`: a JSON object from the first label of a host to the settings of a project, under the
//! reference's names for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use auth::{Keys, Secret};
use gateway::config::{Limits, PrivateConfig, TenantConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::api_keys::api_key;
use crate::changes_args::ChangesArgs;
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
    /// Keys of the newer kind, each with its role.
    #[serde(default)]
    api_keys: BTreeMap<String, String>,
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
pub(crate) fn read(
    path: &Path,
    defaults: &Limits,
    changes: &ChangesArgs,
    private: &PrivateConfig,
) -> Result<BTreeMap<String, TenantConfig>, Problems> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &path.display().to_string(), defaults, changes, private),
        Err(error) => Problems::check(
            vec![format!("--tenants {}: {error}", path.display())],
            BTreeMap::new(),
        ),
    }
}

fn parse(
    text: &str,
    file: &str,
    defaults: &Limits,
    changes: &ChangesArgs,
    private: &PrivateConfig,
) -> Result<BTreeMap<String, TenantConfig>, Problems> {
    let mut problems = Vec::new();
    let mut tenants = BTreeMap::new();
    match serde_json::from_str::<BTreeMap<String, Value>>(text) {
        Err(error) => problems.push(format!(
            "{file}: an object from label to settings is expected: {error}"
        )),
        Ok(found) if found.is_empty() => problems.push(format!("{file}: there is no project in it")),
        Ok(found) => {
            for (label, value) in found {
                match Settings::parse(value)
                    .and_then(|settings| settings.into_config(&label, defaults, changes, private))
                {
                    Ok(config) => _ = tenants.insert(label, config),
                    Err(several) => {
                        problems.extend(
                            several
                                .iter()
                                .map(|problem| format!("{file}: {label}: {problem}")),
                        );
                    }
                }
            }
        }
    }
    Problems::check(problems, tenants)
}

impl Settings {
    /// Reads the settings of one project; every field that cannot be read is told.
    fn parse(value: Value) -> Result<Settings, Vec<String>> {
        let Value::Object(fields) = value else {
            return Err(vec!["an object of settings is expected".to_owned()]);
        };
        // One by one, for an error about a value does not say which field has it.
        let problems: Vec<String> = fields
            .iter()
            .filter_map(|(name, value)| {
                let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
                let error = serde_json::from_value::<Settings>(alone).err()?.to_string();
                Some(if error.starts_with("unknown field") {
                    error
                } else {
                    format!("{name}: {error}")
                })
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        serde_json::from_value(Value::Object(fields)).map_err(|error| vec![error.to_string()])
    }

    fn into_config(
        self,
        label: &str,
        defaults: &Limits,
        changes: &ChangesArgs,
        private: &PrivateConfig,
    ) -> Result<TenantConfig, Vec<String>> {
        let mut problems = Vec::new();
        if label.is_empty() || label.contains(['.', ':', '/']) {
            problems.push("the first label of a host name is expected, without dots".to_owned());
        }
        if self.client_presence_window_ms == Some(0) {
            problems.push("client_presence_window_ms: at least 1 is expected".to_owned());
        }
        let secret = self.jwt_secret.map(Secret::new);
        if secret.is_none() && self.jwt_jwks.is_none() {
            problems.push("jwt_secret or jwt_jwks is needed".to_owned());
        }
        let keys = Keys::new(secret.as_ref(), self.jwt_jwks.as_ref())
            .map_err(|error| problems.push(format!("jwt_secret, jwt_jwks: {error}")));
        let database = self.database_url.map(|text| text.parse()).transpose();
        let database = database.map_err(|error| problems.push(format!("database_url: {error}")));
        let mut api_keys = Vec::new();
        for (key, role) in &self.api_keys {
            match api_key(key, role) {
                Ok(key) => api_keys.push(key),
                Err(problem) => problems.push(format!("api_keys: {problem}")),
            }
        }
        let (Ok(keys), Ok(database), true) = (keys, database, problems.is_empty()) else {
            return Err(problems);
        };
        Ok(TenantConfig {
            name: label.to_owned(),
            keys,
            database,
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
            changes: {
                let mut changes = changes.config(Some(label));
                if let Some(publication) = self.publication {
                    changes.publication = publication;
                }
                changes
            },
            private: private.clone(),
            api_keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::changes_args::{PUBLICATION, SlotKind};

    fn parsed(text: &str) -> Result<BTreeMap<String, TenantConfig>, String> {
        let changes = ChangesArgs {
            publication: PUBLICATION.to_owned(),
            slot: SlotKind::Durable,
            slot_name: "roost".to_owned(),
            slot_wal_mb_max: 1,
            slot_resume_ms: 1,
            snapshot_rows_max: 1,
        };
        let private = PrivateConfig {
            pool_size: NonZeroUsize::MIN,
            cache_for: Duration::ZERO,
            keep_hours: 72,
            migrate: false,
        };
        parse(text, "tenants.json", &Limits::standard(), &changes, &private)
            .map_err(|problems| problems.to_string())
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
            "d":{"jwt_secret":"","database_url":"postgres://u:hidden@h:x/"},"e":7,"f.g":{"jwt_secret":"s"},
            "h":{"jwt_secret":"s","max_joins_per_second":-1,"client_presence_window_ms":"0"},
            "i":{"jwt_secret":"s","client_presence_window_ms":0},
            "j":{"jwt_secret":"s","api_keys":{"hidden":"anon"}}}"#;
        let error = parsed(text).unwrap_err();
        for expected in [
            "11 mistakes",
            "tenants.json: a: unknown field `max_user`",
            "tenants.json: b: jwt_secret or",
            "tenants.json: c: private_only: invalid type",
            "tenants.json: d: jwt_secret, jwt_jwks: the JWT secret is empty",
            "tenants.json: d: database_url:",
            "tenants.json: e: an object",
            "tenants.json: f.g: the first label",
            "tenants.json: h: max_joins_per_second: invalid value",
            "tenants.json: h: client_presence_window_ms: invalid type",
            "tenants.json: i: client_presence_window_ms: at least 1",
            "tenants.json: j: api_keys: a key that begins with sb_",
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
