//! Files out of gzipped tar archives, which crates and npm packages are.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path};

use flate2::read::GzDecoder;

use super::error::FetchError;
use super::progress::Report;

/// More than the largest package unpacks to. A small archive can be made to unpack to more than any disk holds.
const LIMIT: u64 = 2 << 30;

/// Copies `member` of `archive` to `out`; it is named without the folder that holds all files of such an archive.
///
/// Only the bytes are taken: no path inside the archive decides where anything is written.
pub(super) fn extract(
    archive: &Path,
    member: &str,
    out: &mut dyn Write,
    report: Report<'_>,
) -> Result<(), FetchError> {
    within(LIMIT, archive, member, out, report)
}

fn within(
    limit: u64,
    archive: &Path,
    member: &str,
    out: &mut dyn Write,
    report: Report<'_>,
) -> Result<(), FetchError> {
    let file = File::open(archive).map_err(|e| FetchError::io(archive, e))?;
    let mut unpacked = GzDecoder::new(BufReader::new(file)).take(limit);
    take_out(&mut unpacked, member, out, report).map_err(|reason| {
        let reason =
            if unpacked.limit() == 0 { format!("it unpacks to more than {limit} bytes") } else { reason };
        FetchError::Package { package: format!("archive {}", archive.display()), reason }
    })
}

fn take_out(
    unpacked: &mut dyn Read,
    member: &str,
    out: &mut dyn Write,
    report: Report<'_>,
) -> Result<(), String> {
    let wanted = Path::new(member);
    if member.is_empty() || !wanted.components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(format!("`{member}` is no path inside an archive"));
    }
    let broken = |e: std::io::Error| format!("it is damaged, cut short or no gzipped tar archive: {e}");
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !entry.path().is_ok_and(|path| inside(&path) == wanted) {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(format!("`{member}` is no file"));
        }
        let size = entry.size();
        let done = copy(&mut entry, out, size, report).map_err(|e| format!("`{member}` {e}"))?;
        if done != size {
            return Err(format!("it is cut short: only {done} of the {size} bytes of `{member}` are there"));
        }
        return Ok(());
    }
    Err(format!("it holds no `{member}`"))
}

/// A path without its first folder.
fn inside(path: &Path) -> &Path {
    let mut components = path.components();
    components.next();
    components.as_path()
}

/// Copies up to the end of `from`, of which `size` bytes are expected.
pub(super) fn copy(
    from: &mut dyn Read,
    out: &mut dyn Write,
    size: u64,
    mut report: Report<'_>,
) -> Result<u64, String> {
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let count = from.read(&mut buffer).map_err(|e| format!("cannot be read: {e}"))?;
        if count == 0 {
            return Ok(done);
        }
        out.write_all(&buffer[..count]).map_err(|e| format!("cannot be written: {e}"))?;
        done += count as u64;
        report.at(done, Some(size));
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    type Anything = Result<(), Box<dyn std::error::Error>>;

    /// An archive of files, written to `folder`.
    fn archive(
        folder: &Path,
        files: &[(&str, &[u8])],
    ) -> Result<std::path::PathBuf, Box<dyn std::error::Error>> {
        let path = folder.join("tiny-1.0.0.crate");
        let mut tar = tar::Builder::new(GzEncoder::new(File::create(&path)?, Compression::default()));
        for (name, bytes) in files {
            let mut header = header(name, bytes.len() as u64)?;
            header.set_cksum();
            tar.append(&header, *bytes)?;
        }
        tar.into_inner()?.finish()?;
        Ok(path)
    }

    /// The name as it is: the library that writes archives would refuse to climb out of them.
    fn header(name: &str, size: u64) -> Result<tar::Header, Box<dyn std::error::Error>> {
        let mut header = tar::Header::new_ustar();
        let field = &mut header.as_ustar_mut().ok_or("it is one")?.name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(size);
        header.set_mode(0o644);
        Ok(header)
    }

    fn taken(path: &Path, member: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        extract(path, member, &mut out, Report(&mut |_| {})).map_err(|e| e.to_string())?;
        Ok(out)
    }

    #[test]
    fn a_member_comes_out_by_its_path_below_the_first_folder() -> Anything {
        let folder = tempfile::tempdir()?;
        let model = vec![7; 3 << 20];
        let files: [(&str, &[u8]); 3] = [
            ("tiny-1.0.0/Cargo.toml", b"[package]"),
            ("tiny-1.0.0/old/models/tiny.onnx", b"another"),
            ("tiny-1.0.0/models/tiny.onnx", &model),
        ];
        let path = archive(folder.path(), &files)?;
        assert_eq!(taken(&path, "models/tiny.onnx")?, model);
        assert_eq!(taken(&path, "Cargo.toml")?, b"[package]");
        let said = taken(&path, "tiny.onnx").expect_err("it is in a folder");
        assert!(said.contains("tiny-1.0.0.crate") && said.contains("holds no `tiny.onnx`"), "{said}");
        Ok(())
    }

    #[test]
    fn nothing_climbs_out_of_an_archive() -> Anything {
        let folder = tempfile::tempdir()?;
        let files: [(&str, &[u8]); 3] = [("a/../../x", b"x"), ("/etc/y", b"y"), ("a/models", b"z")];
        let path = archive(folder.path(), &files)?;
        for member in ["../x", "../../x", "/etc/y", "", ".", "models/.."] {
            let said = taken(&path, member).expect_err("it is outside");
            assert!(said.contains("no path inside"), "{member}: {said}");
        }
        assert_eq!(taken(&path, "models")?, b"z");
        Ok(())
    }

    #[test]
    fn what_unpacks_to_more_than_any_package_is_not_read_on() -> Anything {
        let folder = tempfile::tempdir()?;
        let large = vec![0; 1 << 20];
        let path = archive(folder.path(), &[("a/first", &large), ("a/model", b"model")])?;
        for member in ["first", "model"] {
            let mut out = Vec::new();
            let outcome = within(1 << 19, &path, member, &mut out, Report(&mut |_| {}));
            let said = outcome.expect_err("it is too large").to_string();
            assert!(said.contains("more than 524288 bytes"), "{member}: {said}");
            assert!(out.len() <= 1 << 19);
        }
        Ok(())
    }

    #[test]
    fn a_link_is_no_file() -> Anything {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tiny.tgz");
        let mut tar = tar::Builder::new(GzEncoder::new(File::create(&path)?, Compression::default()));
        let mut header = header("package/model", 0)?;
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_link_name("/etc/passwd")?;
        header.set_cksum();
        tar.append(&header, std::io::empty())?;
        tar.into_inner()?.finish()?;
        let said = taken(&path, "model").expect_err("it is a link");
        assert!(said.contains("`model` is no file"), "{said}");
        Ok(())
    }

    #[test]
    fn wherever_an_archive_is_cut_the_error_names_it() -> Anything {
        let folder = tempfile::tempdir()?;
        // Bytes that cannot be packed, so that a cut of the archive is one of the member as well.
        let model: Vec<u8> =
            (0..20_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let path = archive(folder.path(), &[("tiny-1.0.0/model", &model)])?;
        let whole = std::fs::read(&path)?;
        for length in [0, 1, 9, 20, 300, whole.len() / 2, whole.len() * 9 / 10] {
            std::fs::write(&path, &whole[..length])?;
            let said = taken(&path, "model").expect_err("it is cut");
            assert!(said.contains("tiny-1.0.0.crate"), "{length}: {said}");
        }
        std::fs::write(&path, &model)?;
        let said = taken(&path, "model").expect_err("it is no archive");
        assert!(said.contains("no gzipped tar archive"), "{said}");
        Ok(())
    }

    #[test]
    fn a_member_that_ends_before_its_size_is_not_taken_for_whole() -> Anything {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tiny.tgz");
        let mut header = header("package/model", 1 << 40)?;
        header.set_cksum();
        let mut gzip = GzEncoder::new(File::create(&path)?, Compression::default());
        gzip.write_all(header.as_bytes())?;
        gzip.write_all(b"only this")?;
        gzip.finish()?;
        let said = taken(&path, "model").expect_err("most of it is not there");
        assert!(said.contains("only 9 of the 1099511627776 bytes"), "{said}");
        Ok(())
    }
}
