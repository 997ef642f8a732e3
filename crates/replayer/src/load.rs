//! Finds transcripts and reads them: files, folders, patterns.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use transcript::{FormatError, LINE_BYTES_MAX, Reader, Transcript};

/// The ending of transcripts in folders.
const ENDING: &str = "jsonl";
/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 16;

/// Why files cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing has that name.
    #[error("{0}: there is no such file or folder; is the path right from where you are?")]
    Missing(String),
    /// A pattern that fits nothing, or a folder without transcripts.
    #[error("{0}: there are no transcripts (files that end in .{ENDING}) there; `roost record` makes one")]
    Empty(String),
    /// A file or folder that cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file that is no transcript, or not a good one.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// The files behind names of files, folders (with those in them) and patterns with `*`, `?` and `**`, sorted.
///
/// # Errors
///
/// [`LoadError`] of the first name behind which there is nothing.
pub fn find(names: &[String]) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Vec::new();
    for name in names {
        let path = Path::new(name);
        let before = files.len();
        if path.is_dir() {
            walk(path, &mut |_| true, DEPTH_MAX, &mut files)?;
        } else if path.exists() {
            files.push(path.to_owned());
        } else if name.contains(['*', '?']) {
            let (root, pattern) = split(path);
            let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
            let mut fits = |file: &Path| {
                let below = file.strip_prefix(&root).unwrap_or(file);
                let names: Vec<_> = below.iter().map(|name| name.to_string_lossy()).collect();
                fits(&pattern, &names)
            };
            let root = if root.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &root
            };
            walk(root, &mut fits, DEPTH_MAX, &mut files)?;
        } else {
            return Err(LoadError::Missing(name.clone()));
        }
        if files.len() == before {
            return Err(LoadError::Empty(name.clone()));
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// Reads a transcript a line at a time, so that a file of any size and content costs no more than its longest line.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn read(path: &Path) -> Result<Transcript, Vec<LoadError>> {
    let shown = path.display().to_string();
    let unreadable = |error| {
        vec![LoadError::Unreadable {
            path: shown.clone(),
            error,
        }]
    };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut reader = Reader::new(&shown);
    let mut line = Vec::new();
    // One byte more than a line may have, for its end.
    let bytes_max = u64::try_from(LINE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    loop {
        line.clear();
        let bytes = file
            .by_ref()
            .take(bytes_max)
            .read_until(b'\n', &mut line)
            .map_err(unreadable)?;
        if bytes == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > LINE_BYTES_MAX {
            reader.line_too_long();
            break;
        }
        reader.line(&line);
        if reader.is_given_up() {
            break;
        }
    }
    reader
        .finish()
        .map_err(|problems| problems.into_iter().map(LoadError::from).collect())
}

fn walk(
    folder: &Path,
    fits: &mut dyn FnMut(&Path) -> bool,
    levels_left: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), LoadError> {
    let unreadable = |error| LoadError::Unreadable {
        path: folder.display().to_string(),
        error,
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
        if path.is_dir() {
            if levels_left > 0 {
                walk(&path, fits, levels_left - 1, files)?;
            }
        } else if path.extension().is_some_and(|ending| ending == ENDING) && fits(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// The folder before the first part that is a pattern, and the parts from there on.
fn split(path: &Path) -> (PathBuf, Vec<String>) {
    let mut root = PathBuf::new();
    let mut pattern = Vec::new();
    for part in path {
        let text = part.to_string_lossy().into_owned();
        if pattern.is_empty() && !text.contains(['*', '?']) {
            root.push(part);
        } else {
            pattern.push(text);
        }
    }
    (root, pattern)
}

/// Whether the parts of a path fit those of a pattern, in which `**` stands for any number of parts.
fn fits(pattern: &[&str], names: &[impl AsRef<str>]) -> bool {
    match (pattern.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            (0..=names.len()).any(|from| names.get(from..).is_some_and(|names| fits(rest, names)))
        }
        (Some((part, rest)), Some((name, names))) => fits_name(part, name.as_ref()) && fits(rest, names),
        _ => false,
    }
}

/// Whether a name fits a pattern with `*` and `?`.
fn fits_name(pattern: &str, name: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    match pattern_chars.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = pattern_chars.as_str();
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| name.get(at..).is_some_and(|name| fits_name(rest, name)))
        }
        Some(wanted) => {
            let mut name_chars = name.chars();
            name_chars
                .next()
                .is_some_and(|char| wanted == '?' || wanted == char)
                && fits_name(pattern_chars.as_str(), name_chars.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("join-*.jsonl", "join-ok.jsonl", true),
            ("join-*.jsonl", "leave.jsonl", false),
            ("?é?", "aéb", true),
            ("a?", "a", false),
            ("a*b*c", "aXbXbc", true),
        ] {
            assert_eq!(fits_name(pattern, name), expected, "{pattern} {name}");
        }
        assert!(fits(&["**", "*.jsonl"], &["a", "b", "c.jsonl"]));
        assert!(fits(&["**", "*.jsonl"], &["c.jsonl"]));
        assert!(!fits(&["*", "*.jsonl"], &["a", "b", "c.jsonl"]));
    }

    #[test]
    fn files_folders_and_patterns_are_found() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../protocol-spec/transcripts");
        let found = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| format!("{folder}/{name}")).collect();
            find(&names).map(|files| files.len())
        };
        let all = found(&[""]).unwrap();
        assert!(all > 100, "{all}");
        assert_eq!(found(&["heartbeat.jsonl", "heart*.jsonl", ""]).unwrap(), all);
        assert_eq!(found(&["../**/heartbeat.jsonl"]).unwrap(), 1);
        assert!(matches!(found(&["nothing.jsonl"]), Err(LoadError::Missing(_))));
        assert!(matches!(found(&["nothing*.jsonl"]), Err(LoadError::Empty(_))));
        assert!(matches!(found(&["fixtures"]), Err(LoadError::Empty(_))));
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let problems = read(Path::new("/dev/zero")).unwrap_err();
        assert!(
            problems[0]
                .to_string()
                .contains("/dev/zero:1: a line of more than"),
            "{problems:?}"
        );
    }
}
