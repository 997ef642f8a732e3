//! Where the programs of PostgreSQL are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The programs of one version of PostgreSQL, all in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    programs: PathBuf,
}

/// There is no PostgreSQL server on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no PostgreSQL server found in PATH or under /usr/lib/postgresql. Install one: `apt-get install postgresql` \
     (Debian, Ubuntu), `dnf install postgresql-server` (Fedora), `brew install postgresql@17` (macOS)"
)]
pub struct NotFound;

impl Installation {
    /// The one in `PATH`, else the newest where Debian puts them.
    pub fn find() -> Result<Installation, NotFound> {
        let path = env::var_os("PATH").unwrap_or_default();
        let in_path = env::split_paths(&path).collect::<Vec<_>>();
        Self::find_in(&in_path, Path::new(DEBIAN_VERSIONS))
    }

    /// The full path of a program, such as `initdb`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    fn find_in(path: &[PathBuf], versions: &Path) -> Result<Installation, NotFound> {
        let debian = newest_first(versions)
            .into_iter()
            .map(|version| version.join("bin"));
        path.iter()
            .cloned()
            .chain(debian)
            .find_map(|directory| Self::at(&directory))
            .ok_or(NotFound)
    }

    /// The installation `directory` has programs of or links to.
    fn at(directory: &Path) -> Option<Installation> {
        // Links are followed, for only some of the programs may be linked to.
        let server = fs::canonicalize(directory.join("postgres")).ok()?;
        let programs = server.parent()?.to_owned();
        PROGRAMS
            .iter()
            .all(|name| programs.join(name).is_file())
            .then_some(Installation { programs })
    }
}

/// The directories under `versions` that are named by a version number.
fn newest_first(versions: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(versions)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.split('.').map(|part| part.parse().ok());
            Some((number.collect::<Option<_>>()?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Where Debian and its descendants keep one directory per major version.
const DEBIAN_VERSIONS: &str = "/usr/lib/postgresql";
/// What an installation has to have.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "psql"];

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = env::temp_dir().join(format!("roost-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(fs::canonicalize(path).unwrap())
        }

        fn install(&self, directory: &str, programs: &[&str]) -> PathBuf {
            let directory = self.0.join(directory);
            fs::create_dir_all(&directory).unwrap();
            for program in programs {
                fs::write(directory.join(program), "").unwrap();
            }
            directory
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_newest_version_is_taken_by_number_and_not_by_text() {
        let scratch = Scratch::new("newest");
        for version in ["9.6", "17", "16", "17-beta"] {
            scratch.install(&format!("{version}/bin"), &PROGRAMS);
        }
        scratch.install("18/bin", &["psql"]);
        let found = Installation::find_in(&[], &scratch.0).unwrap();
        assert_eq!(found.program("initdb"), scratch.0.join("17/bin/initdb"));
    }

    #[test]
    fn what_is_in_the_path_goes_first_and_links_are_followed() {
        let scratch = Scratch::new("path");
        let newest = scratch.install("versions/17/bin", &PROGRAMS);
        let chosen = scratch.install("versions/15/bin", &PROGRAMS);
        let links = scratch.install("links", &[]);
        std::os::unix::fs::symlink(chosen.join("postgres"), links.join("postgres")).unwrap();
        let client_only = scratch.install("client", &["psql"]);
        let versions = newest.ancestors().nth(2).unwrap();
        let found = Installation::find_in(&[client_only, links], versions).unwrap();
        assert_eq!(found.program("psql"), chosen.join("psql"));
    }

    #[test]
    fn a_machine_without_a_server_is_told_how_to_get_one() {
        let scratch = Scratch::new("none");
        let client_only = scratch.install("client", &["psql"]);
        let error = Installation::find_in(&[client_only], &scratch.0).unwrap_err();
        assert!(error.to_string().contains("apt-get install postgresql"));
    }
}
