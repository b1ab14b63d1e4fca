//! A process that is killed while it writes.

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use avicuna_pipeline::outbox::{Outbox, OutboxConfig, WhenFull};
use support::interleaved;

const PATH: &str = "AVICUNA_TEST_OUTBOX";

fn config(path: PathBuf) -> OutboxConfig {
    OutboxConfig { path, max_bytes: 64 << 20, when_full: WhenFull::DropOldest }
}

/// The process that is killed: appends without end and prints how many messages it was told are stored.
#[test]
#[ignore = "started and killed by the test below"]
fn writer_to_be_killed() {
    let path = std::env::var_os(PATH).expect("the test below sets it");
    let outbox = Outbox::open(&config(path.into())).expect("opens");
    let mut stored = outbox.accounting().produced;
    println!("stored {stored}");
    for round in 0.. {
        let messages = interleaved(7, round..round + 1 + round % 5);
        stored += outbox.append(&messages).expect("appends").stored;
        println!("stored {stored}");
    }
}

#[test]
fn what_was_stored_is_there_after_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outbox.redb");
    let mut known = 0;
    for round in 0..5u64 {
        let mut writer = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "writer_to_be_killed", "--ignored", "--nocapture"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(writer.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut read =
            || lines.by_ref().find_map(|line| Some(line.rsplit_once("stored ")?.1.parse().expect("a count")));
        for _ in 0..10 {
            known = read().expect("it writes");
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        writer.kill().expect("killed");
        writer.wait().expect("ended");
        // What it still managed to say counts too.
        while let Some(stored) = read() {
            known = stored;
        }
        let outbox = Outbox::open(&config(path.clone())).expect("opens what a killed process left");
        let accounting = outbox.accounting();
        assert!(accounting.balanced(), "{accounting:?}");
        assert!(accounting.spooled >= known, "{known} messages were stored, {accounting:?}");
        known = accounting.produced;
    }
}
