//! What containers say of their tracks that GStreamer's demuxers leave out or get wrong: short tracks, parts of recordings, rotation,
//! sound whose time stamps cannot be believed, and the choice between several tracks and programmes.

mod common;

use std::path::Path;

use avicuna_pipeline::source::choice::TrackChoice;
use avicuna_pipeline::source::{End, SourceConfig, SourceEvent};
use common::bodies::in_turn;
use common::http::Http;
use common::media::ffmpeg;
use common::{Running, all, check, config, frames, heard, live, sounds};
use tempfile::TempDir;

/// A whole file's events, checked.
async fn events(config: SourceConfig) -> Vec<SourceEvent> {
    let (events, reason) = all(config.clone()).await;
    assert_eq!(reason, End::OfFile, "{}", config.uri);
    check(&config, &events);
    events
}

fn of(path: &Path) -> SourceConfig {
    config(path.to_str().expect("utf-8"))
}

/// Seconds of a film of test pictures and a tone, as inputs of ffmpeg.
fn pictures(seconds: u32) -> String {
    format!("-f lavfi -t {seconds} -i testsrc2=size=160x120:rate=10")
}

fn tone(seconds: u32) -> String {
    format!("-f lavfi -t {seconds} -i sine=frequency=440:sample_rate=48000")
}

/// How loud it is on the whole: root mean square.
fn level(events: &[SourceEvent]) -> f32 {
    let samples: Vec<f32> = sounds(events).iter().flat_map(|audio| audio.samples.iter().copied()).collect();
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

/// Seconds of the first and the last sight and of the first sound.
fn span(events: &[SourceEvent]) -> (f64, f64, f64) {
    let frames = frames(events);
    let (first, last) = (frames.first().expect("frames"), frames.last().expect("frames"));
    let sound = sounds(events).first().expect("sound").stream;
    (first.stream.as_secs_f64(), last.stream.as_secs_f64(), sound.as_secs_f64())
}

#[tokio::test]
async fn a_track_that_is_much_shorter_than_the_film_is_there() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let film = |name: &str, video: u32, audio: u32, more: &str| {
        let path = path(name);
        ffmpeg(&format!("{} {} {more} {}", pictures(video), tone(audio), path.display()));
        path
    };
    let short_sound = film("sound.mp4", 40, 4, "-c:v mpeg4 -c:a aac");
    let front = film("front.mp4", 40, 4, "-c:v mpeg4 -c:a aac -movflags +faststart");
    let http = Http::serve(directory.path());
    // From a disk the index is read as a whole, from a server in pieces, wherever it stands.
    for uri in [
        short_sound.display().to_string(),
        front.display().to_string(),
        http.url("sound.mp4"),
        http.url("front.mp4"),
    ] {
        let seen = events(config(uri.clone())).await;
        assert_eq!(frames(&seen).len(), 160, "{uri}");
        assert!((heard(&seen, 16_000) - 4.0).abs() < 0.1, "{uri}: {}", heard(&seen, 16_000));
    }
    let seen = events(of(&film("pictures.mp4", 4, 40, "-c:v mpeg4 -c:a aac"))).await;
    assert_eq!(frames(&seen).len(), 16);
    assert!((heard(&seen, 16_000) - 40.0).abs() < 0.1, "{}", heard(&seen, 16_000));
}

#[tokio::test]
async fn a_part_of_a_recording_is_watched_from_its_first_sample() {
    let directory = TempDir::new().expect("a directory");
    for kind in ["mp4", "mkv", "ts"] {
        let parts = directory.path().join(format!("part%d.{kind}"));
        ffmpeg(&format!(
            "{} {} -c:v libx264 -preset ultrafast -g 20 -c:a aac -f segment -segment_time 4 {}",
            pictures(28),
            tone(28),
            parts.display()
        ));
        // The sixth begins at 20 s; its own time is what is watched.
        for number in [1, 5] {
            let path = directory.path().join(format!("part{number}.{kind}"));
            let seen = events(of(&path)).await;
            let (first, last, sound) = span(&seen);
            assert!(first < 1.0 && sound < 1.0, "{kind} {number}: {first} {sound}");
            assert!((3.5..4.9).contains(&last), "{kind} {number}: {last}");
            assert!((heard(&seen, 16_000) - 4.0).abs() < 0.2, "{kind} {number}: {}", heard(&seen, 16_000));
            let Some(SourceEvent::Connected { length: Some(length), .. }) = seen.first() else {
                panic!("{:?}", seen.first())
            };
            assert!((3.5..5.0).contains(&length.as_secs_f64()), "{kind} {number}: {length:?}");
        }
    }
}

#[tokio::test]
async fn a_picture_that_was_stored_on_its_side_is_shown_upright() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let (plain, upright) = (path("plain.mp4"), path("upright.mp4"));
    // Above green and below blue when upright.
    ffmpeg(&format!(
        "-f lavfi -t 2 -i color=lime:size=90x80:rate=10 -f lavfi -t 2 -i color=blue:size=90x80:rate=10 \
         -filter_complex vstack,transpose=cclock -c:v libx264 -preset ultrafast {}",
        plain.display()
    ));
    ffmpeg(&format!("-i {} -c copy -metadata:s:v rotate=270 {}", plain.display(), upright.display()));
    let corners = |events: &[SourceEvent]| {
        let frame = &frames(events)[2].frame;
        let colour = |x: usize, y: usize| {
            let at = (y * frame.width + x) * 3;
            if frame.data[at + 1] > 128 { 'g' } else { 'b' }
        };
        ([colour(4, 4), colour(59, 4), colour(4, 59), colour(59, 59)], frame.aspect)
    };
    let (side, aspect) = corners(&events(of(&plain)).await);
    assert_eq!(side, ['g', 'b', 'g', 'b']);
    assert!((aspect - 160.0 / 90.0).abs() < 0.05, "{aspect}");
    let (turned, aspect) = corners(&events(of(&upright)).await);
    assert_eq!(turned, ['g', 'g', 'b', 'b']);
    assert!((aspect - 90.0 / 160.0).abs() < 0.05, "{aspect}");
}

#[tokio::test]
async fn sound_whose_stamps_are_wrong_is_as_long_as_its_samples() {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let fast = path("fast.mov");
    ffmpeg(&format!("{} {} -c:v mpeg4 -c:a pcm_s24le -ar 96000 {}", pictures(6), tone(6), fast.display()));
    let seen = events(of(&fast)).await;
    assert_eq!(frames(&seen).len(), 24);
    assert!((heard(&seen, 16_000) - 6.0).abs() < 0.05, "{}", heard(&seen, 16_000));
    for codec in ["adpcm_ima_wav", "adpcm_ms"] {
        for (channels, extension) in [(1, "wav"), (2, "wav"), (1, "mkv")] {
            let path = path(&format!("{codec}{channels}.{extension}"));
            ffmpeg(&format!("{} -c:a {codec} -ac {channels} {}", tone(6), path.display()));
            let seen = events(of(&path)).await;
            assert!((heard(&seen, 16_000) - 6.0).abs() < 0.2, "{}: {}", path.display(), heard(&seen, 16_000));
        }
    }
}

#[tokio::test]
async fn sound_of_many_channels_is_heard_whatever_their_phase() {
    let directory = TempDir::new().expect("a directory");
    let mut levels = Vec::new();
    for (name, filter) in [
        ("mono", "pan=mono|c0=c0"),
        ("stereo", "pan=stereo|c0=c0|c1=c0"),
        ("inverted", "pan=stereo|c0=c0|c1=-1*c0"),
        ("surround", "pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0"),
    ] {
        let path = directory.path().join(format!("{name}.wav"));
        ffmpeg(&format!("{} -af {filter} {}", tone(3), path.display()));
        let seen = events(of(&path)).await;
        assert!((heard(&seen, 16_000) - 3.0).abs() < 0.05, "{name}: {}", heard(&seen, 16_000));
        levels.push((name, level(&seen)));
    }
    let mono = levels[0].1;
    assert!(mono > 0.05, "{levels:?}");
    assert!(levels.iter().all(|(_, level)| (level / mono - 1.0).abs() < 0.3), "{levels:?}");
}

#[tokio::test]
async fn one_of_several_tracks_is_chosen() {
    let directory = TempDir::new().expect("a directory");
    // A quiet German and a loud French sound; the second is the default.
    for extension in ["mkv", "mp4"] {
        let path = directory.path().join(format!("two.{extension}"));
        ffmpeg(&format!(
            "{} {} {} -map 0:v -map 1:a -map 2:a -c:v mpeg4 -c:a aac -filter:a:0 volume=0.1 -filter:a:1 volume=4 \
             -metadata:s:a:0 language=ger -metadata:s:a:1 language=fre -disposition:a:0 0 -disposition:a:1 default {}",
            pictures(3),
            tone(3),
            tone(3),
            path.display()
        ));
        let german = TrackChoice::Language("de".to_owned());
        for (choice, is_loud) in [
            (TrackChoice::Default, true),
            (TrackChoice::Index(0), false),
            (TrackChoice::Index(1), true),
            (german, false),
            (TrackChoice::Language("fr".to_owned()), true),
        ] {
            let config = SourceConfig { audio_track: choice.clone(), ..of(&path) };
            let seen = events(config).await;
            let level = level(&seen);
            assert_eq!(level > 0.1, is_loud, "{extension} {choice}: {level}");
            assert!((12..=13).contains(&frames(&seen).len()));
        }
    }
}

/// Where the map of programme 1 is.
const MAP: u16 = 0x1000;

/// A transport stream of two programmes: number 1 is dark and quiet, number 2 bright and loud.
fn programmes(path: &Path) {
    ffmpeg(&format!(
        "-f lavfi -t 4 -i color=black:size=160x120:rate=25 -f lavfi -t 4 -i color=white:size=160x120:rate=25 {} {} \
         -map 0:v -map 1:v -map 2:a -map 3:a -c:v mpeg2video -c:a mp2 -filter:a:0 volume=0.1 -filter:a:1 volume=4 \
         -program program_num=1:st=0:st=2 -program program_num=2:st=1:st=3 -mpegts_pmt_start_pid {MAP} -f mpegts {}",
        tone(4),
        tone(4),
        path.display()
    ));
}

/// Is what came of programme 2? Fails where it is of both.
fn is_second(seen: &[SourceEvent]) -> bool {
    let is_loud = level(seen) > 0.1;
    assert!(frames(seen).len() >= 8, "{}", frames(seen).len());
    for frame in frames(seen) {
        let light = frame.frame.data.iter().map(|part| u64::from(*part)).sum::<u64>();
        let is_bright = light > 128 * frame.frame.data.len() as u64;
        assert_eq!(is_bright, is_loud, "the picture of one programme and the sound of the other");
    }
    is_loud
}

#[tokio::test]
async fn picture_and_sound_are_of_the_programme_that_is_asked_for() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("two.ts");
    programmes(&path);
    for (program, expected) in [(None, false), (Some(1), false), (Some(2), true), (Some(9), false)] {
        let seen = events(SourceConfig { program, ..of(&path) }).await;
        assert_eq!(is_second(&seen), expected, "{program:?}");
    }
}

#[tokio::test]
async fn a_programme_is_kept_to_when_the_source_is_connected_again() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("two.ts");
    programmes(&path);
    let whole = std::fs::read(&path).expect("written");
    // Whoever begins here comes to the map of programme 2 first.
    let mut later = whole.clone();
    let is_map = |packet: &[u8]| u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) == MAP;
    let map = later.chunks_exact_mut(188).find(|packet| is_map(packet)).expect("programme 1 has a map");
    map[1..3].copy_from_slice(&[0x1F, 0xFF]);
    let directory = directory.path();
    std::fs::write(directory.join("later.ts"), &later).expect("written");
    let of_later = events(of(&directory.join("later.ts"))).await;
    assert!(is_second(&of_later), "alone it is the other one");

    let port = in_turn("video/mp2t", move |number| if number == 0 { whole.clone() } else { later.clone() });
    let mut running = Running::start(live(format!("http://127.0.0.1:{port}/two.ts")));
    for connection in 0..3 {
        let seen = running.until(|event| matches!(event, SourceEvent::Lost { .. })).await;
        assert!(!is_second(&seen), "connection {connection}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_film_is_whole_however_busy_the_machine_is() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("short.mov");
    ffmpeg(&format!("{} {} -c:v mpeg4 -c:a pcm_s24le -ar 96000 {}", pictures(3), tone(3), path.display()));
    for _ in 0..3 {
        let at_once: Vec<_> = (0..8).map(|_| tokio::spawn(events(of(&path)))).collect();
        for running in at_once {
            let seen = running.await.expect("it is watched to its end");
            assert_eq!(frames(&seen).len(), 12);
            assert!((heard(&seen, 16_000) - 3.0).abs() < 0.05, "{}", heard(&seen, 16_000));
        }
    }
}
