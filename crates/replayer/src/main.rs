//! `replayer`: holds a running server against recorded conversations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use replayer::{CONCURRENCY, Deviations, Judgement, Outcome, Target, Verdict, prepare_databases, replay};
use transcript::Transcript;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Replays recorded conversations against a running server.
///
/// Ends with 0 if every transcript went as the reference or deviates as listed, with 1 otherwise, and with 2 if nothing
/// could be replayed.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The server: ws://host:port.
    #[arg(long, required_unless_present = "list")]
    url: Option<String>,
    /// Its tenants by profile: {"admin_secret": "…", "profiles": {"main": [{"name": "main", "jwt_secret": "…",
    /// "host": "…", "database": "postgres://…"}]}}. Each transcript that needs a fresh tenant uses up one.
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    tenants: Option<PathBuf>,
    /// Connection string of a superuser, for tenants that name no database of their own.
    #[arg(long, value_name = "DSN", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Apply the fixtures to the tenants' databases first. Do it once before the server connects and once after.
    #[arg(long)]
    prepare: bool,
    /// Only transcripts of this area; may be repeated.
    #[arg(long)]
    area: Vec<String>,
    /// List the transcripts instead of replaying them.
    #[arg(long)]
    list: bool,
    /// Differences that are meant.
    #[arg(long, value_name = "FILE", default_value = "protocol-spec/deviations.toml")]
    deviations: PathBuf,
    /// How many transcripts run at a time.
    #[arg(long, value_name = "N", default_value_t = CONCURRENCY)]
    concurrency: usize,
    /// Transcripts, or folders of them.
    #[arg(value_name = "FILE", default_value = "protocol-spec/transcripts")]
    files: Vec<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("replayer: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nobody has to look at anything.
async fn run(options: Options) -> Result<bool> {
    let transcripts = load(&options.files, &options.area)?;
    let (Some(url), Some(tenants), false) = (&options.url, &options.tenants, options.list) else {
        for Transcript { header, .. } in &transcripts {
            println!("{:<10} {:<32} {}", header.area, header.name, header.title);
        }
        return Ok(true);
    };
    let deviations = Deviations::parse(&read(&options.deviations)?)?;
    let mut target = Target::parse(url, &read(tenants)?)?;
    for tenant in target.profiles.values_mut().flatten() {
        tenant.database = tenant.database.take().or_else(|| options.database_url.clone());
    }
    if options.prepare {
        prepare_databases(&target).await?;
    }
    let outcomes = replay(transcripts, &target, options.concurrency).await;
    Ok(report(&outcomes, &deviations))
}

/// Prints what came of it: failures at length, then a line for each transcript, then how many there are of each kind.
fn report(outcomes: &[Outcome], deviations: &Deviations) -> bool {
    for outcome in outcomes {
        if let (Verdict::Failed(failure), Judgement::Failed) = (&outcome.verdict, deviations.judge(outcome)) {
            println!("{failure}");
        }
    }
    let (mut passed, mut deviating, mut bad, mut left_out) = (0, 0, 0, 0);
    for outcome in outcomes {
        let (count, mark, note) = match (&outcome.verdict, deviations.judge(outcome)) {
            (Verdict::LeftOut(reason), _) => (&mut left_out, "left out", reason.clone()),
            (_, Judgement::Deviates(id)) => (&mut deviating, "deviates", format!("as meant: {id}")),
            (Verdict::Failed(failure), _) => (
                &mut bad,
                "FAILED",
                format!("line {}: {}", failure.line, failure.problem),
            ),
            (Verdict::Passed, Judgement::UnexpectedPass(id)) => {
                (&mut bad, "PASSED", format!("although listed: {id}"))
            }
            (Verdict::Passed, _) => (&mut passed, "ok", String::new()),
        };
        *count += 1;
        let took = outcome.took.as_secs_f32();
        println!(
            "{mark:<8} {:<10} {:<32} {took:6.1} s  {note}",
            outcome.area, outcome.name
        );
    }
    println!("{passed} as the reference, {deviating} deviate as meant, {bad} bad, {left_out} left out");
    bad == 0
}

fn load(paths: &[PathBuf], areas: &[String]) -> Result<Vec<Transcript>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
            let all = entries.collect::<std::result::Result<Vec<_>, _>>()?;
            files.extend(
                all.into_iter()
                    .filter(|file| file.extension().is_some_and(|ending| ending == "jsonl")),
            );
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    let mut transcripts = Vec::new();
    for file in files {
        let transcript = Transcript::parse(&file.display().to_string(), &read(&file)?)?;
        if areas.is_empty() || areas.contains(&transcript.header.area) {
            transcripts.push(transcript);
        }
    }
    if transcripts.is_empty() {
        return Err("there is no such transcript".into());
    }
    Ok(transcripts)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
