//! Other programs that fetch and convert: pip, npm, cargo and Python, with the settings that the user gave them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::FetchError;

/// The Python that fetches and converts: `AVICUNA_PYTHON`, or `python3`.
pub(super) fn python() -> OsString {
    chosen("AVICUNA_PYTHON", "python3")
}

/// The npm that fetches: `AVICUNA_NPM`, or `npm`.
pub(super) fn npm() -> OsString {
    chosen("AVICUNA_NPM", "npm")
}

/// The cargo that fetches: `AVICUNA_CARGO`, or `cargo`.
pub(super) fn cargo() -> OsString {
    chosen("AVICUNA_CARGO", "cargo")
}

fn chosen(variable: &str, usual: &str) -> OsString {
    std::env::var_os(variable).filter(|name| !name.is_empty()).unwrap_or_else(|| usual.into())
}

/// Whether a package's name or version, which comes from a manifest, can stand on a command line.
///
/// Clients take options, folders and addresses as well; none of these is made of such characters.
pub(super) fn plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+!".contains(c))
}

/// Runs a client. `remedy` says what to do where there is none; `cause` picks what matters from what it said when it failed.
pub(super) fn run(
    command: &mut Command,
    name: &str,
    remedy: &str,
    cause: impl Fn(&[&str]) -> String,
) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{name} cannot be started ({e}); {remedy}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(format!("{name} failed and did not say why"));
    }
    Err(format!("{name} failed: {}", cause(&lines)))
}

/// The last `count` lines, where most programs say why they failed.
pub(super) fn last(count: usize) -> impl Fn(&[&str]) -> String {
    move |lines| lines[lines.len().saturating_sub(count)..].join("; ")
}

/// Moves the file that `fetch` puts into an empty folder to `folder`: a download that breaks off leaves nothing there.
pub(super) fn fill(
    folder: &Path,
    fetch: impl FnOnce(&Path) -> Result<PathBuf, FetchError>,
) -> Result<PathBuf, FetchError> {
    let parts = folder.join(format!(".{}.part", std::process::id()));
    std::fs::create_dir_all(&parts).map_err(|e| FetchError::io(&parts, e))?;
    let outcome = fetch(&parts).and_then(|found| {
        let target = folder.join(found.file_name().unwrap_or_default());
        std::fs::rename(&found, &target).map_err(|e| FetchError::io(&target, e))?;
        Ok(target)
    });
    // What is left here is of no use to anybody; the outcome is already known.
    let _leftovers = std::fs::remove_dir_all(&parts);
    outcome
}

/// Makes `path` a program that runs `script`, for tests.
///
/// Another program writes it: a file that this one has open for writing while another thread starts a program cannot be run.
#[cfg(test)]
pub(super) fn stand_in(path: &Path, script: &str) -> std::io::Result<()> {
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod +x "$0""#;
    let status = Command::new("sh").args(["-c", write]).arg(path).arg(script).status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other("the program cannot be written")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_manifest_becomes_an_option_a_folder_or_an_address() {
        for text in ["", "-r", "--index-url=x", "a b", "1; rm", "..", "./x", "a/b", "git:x", "a@b", "é"] {
            assert!(!plain(text), "{text}");
        }
        for text in ["a.b-c", "1.0+cpu", "2!1.0", "Tiny_LLM", "0.5.0-rc.1"] {
            assert!(plain(text), "{text}");
        }
    }

    #[test]
    fn what_a_client_said_is_handed_on() {
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run(&mut command, "sh", "install it", last(2))
        };
        assert_eq!(sh("exit 0"), Ok(()));
        assert_eq!(sh("printf 'a\\n\\nb\\nc\\n' >&2; exit 1"), Err("sh failed: b; c".into()));
        assert_eq!(sh("exit 1"), Err("sh failed and did not say why".into()));
        let missing = run(&mut Command::new("/no/such/program"), "pip", "install it", last(1));
        assert!(
            missing.is_err_and(|said| said.contains("pip cannot be started") && said.ends_with("install it"))
        );
    }
}
