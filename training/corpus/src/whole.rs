//! Files that are either whole or not there.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` beside `path`, and puts them in its place when they are on the disk. Two processes may do so at once.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let part = path.with_added_extension(format!("{}.part", std::process::id()));
    let written = fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes.as_ref())?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| fs::rename(&part, path));
    if replaced.is_err() {
        // What is half written would only take room; the error that counts is the first.
        let _already_failed = fs::remove_file(&part);
    }
    replaced
}
