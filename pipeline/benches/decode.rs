//! Decoding and sampling a film beside `gst-launch-1.0` with the same elements and caps into `fakesink`, in turns, each in a
//! process of its own. CPU time is what counts on a busy machine.
//!
//! `cargo bench -p avicuna-pipeline --bench decode [-- LOOPS [ROUNDS]]`

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use avicuna_pipeline::source::{End, SourceConfig, SourceEvent, spawn};
use avicuna_pipeline::timeline::Grid;
use tokio_util::sync::CancellationToken;

/// Frames a second, their size, and the rate of the sound, as the small model has them.
const FPS: u32 = 2;
const SIZE: u32 = 224;
const RATE: u32 = 48_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, film] = arguments.as_slice()
        && mode == "sample"
    {
        return sample(film);
    }
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse().ok());
    let (loops, rounds): (u32, usize) = (numbers.next().unwrap_or(10), numbers.next().unwrap_or(7) as usize);
    let directory = tempfile::TempDir::new().expect("a directory");
    let film = long_film(directory.path(), loops);
    let ours = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("sample").arg(&film);
        command
    };
    // The page cache and GStreamer's registry warm up.
    timed(ours());
    timed(launch(&film));
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let (ours, theirs) = (timed(ours()), timed(launch(&film)));
        let ratio = |of: fn(&Took) -> f64| of(&ours) / of(&theirs);
        walls.push(ratio(|took| took.wall));
        cpus.push(ratio(|took| took.cpu));
        println!(
            "round {round}: ours {:.2} s CPU, {:.2} s wall; gst-launch {:.2} s CPU, {:.2} s wall; ratio {:.3} CPU, {:.3} wall",
            ours.cpu,
            ours.wall,
            theirs.cpu,
            theirs.wall,
            cpus[round - 1],
            walls[round - 1]
        );
    }
    println!("median ratio: {:.3} CPU, {:.3} wall (at most 1.050 wanted)", median(cpus), median(walls));
}

/// The footage so many times in a row.
fn long_film(directory: &Path, loops: u32) -> PathBuf {
    let footage = avicuna_models::manifest::cache_dir().expect("a cache").join("media/bigbuckbunny.mp4");
    assert!(footage.is_file(), "{} is missing: run `make setup`", footage.display());
    let film = directory.join("long.mp4");
    let status = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-stream_loop", &(loops.max(1) - 1).to_string(), "-i"])
        .arg(footage)
        .args(["-c", "copy"])
        .arg(&film)
        .status();
    assert!(status.expect("ffmpeg is installed: run `make setup`").success());
    film
}

fn launch(film: &Path) -> Command {
    let uri = format!("uri=file://{}", film.display());
    let line = format!(
        "-q uridecodebin3 {uri} name=film \
         film. ! queue max-size-buffers=3 ! videorate drop-only=true ! video/x-raw,framerate={FPS}/1 ! \
         videoconvertscale method=bilinear2 add-borders=false ! \
         video/x-raw,format=RGB,width={SIZE},height={SIZE} ! fakesink sync=false \
         film. ! queue max-size-buffers=50 ! audioconvert ! audioresample ! \
         audio/x-raw,format=F32LE,channels=1,rate={RATE} ! fakesink sync=false"
    );
    let mut command = Command::new("gst-launch-1.0");
    command.args(line.split_whitespace());
    command
}

struct Took {
    wall: f64,
    cpu: f64,
}

fn timed(mut command: Command) -> Took {
    let (started, before) = (Instant::now(), children_cpu());
    let status = command.stdout(Stdio::null()).status().expect("it runs");
    assert!(status.success(), "{command:?}: {status}");
    Took { wall: started.elapsed().as_secs_f64(), cpu: children_cpu() - before }
}

/// CPU seconds of the children that ended, user and system; the kernel counts in hundredths.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit_once(')').expect("a name in parentheses").1;
    let ticks: f64 =
        fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// The child: the whole film through a source.
fn sample(film: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let config = SourceConfig {
            grid: Grid::new(Duration::from_secs(1) / FPS),
            frame_size: SIZE,
            sample_rate: RATE,
            stall_timeout: Duration::from_secs(60),
            ..SourceConfig::new("film", film)
        };
        let (sender, mut events) = tokio::sync::mpsc::channel(64);
        let source = spawn(config, sender, CancellationToken::new());
        let mut frames = 0;
        while let Some(event) = events.recv().await {
            match event {
                SourceEvent::Frame(_) => frames += 1,
                SourceEvent::Ended(end) => assert_eq!(end, End::OfFile),
                _ => {}
            }
        }
        source.await.expect("no panic");
        assert!(frames > 0);
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
