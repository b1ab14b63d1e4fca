//! Do streams that come, change and go hold up others? Live streams are watched by a whole daemon, left alone first and then
//! beside one that is added, given other settings with and without another connection, and left, again and again. A stream's
//! sound comes in pieces of 20 ms: the longest time in which none was processed is what is measured.
//!
//! `cargo run --release -p avicuna-pipeline --example stream_churn -- [SECONDS]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use avicuna_pipeline::config::{Config, StreamConfig};
use avicuna_pipeline::control::Control;
use avicuna_pipeline::daemon::{Daemon, Origin, Streams};
use avicuna_pipeline::source::apart::Worker;
use tokio_util::sync::CancellationToken;

/// Streams that nobody touches.
const STEADY: usize = 3;
/// How often is looked whether something was processed.
const LOOK: Duration = Duration::from_millis(1);
/// Between one call and the next.
const PAUSE: Duration = Duration::from_millis(250);
/// What is played: small, so that it is not the machine that is measured.
const URI: &str = "test://?width=64&height=64&fps=5&rate=16000";

fn main() {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(Duration::from_secs(seconds)));
}

fn stream(id: &str) -> StreamConfig {
    let hop = Some(Duration::from_secs(2));
    StreamConfig { live: Some(true), window: hop.map(|hop| hop * 2), hop, ..StreamConfig::new(id, URI) }
}

async fn measure(long: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("churn.toml");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/avicuna-small");
    let text = format!(
        "model.path = {model:?}\noutbox.path = {:?}\nsink.kind = \"jsonl\"\nsink.jsonl.path = {:?}\ndaemon.exit_when_done = false\n",
        folder.path().join("outbox.redb"),
        folder.path().join("out.jsonl")
    );
    std::fs::write(&path, text).expect("written");
    let loaded = Config::load(&path, Vec::new()).expect("a configuration");
    // Nothing here comes from a network, and wants a process of its own.
    let worker =
        Worker { program: "false".into(), arguments: Vec::new(), memory: 0, silence: Duration::ZERO };
    let daemon = Daemon::new(loaded, worker).expect("the model is there");
    let (control, streams, stop) = (daemon.control(), daemon.streams(), CancellationToken::new());
    let running = tokio::spawn(daemon.run(None, stop.clone()));
    let ids: Vec<String> = (0..STEADY).map(|number| format!("steady-{number}")).collect();
    for id in &ids {
        streams.add(stream(id), Origin::Api).await.expect("it is added");
    }
    let is_heard =
        |id: &String| control.status.streams.status(id).is_some_and(|status| status.last_sample.is_some());
    while !ids.iter().all(is_heard) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;

    let quiet = watched(&control, &ids, tokio::time::sleep(long)).await.0;
    let calls = AtomicUsize::new(0);
    let (churned, ()) = watched(&control, &ids, async {
        let ends = Instant::now() + long;
        while Instant::now() < ends {
            churn(&streams, &calls).await;
        }
    })
    .await;
    println!("{STEADY} live streams, {} s each way, {} cores", long.as_secs(), cores());
    println!("left alone                    {}", told(&quiet));
    println!("beside {:4} calls on another   {}", calls.load(Ordering::Relaxed), told(&churned));
    stop.cancel();
    running.await.expect("no panic").expect("it ends in order");
}

/// One stream comes, changes twice and goes.
async fn churn(streams: &Streams, calls: &AtomicUsize) {
    let comes = stream("comes-and-goes");
    let other = StreamConfig { min_score: Some(0.9), queries: vec!["a bell".to_owned()], ..comes.clone() };
    let anew = StreamConfig { uri: format!("{URI}&freq=880"), ..other.clone() };
    streams.add(comes, Origin::Api).await.expect("it is added");
    tokio::time::sleep(PAUSE).await;
    for change in [other, anew] {
        streams.change(change).await.expect("it is changed");
        tokio::time::sleep(PAUSE).await;
    }
    streams.remove("comes-and-goes", false).await.expect("it is left");
    tokio::time::sleep(PAUSE).await;
    calls.fetch_add(4, Ordering::Relaxed);
}

/// The times between one piece of sound and the next of the streams, in milliseconds, while something is done.
async fn watched<T>(control: &Arc<Control>, ids: &[String], work: impl Future<Output = T>) -> (Vec<f64>, T) {
    let (over, control, ids) = (CancellationToken::new(), control.clone(), ids.to_vec());
    let until = over.clone();
    // A thread of its own: it must not wait for those that it looks at.
    let looking = std::thread::spawn(move || {
        let mut seen: BTreeMap<&String, (Option<String>, Instant)> = BTreeMap::new();
        let mut gaps = Vec::new();
        while !until.is_cancelled() {
            for id in &ids {
                let newest = control.status.streams.status(id).and_then(|status| status.last_sample);
                let now = Instant::now();
                let (last, since) = seen.entry(id).or_insert_with(|| (newest.clone(), now));
                if *last != newest {
                    gaps.push(now.duration_since(*since).as_secs_f64() * 1e3);
                    (*last, *since) = (newest, now);
                }
            }
            std::thread::sleep(LOOK);
        }
        gaps
    });
    let done = work.await;
    over.cancel();
    (looking.join().expect("it only looks"), done)
}

fn told(gaps: &[f64]) -> String {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or(0.0)
    };
    format!(
        "{} pieces of sound; from one to the next: median {:.0} ms, 99.9% {:.0} ms, longest {:.0} ms",
        sorted.len(),
        at(0.5),
        at(0.999),
        at(1.0)
    )
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
