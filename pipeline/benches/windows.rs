//! What windows and their queue cost for each second of stream, beside the encoders and the LLM: a live stream of two
//! 224 x 224 frames a second and 48 kHz sound in buffers of 1024 samples, windows of 20 s each 10 s with 40 frames and
//! 40 clips of 1 s.
//!
//! `cargo bench -p avicuna-pipeline --bench windows [-- SECONDS [STREAMS]]`

use std::time::{Duration, Instant};

use avicuna_models::sample::{Encoding, RgbFrame};
use avicuna_pipeline::schedule::{Job, ScheduleConfig, Scheduler, Shed, Work};
use avicuna_pipeline::source::{SourceEvent, TimedAudio, TimedFrame};
use avicuna_pipeline::stream::StreamId;
use avicuna_pipeline::timeline::{GridIndex, StreamTime, UtcTime};
use avicuna_pipeline::window::{Assembler, Closed, Window, WindowSpec};

const RATE: i64 = 48_000;
const BUFFER: i64 = 1024;
const FRAME: usize = 224;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<i64>().ok());
    let (seconds, streams) = (numbers.next().unwrap_or(600), numbers.next().unwrap_or(4));
    let spec = WindowSpec {
        length: Duration::from_secs(20),
        hop: Duration::from_secs(10),
        visual_slots: 40,
        audio_slots: 40,
        sample_rate: RATE as u32,
        clip: Duration::from_secs(1),
        patience: Duration::ZERO,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (mut assembling, mut longest, mut queueing, mut windows) =
        (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
    for stream in 0..streams {
        let mut assembler =
            Assembler::new(StreamId::from(format!("cam-{stream}")), spec).expect("a valid spec");
        let scheduler = Scheduler::new(ScheduleConfig {
            max_batch: 1,
            linger: Duration::ZERO,
            queue_per_stream: 2,
            shed: Shed::Oldest,
            question_every: Duration::ZERO,
            ahead: false,
        });
        for second in 0..seconds {
            // Making the samples is the source's work and not timed.
            for event in events(second) {
                let start = Instant::now();
                let closed = assembler.push(event);
                let took = start.elapsed();
                assembling += took;
                longest = longest.max(took);
                for closed in closed {
                    let Closed::Window(window) = closed else { panic!("nothing is missing") };
                    windows += 1;
                    let start = Instant::now();
                    let window = runtime.block_on(through(&scheduler, window));
                    queueing += start.elapsed();
                    encode(&window);
                }
            }
        }
        assert_eq!(assembler.unused(), Default::default());
    }
    let total = (seconds * streams) as f64;
    let share = |took: Duration| took.as_secs_f64() / total;
    println!("{streams} streams of {seconds} s, {windows} windows");
    println!(
        "assembling: {:.1} us for each second of stream, {:.3}% of a core for {streams} live streams; longest call {:.2} ms",
        share(assembling) * 1e6,
        share(assembling) * 100.0 * streams as f64,
        longest.as_secs_f64() * 1e3
    );
    println!("queueing: {:.2} us for each window", queueing.as_secs_f64() * 1e6 / f64::from(windows));
}

/// One second of both tracks, in the order they would come.
fn events(second: i64) -> Vec<SourceEvent> {
    let mut events = Vec::new();
    for half in [0, 1] {
        let at = second * 2 + half;
        let (stream, data) = (StreamTime(at * 500_000_000), vec![at as u8; FRAME * FRAME * 3]);
        let frame = RgbFrame { width: FRAME, height: FRAME, aspect: 1.0, data };
        events.push(SourceEvent::Frame(TimedFrame {
            at: GridIndex(at),
            stream,
            capture: UtcTime(stream.0),
            frame,
        }));
    }
    let first = (second * RATE + BUFFER - 1) / BUFFER;
    for buffer in first..((second + 1) * RATE + BUFFER - 1) / BUFFER {
        let stream = StreamTime(buffer * BUFFER * 1_000_000_000 / RATE);
        let samples = vec![(buffer % 100) as f32 / 100.0; BUFFER as usize];
        events.push(SourceEvent::Audio(TimedAudio { stream, capture: UtcTime(stream.0), samples }));
    }
    for quarter in 0..4 {
        events.push(SourceEvent::Progress(StreamTime(second * 1_000_000_000 + quarter * 250_000_000)));
    }
    events
}

async fn through(scheduler: &Scheduler, window: Window) -> Window {
    let submitted =
        scheduler.submit(Job { window, questions: Vec::new(), last: None, live: true, behind: false }).await;
    assert!(submitted.shed.is_empty());
    let Some(Work::Windows(mut jobs)) = scheduler.next().await else {
        panic!("it is open, and nothing is ahead")
    };
    jobs.remove(0).window
}

/// What the localizer does to a window's memory: inputs become small embeddings.
fn encode(window: &Window) {
    for cell in window.visual.slots.iter().flatten() {
        if cell.take_input().is_some() {
            cell.fill(Encoding::whole(vec![0.0; 4].into()));
        }
    }
    for cell in window.audio.slots.iter().flatten() {
        if cell.take_input().is_some() {
            cell.fill(Encoding::whole(vec![0.0; 4].into()));
        }
    }
}
