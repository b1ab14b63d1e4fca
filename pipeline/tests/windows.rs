//! Real footage, cut into windows.

mod common;

use std::sync::Arc;
use std::time::Duration;

use avicuna_pipeline::source::{End, SourceEvent};
use avicuna_pipeline::stream::{Presence, StreamId};
use avicuna_pipeline::timeline::StreamTime;
use avicuna_pipeline::window::{Assembler, Closed, Unused, Window, WindowSpec};
use common::{all, config, media};

/// The windows of a file: 4 s each 2 s, a frame each 250 ms, a clip of 1 s each 500 ms.
async fn windows(file: &str) -> Vec<Window> {
    let spec = WindowSpec {
        length: Duration::from_secs(4),
        hop: Duration::from_secs(2),
        visual_slots: 16,
        audio_slots: 8,
        sample_rate: 16_000,
        clip: Duration::from_secs(1),
        patience: Duration::ZERO,
    };
    let config = config(media(file).to_str().expect("utf-8"));
    assert_eq!(config.grid, spec.visual_grid());
    let (events, reason) = all(config).await;
    assert_eq!(reason, End::OfFile);
    let mut assembler = Assembler::new(StreamId::from("test"), spec).expect("valid");
    let events = events.into_iter().chain([SourceEvent::Ended(reason)]);
    let closed: Vec<Closed> = events.flat_map(|event| assembler.push(event)).collect();
    assert_eq!(assembler.unused(), Unused::default());
    let window = |closed| match closed {
        Closed::Window(window) => window,
        Closed::Blind { id, reason, .. } => panic!("{id}: {reason}"),
    };
    let windows: Vec<Window> = closed.into_iter().map(window).collect();
    for (index, window) in (0..).zip(&windows) {
        assert_eq!(window.id.index, index);
    }
    windows
}

#[tokio::test]
async fn sight_and_sound_fill_their_windows_to_the_end() {
    let windows = windows("bigbuckbunny.mp4").await;
    let [first, last] = &windows[..] else { panic!("{} windows of 5.3 s", windows.len()) };
    assert_eq!((first.visual.presence, first.audio.presence), (Presence::Present, Presence::Present));
    // 5.28 s of video: grid points up to 5.25 s. Of the audio slot that starts at 5 s more than half is there.
    assert_eq!((last.visual.filled(), last.audio.filled()), (14, 7));
    assert_eq!((last.visual.presence, last.audio.presence), (Presence::Partial, Presence::Partial));
    assert_eq!(last.visual.reason.as_deref(), Some("the stream ended"));
    assert_eq!(last.end, StreamTime::from_secs_f64(6.0));
    assert!((last.until.as_secs_f64() - 5.4).abs() <= 0.15, "{:?}", last.until);
    assert!(last.last_capture > first.last_capture);
    let shared = |earlier: &Window, later: &Window| {
        let frames = earlier.visual.slots[8..].iter().zip(&later.visual.slots[..8]).all(|pair| match pair {
            (Some(earlier), Some(later)) => Arc::ptr_eq(earlier, later),
            _ => false,
        });
        let clips = earlier.audio.slots[4..].iter().zip(&later.audio.slots[..4]).all(|pair| match pair {
            (Some(earlier), Some(later)) => Arc::ptr_eq(earlier, later),
            _ => false,
        });
        frames && clips
    };
    assert!(shared(first, last));
}

#[tokio::test]
async fn footage_without_sound_says_so() {
    let windows = windows("bikes.mp4").await;
    assert_eq!(windows.len(), 4, "10 s");
    for window in &windows {
        assert_eq!(window.visual.presence, Presence::Present);
        assert_eq!(window.audio.presence, Presence::Missing);
        assert_eq!(window.audio.reason.as_deref(), Some("the source has no audio"));
    }
}
