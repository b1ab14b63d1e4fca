//! npm packages: how models for browsers travel.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client;
use super::error::FetchError;
use crate::manifest::NpmFile;

/// The package's archive, from `folder` or downloaded to it by `npm`, whose own settings say from which registry.
pub(super) fn download(wanted: &NpmFile, folder: &Path, npm: &OsStr) -> Result<PathBuf, FetchError> {
    let pinned = format!("{}@{}", wanted.package, wanted.version);
    let wrong = |reason: String| FetchError::Package { package: format!("npm package {pinned}"), reason };
    let Some(name) = file_name(wanted) else {
        return Err(wrong("this is no package's name and version".into()));
    };
    let path = folder.join(&name);
    if path.exists() {
        return Ok(path);
    }
    client::fill(folder, |parts| {
        let mut command = Command::new(npm);
        command.args(["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination"]);
        command.arg(parts).arg(&pinned);
        let remedy = format!("install Node.js with npm, or put {name} into {}", folder.display());
        client::run(&mut command, "npm", &remedy, cause).map_err(wrong)?;
        let archive = parts.join(&name);
        if archive.exists() {
            return Ok(archive);
        }
        Err(wrong(format!(
            "npm fetched no {name}; give the name and the version as the registry spells them"
        )))
    })
}

/// What npm calls the archive; `None`: what the manifest names is no package.
fn file_name(wanted: &NpmFile) -> Option<String> {
    let name = match wanted.package.strip_prefix('@') {
        Some(scoped) => {
            let (scope, name) = scoped.split_once('/')?;
            client::plain(scope).then(|| format!("{scope}-{name}"))?
        }
        None => wanted.package.clone(),
    };
    (client::plain(&name) && client::plain(&wanted.version)).then(|| format!("{name}-{}.tgz", wanted.version))
}

/// The beginning of what npm says of its error: how to try otherwise comes after it.
fn cause(lines: &[&str]) -> String {
    let said =
        lines.iter().map(|line| line.trim_start_matches("npm error").trim_start_matches("npm ERR!").trim());
    said.filter(|line| !line.is_empty()).take(2).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Anything = Result<(), Box<dyn std::error::Error>>;

    fn wanted(package: &str, version: &str) -> NpmFile {
        NpmFile { package: package.into(), version: version.into(), member: None, sha256: String::new() }
    }

    /// An npm that runs `script`.
    fn npm(folder: &Path, script: &str) -> std::io::Result<PathBuf> {
        let program = folder.join("npm");
        client::stand_in(&program, script)?;
        Ok(program)
    }

    #[test]
    fn an_archive_is_called_as_npm_calls_it() {
        let name = |package: &str, version: &str| file_name(&wanted(package, version));
        assert_eq!(name("tiny-model", "1.0.6").as_deref(), Some("tiny-model-1.0.6.tgz"));
        assert_eq!(name("@some.body/tiny", "2.0.0-rc.1").as_deref(), Some("some.body-tiny-2.0.0-rc.1.tgz"));
        for (package, version) in [
            ("", "1"),
            ("--registry=x", "1"),
            ("./folder", "1"),
            ("a/b", "1"),
            ("@a", "1"),
            ("@a/b/c", "1"),
            ("@../b", "1"),
            ("@a/-b c", "1"),
            ("a", ""),
            ("a", "file:x"),
            ("a", "git+https://x"),
        ] {
            assert_eq!(name(package, version), None, "{package} {version}");
        }
    }

    #[test]
    fn a_package_is_fetched_once() -> Anything {
        let place = tempfile::tempdir()?;
        let script = "[ \"$1 $2 $3 $4 $6\" = 'pack --ignore-scripts --loglevel=error --pack-destination @a/tiny@1.0.0' ] || exit 2\n\
            echo again >> $0.log; printf model > $5/a-tiny-1.0.0.tgz";
        let npm = npm(place.path(), script)?;
        let folder = place.path().join("npm-packages");
        for _ in 0..2 {
            let path = download(&wanted("@a/tiny", "1.0.0"), &folder, npm.as_os_str())?;
            assert_eq!(path, folder.join("a-tiny-1.0.0.tgz"));
            assert_eq!(std::fs::read(path)?, b"model");
        }
        assert_eq!(std::fs::read_to_string(place.path().join("npm.log"))?, "again\n");
        assert_eq!(std::fs::read_dir(folder)?.count(), 1, "nothing else is left");
        Ok(())
    }

    #[test]
    fn errors_say_what_to_do() -> Anything {
        let place = tempfile::tempdir()?;
        let folder = place.path().join("npm-packages");
        let refusal = "printf 'npm error code E404\\nnpm error 404\\nnpm error 404 Not Found\\nnpm error Note that' >&2; exit 1";
        for (script, advice) in [
            (refusal, "npm failed: code E404; 404"),
            ("printf half > $5/tiny-1.0.0.tgz; exit 1", "did not say why"),
            ("printf other > $5/tiny-1.0.tgz", "npm fetched no tiny-1.0.0.tgz"),
        ] {
            let npm = npm(place.path(), script)?;
            let said = download(&wanted("tiny", "1.0.0"), &folder, npm.as_os_str()).expect_err("it fails");
            let said = said.to_string();
            assert!(said.contains(advice) && said.contains("npm package tiny@1.0.0"), "{said}");
            assert_eq!(std::fs::read_dir(&folder)?.count(), 0, "nothing unfinished is left");
        }
        let said = download(&wanted("tiny", "1.0.0"), &folder, OsStr::new("/no/such/npm")).expect_err("none");
        assert!(said.to_string().contains("install Node.js with npm"), "{said}");
        let said =
            download(&wanted("--help", "1.0.0"), &folder, OsStr::new("/no/such/npm")).expect_err("no name");
        assert!(said.to_string().contains("no package's name"), "{said}");
        Ok(())
    }
}
