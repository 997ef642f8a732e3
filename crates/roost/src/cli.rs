//! Flags. Each has an environment variable; where the reference has one for the same thing, it is that one.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use gateway::config::ApiKey;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::changes_args::ChangesArgs;
use crate::explain::ExplainArgs;
use crate::private_args::PrivateArgs;
use crate::record::RecordArgs;
use crate::replay::ReplayArgs;
use crate::script::ScriptArgs;
use crate::token::parse_claim;
use crate::transcript::TranscriptArgs;

/// A realtime gateway for PostgreSQL: channels, broadcast, presence and changes over the protocol of Supabase Realtime.
#[derive(Debug, Parser)]
#[command(name = "roost", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) logging: LoggingArgs,
}

impl Cli {
    /// Takes the flags and the variables of the process; ends it with a word about what is wrong. A variable that is
    /// empty is as good as none, as files for containers often have them.
    pub(crate) fn of_process() -> Self {
        let command = Self::command_with(|name| std::env::var_os(name).is_none_or(|value| !value.is_empty()));
        let mut matches = command.get_matches();
        Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
    }

    /// The command, deaf to variables `is_heard` is false of.
    pub(crate) fn command_with(is_heard: impl Fn(&OsStr) -> bool + Copy) -> clap::Command {
        let hear = move |flag: clap::Arg| match flag.get_env() {
            Some(name) if !is_heard(name) => flag.env(Resettable::Reset),
            _ => flag,
        };
        Self::command().mut_args(hear).mut_subcommands(|command| {
            command
                .mut_args(hear)
                .mut_subcommands(|command| command.mut_args(hear))
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a private PostgreSQL and a gateway on it, and print what to paste into a frontend.
    Dev(DevArgs),
    /// Serve clients; with `--script`, from files.
    Serve(Box<ServeArgs>),
    /// Set a database up: the publication for changes, and the schema `realtime` for private channels and messages by SQL.
    Migrate(MigrateArgs),
    /// Print a token, signed with HS256.
    Token(TokenArgs),
    /// Say why a subscriber hears of the changes of a table, or why not. Exits with 0 if they would be delivered, with 1 if
    /// not, with 2 if nobody can tell.
    ExplainChange(Box<ExplainArgs>),
    /// Record what clients and a server say to each other, as a proxy between them, in a file that replays. Tokens become
    /// their claims and keys their names.
    Record(RecordArgs),
    /// Play the client's side of recorded conversations and hold what a server says against them. Exits with 0 if all went
    /// as recorded, with 1 if not, with 2 if nothing could be replayed.
    Replay(Box<ReplayArgs>),
    /// Format, check, compare and show recorded conversations.
    Transcript(TranscriptArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LoggingArgs {
    /// What is logged, to stderr: a level (error, warn, info, debug, trace), or levels by target as in `info,gateway=debug`.
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        default_value = "info",
        value_parser = log_filter,
        value_name = "FILTER"
    )]
    pub(crate) log_level: String,
    /// How it is written.
    #[arg(
        long,
        global = true,
        env = "ROOST_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Address and port to listen on.
    #[arg(
        long,
        env = "ROOST_LISTEN",
        default_value = "127.0.0.1:4000",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) listen: SocketAddr,
    /// Where database and keys are kept; a second start finds them there.
    #[arg(
        long,
        env = "ROOST_DATA_DIR",
        default_value = ".roost",
        value_name = "DIRECTORY"
    )]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) changes: ChangesArgs,
    #[command(flatten)]
    pub(crate) private: PrivateArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on. Without it, PORT on all addresses [default: 0.0.0.0:4000].
    #[arg(long, env = "ROOST_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Connection string of the database, as URL or as keywords and values. Without it, DB_HOST, DB_PORT, DB_USER,
    /// DB_PASSWORD and DB_NAME; without those there are no Postgres changes.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "DSN")]
    pub(crate) database_url: Option<String>,
    /// Secret that tokens are signed with (HS256, HS384, HS512). Without it, API_JWT_SECRET.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) jwt_secret: Option<String>,
    /// Key set that tokens are signed with (RS*, ES*, EdDSA, HS* by key id): a file, or the JSON itself. Without it,
    /// API_JWT_JWKS.
    #[arg(long, env = "JWT_JWKS", hide_env_values = true, value_name = "FILE")]
    pub(crate) jwt_jwks: Option<String>,
    /// A key of the newer kind, `sb_publishable_…` or `sb_secret_…`, and the role of whoever connects with it. May be given
    /// several times; in the variable, separated by commas. Without it such keys are no way in, as in the reference.
    #[arg(long = "api-key", env = "ROOST_API_KEYS", hide_env_values = true, value_delimiter = ',', value_parser = crate::api_keys::parse, value_name = "KEY=ROLE")]
    pub(crate) api_keys: Vec<ApiKey>,
    /// Set the database up before it is used, as `roost migrate` does; with a tenants file, every project's.
    #[arg(long, env = "ROOST_MIGRATE", value_parser = BoolishValueParser::new())]
    pub(crate) migrate: bool,
    /// Serve several projects, chosen by the first label of the host: a JSON file from label to settings. The flags
    /// above are then those of no project.
    #[arg(long, env = "ROOST_TENANTS", value_name = "FILE", conflicts_with_all = ["database_url", "jwt_secret", "jwt_jwks", "api_keys"])]
    pub(crate) tenants: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) changes: ChangesArgs,
    #[command(flatten)]
    pub(crate) private: PrivateArgs,
    #[command(flatten)]
    pub(crate) scripts: ScriptArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Limits of the one project; with a tenants file, of every project that does not say otherwise. One that is not given
/// is no limit for the one project, and the reference's default for those of a file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits of a project")]
pub(crate) struct LimitArgs {
    /// Sockets with a joined channel [in tenants files: 200].
    #[arg(long, env = "TENANT_MAX_CONCURRENT_USERS", value_name = "COUNT")]
    pub(crate) max_concurrent_users: Option<u64>,
    /// Channels of one socket [in tenants files: 100].
    #[arg(long, env = "TENANT_MAX_CHANNELS_PER_CLIENT", value_name = "COUNT")]
    pub(crate) max_channels_per_client: Option<u64>,
    /// Joins per second [in tenants files: 100].
    #[arg(long, env = "TENANT_MAX_JOINS_PER_SECOND", value_name = "PER_SECOND")]
    pub(crate) max_joins_per_second: Option<u64>,
    /// Broadcasts sent and delivered per second [in tenants files: 100].
    #[arg(long, env = "TENANT_MAX_EVENTS_PER_SECOND", value_name = "PER_SECOND")]
    pub(crate) max_events_per_second: Option<u64>,
    /// Presence events per second [in tenants files: 1000].
    #[arg(
        long,
        env = "TENANT_MAX_PRESENCE_EVENTS_PER_SECOND",
        value_name = "PER_SECOND"
    )]
    pub(crate) max_presence_events_per_second: Option<u64>,
    /// Presence calls of one channel in one window [in tenants files: 5].
    #[arg(long, env = "CLIENT_PRESENCE_MAX_CALLS", value_name = "COUNT")]
    pub(crate) max_client_presence_events_per_window: Option<u64>,
    /// Length of that window, in milliseconds [default: 30000].
    #[arg(long, env = "CLIENT_PRESENCE_WINDOW_MS", value_parser = clap::value_parser!(u64).range(1..), value_name = "MS")]
    pub(crate) client_presence_window_ms: Option<u64>,
    /// Payload of one message, in kilobytes of 1000 bytes [default: 3000].
    #[arg(long, env = "TENANT_MAX_PAYLOAD_SIZE_IN_KB", value_name = "KB")]
    pub(crate) max_payload_size_in_kb: Option<u64>,
}

/// Settings of the server as a whole.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Threads that serve sockets [default: one per processor].
    #[arg(long, env = "ROOST_WORKERS", value_name = "COUNT")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Bytes that may wait for one client; one that lags further behind is closed.
    #[arg(long, env = "ROOST_OUTBOX_BYTES_MAX", default_value_t = 16 << 20, value_name = "BYTES")]
    pub(crate) outbox_bytes_max: usize,
    /// Bytes of one message from a client.
    #[arg(
        long,
        env = "ROOST_FRAME_BYTES_MAX",
        default_value_t = 5_000_000,
        value_name = "BYTES"
    )]
    pub(crate) frame_bytes_max: usize,
    /// A socket from which nothing arrives for so long is closed, in milliseconds.
    #[arg(long, env = "ROOST_IDLE_TIMEOUT_MS", default_value = "60000", value_parser = at_least_a_millisecond, value_name = "MS")]
    pub(crate) idle_timeout_ms: Duration,
    /// How long the refusal of a handshake waits, in milliseconds: it slows down clients that retry.
    #[arg(long, env = "CONNECT_ERROR_BACKOFF_MS", default_value = "2000", value_parser = milliseconds, value_name = "MS")]
    pub(crate) connect_error_backoff_ms: Duration,
    /// How long the refusal of a join waits, in milliseconds.
    #[arg(long, env = "CHANNEL_ERROR_BACKOFF_MS", default_value = "5000", value_parser = milliseconds, value_name = "MS")]
    pub(crate) channel_error_backoff_ms: Duration,
    /// Claims that tokens must have if they have them at all: a JSON object of names and values.
    #[arg(long, env = "JWT_CLAIM_VALIDATORS", default_value = "{}", value_name = "JSON")]
    pub(crate) jwt_claim_validators: String,
    /// Secret that tokens of those who read `/metrics` are signed with (HS256, HS384, HS512). Without it there are none.
    #[arg(
        long,
        env = "METRICS_JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub(crate) metrics_jwt_secret: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Connection string of the database. Without it, DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "DSN")]
    pub(crate) database_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Claim `role`: the database role the client acts in.
    #[arg(long, env = "ROOST_TOKEN_ROLE", value_name = "ROLE")]
    pub(crate) role: String,
    /// Claim `sub`: who the client is.
    #[arg(long, env = "ROOST_TOKEN_SUB", value_name = "ID")]
    pub(crate) sub: Option<String>,
    /// How long it is valid: a number and s, m, h or d.
    #[arg(long, env = "ROOST_TOKEN_EXPIRES_IN", default_value = "1h", value_parser = crate::lifetime::parse, value_name = "TIME")]
    pub(crate) expires_in: Duration,
    /// Another claim; the value is JSON, or else text. May be given several times.
    #[arg(long = "claim", env = "ROOST_TOKEN_CLAIM", value_parser = parse_claim, value_name = "NAME=VALUE")]
    pub(crate) claims: Vec<(String, serde_json::Value)>,
    /// Secret to sign with. Without it, API_JWT_SECRET; without that, the secret `roost dev` keeps in its data directory.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) jwt_secret: Option<String>,
    /// The data directory of `roost dev`.
    #[arg(
        long,
        env = "ROOST_DATA_DIR",
        default_value = ".roost",
        value_name = "DIRECTORY"
    )]
    pub(crate) data_dir: PathBuf,
}

/// Passes a filter on that can be understood. A single word that is no level would otherwise be taken for a target.
fn log_filter(text: &str) -> Result<String, String> {
    let is_single = !text.contains(['=', ',', '[']);
    if is_single && text.trim().parse::<LevelFilter>().is_err() {
        return Err("neither a level (error, warn, info, debug, trace, off) nor levels by target".to_owned());
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn at_least_a_millisecond(text: &str) -> Result<Duration, String> {
    match milliseconds(text) {
        Ok(Duration::ZERO) => Err("0 would close every socket at once".to_owned()),
        other => other.map_err(|error| error.to_string()),
    }
}

pub(crate) fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_an_environment_variable_and_help() {
        let mut cli = Cli::command();
        cli.build();
        for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
            if command.get_name() == "help" {
                continue;
            }
            let flags = command.get_arguments().filter(|flag| {
                !["help", "version"].contains(&flag.get_id().as_str()) && !flag.is_positional()
            });
            for flag in flags {
                assert!(
                    flag.get_env().is_some(),
                    "{}: {}",
                    command.get_name(),
                    flag.get_id()
                );
                assert!(
                    flag.get_help().is_some(),
                    "{}: {}",
                    command.get_name(),
                    flag.get_id()
                );
            }
        }
    }

    #[test]
    fn a_log_filter_is_a_level_or_has_targets() {
        for filter in ["info", "OFF", "info,gateway=debug", "gateway::feed=trace"] {
            assert_eq!(log_filter(filter).as_deref(), Ok(filter));
        }
        for filter in ["verbose", "gateway=loud", "info,=x=y"] {
            assert!(log_filter(filter).is_err(), "{filter}");
        }
    }
}
