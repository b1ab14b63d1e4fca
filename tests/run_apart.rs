//! Sources in processes of their own: one that dies is one outage of one stream.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Daemon, check_coverage, check_lives, config, lines, sources};

/// A live test picture that never ends, and one beside it in the daemon itself.
fn streams(folder: &tempfile::TempDir, output: &Path) -> String {
    let stream = |id: &str, isolation: &str| {
        format!(
            "[[stream]]\nid = {id:?}\nuri = \"test://?width=64&height=64&fps=5&wave=ticks\"\nlive = true\n\
             isolation = {isolation:?}\nhop = \"5s\"\nwindow = \"10s\"\nreconnect.initial = \"300ms\"\n"
        )
    };
    let sink = format!("sink.kind = \"jsonl\"\nsink.jsonl.path = {output:?}\n");
    let model = "model.path = \"assets/models/avicuna-small\"\n";
    config(folder, &format!("{model}{sink}{}{}", stream("apart", "process"), stream("inside", "none")))
}

/// How many spans of a stream were watched.
fn watched(output: &Path, stream: &str) -> usize {
    let spans = lines(output, "coverage");
    spans.iter().filter(|span| span.text("stream_id") == stream && span.data["watched"] == true).count()
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill runs").success());
}

#[test]
fn a_source_that_aborts_is_one_outage_of_one_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.jsonl");
    let mut daemon = Daemon::start(&folder, &streams(&folder, &path));
    let watched = |stream: &str| watched(&path, stream);
    daemon.until("both are watched", || watched("apart") > 0 && watched("inside") > 0);
    let pid = daemon.pid();
    let [first] = sources(pid)[..] else { panic!("one source is apart: {:?}", sources(pid)) };
    signal("ABRT", first);
    let told =
        || lines(&path, "errors").iter().filter(|error| error.text("message").contains("SIGABRT")).count();
    daemon.until("the death is told", || told() > 0);
    daemon.until("another process took over", || sources(pid).iter().any(|source| *source != first));
    let before = watched("apart");
    daemon.until("it is watched again", || watched("apart") > before);
    assert!(daemon.terminate().success(), "{}", daemon.log());

    let errors = lines(&path, "errors");
    assert!(errors.iter().all(|error| error.text("stream_id") == "apart"), "{errors:?}");
    assert!(errors[0].text("message").starts_with("crashed: "), "{errors:?}");
    let (end, _) = check_coverage(&lines(&path, "coverage"), "apart");
    assert!(end > 10.0, "{end}");
    let (end, watched) = check_coverage(&lines(&path, "coverage"), "inside");
    assert!(end - watched < 11.0, "{watched} of {end} s of the other stream were watched");
    check_lives(&lines(&path, "events"), "apart");
}

/// How many arenas glibc made beside the first: each begins a reservation of 64 MiB, of which the rest cannot be touched.
fn arenas(maps: &str) -> usize {
    const WHOLE: u64 = 64 << 20;
    let mapping = |line: &str| {
        let (range, rights) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        Some((address(from)?, address(to)?, rights.starts_with("rw")))
    };
    let mappings: Vec<_> = maps.lines().filter_map(mapping).collect();
    let is_arena = |pair: &&[(u64, u64, bool)]| {
        let ((from, to, writable), (rest, end, _)) = (pair[0], pair[1]);
        writable && from % WHOLE == 0 && to == rest && end == from + WHOLE
    };
    mappings.windows(2).filter(is_arena).count()
}

#[test]
fn a_source_does_not_outlive_its_daemon_and_knows_none_of_its_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.jsonl");
    let mut daemon =
        Daemon::start_with(&folder, &streams(&folder, &path), &[("AVICUNA__LOG__LEVEL", "debug")]);
    let pid = daemon.pid();
    daemon.until("a source runs", || !sources(pid).is_empty());
    let source = sources(pid)[0];
    let process = format!("/proc/{source}");
    let environment = std::fs::read_to_string(format!("{process}/environ")).expect("it runs");
    assert!(!environment.contains("AVICUNA__"), "{environment}");
    let status = || std::fs::read_to_string(format!("{process}/status")).expect("it runs");
    // Filters of calls are mode 2.
    daemon.until("it is held", || status().contains("NoNewPrivs:\t1") && status().contains("Seccomp:\t2"));
    daemon.until("it watches", || watched(&path, "apart") > 0);
    let maps = std::fs::read_to_string(format!("{process}/maps")).expect("it runs");
    assert_eq!(arenas(&maps), 0, "threads allocate apart, and what they free is kept:\n{maps}");
    daemon.kill();
    let started = Instant::now();
    while Path::new(&process).exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "process {source} outlives its daemon");
        std::thread::sleep(Duration::from_millis(50));
    }
}
