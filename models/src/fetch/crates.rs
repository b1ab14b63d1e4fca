//! Crates: how models for Rust programs travel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client;
use super::error::FetchError;
use crate::manifest::{CrateFile, sha256_of};

/// The cargo of this machine.
#[derive(Debug)]
pub(super) struct Cargo {
    program: OsString,
    /// Where it keeps what it has fetched: `CARGO_HOME`, or `~/.cargo`.
    home: Option<PathBuf>,
}

impl Cargo {
    pub(super) fn of_the_user() -> Self {
        let set = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty());
        // Cargo is started in another folder than this program.
        let set = set.and_then(|home| std::path::absolute(home).ok());
        let home = set.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        Self { program: client::cargo(), home }
    }

    /// What the caches of its registries hold under a name.
    fn kept(&self, name: &str) -> Vec<PathBuf> {
        let cache = self.home.as_ref().map(|home| home.join("registry").join("cache"));
        let registries =
            cache.and_then(|cache| std::fs::read_dir(cache).ok()).into_iter().flatten().flatten();
        registries.map(|registry| registry.path().join(name)).filter(|path| path.exists()).collect()
    }
}

/// The crate's archive, with its checksum: in `folder`, where it can be put by hand, or in a cache of `cargo`, which fetches it
/// where it is in neither. Cargo's own settings in its home say from which registry.
pub(super) fn download(wanted: &CrateFile, folder: &Path, cargo: &Cargo) -> Result<PathBuf, FetchError> {
    let pinned = format!("{}@{}", wanted.package, wanted.version);
    let wrong = |reason: String| FetchError::Package { package: format!("crate {pinned}"), reason };
    for text in [&wanted.package, &wanted.version] {
        if !client::plain(text) {
            return Err(wrong(format!("`{text}` is no crate's name or version")));
        }
    }
    let name = format!("{}-{}.crate", wanted.package, wanted.version);
    let own = folder.join(&name);
    if own.exists() {
        return right(own, &wanted.sha256);
    }
    // Several registries may have a crate of this name.
    let kept = || cargo.kept(&name).into_iter().map(|path| right(path, &wanted.sha256));
    if let Some(path) = kept().find_map(Result::ok) {
        return Ok(path);
    }
    std::fs::create_dir_all(folder).map_err(|e| FetchError::io(folder, e))?;
    let mut command = Command::new(&cargo.program);
    // To describe a crate, cargo fetches it, and unlike any other command without all that the crate depends on.
    // Where the user has replaced the index by a mirror, only with its name does this command follow.
    command.args(["info", "--quiet", "--color=never", "--registry=crates-io"]).arg(&pinned);
    // The user's own project has no say in it.
    command.current_dir(folder);
    if let Some(home) = &cargo.home {
        command.env("CARGO_HOME", home);
    }
    let by_hand = format!("put {name} into {}", folder.display());
    let remedy = format!("install Rust 1.82 or later, or {by_hand}");
    client::run(&mut command, "cargo", &remedy, cause).map_err(wrong)?;
    let none =
        || wrong(format!("cargo knows it but keeps no archive of it, as with a vendored source; {by_hand}"));
    kept().reduce(Result::or).unwrap_or_else(|| Err(none()))
}

/// The file, if it has the checksum. It is the user's or cargo's: one that has another is left alone.
fn right(path: PathBuf, expected: &str) -> Result<PathBuf, FetchError> {
    let found = sha256_of(&path).map_err(|e| FetchError::io(&path, e))?;
    if found.eq_ignore_ascii_case(expected) {
        return Ok(path);
    }
    Err(FetchError::Present { path, expected: expected.to_owned(), found })
}

/// Cargo's error and what it says of its causes, without warnings before it.
fn cause(lines: &[&str]) -> String {
    let start = lines.iter().position(|line| line.starts_with("error")).unwrap_or(0);
    lines[start..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Anything = Result<(), Box<dyn std::error::Error>>;

    fn wanted(package: &str, version: &str, content: &str) -> CrateFile {
        use sha2::Digest;
        let sha256 = hex::encode(sha2::Sha256::digest(content));
        CrateFile { package: package.into(), version: version.into(), member: None, sha256 }
    }

    /// A cargo that runs `script`; it must not be asked anything where there is none.
    fn cargo(folder: &Path, script: Option<&str>) -> std::io::Result<Cargo> {
        let program = folder.join("cargo");
        if let Some(script) = script {
            client::stand_in(&program, script)?;
        }
        Ok(Cargo { program: program.into(), home: Some(folder.join("home")) })
    }

    #[test]
    fn what_cargo_has_fetched_is_taken_by_its_checksum() -> Anything {
        let place = tempfile::tempdir()?;
        let cargo = cargo(place.path(), None)?;
        for (registry, content) in [("a-1", "another"), ("b-2", "this one"), ("c-3", "a third")] {
            let cache = place.path().join("home/registry/cache").join(registry);
            std::fs::create_dir_all(&cache)?;
            std::fs::write(cache.join("tiny-1.0.0.crate"), content)?;
        }
        let path = download(&wanted("tiny", "1.0.0", "this one"), &place.path().join("ours"), &cargo)?;
        assert!(path.ends_with("b-2/tiny-1.0.0.crate"));
        Ok(())
    }

    #[test]
    fn cargo_is_asked_for_what_is_not_there() -> Anything {
        let place = tempfile::tempdir()?;
        let script = "[ \"$*\" = 'info --quiet --color=never --registry=crates-io tiny@1.0.0' ] || exit 2\n\
            mkdir -p $CARGO_HOME/registry/cache/a-1; printf model > $CARGO_HOME/registry/cache/a-1/tiny-1.0.0.crate";
        let cargo = cargo(place.path(), Some(script))?;
        let path = download(&wanted("tiny", "1.0.0", "model"), &place.path().join("ours"), &cargo)?;
        assert_eq!(std::fs::read(path)?, b"model");
        Ok(())
    }

    #[test]
    fn an_archive_put_there_by_hand_needs_no_cargo() -> Anything {
        let place = tempfile::tempdir()?;
        let path = place.path().join("tiny-1.0.0.crate");
        std::fs::write(&path, "model")?;
        let cargo = cargo(place.path(), None)?;
        assert_eq!(download(&wanted("tiny", "1.0.0", "model"), place.path(), &cargo)?, path);
        Ok(())
    }

    #[test]
    fn errors_say_what_to_do() -> Anything {
        let place = tempfile::tempdir()?;
        let ours = place.path().join("ours");
        let refusal = "echo 'warning: old' >&2; echo 'error: could not find `tiny@1.0.0`' >&2; exit 101";
        for (script, advice) in [
            (None, "install Rust"),
            (Some(refusal), "failed: error: could not find `tiny@1.0.0`"),
            (Some("true"), "put tiny-1.0.0.crate into"),
        ] {
            let cargo = cargo(place.path(), script)?;
            let said =
                download(&wanted("tiny", "1.0.0", ""), &ours, &cargo).expect_err("it is nowhere").to_string();
            assert!(said.contains(advice) && said.contains("crate tiny@1.0.0"), "{said}");
        }
        let cache = place.path().join("home/registry/cache/a-1");
        std::fs::create_dir_all(&cache)?;
        std::fs::write(cache.join("tiny-1.0.0.crate"), "damaged")?;
        let cargo = cargo(place.path(), Some("true"))?;
        let said =
            download(&wanted("tiny", "1.0.0", ""), &ours, &cargo).expect_err("it is damaged").to_string();
        assert!(said.contains("a-1/tiny-1.0.0.crate") && said.contains("delete it and pull again"), "{said}");
        for (package, version) in [("--list", "1"), ("tiny", ""), ("../tiny", "1"), ("tiny", "1/../2")] {
            let said =
                download(&wanted(package, version, ""), &ours, &cargo).expect_err("no name").to_string();
            assert!(said.contains("no crate's name or version"), "{said}");
        }
        Ok(())
    }
}
