use std::sync::Arc;
use std::time::{Duration, Instant};

use avicuna_models::sample::{EncodeOnce, Encoding, RgbFrame};

use super::*;
use crate::source::{End, SourceEvent, TimedAudio, TimedFrame};
use crate::stream::Presence::{Missing, Partial, Present};
use crate::stream::StreamId;
use crate::timeline::{ClockAnchor, ClockQuality, GridIndex, StreamTime, UtcTime};

mod properties;
mod rules;

/// Windows of 4 s each 2 s; four frames, eight clips of 1 s; 1000 samples/s.
fn spec() -> WindowSpec {
    WindowSpec {
        length: Duration::from_secs(4),
        hop: Duration::from_secs(2),
        visual_slots: 4,
        audio_slots: 8,
        sample_rate: 1_000,
        clip: Duration::from_secs(1),
        patience: Duration::ZERO,
    }
}

fn assembler() -> Assembler {
    Assembler::new(StreamId::from("cam"), spec()).expect("valid")
}

fn ms(ms: i64) -> StreamTime {
    StreamTime(ms * 1_000_000)
}

/// Captured an hour after the epoch.
fn utc(time: StreamTime) -> UtcTime {
    UtcTime(time.0 + 3_600_000_000_000)
}

fn connected(has_audio: bool, has_video: bool) -> SourceEvent {
    SourceEvent::Connected { attempt: 0, has_audio, has_video, live: true, length: None }
}

/// The frame of second `at`; its pixel says so.
fn frame(at: i64) -> SourceEvent {
    let stream = ms(at * 1000);
    let frame = RgbFrame { width: 1, height: 1, aspect: 1.0, data: vec![at as u8; 3] };
    SourceEvent::Frame(TimedFrame { at: GridIndex(at), stream, capture: utc(stream), frame })
}

/// What sample `number` sounds like: unlike silence and unlike its neighbours.
fn value(number: i64) -> f32 {
    (number + 1) as f32
}

/// Samples from `from` to `to`, in milliseconds.
fn audio(from: i64, to: i64) -> SourceEvent {
    let samples = (from..to).map(value).collect();
    SourceEvent::Audio(TimedAudio { stream: ms(from), capture: utc(ms(from)), samples })
}

fn gap(from: i64, to: i64, reason: &str) -> SourceEvent {
    SourceEvent::Gap { from: ms(from), to: ms(to), reason: reason.to_owned() }
}

fn progress(until: i64) -> SourceEvent {
    SourceEvent::Progress(ms(until))
}

fn ended() -> SourceEvent {
    SourceEvent::Ended(End::OfFile)
}

fn feed(assembler: &mut Assembler, events: impl IntoIterator<Item = SourceEvent>) -> Vec<Closed> {
    events.into_iter().flat_map(|event| assembler.push(event)).collect()
}

/// Both tracks second by second.
fn both(seconds: std::ops::Range<i64>) -> Vec<SourceEvent> {
    seconds.flat_map(|second| [frame(second), audio(second * 1000, second * 1000 + 1000)]).collect()
}

fn window(closed: &Closed) -> &Window {
    match closed {
        Closed::Window(window) => window,
        Closed::Blind { id, reason, .. } => panic!("{id} is blind: {reason}"),
    }
}

fn windows(closed: &[Closed]) -> Vec<&Window> {
    closed.iter().map(window).collect()
}

/// `first windows reason` of blind entries, the index alone of others.
fn outline(closed: &[Closed]) -> Vec<String> {
    let line = |closed: &Closed| match closed {
        Closed::Window(window) => window.id.index.to_string(),
        Closed::Blind { id, windows, reason, .. } => format!("{} x{windows} {reason}", id.index),
    };
    closed.iter().map(line).collect()
}

/// Which visual slots are filled, by their pixel.
fn pictures(window: &Window) -> Vec<Option<u8>> {
    let pixel = |cell: &Arc<EncodeOnce<RgbFrame>>| {
        let frame = cell.take_input().expect("nobody encodes here");
        let pixel = frame.data[0];
        cell.put_back(frame);
        pixel
    };
    window.visual.slots.iter().map(|slot| slot.as_ref().map(pixel)).collect()
}

/// The samples of each audio slot.
fn sounds(window: &Window) -> Vec<Option<Vec<f32>>> {
    let samples = |cell: &Arc<EncodeOnce<avicuna_models::sample::AudioClip>>| {
        let clip = cell.take_input().expect("nobody encodes here");
        let samples = clip.samples.clone();
        cell.put_back(clip);
        samples
    };
    window.audio.slots.iter().map(|slot| slot.as_ref().map(samples)).collect()
}

/// The clip of slot `slot` of 500 ms when samples `from..to` are there.
fn clip(slot: i64, from: i64, to: i64) -> Vec<f32> {
    let start = slot * 500 - 250;
    (start..start + 1000)
        .map(|number| if (from..to).contains(&number) { value(number) } else { 0.0 })
        .collect()
}
