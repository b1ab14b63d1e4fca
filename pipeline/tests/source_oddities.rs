//! Media that are sound but odd: tracks that come late, stop early or change, slow and fast pictures, time stamps that
//! jump.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use avicuna_pipeline::source::{End, Fit, SourceConfig, SourceEvent};
use avicuna_pipeline::timeline::{Grid, StreamTime};
use common::media::{TICKS, matroska, pictures, shifted, stamps, tone, transport};
use common::{all, check, config, frames, gaps, heard, sounds};
use tempfile::TempDir;

const SECOND: i64 = 1_000_000_000;

/// A whole file's events, checked.
async fn events(config: SourceConfig) -> Vec<SourceEvent> {
    let (events, reason) = all(config.clone()).await;
    assert_eq!(reason, End::OfFile);
    check(&config, &events);
    events
}

fn of(path: &Path) -> SourceConfig {
    config(path.to_str().expect("utf-8"))
}

fn grid_points(events: &[SourceEvent]) -> Vec<i64> {
    frames(events).iter().map(|frame| frame.at.0).collect()
}

/// First and last instant of sound, in seconds.
fn sound_span(events: &[SourceEvent]) -> (f64, f64) {
    let sounds = sounds(events);
    let (first, last) = (sounds.first().expect("sound"), sounds.last().expect("sound"));
    (first.stream.as_secs_f64(), last.stream.as_secs_f64() + last.samples.len() as f64 / 16_000.0)
}

#[tokio::test]
async fn tracks_that_start_late_or_stop_early_keep_their_times() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("late.mkv");
    let late = format!("timestamp-offset={}", 2 * SECOND);
    let seen = events(of(&matroska(&path, Some(&pictures(4.0, "")), Some(&tone(1.0, 16_000, &late))))).await;
    assert_eq!(grid_points(&seen), (0..16).collect::<Vec<_>>());
    let (first, last) = sound_span(&seen);
    assert!((first - 2.0).abs() < 0.05 && (last - 3.0).abs() < 0.05, "{first}..{last}");
    assert!(gaps(&seen).is_empty(), "a file's time line is the truth");

    let path = directory.path().join("late-pictures.mkv");
    let seen = events(of(&matroska(&path, Some(&pictures(1.0, &late)), Some(&tone(4.0, 16_000, ""))))).await;
    assert_eq!(grid_points(&seen), (8..12).collect::<Vec<_>>());
    assert!((heard(&seen, 16_000) - 4.0).abs() < 0.05);
}

#[tokio::test]
async fn one_track_is_enough() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("sound.mkv");
    let seen = events(of(&matroska(&path, None, Some(&tone(3.0, 44_100, ""))))).await;
    assert!(matches!(seen[0], SourceEvent::Connected { has_audio: true, has_video: false, .. }));
    assert!((heard(&seen, 16_000) - 3.0).abs() < 0.05);
    let path = directory.path().join("pictures.mkv");
    let seen = events(of(&matroska(&path, Some(&pictures(3.0, "")), None))).await;
    assert!(matches!(seen[0], SourceEvent::Connected { has_audio: false, has_video: true, .. }));
    assert_eq!(grid_points(&seen), (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn slow_pictures_are_repeated_and_fast_ones_dropped() {
    let slow = events(config("test://?fps=1&duration=4&audio=false")).await;
    assert_eq!(grid_points(&slow), (0..16).collect::<Vec<_>>());
    assert!(frames(&slow).iter().all(|frame| frame.stream.0 == frame.at.0 / 4 * SECOND));
    let fast = events(config("test://?fps=120&duration=2&audio=false&width=64&height=64")).await;
    assert_eq!(grid_points(&fast), (0..8).collect::<Vec<_>>());
    assert!(frames(&fast).iter().all(|frame| frame.stream.0 == frame.at.0 * SECOND / 4));
}

#[tokio::test]
async fn sound_of_any_rate_becomes_the_models() {
    for rate in [8_000, 44_100, 96_000] {
        let seen =
            events(config(format!("test://?rate={rate}&duration=2&video=false&wave=sine&freq=1000"))).await;
        let samples: Vec<f32> =
            sounds(&seen).iter().flat_map(|audio| audio.samples.iter().copied()).collect();
        assert!((samples.len() as i64 - 32_000).abs() < 400, "{rate}: {}", samples.len());
        let crossings = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((1_960..2_040).contains(&crossings), "{rate}: {crossings} waves in 2 s of 1000 Hz");
    }
}

#[tokio::test]
async fn wide_pictures_are_stretched_or_cropped() {
    let uri = "test://?pattern=smpte&duration=1&audio=false&width=640&height=360";
    let colour = |events: &[SourceEvent], x: usize| {
        let frame = &frames(events)[0].frame;
        let at = (10 * frame.width + x) * 3;
        [0, 1, 2].map(|channel| frame.data[at + channel] > 96)
    };
    let (white, yellow, red, blue) =
        ([true; 3], [true, true, false], [true, false, false], [false, false, true]);
    let seen = events(config(uri)).await;
    assert_eq!((colour(&seen, 2), colour(&seen, 61)), (white, blue), "all seven bars");
    let seen = events(SourceConfig { fit: Fit::Crop, ..config(uri) }).await;
    assert_eq!((colour(&seen, 2), colour(&seen, 61)), (yellow, red), "the middle five");
}

#[tokio::test]
async fn a_file_that_loops_or_keeps_its_speed() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("short.mkv");
    matroska(&path, Some(&pictures(1.0, "")), Some(&tone(1.0, 16_000, "")));
    let mut running = common::Running::start(SourceConfig { loop_file: true, ..of(&path) });
    let mut seen =
        running.until(|event| matches!(event, SourceEvent::Frame(frame) if frame.at.0 >= 14)).await;
    seen.extend(running.stop().await);
    check(&of(&path), &seen);
    assert_eq!(grid_points(&seen)[..12], (0..12).collect::<Vec<_>>(), "one time line over all loops");
    assert!(gaps(&seen).is_empty());

    let started = Instant::now();
    events(SourceConfig { realtime: true, ..of(&path) }).await;
    assert!(started.elapsed() >= Duration::from_millis(700), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_stream_may_change_its_size_and_rate_and_start_its_stamps_again() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a.ts");
    let mut stream = transport(&path, 3.0, (160, 120), 48_000);
    stream.extend(transport(&path, 3.0, (320, 180), 44_100));
    std::fs::write(&path, stream).expect("written");
    let seen = events(of(&path)).await;
    assert!((heard(&seen, 16_000) - 6.0).abs() < 0.5, "{}", heard(&seen, 16_000));
    let points = grid_points(&seen);
    assert!(points.len() >= 21, "{points:?}");
    let last = points.last().expect("frames") - points[0];
    assert!((21..28).contains(&last), "no time is made up: {points:?}");
}

#[tokio::test]
async fn stamps_that_wrap_jump_or_go_back_leave_one_time_line() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a.ts");
    let part = transport(&path, 3.0, (160, 120), 48_000);
    let (first, last) = stamps(&part);
    // The clock wraps after half of the part.
    let wrapping = shifted(&part, (1 << 33) - first - (last - first) / 2);
    // Continues after `gap` ticks.
    let next = |gap: i64| shifted(&part, last - first + gap);
    for (name, stream) in [
        ("wrap", wrapping),
        ("back", [part.clone(), part.clone()].concat()),
        ("far forward", [part.clone(), next(10 * 3600 * TICKS)].concat()),
    ] {
        std::fs::write(&path, &stream).expect("written");
        let seen = events(of(&path)).await;
        let parts = (stream.len() / part.len()) as i64;
        let points = grid_points(&seen);
        let span = points.last().expect("frames") - points[0];
        assert!(points.len() as i64 >= 12 * parts - 3, "{name}: {points:?}");
        assert!(span < 12 * parts + 4, "{name}: {points:?}");
        let heard = heard(&seen, 16_000);
        assert!((heard - 3.0 * parts as f64).abs() < 0.5, "{name}: {heard}");
    }
}

#[tokio::test]
async fn a_coarse_grid_takes_one_frame_in_ten_seconds() {
    let grid = Grid::new(Duration::from_secs(10));
    let seen = events(SourceConfig { grid, ..config("test://?duration=25&fps=5&audio=false") }).await;
    assert_eq!(grid_points(&seen), [0, 1, 2]);
    assert_eq!(frames(&seen)[2].stream, StreamTime(20 * SECOND));
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_that_are_no_numbers_or_out_of_all_bounds_are_heard_as_some() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("floats.wav");
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30];
    let samples: Vec<f32> =
        (0..16_000).map(|at| if at % 1_000 < 4 { odd[at % 1_000] } else { 0.25 }).collect();
    std::fs::write(&path, wav(&samples)).expect("written");
    let events = events(of(&path)).await;
    let heard: Vec<f32> = events.iter().flat_map(samples_of).collect();
    assert!(heard.len() >= 15_900, "{} samples", heard.len());
    assert!(heard.iter().all(|sample| (-1.0..=1.0).contains(sample)));
    assert_eq!(heard[500], 0.25);
}

fn samples_of(event: &SourceEvent) -> Vec<f32> {
    match event {
        SourceEvent::Audio(audio) => audio.samples.clone(),
        _ => Vec::new(),
    }
}

/// Mono 32-bit floats at 16 kHz as RIFF WAVE.
fn wav(samples: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let length = u32::try_from(data.len()).expect("small");
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((length + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([3u16, 1].map(u16::to_le_bytes).concat());
    bytes.extend([16_000u32, 64_000].map(u32::to_le_bytes).concat());
    bytes.extend([4u16, 32].map(u16::to_le_bytes).concat());
    bytes.extend(b"data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(data);
    bytes
}
