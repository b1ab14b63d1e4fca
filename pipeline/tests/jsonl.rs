//! Delivery as JSON lines: to a file, to a full disk, to a reader that goes away.

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use avicuna_pipeline::outbox::{Outbox, Topic};
use avicuna_pipeline::sink::{Delivery, DeliveryState, JsonlSink};
use support::*;
use tokio_util::sync::CancellationToken;

/// The ids of a stream's lines, which are all JSON.
fn ids<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<String> {
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON");
    lines.map(|line| read(line)["id"].as_str().expect("an id").to_owned()).collect()
}

fn expected(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|index| format!("cam-0#{index}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_added_to_a_file_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("records.jsonl");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    for part in [0..1500, 1500..3000] {
        append(&outbox, interleaved(1, part)).await;
        deliver_all(&outbox, JsonlSink::new(&path).expect("opens")).await;
    }
    append(&outbox, vec![message(Topic::Coverage, "cam-0", 9)]).await;
    let accounting = deliver_all(&outbox, JsonlSink::new(&path).expect("opens")).await;
    assert_eq!((accounting.acknowledged, accounting.spooled), (3001, 0));
    let text = fs::read_to_string(&path).expect("readable");
    assert_eq!(ids(text.lines().take(3000)), expected(0..3000));
    let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let data = serde_json::json!({"stream_id": "cam-0", "revision": 9});
    assert_eq!(
        last,
        serde_json::json!({"topic": "coverage", "type": "avicuna.coverage.v1", "id": "cam-0#9",
            "time": "2026-11-24T02:45:39.120Z", "data": data})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(1, 0..10)).await;
    // A device that is always full.
    let full = JsonlSink::new("/dev/full").expect("opens");
    let delivery = Delivery::start(outbox.clone(), full, |_, _| {}, CancellationToken::new());
    let is_told = || {
        matches!(delivery.state(), DeliveryState::Unreachable { reason, .. }
            if reason.contains("/dev/full: the disk is full"))
    };
    until(&outbox, "the full disk is told", is_told).await;
    delivery.stop().await;
    assert_eq!(outbox.accounting().spooled, 10);
    let path = folder.path().join("elsewhere.jsonl");
    deliver_all(&outbox, JsonlSink::new(&path).expect("opens")).await;
    assert_eq!(ids(fs::read_to_string(&path).expect("readable").lines()), expected(0..10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_and_comes_back_gets_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    // Opening a pipe for writing waits for its reader.
    let reader = read_lines(&pipe);
    let sink = JsonlSink::new(&pipe).expect("opens");
    let mut reader = reader.await.expect("no panic");
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(1, 0..10)).await;
    let delivery = Delivery::start(outbox.clone(), sink, |_, _| {}, CancellationToken::new());
    until(&outbox, "the first reader gets its part", || outbox.accounting().spooled == 0).await;
    let first: Vec<String> = (0..10).map(|_| reader.next().expect("a line").expect("text")).collect();
    assert_eq!(ids(first.iter().map(String::as_str)), expected(0..10));
    drop(reader);

    append(&outbox, interleaved(1, 10..30)).await;
    let is_told = || matches!(delivery.state(), DeliveryState::Unreachable { reason, .. } if reason.contains("its reader has gone"));
    until(&outbox, "the missing reader is told", is_told).await;
    assert_eq!(outbox.accounting().spooled, 20);
    let reader = read_lines(&pipe).await.expect("no panic");
    assert!(delivery.flush(PATIENCE).await, "{:?}", delivery.state());
    let rest: Vec<String> = reader.take(20).map(|line| line.expect("text")).collect();
    assert_eq!(ids(rest.iter().map(String::as_str)), expected(10..30));
    delivery.stop().await;
}

fn read_lines(pipe: &Path) -> tokio::task::JoinHandle<std::io::Lines<BufReader<File>>> {
    let pipe = pipe.to_path_buf();
    tokio::task::spawn_blocking(move || BufReader::new(File::open(pipe).expect("opens")).lines())
}
