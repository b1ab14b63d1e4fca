//! `avicuna localize` of what cannot be watched, asked or written.

mod support;

use std::fs::File;

use support::{avicuna, repository};

#[test]
fn a_live_source_that_is_not_there_is_told_at_once_and_given_up() {
    let mut command = avicuna();
    command.args([
        "localize",
        "rtsp://me:hunter22@127.0.0.1:9/cam",
        "--model",
        "assets/models/avicuna-small",
        "--timeout",
        "2",
    ]);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("unreachable: rtsp://***@127.0.0.1:9/cam"), "{said}");
    assert!(first.ends_with("; it is tried again for 2 s"), "{said}");
    let last = lines.last().unwrap_or_default();
    assert!(last.contains("gave-up: ") && last.contains("given up after"), "{said}");
    assert!(!said.contains("hunter22"), "{said}");
}

/// What it says of a film that is there, in vain.
fn refused(arguments: &[&str]) -> String {
    let output = avicuna().arg("localize").args(arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[test]
fn what_is_watched_is_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let film = folder.path().join("film.mp4");
    std::fs::copy(repository("assets/demo/scene.mp4"), &film).expect("copied");
    let link = folder.path().join("link.csv");
    std::os::unix::fs::symlink(&film, &link).expect("a link");
    let [film, link] = [&film, &link].map(|path| path.to_str().expect("UTF-8").to_owned());
    let before = std::fs::read(&film).expect("it is there");
    for (option, path) in [("--out", &film), ("--report", &film), ("--out", &link)] {
        let said = refused(&[&film, option, path]);
        assert_eq!(said, format!("{path} is what is watched; write to another file"));
    }
    assert_eq!(std::fs::read(&film).expect("it is there"), before);
    let both = format!("{film}.out");
    assert_eq!(
        refused(&[&film, "--out", &both, "--report", &both]),
        "--out and --report are one file; name two"
    );
}

#[test]
fn a_query_is_a_line_that_can_be_read() {
    let scene = repository("assets/demo/scene.mp4");
    let scene = scene.to_str().expect("UTF-8");
    for query in ["", "  ", "a dog\nbarks", &"very long ".repeat(3000)] {
        let said = refused(&[scene, "--query", query]);
        assert_eq!(said, "a query is one line of 1 to 500 bytes, as \"a dog barks\"");
    }
}

#[test]
fn standard_output_that_takes_nothing_is_an_error_of_one_line() {
    let full = || File::options().write(true).open("/dev/full").expect("a device that is full");
    let folder = tempfile::tempdir().expect("a folder");
    let short = folder.path().join("short.ts");
    let mut cut = std::process::Command::new("ffmpeg");
    cut.args(["-loglevel", "error", "-t", "2", "-i"])
        .arg(repository("assets/demo/scene.mp4"))
        .args(["-c", "copy"]);
    assert!(cut.arg(&short).status().expect("ffmpeg is installed").success());
    let short = short.to_str().expect("UTF-8");
    let small = "assets/models/avicuna-small";
    for arguments in [
        &["config", "show", "--config", "config/avicuna.toml"][..],
        &["localize", short, "--format", "csv", "--model", small],
    ] {
        let output = avicuna().args(arguments).stdout(full()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("standard output cannot be written: No space left") && said.lines().count() == 1,
            "{said}"
        );
    }
}
