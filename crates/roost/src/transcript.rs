//! `roost transcript`: what can be done with recorded conversations without a server.
//!
//! Exit codes: 0 if all is well, 1 if `fmt --check` or `diff` found something, 2 for files that are no transcripts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use replayer::{first_without_cause, load, with_sql};
use transcript::{Transcript, Value, canonical, compare, timeline};

use crate::replay::{print, replace_file};

#[derive(Debug, Args)]
pub(crate) struct TranscriptArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring files into canonical form: no white space, known keys in their order.
    Fmt {
        /// Files, folders, patterns.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<String>,
        /// Change nothing; exit with 1 and name the files that are not in this form.
        #[arg(long, env = "ROOST_TRANSCRIPT_FMT_CHECK")]
        check: bool,
        /// Also write a step with a statement before each change of a table that no step causes: what changed it is not on
        /// the wire. Rows that have to be there first come into `setup`, and `teardown` removes them all. To be reviewed.
        #[arg(long, env = "ROOST_TRANSCRIPT_FMT_SQL", conflicts_with = "check")]
        sql: bool,
    },
    /// Say everything that is wrong with files, each with its line and what to do. Exits with 2 if there is something.
    Check {
        /// Files, folders, patterns.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<String>,
    },
    /// Say what differs between two recordings of one scenario, for instance from two servers. What a server makes up may
    /// differ as long as it does so consistently. Exits with 1 if something differs.
    Diff {
        /// The first.
        a: PathBuf,
        /// The second.
        b: PathBuf,
    },
    /// Print a file for people: a line for each thing that was said, tokens shortened.
    Show {
        /// The file.
        file: PathBuf,
    },
}

pub(crate) fn run(args: &TranscriptArgs) -> ExitCode {
    let done = match &args.command {
        Command::Fmt { files, check, sql } => format(files, *check, *sql),
        Command::Check { files } => check(files),
        Command::Diff { a, b } => diff(a, b),
        Command::Show { file } => show(file),
    };
    done.unwrap_or_else(|problems| {
        for problem in problems {
            eprintln!("roost: {problem}");
        }
        ExitCode::from(2)
    })
}

fn format(names: &[String], only_check: bool, is_with_sql: bool) -> Result<ExitCode, Vec<String>> {
    let (mut changed, mut problems) = (0, Vec::new());
    for file in find(names)? {
        let transcript = match read(&file) {
            Ok(transcript) => transcript,
            Err(of_file) => {
                problems.extend(of_file);
                continue;
            }
        };
        let derived = if is_with_sql { with_sql(&transcript) } else { None };
        let formed = match &derived {
            Some(derived) => derived.text.clone(),
            None => formed(&transcript)?,
        };
        if let Some(derived) = derived {
            eprintln!("{}: statements written: {}", file.display(), derived.steps);
            derived.notes.iter().for_each(|note| eprintln!("{note}"));
        }
        let old =
            std::fs::read_to_string(&file).map_err(|error| vec![format!("{}: {error}", file.display())])?;
        if formed == old {
            continue;
        }
        changed += 1;
        print(&format!("{}\n", file.display()));
        if !only_check {
            replace_file(&file, &formed).map_err(|problem| vec![problem])?;
        }
    }
    if problems.is_empty() {
        Ok(ExitCode::from(u8::from(only_check && changed > 0)))
    } else {
        Err(problems)
    }
}

/// The whole file in canonical form; blank lines are left out.
fn formed(transcript: &Transcript) -> Result<String, Vec<String>> {
    let mut text = String::new();
    for (number, line) in transcript.lines().filter(|(_, line)| !line.trim().is_empty()) {
        let value =
            Value::parse(line).map_err(|error| vec![format!("{}:{number}: {error}", transcript.file)])?;
        text.push_str(&canonical(&value).to_string());
        text.push('\n');
    }
    Ok(text)
}

fn check(names: &[String]) -> Result<ExitCode, Vec<String>> {
    let files = find(names)?;
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    for file in &files {
        match read(file) {
            Ok(transcript) => notes.extend(first_without_cause(&transcript)),
            Err(of_file) => problems.extend(of_file),
        }
    }
    for note in &notes {
        print(&format!("note: {note}\n"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    print(&format!("transcripts: {}, nothing wrong\n", files.len()));
    if !notes.is_empty() {
        print("A note is nothing wrong for `roost serve --script`, which plays the changes itself.\n");
    }
    Ok(ExitCode::SUCCESS)
}

fn diff(a: &Path, b: &Path) -> Result<ExitCode, Vec<String>> {
    let (one, other) = match (read(a), read(b)) {
        (Ok(one), Ok(other)) => (one, other),
        (one, other) => return Err([one.err(), other.err()].into_iter().flatten().flatten().collect()),
    };
    let comparison = compare(&one, &other);
    let reference = |transcript: &Transcript| {
        let reference = &transcript.header.reference;
        format!("{} ({} {})", transcript.file, reference.server, reference.version)
    };
    print(&format!("A  {}\nB  {}\n\n", reference(&one), reference(&other)));
    for difference in &comparison.differences {
        print(&format!("{difference}\n"));
    }
    let (count, compared) = (comparison.differences.len(), comparison.compared);
    if compared == 0 {
        return Err(vec![
            "these are not recordings of one scenario: nothing in one is in the other".to_owned(),
        ]);
    }
    print(&format!(
        "differences: {count}; things that are in both: {compared}\n"
    ));
    Ok(ExitCode::from(u8::from(count > 0)))
}

fn show(file: &Path) -> Result<ExitCode, Vec<String>> {
    print(&timeline(&read(file)?));
    Ok(ExitCode::SUCCESS)
}

fn find(names: &[String]) -> Result<Vec<PathBuf>, Vec<String>> {
    load::find(names).map_err(|error| vec![error.to_string()])
}

fn read(file: &Path) -> Result<Transcript, Vec<String>> {
    load::read(file).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}
