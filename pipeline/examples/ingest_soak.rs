//! Does the ingest leak? Four live cameras from an RTSP server in a child process, one of which dies every minute, for as
//! many minutes as told; memory, threads and descriptors every ten seconds and how fast they grow.
//!
//! `cargo run -p avicuna-pipeline --example ingest_soak -- [MINUTES]`

#[path = "../tests/common/rtsp.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod rtsp;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use avicuna_pipeline::source::{SourceConfig, SourceEvent, spawn};
use avicuna_pipeline::timeline::Grid;
use rtsp::{CAMERA, Rtsp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Cameras that live all the time; one more dies every minute.
const STEADY: usize = 3;
/// What starts is no leak: growth is measured from here on.
const WARM_UP: Duration = Duration::from_secs(120);
/// How long the mortal camera is dead.
const DEAD: Duration = Duration::from_secs(5);
/// Idle threads of GLib and tokio are gone after so long.
const IDLE: Duration = Duration::from_secs(30);

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("serve") => serve(),
        minutes => {
            let minutes = minutes.and_then(|minutes| minutes.parse().ok()).unwrap_or(30);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(watch(Duration::from_secs(minutes * 60)));
        }
    }
}

/// The child: the cameras. Lives until its standard input is closed.
fn serve() {
    let steady: Vec<Rtsp> = (0..STEADY).map(|_| Rtsp::serve(0, CAMERA, |_| {})).collect();
    let mut mortal = Rtsp::serve(0, CAMERA, |_| {});
    let mut ports: Vec<String> = steady.iter().map(|camera| camera.port().to_string()).collect();
    let port = mortal.port();
    ports.push(port.to_string());
    println!("{}", ports.join(" "));
    std::io::stdout().flush().expect("the parent reads");
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(60) - DEAD);
            drop(mortal);
            std::thread::sleep(DEAD);
            mortal = Rtsp::serve(port, CAMERA, |_| {});
        }
    });
    let _closed = std::io::stdin().lines().last();
}

/// The server process; killed when the measurement is over.
struct Cameras(Child);

impl Cameras {
    fn start() -> (Self, Vec<u16>) {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs twice");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says its ports");
        let ports = line.split_whitespace().map(|port| port.parse().expect("a port")).collect();
        (Self(child), ports)
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// What the streams did.
#[derive(Default)]
struct Seen {
    frames: u64,
    seconds: f64,
    connections: u64,
    lost: u64,
    dropped: u64,
}

async fn watch(length: Duration) {
    let (_cameras, ports) = Cameras::start();
    let shutdown = CancellationToken::new();
    let (sender, mut events) = mpsc::channel(64);
    let sources: Vec<_> =
        ports.iter().map(|port| spawn(config(*port), sender.clone(), shutdown.clone())).collect();
    drop(sender);
    println!("seconds  RSS MiB  threads  descriptors  frames  sound s  connections  lost  dropped");
    let (started, mut seen, mut samples) = (Instant::now(), Seen::default(), Vec::new());
    let mut ticks = tokio::time::interval(Duration::from_secs(10));
    while started.elapsed() < length {
        tokio::select! {
            event = events.recv() => match event.expect("live sources do not end") {
                SourceEvent::Frame(_) => seen.frames += 1,
                SourceEvent::Audio(audio) => seen.seconds += audio.samples.len() as f64 / 16_000.0,
                SourceEvent::Connected { .. } => seen.connections += 1,
                SourceEvent::Lost { .. } => seen.lost += 1,
                SourceEvent::Losses(losses) => seen.dropped = seen.dropped.max(losses.late + losses.shed),
                SourceEvent::Ended(end) => panic!("ended: {end}"),
                _ => {}
            },
            _ = ticks.tick() => {
                let (at, [rss, threads, descriptors]) = (started.elapsed(), measure());
                println!(
                    "{:7.0}  {rss:7.1}  {threads:7}  {descriptors:11}  {:6}  {:7.0}  {:11}  {:4}  {:7}",
                    at.as_secs_f64(), seen.frames, seen.seconds, seen.connections, seen.lost, seen.dropped
                );
                samples.push((at, [rss, threads, descriptors]));
            }
        }
    }
    shutdown.cancel();
    while events.recv().await.is_some() {}
    for source in sources {
        source.await.expect("no panic");
    }
    samples.retain(|(at, _)| *at >= WARM_UP.min(length / 3));
    for (index, name) in ["RSS, MiB", "threads", "descriptors"].into_iter().enumerate() {
        let points: Vec<(f64, f64)> =
            samples.iter().map(|(at, values)| (at.as_secs_f64() / 60.0, values[index])).collect();
        println!("{name} a minute: {:+.3}", slope(&points));
    }
    // Threads that wait for more work end by themselves.
    tokio::time::sleep(IDLE).await;
    let [rss, threads, descriptors] = measure();
    println!("after all streams stopped: {rss:.1} MiB, {threads} threads, {descriptors} descriptors");
}

fn config(port: u16) -> SourceConfig {
    SourceConfig {
        live: true,
        grid: Grid::new(Duration::from_millis(500)),
        sample_rate: 16_000,
        ..SourceConfig::new(format!("camera {port}"), format!("rtsp://127.0.0.1:{port}/cam"))
    }
}

/// Resident MiB, threads, descriptors of this process.
fn measure() -> [f64; 3] {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let count = |path| std::fs::read_dir(path).expect("Linux").count() as f64;
    let rss = kib.and_then(|kib| kib.parse::<f64>().ok()).expect("VmRSS") / 1024.0;
    [rss, count("/proc/self/task"), count("/proc/self/fd")]
}

/// Of the least-squares line through the points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}
