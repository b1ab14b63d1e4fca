//! Files: real footage, and generated ones with every oddity.

mod common;

use avicuna_pipeline::source::{End, SourceConfig, SourceEvent};
use avicuna_pipeline::timeline::ClockQuality;
use common::{all, check, config, frames, gaps, heard, media, sounds};

fn connected(events: &[SourceEvent]) -> (bool, bool) {
    match events.first() {
        Some(SourceEvent::Connected { attempt: 0, has_audio, has_video, .. }) => (*has_audio, *has_video),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn real_footage_comes_whole_and_the_same_each_time() {
    let config = config(media("bigbuckbunny.mp4").to_str().expect("utf-8"));
    let (events, reason) = all(config.clone()).await;
    assert_eq!(reason, End::OfFile);
    assert_eq!(connected(&events), (true, true));
    let Some(SourceEvent::Connected { length: Some(length), .. }) = events.first() else {
        panic!("{events:?}")
    };
    assert!((length.as_secs_f64() - 5.3).abs() < 0.1, "{length:?}");
    check(&config, &events);
    let seen = frames(&events);
    // 5.28 s of video: grid points 0..=21.
    assert_eq!(seen.iter().map(|frame| frame.at.0).collect::<Vec<_>>(), (0..22).collect::<Vec<_>>());
    assert!((heard(&events, 16_000) - 5.3).abs() < 0.1, "{}", heard(&events, 16_000));
    let sound = sounds(&events);
    assert_eq!(sound[0].stream.0, 0);
    let contiguous = sound.windows(2).all(|pair| {
        let end = pair[0].stream.0 + pair[0].samples.len() as i64 * 1_000_000_000 / 16_000;
        (pair[1].stream.0 - end).abs() <= 1
    });
    assert!(contiguous, "no hole in the sound");
    assert!(gaps(&events).is_empty());
    let clock = events.iter().find_map(|event| match event {
        SourceEvent::Clock { clock, av_offset_ms, .. } => Some((*clock, *av_offset_ms)),
        _ => None,
    });
    assert_eq!(clock, Some((ClockQuality::Pts, None)));

    let (again, _) = all(config).await;
    let pixels = |events: &[SourceEvent]| -> Vec<_> {
        frames(events).iter().map(|frame| (frame.at, frame.stream, frame.frame.clone())).collect()
    };
    assert!(pixels(&events) == pixels(&again), "the same frames for the same grid points");
    let samples = |events: &[SourceEvent]| -> Vec<f32> {
        sounds(events).iter().flat_map(|audio| audio.samples.iter().copied()).collect()
    };
    assert!(samples(&events) == samples(&again));
}

#[tokio::test]
async fn footage_without_sound_is_video_only() {
    let config = config(media("bikes.mp4").to_str().expect("utf-8"));
    let (events, reason) = all(config.clone()).await;
    assert_eq!(reason, End::OfFile);
    assert_eq!(connected(&events), (false, true));
    check(&config, &events);
    assert_eq!(frames(&events).len(), 40);
    assert!(sounds(&events).is_empty());
}

#[tokio::test]
async fn only_what_is_wanted_is_decoded() {
    let uri = media("bigbuckbunny.mp4").to_str().expect("utf-8").to_owned();
    let (events, reason) = all(SourceConfig { grid: None, ..config(uri.clone()) }).await;
    assert_eq!((reason, connected(&events)), (End::OfFile, (true, false)));
    assert!(frames(&events).is_empty() && !sounds(&events).is_empty());
    let (events, reason) = all(SourceConfig { sample_rate: 0, ..config(uri) }).await;
    assert_eq!((reason, connected(&events)), (End::OfFile, (false, true)));
    assert!(!frames(&events).is_empty() && sounds(&events).is_empty());
}

#[tokio::test]
async fn a_test_source_plays_for_its_duration() {
    let config = SourceConfig { live: true, ..config("test://?duration=1.5&pattern=smpte&wave=sine") };
    let (events, reason) = all(config.clone()).await;
    assert_eq!(reason, End::OfFile);
    check(&config, &events);
    assert_eq!(connected(&events), (true, true));
    assert!(frames(&events).len() >= 5, "{}", frames(&events).len());
    assert!(heard(&events, 16_000) > 1.2);
}
