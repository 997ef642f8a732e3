//! `roost serve`: from flags to a running server.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use auth::{ClaimValidators, Keys, KeysError, Secret};
use gateway::config::{Delays, Limits, ServerConfig, Sizes, TenantConfig, Tenants};
use gateway::server::Server;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::cli::{LimitArgs, ServeArgs, ServerArgs};
use crate::environment::Environment;
use crate::problems::Problems;
use crate::script;
use crate::tenants_file;

pub(crate) fn run(args: &ServeArgs, environment: &Environment) -> Result<(), Box<dyn Error>> {
    if !args.scripts.files.is_empty() {
        return script::run(&args.scripts, script_address(args, environment)?);
    }
    let config = configure(args, environment)?;
    announce(&config.tenants);
    let server = Server::bind(config)?;
    until_signal(server)
}

/// Serves until SIGINT or SIGTERM.
pub(crate) fn until_signal(server: Server) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let shutdown = stop_signal()?;
        server.run(shutdown).await.map_err(Box::<dyn Error>::from)
    });
    // What did not end in time must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Resolves on SIGINT or SIGTERM. Has to be called on a runtime.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
}

/// Of everything else that can be configured, the address is all that a script needs.
fn script_address(args: &ServeArgs, environment: &Environment) -> Result<SocketAddr, Problems> {
    let mut problems = Vec::new();
    let listen = args.listen.or_else(|| listen_on_port(environment, &mut problems));
    Problems::check(problems, listen.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()))
}

fn configure(args: &ServeArgs, environment: &Environment) -> Result<ServerConfig, Problems> {
    let mut problems = Vec::new();
    let listen = args
        .listen
        .map_or_else(|| listen_on_port(environment, &mut problems), Some);
    let server = server_config(&args.server, &mut problems);
    let tenants = match &args.tenants {
        Some(path) => {
            let limits = overridden(&args.limits, Limits::standard());
            let private = args.private.config(args.migrate);
            tenants_file::read(path, &limits, &args.changes, &private)
                .map(Tenants::ByLabel)
                .map_err(|several| problems.push(several.to_string()))
                .ok()
        }
        None => single(args, environment, &mut problems).map(|tenant| Tenants::Single(Box::new(tenant))),
    };
    match (listen, server, tenants) {
        (Some(listen), Some(server), Some(tenants)) => {
            Problems::check(problems, server.with(listen, tenants))
        }
        _ => Err(Problems::check(problems, ()).expect_err("what is missing was told")),
    }
}

fn listen_on_port(environment: &Environment, problems: &mut Vec<String>) -> Option<SocketAddr> {
    match environment.get("PORT").unwrap_or("4000").parse::<u16>() {
        Ok(port) => Some((Ipv4Addr::UNSPECIFIED, port).into()),
        Err(error) => {
            problems.push(format!("PORT: {error}"));
            None
        }
    }
}

fn single(args: &ServeArgs, environment: &Environment, problems: &mut Vec<String>) -> Option<TenantConfig> {
    let before = problems.len();
    let secret = args
        .jwt_secret
        .as_deref()
        .or_else(|| environment.get("API_JWT_SECRET"))
        .map(Secret::new);
    let jwks = args
        .jwt_jwks
        .as_deref()
        .or_else(|| environment.get("API_JWT_JWKS"))
        .map(read_jwks)
        .transpose();
    let jwks = jwks.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    if secret.is_none() && jwks.is_none() && problems.len() == before {
        problems.push(
            "a way to verify tokens is needed: --jwt-secret (JWT_SECRET), --jwt-jwks (JWT_JWKS) or --tenants"
                .to_owned(),
        );
    }
    let keys = Keys::new(secret.as_ref(), jwks.as_ref())
        .map_err(|error| problems.push(format!("{}: {error}", blamed(&error))));
    let database = environment
        .database(args.database_url.as_deref())
        .map_err(|problem| problems.push(problem));
    Some(TenantConfig {
        name: "roost".to_owned(),
        keys: keys.ok()?,
        database: database.ok()?,
        limits: overridden(&args.limits, Limits::unlimited()),
        private_only: false,
        presence_enabled: false,
        suspend: false,
        changes: args.changes.config(None),
        private: args.private.config(args.migrate),
        api_keys: args.api_keys.clone(),
    })
}

/// The flag that an error about keys is about.
fn blamed(error: &KeysError) -> &'static str {
    match error {
        KeysError::EmptySecret => "--jwt-secret",
        KeysError::NotAKeySet => "--jwt-jwks",
    }
}

/// A key set is given as a file or as the JSON itself.
fn read_jwks(text: &str) -> Result<serde_json::Value, String> {
    let json = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        std::fs::read_to_string(text).map_err(|error| format!("--jwt-jwks {text}: {error}"))?
    };
    serde_json::from_str(&json).map_err(|error| format!("--jwt-jwks: {error}"))
}

/// What is the same for all tenants.
pub(crate) struct ServerPart {
    workers: NonZeroUsize,
    validators: ClaimValidators,
    metrics: Option<Keys>,
    delays: Delays,
    sizes: Sizes,
    idle_timeout: Duration,
}

impl ServerPart {
    pub(crate) fn with(self, listen: SocketAddr, tenants: Tenants) -> ServerConfig {
        let Self {
            workers,
            validators,
            metrics,
            delays,
            sizes,
            idle_timeout,
        } = self;
        ServerConfig {
            listen,
            workers,
            tenants,
            validators,
            metrics,
            delays,
            sizes,
            idle_timeout,
        }
    }
}

pub(crate) fn server_config(args: &ServerArgs, problems: &mut Vec<String>) -> Option<ServerPart> {
    let validators = ClaimValidators::parse(&args.jwt_claim_validators)
        .map_err(|error| problems.push(format!("--jwt-claim-validators: {error}")));
    let metrics = args.metrics_jwt_secret.as_deref().map(Secret::new);
    let metrics = metrics.map(|secret| Keys::new(Some(&secret), None)).transpose();
    let metrics = metrics.map_err(|error| problems.push(format!("--metrics-jwt-secret: {error}")));
    let processors = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Some(ServerPart {
        workers: args.workers.unwrap_or_else(processors),
        validators: validators.ok()?,
        metrics: metrics.ok()?,
        delays: Delays {
            handshake_refusal: args.connect_error_backoff_ms,
            join_refusal: args.channel_error_backoff_ms,
        },
        sizes: Sizes {
            outbox_bytes_max: args.outbox_bytes_max,
            frame_bytes_max: args.frame_bytes_max,
        },
        idle_timeout: args.idle_timeout_ms,
    })
}

fn overridden(args: &LimitArgs, limits: Limits) -> Limits {
    Limits {
        concurrent_users_max: args.max_concurrent_users.or(limits.concurrent_users_max),
        channels_per_client_max: args.max_channels_per_client.or(limits.channels_per_client_max),
        joins_per_second_max: args.max_joins_per_second.or(limits.joins_per_second_max),
        events_per_second_max: args.max_events_per_second.or(limits.events_per_second_max),
        presence_events_per_second_max: args
            .max_presence_events_per_second
            .or(limits.presence_events_per_second_max),
        client_presence_calls_max: args
            .max_client_presence_events_per_window
            .or(limits.client_presence_calls_max),
        client_presence_window: args
            .client_presence_window_ms
            .map_or(limits.client_presence_window, Duration::from_millis),
        payload_kb_max: args.max_payload_size_in_kb.or(limits.payload_kb_max),
        bytes_per_second_max: limits.bytes_per_second_max,
    }
}

/// Says what is on and what is off, and why.
fn announce(tenants: &Tenants) {
    let tenants: Vec<&TenantConfig> = match tenants {
        Tenants::Single(tenant) => vec![tenant],
        Tenants::ByLabel(tenants) => tenants.values().collect(),
    };
    for tenant in tenants {
        for key in tenant.keys.unusable() {
            warn!(
                tenant = tenant.name,
                kid = key.kid,
                "a key of the key set is not used: {}",
                key.reason
            );
        }
        match &tenant.database {
            Some(dsn) => {
                info!(tenant = tenant.name, database = %dsn, publication = tenant.changes.publication, "Postgres changes are on")
            }
            None => warn!(
                tenant = tenant.name,
                "no database: public broadcast and presence only; Postgres changes and private channels are off. \
                 Give one with --database-url"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::FromArgMatches;

    fn configured(flags: &[&str], variables: &[(&str, &str)]) -> Result<ServerConfig, String> {
        let flags = ["roost", "serve"].iter().chain(flags);
        let matches = Cli::command_with(|_| false).try_get_matches_from(flags);
        let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
        let Command::Serve(args) = cli.map_err(|error| error.to_string())?.command else {
            panic!("the command is serve");
        };
        configure(&args, &Environment::of(variables)).map_err(|problems| problems.to_string())
    }

    fn only(config: &ServerConfig) -> &TenantConfig {
        match &config.tenants {
            Tenants::Single(tenant) => tenant,
            Tenants::ByLabel(_) => panic!("one tenant"),
        }
    }

    #[test]
    fn one_project_has_no_quotas_unless_told() {
        let config = configured(&["--jwt-secret", "s", "--max-joins-per-second", "7"], &[]).unwrap();
        let limits = &only(&config).limits;
        assert_eq!(
            (limits.joins_per_second_max, limits.events_per_second_max),
            (Some(7), None)
        );
        assert_eq!(config.listen, "0.0.0.0:4000".parse().unwrap());
    }

    #[test]
    fn the_variables_of_the_reference_are_understood() {
        let variables = [
            ("PORT", "4321"),
            ("API_JWT_SECRET", "s"),
            ("DB_HOST", "db"),
            ("DB_USER", "me"),
        ];
        let config = configured(&[], &variables).unwrap();
        assert_eq!(config.listen.port(), 4321);
        assert!(
            only(&config)
                .database
                .as_ref()
                .unwrap()
                .to_string()
                .contains("db")
        );
        assert_eq!(
            configured(&["--listen", "127.0.0.1:1"], &variables)
                .unwrap()
                .listen
                .port(),
            1
        );
    }

    #[test]
    fn mistakes_are_told_together() {
        let flags = ["--jwt-jwks", "/nowhere/keys.json", "--jwt-claim-validators", "[]"];
        let error = configured(&flags, &[("PORT", "x"), ("DB_HOST", "h"), ("DB_PORT", "y")]).unwrap_err();
        for expected in [
            "PORT:",
            "--jwt-jwks /nowhere",
            "--jwt-claim-validators:",
            "DB_HOST",
        ] {
            assert!(error.contains(expected), "{expected} in {error}");
        }
        let error = |flags: &[&str]| configured(flags, &[]).unwrap_err();
        assert!(error(&[]).contains("--jwt-secret (JWT_SECRET)"));
        assert!(error(&["--jwt-secret", ""]).starts_with("--jwt-secret: "));
        assert!(
            error(&["--jwt-secret", "s", "--metrics-jwt-secret", ""]).starts_with("--metrics-jwt-secret: ")
        );
        assert!(error(&["--jwt-jwks", "{}"]).starts_with("--jwt-jwks: "));
    }
}
