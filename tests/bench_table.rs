//! `scripts/bench.py`: what benchmarks print becomes one table, and what is missing or cannot be read is said in it.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::repository;

/// The table of the outputs in a folder.
fn table(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("python3");
    let command = command.current_dir(repository("")).arg("scripts/bench.py").arg("--from").arg(folder);
    let Output { status, stdout, stderr } = command.args(more).output().expect("Python is there");
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8(stdout).expect("UTF-8"))
}

#[test]
fn outputs_become_a_table() {
    let folder = Path::new("tests/fixtures/bench");
    let expected =
        std::fs::read_to_string(repository("tests/fixtures/bench/table.txt")).expect("it is there");
    assert_eq!(table(folder, &[]), (Some(0), expected));
}

#[test]
fn the_same_rows_are_written_as_json() {
    let written = tempfile::NamedTempFile::new().expect("a file");
    let path = written.path().to_str().expect("UTF-8");
    let (code, _) = table(Path::new("tests/fixtures/bench"), &["--only", "outbox", "train", "--json", path]);
    assert_eq!(code, Some(0));
    let rows: serde_json::Value =
        serde_json::from_reader(std::fs::File::open(path).expect("written")).expect("JSON");
    assert_eq!((&rows[0]["ours"], &rows[0]["theirs"]), (&75_000.0.into(), &106_000.0.into()));
    assert!((rows[0]["ratio"].as_f64().expect("a number") - 0.7075).abs() < 1e-3, "{rows}");
    assert!(rows[1]["note"].as_str().is_some_and(|note| note.contains("train.txt is not there")), "{rows}");
}

#[test]
fn what_cannot_be_read_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in
        [("outbox", "median: nothing"), ("llm", "no table"), ("windows", "assembling: fast us")]
    {
        std::fs::write(folder.path().join(format!("{name}.txt")), text).expect("written");
        let (code, said) = table(folder.path(), &["--only", name]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("{name}.txt")) && said.contains("failed: "), "{said}");
    }
}
