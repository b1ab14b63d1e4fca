//! Rendering beside plain concatenation with ffmpeg: the same clips, encoders and settings, in turns.
//!
//! `cargo run --release --example render_speed -- CORPUS [ROUNDS] [CLIPS]`, with a corpus that has media. Prints the seconds of each
//! round and the ratio of the medians: once with every clip at its own length, as ffmpeg does it, and once at other lengths.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use avicuna_corpus::pu_valor::{Segment, Timeline};
use avicuna_corpus::render::{self, RenderOptions};
use avicuna_corpus::{Catalogue, Clip};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let corpus = PathBuf::from(arguments.next().ok_or("give a corpus directory")?);
    let rounds: usize = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let count: usize = arguments.next().map_or(Ok(10), |count| count.parse())?;
    let catalogue = Catalogue::read(&corpus)?;
    let clips = &catalogue.clips[..count.min(catalogue.clips.len())];
    let folder = std::env::temp_dir().join(format!("render-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let plain = timeline(clips, &[1.0]);
    let scaled = timeline(clips, &[0.5, 1.3, 2.0, 0.8]);
    let by_id = catalogue.by_id();
    let render = |timeline: &Timeline| -> Result<f64, Box<dyn Error>> {
        let began = Instant::now();
        render::video(timeline, &by_id, &folder.join("ours.mp4"), &RenderOptions::default())?;
        Ok(began.elapsed().as_secs_f64())
    };
    let mut times = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let now = [ffmpeg(clips, &folder)?, render(&plain)?, render(&scaled)?];
        println!(
            "round {round}: ffmpeg {:.2} s, ours {:.2} s, at other lengths {:.2} s",
            now[0], now[1], now[2]
        );
        times.iter_mut().zip(now).for_each(|(times, time)| times.push(time));
    }
    std::fs::remove_dir_all(&folder)?;
    let [ffmpeg, ours, lengths] = times.map(median);
    println!(
        "{} clips, {:.0} s of video: {:.2} of ffmpeg's speed",
        clips.len(),
        plain.duration,
        ffmpeg / ours
    );
    let speed = |seconds: f64, time: f64| seconds / time;
    println!(
        "at other lengths {:.0} s of video: {:.1} times as fast as it plays, ffmpeg {:.1}",
        scaled.duration,
        speed(scaled.duration, lengths),
        speed(plain.duration, ffmpeg)
    );
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// All clips one after the other, their lengths changed by `scales` in turn.
fn timeline(clips: &[Clip], scales: &[f64]) -> Timeline {
    let (mut at, mut segments) = (0.0, Vec::new());
    for (clip, &scale) in clips.iter().zip(scales.iter().cycle()) {
        let (start, end) = (at, at + clip.duration * scale);
        at = end;
        let (label, caption, modality) = (clip.label.clone(), clip.caption.clone(), clip.modality);
        segments.push(Segment { clip: clip.id.clone(), label, caption, modality, start, end, scale });
    }
    let (id, group) = ("speed".to_owned(), "speed".to_owned());
    Timeline { id, group, variant: 0, duration: at, segments, gaps: Vec::new(), absent: Vec::new() }
}

/// Seconds that ffmpeg takes to decode, join and encode the clips.
fn ffmpeg(clips: &[Clip], folder: &Path) -> Result<f64, Box<dyn Error>> {
    let mut list = String::new();
    for clip in clips {
        writeln!(list, "file '{}'", std::path::absolute(&clip.media)?.display())?;
    }
    let file = folder.join("list.txt");
    std::fs::write(&file, list)?;
    let began = Instant::now();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "concat", "-safe", "0", "-i"])
        .arg(&file)
        .args(["-c:v", "libx264", "-preset", "fast", "-crf", "26", "-threads", "1", "-g", "50", "-bf", "0"])
        .args(["-c:a", "aac", "-b:a", "96k"])
        .arg(folder.join("theirs.mp4"))
        .status()?;
    if status.success() { Ok(began.elapsed().as_secs_f64()) } else { Err("ffmpeg failed".into()) }
}
