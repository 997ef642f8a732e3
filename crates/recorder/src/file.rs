//! The file: a header that may grow, and lines that are added one after the other.
//!
//! Invariants: whatever ends the process, the file holds a whole header and whole lines, but for a last one whose writing
//! was under way. Lines are on the disk when [`RecordFile::append`] returns. A header is replaced by renaming a complete
//! copy, so there is never half of one.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Only its owner reads it: what people sent each other is in it.
const MODE: u32 = 0o600;

/// A recording under way.
pub(crate) struct RecordFile {
    path: PathBuf,
    file: File,
    header: String,
}

impl RecordFile {
    /// Makes the file, which must not exist, with this header.
    pub(crate) fn create(path: &Path, header: String) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(MODE)
            .open(path)?;
        file.write_all(format!("{header}\n").as_bytes())?;
        file.sync_all()?;
        sync_folder_of(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
        })
    }

    /// Adds these lines, each with its line break.
    pub(crate) fn append(&mut self, lines: &str) -> io::Result<()> {
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()
    }

    /// Puts another header in the place of the one there is.
    pub(crate) fn replace_header(&mut self, header: String) -> io::Result<()> {
        if header == self.header {
            return Ok(());
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let copy_path = PathBuf::from(name);
        let mut copy = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            .open(&copy_path)?;
        copy.write_all(format!("{header}\n").as_bytes())?;
        self.file.seek(SeekFrom::Start(self.header.len() as u64 + 1))?;
        io::copy(&mut self.file, &mut copy)?;
        copy.sync_all()?;
        std::fs::rename(&copy_path, &self.path)?;
        sync_folder_of(&self.path)?;
        self.file = OpenOptions::new().read(true).append(true).open(&self.path)?;
        self.header = header;
        Ok(())
    }
}

/// A new name is on the disk once its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("roost-record-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_header_grows_and_the_lines_stay() {
        let folder = Folder::new("header");
        let path = folder.0.join("a.jsonl");
        let mut file = RecordFile::create(&path, "h1".into()).unwrap();
        file.append("1\n2\n").unwrap();
        file.replace_header("a longer header".into()).unwrap();
        file.append("3\n").unwrap();
        file.replace_header("h".into()).unwrap();
        file.append("4\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "h\n1\n2\n3\n4\n");
        assert_eq!(
            std::fs::read_dir(&folder.0).unwrap().count(),
            1,
            "no copy is left"
        );
    }

    #[test]
    fn a_recording_is_never_overwritten() {
        let folder = Folder::new("exists");
        let path = folder.0.join("a.jsonl");
        RecordFile::create(&path, "h".into()).unwrap();
        let error = RecordFile::create(&path, "h".into()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
