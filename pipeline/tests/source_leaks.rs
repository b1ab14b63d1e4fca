//! Connections leave nothing behind. Alone in its process, for it counts the process's threads and descriptors.

mod common;

use std::time::Duration;

use avicuna_pipeline::source::{Reconnect, SourceConfig, SourceEvent};
use common::bodies::in_turn;
use common::media::{matroska, pictures, tone};
use common::{Running, live};
use tempfile::TempDir;

/// Connections after which threads that are kept for later are there, and connections that must not add any.
const WARM: u32 = 10;
const MORE: u32 = 50;

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).expect("Linux").count()
}

/// Threads and descriptors, once they are few enough or nothing ends any more.
async fn settled(most: (usize, usize)) -> (usize, usize) {
    let mut now = (0, 0);
    for _ in 0..100 {
        now = (count("task"), count("fd"));
        if now.0 <= most.0 && now.1 <= most.1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    now
}

#[tokio::test]
async fn fifty_connections_leave_no_thread_and_no_descriptor() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("short.mkv");
    matroska(&path, Some(&pictures(0.5, "")), Some(&tone(0.5, 16_000, "")));
    let film = std::fs::read(path).expect("written");
    // Every connection gets a short film, every third one half of it, and then it is over.
    let port = in_turn("video/x-matroska", move |number| {
        if number % 3 == 2 { film[..film.len() / 2].to_vec() } else { film.clone() }
    });
    let quick = Duration::from_millis(1);
    let reconnect = Reconnect { initial: quick, max: quick, jitter: 0.0, give_up_after: None };
    let config = SourceConfig { reconnect, ..live(format!("http://127.0.0.1:{port}/short.mkv")) };
    let mut running = Running::start(config);
    let lost = |times: u32| {
        let mut left = times;
        move |event: &SourceEvent| {
            left -= u32::from(matches!(event, SourceEvent::Lost { .. }));
            left == 0
        }
    };
    running.until(lost(WARM)).await;
    let before = (count("task"), count("fd"));
    running.until(lost(MORE)).await;
    // Between two connections a graph may be half there.
    let most = (before.0 + 8, before.1 + 8);
    let after = settled(most).await;
    assert!(after.0 <= most.0 && after.1 <= most.1, "threads and descriptors: {before:?}, then {after:?}");
    running.stop().await;
}
