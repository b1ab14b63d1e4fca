//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` beside `path`, and puts them in its place when they are on the disk. Two processes may do so at once. A link is followed, and
/// a device or pipe is written to as it is.
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
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_special = fs::metadata(&target).is_ok_and(|known| !known.is_file() && !known.is_dir());
    let name = format!("{}.part", std::process::id());
    let part = if is_special {
        std::env::temp_dir().join(format!("avicuna-{name}"))
    } else {
        target.with_added_extension(name)
    };
    let replaced = write(&part).and_then(|()| {
        if is_special {
            io::copy(&mut File::open(&part)?, &mut File::options().write(true).open(&target)?)?;
            return Ok(fs::remove_file(&part)?);
        }
        File::open(&part)?.sync_all()?;
        Ok(fs::rename(&part, &target)?)
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

    #[test]
    fn a_link_is_followed_and_a_pipe_or_device_stays_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        write(&link, "new").expect("written");
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "new");
        assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe)
        });
        write(&pipe, "through").expect("written");
        assert_eq!(reader.join().expect("no panic").expect("read"), "through");
        let device = Path::new("/dev/full");
        assert!(write(device, "more than fits").is_err());
        assert!(!fs::metadata(device).expect("it is there").is_file());
    }
}
