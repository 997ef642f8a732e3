//! The recorded conversations themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use transcript::{Action, Transcript};

/// How many there are.
const COUNT: usize = 153;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol-spec/transcripts")
}

fn all() -> Vec<Transcript> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the folder is part of the repository")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    files.iter().map(|path| parse(path)).collect()
}

fn parse(path: &Path) -> Transcript {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(path).expect("transcripts are text");
    Transcript::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_file_is_understood() {
    let transcripts = all();
    assert_eq!(transcripts.len(), COUNT);
    for transcript in &transcripts {
        assert_eq!(format!("{}.jsonl", transcript.header.name), transcript.file);
        assert!(!transcript.steps.is_empty(), "{}", transcript.file);
        assert_eq!(
            transcript.header.reference.commit, "833cf36c",
            "{}",
            transcript.file
        );
    }
}

#[test]
fn every_file_is_in_the_index_under_its_area() {
    let index = fs::read_to_string(folder().join("INDEX.md")).unwrap();
    for transcript in all() {
        let section = format!("## {}\n", transcript.header.area);
        let (_, after) = index.split_once(&section).unwrap_or_else(|| panic!("{section}"));
        let section = after.split("\n## ").next().unwrap();
        let link = format!("[{0}]({0}.jsonl)", transcript.header.name);
        assert!(section.contains(&link), "{}", transcript.file);
    }
}

#[test]
fn connections_are_opened_before_they_are_used() {
    for transcript in all() {
        let mut opened = BTreeSet::new();
        for step in &transcript.steps {
            let used = match &step.action {
                Action::Open(open) => {
                    opened.insert(open.connection.as_str());
                    continue;
                }
                Action::Send { connection, .. }
                | Action::Receive { connection, .. }
                | Action::Silence { connection, .. }
                | Action::Close { connection, .. }
                | Action::Closed { connection, .. } => connection,
                Action::Http(_) | Action::Sql(_) | Action::Sleep { .. } => continue,
            };
            assert!(
                opened.contains(used.as_str()),
                "{}:{}",
                transcript.file,
                step.line
            );
        }
    }
}
