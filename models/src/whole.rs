//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` beside `path`, and puts them in its place when they are on the disk. Two processes may do so at once.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    write_with(path, |part| File::create(part)?.write_all(bytes.as_ref()))
}

/// As [`write()`], of what `write` puts into the file that it is given.
///
/// # Errors
/// Those of `write`, and what the system says.
pub fn write_with<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let part = path.with_added_extension(format!("{}.part", std::process::id()));
    let replaced = write(&part).and_then(|()| {
        File::open(&part)?.sync_all()?;
        Ok(fs::rename(&part, path)?)
    });
    if replaced.is_err() {
        // What is half written would only take room; the error that counts is the first.
        let _already_failed = fs::remove_file(&part);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        write(&path, "old").expect("written");
        let failed = write_with(&path, |part| {
            File::create(part)?.write_all(b"half")?;
            Err(io::Error::other("the power went"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "old");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
        write(&path, "new").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "new");
    }
}
