//! `roost replay`: holds a server against recorded conversations.
//!
//! The exit code is an answer: 0 if every transcript went as recorded or deviates as listed, 1 if not, 2 if nothing could
//! be replayed. Results go to stdout in the form that was asked for, progress and mistakes to stderr.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use auth::Secret;
use clap::{Args, ValueEnum};
use client::Address;
use replayer::{
    CONCURRENCY, Deviations, Options, Outcome, Target, Tenant, load, prepare_databases, replay, report,
};
use transcript::{Lack, Lacking, Pace, Settings, Transcript};

use crate::authorities_args::AuthoritiesArgs;
use crate::cli::milliseconds;
use crate::environment::Environment;

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Transcripts: files, folders, patterns with `*`, `?` and `**`.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// The server, as clients have it: `ws://127.0.0.1:4000`, `wss://project.example/realtime/v1`. A path takes the place of
    /// /socket before /websocket, and stands before /api.
    #[arg(long, env = "ROOST_REPLAY_URL", value_name = "URL")]
    url: Address,
    #[command(flatten)]
    authorities: AuthoritiesArgs,
    /// A key or token that stands for `${jwt:NAME}` in the transcripts, instead of what their headers say: for keys that are
    /// not in a file, and tokens of a server whose secret is not at hand. May be given several times; in the variable,
    /// separated by commas.
    #[arg(
        long = "key",
        env = "ROOST_REPLAY_KEYS",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = named_key,
        value_name = "NAME=VALUE"
    )]
    keys: Vec<(String, Secret)>,
    /// Secret that the server's tokens are signed with. Without it, API_JWT_SECRET; without that, only transcripts can be
    /// replayed that need no token signed.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    jwt_secret: Option<String>,
    /// Connection string of a superuser of the server's database. Without it, transcripts with SQL are left out.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "DSN")]
    database_url: Option<String>,
    /// Secret of the tenants API. Without it, transcripts that need it are left out.
    #[arg(
        long,
        env = "ROOST_REPLAY_ADMIN_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    admin_secret: Option<String>,
    /// Host header of every request [default: that of the URL]. Its first label is the tenant's name.
    #[arg(long, env = "ROOST_REPLAY_HOST", value_name = "HOST")]
    host: Option<String>,
    /// Settings that the server has: transcripts for those of other names are left out.
    #[arg(
        long,
        env = "ROOST_REPLAY_PROFILE",
        default_value = "main",
        value_name = "NAME"
    )]
    profile: String,
    /// Several tenants, instead of the flags above: a JSON file {"admin_secret": "…", "profiles": {"main": [{"name":
    /// "main", "jwt_secret": "…", "host": "…", "database": "postgres://…"}]}}. Each transcript that needs a fresh tenant
    /// uses one up.
    #[arg(long, env = "ROOST_REPLAY_TENANTS", value_name = "FILE", conflicts_with_all = ["host", "admin_secret", "profile"])]
    tenants: Option<PathBuf>,
    /// Apply the fixtures of the recorded conversations to the databases first. Do it once before the server connects and
    /// once after.
    #[arg(long, env = "ROOST_REPLAY_PREPARE")]
    prepare: bool,
    /// Only transcripts of this area. May be given several times; in the variable, separated by commas.
    #[arg(long, env = "ROOST_REPLAY_AREA", value_delimiter = ',', value_name = "AREA")]
    area: Vec<String>,
    /// Differences that are meant, as in `protocol-spec/deviations.toml`.
    #[arg(long, env = "ROOST_REPLAY_DEVIATIONS", value_name = "FILE")]
    deviations: Option<PathBuf>,
    /// What is printed.
    #[arg(
        long,
        env = "ROOST_REPLAY_REPORT",
        default_value = "pretty",
        value_name = "FORM"
    )]
    report: Report,
    /// Rewrite what the files expect from what the server says. What still matches stays, placeholders too.
    #[arg(long, env = "ROOST_REPLAY_UPDATE")]
    update: bool,
    /// How fast the client's side goes.
    #[arg(
        long,
        env = "ROOST_REPLAY_SPEED",
        default_value = "fast",
        value_name = "SPEED"
    )]
    speed: Speed,
    /// How long to wait for what has to come, in milliseconds; a step may ask for more.
    #[arg(long, env = "ROOST_REPLAY_PATIENCE_MS", default_value = "10000", value_parser = milliseconds, value_name = "MS")]
    patience_ms: Duration,
    /// Transcripts that are replayed at a time; those that share a lock go one after the other all the same.
    #[arg(long, env = "ROOST_REPLAY_CONCURRENCY", default_value_t = CONCURRENCY, value_name = "COUNT")]
    concurrency: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Report {
    /// A line for each, differences at length, a table.
    Pretty,
    /// One JSON object.
    Json,
    /// Test Anything Protocol, version 14.
    Tap,
    /// JUnit's XML.
    Junit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Speed {
    /// With the pauses of the recording, where it has times.
    Real,
    /// As soon as what comes before has come.
    Fast,
}

pub(crate) fn run(args: &ReplayArgs, environment: &Environment) -> ExitCode {
    match replayed(args, environment) {
        Ok(code) => code,
        Err(problems) => {
            for problem in problems {
                eprintln!("roost: {problem}");
            }
            ExitCode::from(2)
        }
    }
}

fn replayed(args: &ReplayArgs, environment: &Environment) -> Result<ExitCode, Vec<String>> {
    let transcripts = transcripts(args)?;
    let deviations = match &args.deviations {
        Some(file) => Deviations::parse(&text_of("--deviations", file)?)
            .map_err(|error| vec![format!("{}: {error}", file.display())])?,
        None => Deviations::default(),
    };
    let target = target(args, environment, &transcripts)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| one(&error))?;
    let outcomes = runtime.block_on(async {
        if args.prepare {
            prepare_databases(&target).await.map_err(|error| one(&error))?;
        }
        target
            .reach(args.patience_ms)
            .await
            .map_err(|error| one(&error))?;
        let options = Options {
            concurrency: args.concurrency,
            settings: Settings {
                patience: args.patience_ms,
                pace: match args.speed {
                    Speed::Real => Pace::Real,
                    Speed::Fast => Pace::Fast,
                },
                is_updating: args.update,
            },
        };
        let mut progress = Progress::new(transcripts.len());
        let mut on_outcome = |outcome: &Outcome| {
            progress.clear();
            if args.report == Report::Pretty {
                print(&report::line(outcome, &deviations));
            }
            progress.count(outcome);
        };
        let outcomes = replay(transcripts, &target, options, &mut on_outcome).await;
        progress.clear();
        Ok::<_, Vec<String>>(outcomes)
    })?;
    write_updates(&outcomes)?;
    match args.report {
        Report::Pretty => print(&format!("\n{}", report::summary(&outcomes, &deviations))),
        Report::Json => print(&report::json(&outcomes, &deviations)),
        Report::Tap => print(&report::tap(&outcomes, &deviations)),
        Report::Junit => print(&report::junit(&outcomes, &deviations)),
    }
    let counts = report::Counts::of(&outcomes, &deviations);
    if counts.left_out == outcomes.len() {
        return Err(vec![
            "nothing could be replayed: every transcript was left out; the report says why".to_owned(),
        ]);
    }
    Ok(ExitCode::from(u8::from(counts.bad > 0)))
}

/// All files, or everything that is wrong with them.
fn transcripts(args: &ReplayArgs) -> Result<Vec<Transcript>, Vec<String>> {
    let mut transcripts = Vec::new();
    let mut problems = Vec::new();
    for file in load::find(&args.files).map_err(|error| one(&error))? {
        match load::read(&file) {
            Ok(transcript) => transcripts.push(transcript),
            Err(of_file) => problems.extend(of_file.iter().map(ToString::to_string)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    transcripts.retain(|transcript| args.area.is_empty() || args.area.contains(&transcript.header.area));
    if transcripts.is_empty() {
        return Err(vec![format!("no transcript is of area {}", args.area.join(", "))]);
    }
    Ok(transcripts)
}

fn target(
    args: &ReplayArgs,
    environment: &Environment,
    transcripts: &[Transcript],
) -> Result<Target, Vec<String>> {
    let endpoint = args
        .authorities
        .endpoint(&args.url)
        .map_err(|error| one(&error))?;
    let secret = args
        .jwt_secret
        .as_deref()
        .or_else(|| environment.get("API_JWT_SECRET"));
    check_keys(args, transcripts, secret.is_some() || args.tenants.is_some())?;
    let mut target = if let Some(file) = &args.tenants {
        let mut target = Target::parse(endpoint, &text_of("--tenants", file)?)
            .map_err(|error| vec![format!("{}: {error}", file.display())])?;
        for tenant in target.profiles.values_mut().flatten() {
            tenant.database = tenant.database.take().or_else(|| args.database_url.clone());
        }
        target
    } else {
        let host = args.host.as_deref().unwrap_or(endpoint.authority());
        let name = host.split(['.', ':']).next().unwrap_or_default();
        let mut tenant = Tenant::new(
            name,
            Secret::new(secret.unwrap_or_default()),
            args.database_url.clone(),
        );
        host.clone_into(&mut tenant.host);
        let admin_secret = args.admin_secret.as_deref().map(Secret::new);
        Target::single(endpoint, &args.profile, tenant, admin_secret)
    };
    target.keys = args.keys.iter().cloned().collect();
    Ok(target)
}

/// Whether everything is there that stands for something else in the files, and is in one that is there.
fn check_keys(args: &ReplayArgs, transcripts: &[Transcript], has_secret: bool) -> Result<(), Vec<String>> {
    let is_given = |name: &str| args.keys.iter().any(|(given, _)| given == name);
    let lacks = transcripts
        .iter()
        .flat_map(|transcript| transcript.lacks(is_given, has_secret));
    let mut problems: Vec<String> = lacks.map(|lack| way_out(&lack)).collect();
    let names: BTreeSet<&str> = transcripts
        .iter()
        .flat_map(|transcript| transcript.header.jwt.keys().map(String::as_str))
        .collect();
    for (name, _) in args
        .keys
        .iter()
        .filter(|(name, _)| !names.contains(name.as_str()))
    {
        let names: Vec<&str> = names.iter().copied().collect();
        let known = match names.as_slice() {
            [] => "there are none".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        problems.push(format!(
            "--key {name}=…: no transcript has a key or token of that name; {known}"
        ));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// What is lacking, and what to do.
fn way_out(lack: &Lack) -> String {
    let secret = "give --jwt-secret SECRET (or JWT_SECRET)";
    match &lack.what {
        Lacking::Key(name) => {
            format!(
                "{lack}: give --key {name}=VALUE (or ROOST_REPLAY_KEYS), or write it into the header, at jwt.{name}.raw"
            )
        }
        Lacking::Signature(name) => {
            format!("{lack}: {secret}, or the token itself with --key {name}=TOKEN (or ROOST_REPLAY_KEYS)")
        }
        Lacking::Secret => format!("{lack}: {secret}"),
    }
}

/// A key with its name; the value is in no message.
fn named_key(text: &str) -> Result<(String, Secret), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), Secret::new(value)))
        }
        _ => Err("NAME=VALUE is needed, as in sb_publishable=sb_publishable_…".to_owned()),
    }
}

/// Writes what the files should say from now on, each beside the old one and then over it.
fn write_updates(outcomes: &[Outcome]) -> Result<(), Vec<String>> {
    for outcome in outcomes {
        if let Some(rewritten) = &outcome.rewritten {
            replace_file(Path::new(&outcome.file), &rewritten.text).map_err(|error| vec![error])?;
            eprintln!("{}: lines updated: {}", outcome.file, rewritten.lines);
        }
    }
    Ok(())
}

/// Puts a text into a file so that a crash leaves the old one or the new one.
pub(crate) fn replace_file(file: &Path, text: &str) -> Result<(), String> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, file))
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// Prints to a pipe that may be closed, as `head` does.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The text of the file that a flag names.
fn text_of(flag: &str, file: &Path) -> Result<String, Vec<String>> {
    std::fs::read_to_string(file).map_err(|error| vec![format!("{flag} {}: {error}", file.display())])
}

fn one(error: &impl ToString) -> Vec<String> {
    vec![error.to_string()]
}

/// A line on the terminal, if there is one, that says how far it is.
struct Progress {
    of: usize,
    done: usize,
    is_shown: bool,
}

impl Progress {
    fn new(of: usize) -> Self {
        Self {
            of,
            done: 0,
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
        // Lines of the report stand before the next line of progress.
        let _ = std::io::stdout().flush();
    }

    fn count(&mut self, outcome: &Outcome) {
        self.done += 1;
        if self.is_shown {
            eprint!("{} of {}: {}", self.done, self.of, outcome.name);
            let _ = std::io::stderr().flush();
        }
    }
}
