//! Cameras: a real RTSP server, its clock, its death and its return.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use avicuna_pipeline::source::{End, Reconnect, SourceConfig, SourceEvent, TimedFrame};
use avicuna_pipeline::timeline::{ClockAnchor, ClockQuality, StreamTime};
use common::ports::Port;
use common::rtsp::{CAMERA, Rtsp, SILENT};
use common::{Running, check, frames, gaps, live, sounds};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_rtsp_server as server;
use gstreamer_rtsp_server::prelude::*;

/// The brightness of the pictures says when they were taken: it rises 16 times in this many milliseconds.
const TURN: i64 = 3_200;
/// What the camera sends is held back for so long before it leaves, as encoders and networks do.
const DELAY: Duration = Duration::from_millis(600);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// Paints every picture with the time at which it is taken, and lets sender reports speak of that time: by default they
/// speak of the time of sending.
fn shutter(media: &server::RTSPMedia) {
    media.connect_prepared(|media| {
        let pipeline = media.element().parent().and_downcast::<gst::Bin>().expect("it is in a pipeline");
        for bin in pipeline.iterate_elements().into_iter().flatten() {
            if bin.find_property("rtcp-sync-send-time").is_some() {
                bin.set_property("rtcp-sync-send-time", false);
            }
        }
    });
    let bin = media.element().downcast::<gst::Bin>().expect("a launch line makes a bin");
    let Some(shutter) = bin.by_name("shutter") else { return };
    shutter.static_pad("src").expect("it has one").add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let element = pad.parent_element().expect("a pad has an element");
        let buffer = info.buffer_mut().expect("a buffer").make_mut();
        // A busy machine paints late, but knows for when.
        let late = match (element.current_running_time(), buffer.pts()) {
            (Some(now), Some(pts)) => now.mseconds() as i64 - pts.mseconds() as i64,
            _ => 0,
        };
        let level = (now_ms() - late).rem_euclid(TURN) * 16 / TURN;
        let mut map = buffer.map_writable().expect("pictures can be painted");
        let luma = map.len() * 2 / 3;
        map[..luma].fill((24 + level * 13) as u8);
        map[luma..].fill(128);
        gst::PadProbeReturn::Ok
    });
}

/// [`CAMERA`] with `shutter` and [`DELAY`].
fn slow_camera() -> String {
    let held = DELAY.as_nanos();
    let hold =
        format!("queue min-threshold-time={held} max-size-time=0 max-size-bytes=0 max-size-buffers=0 !");
    CAMERA
        .replace("rtpjpegpay", &format!("{hold} rtpjpegpay"))
        .replace("rtpL16pay", &format!("{hold} rtpL16pay"))
}

/// Milliseconds by which the capture time differs from the truth painted on the frame.
fn error(frame: &TimedFrame) -> i64 {
    let middle = (frame.frame.height / 2 * frame.frame.width + frame.frame.width / 2) * 3;
    // Studio swing luma becomes full swing RGB.
    let luma = 16.0 + f64::from(frame.frame.data[middle + 1]) * 219.0 / 255.0;
    let taken = (luma - 24.0) / 13.0 * TURN as f64 / 16.0 + TURN as f64 / 32.0;
    let error = (frame.capture.0 / 1_000_000 - taken as i64 + TURN / 2).rem_euclid(TURN) - TURN / 2;
    error.abs()
}

async fn capture_time_is_the_cameras(scheme: &str) {
    let camera = Rtsp::serve(0, &slow_camera(), shutter);
    let config = live(camera.url().replace("rtsp:", scheme));
    let mut running = Running::start(config.clone());
    let is_ntp = |event: &SourceEvent| matches!(event, SourceEvent::Clock { clock: ClockQuality::Ntp, av_offset_ms: Some(offset), .. } if offset.abs() < 100.0);
    // Sound and sight are captured together. Reports that the server sent before it was told to may say otherwise.
    let mut events = running.until(is_ntp).await;
    let (mut right, mut delay) = (0, 0);
    let after = running
        .until(|event| {
            if let SourceEvent::Frame(frame) = event {
                right = if error(frame) < 350 { right + 1 } else { 0 };
                delay = now_ms() - frame.capture.0 / 1_000_000;
            }
            right >= 12
        })
        .await;
    events.extend(after);
    assert!(delay >= DELAY.as_millis() as i64 - 100, "the delay is no part of the capture time: {delay}");
    events.extend(running.stop().await);
    check(&config, &events);
    assert!(!sounds(&events).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_reports_give_the_capture_time_over_tcp() {
    capture_time_is_the_cameras("rtsp:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_reports_give_the_capture_time_over_udp() {
    capture_time_is_the_cameras("rtspu:").await;
}

fn anchors(events: &[SourceEvent]) -> Vec<ClockAnchor> {
    let anchor = |event: &SourceEvent| match event {
        SourceEvent::Clock { anchor, .. } => Some(*anchor),
        _ => None,
    };
    events.iter().filter_map(anchor).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_dies_and_returns_goes_on_in_the_same_time() {
    let port = Port::free();
    let camera = Rtsp::serve(port.number(), CAMERA, |_| {});
    let config = SourceConfig { stall_timeout: Duration::from_secs(10), ..live(camera.url()) };
    let started = std::time::Instant::now();
    let mut running = Running::start(config.clone());
    let mut events =
        running.until(|event| matches!(event, SourceEvent::Frame(frame) if frame.at.0 >= 4)).await;
    drop(camera);
    events.extend(running.until(|event| matches!(event, SourceEvent::Lost { .. })).await);
    // It is tried in vain at least once.
    events.extend(running.until(|event| matches!(event, SourceEvent::Lost { .. })).await);
    let camera = Rtsp::serve(port.number(), CAMERA, |_| {});
    let again = running.until(|event| matches!(event, SourceEvent::Connected { .. })).await;
    let Some(SourceEvent::Connected { attempt, .. }) = again.last() else { panic!() };
    assert!(*attempt >= 2, "{attempt}");
    events.extend(again);
    let back = events.len();
    let (mut more, mut sound) = (6, false);
    let after = running
        .until(|event| {
            more -= i32::from(matches!(event, SourceEvent::Frame(_)));
            sound |= matches!(event, SourceEvent::Audio(_));
            more <= 0 && sound
        })
        .await;
    events.extend(after);
    events.extend(running.stop().await);
    check(&config, &events);

    let (before, after) = events.split_at(back);
    assert!(!frames(after).is_empty() && !sounds(after).is_empty(), "both tracks return");
    let last = frames(before).last().expect("frames").stream;
    let sample = |event: &SourceEvent| match event {
        SourceEvent::Frame(frame) => Some(frame.stream),
        SourceEvent::Audio(audio) => Some(audio.stream),
        _ => None,
    };
    let (place, first) = after
        .iter()
        .enumerate()
        .find_map(|(place, event)| sample(event).map(|stream| (place, stream)))
        .expect("it is back");
    let gaps = gaps(&events[..back + place]);
    let (from, to) = (gaps.first().expect("a gap").0, gaps.last().expect("a gap").1);
    assert!(gaps.windows(2).all(|pair| pair[0].1 == pair[1].0), "the pieces of the outage touch: {gaps:?}");
    assert!(gaps.iter().all(|gap| gap.2.starts_with("outage: ")), "{gaps:?}");
    assert!(from >= last && to <= first && to > from, "{last:?} {from:?}..{to:?} {first:?}");
    // Stream time went on as on the wall: it cannot have run ahead of it.
    assert!(first.as_secs_f64() <= started.elapsed().as_secs_f64());
    let renewed = anchors(after);
    assert!(renewed.first().is_some_and(|anchor| anchor.stream >= to), "the clock is told anew: {renewed:?}");
    drop(camera);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_not_there_yet_is_waited_for() {
    let port = Port::free();
    let mut running = Running::start(live(format!("rtsp://me:secret@{}/cam", port.address())));
    let mut events = Vec::new();
    for _ in 0..2 {
        events.extend(running.until(|event| matches!(event, SourceEvent::Lost { .. })).await);
    }
    let Some(SourceEvent::Lost { failure, .. }) = events.last() else { panic!() };
    let reason = failure.to_string();
    assert!(reason.starts_with("unreachable: rtsp://***@127.0.0.1"), "{reason}");
    assert!(!reason.contains("secret"));
    let start = anchors(&events)[0];
    assert_eq!(start.stream.0, 0, "a stream that is not there begins when it is first looked for");
    assert!((0..30_000).contains(&(now_ms() - start.utc.0 / 1_000_000)), "{start:?}");
    events.extend(running.until(|event| matches!(event, SourceEvent::Gap { .. })).await);
    let _camera = Rtsp::serve(port.number(), SILENT, |_| {});
    events.extend(running.until(|event| matches!(event, SourceEvent::Frame(_))).await);
    let first = frames(&events)[0];
    let mut away = StreamTime::ZERO;
    for (from, to, reason) in gaps(&events) {
        assert_eq!(from, away, "outages touch");
        assert!(reason.starts_with("outage: unreachable"), "{reason}");
        away = to;
    }
    assert!(away > StreamTime::ZERO && first.stream >= away, "{away:?} {first:?}");
    let connected = events.iter().any(|event| {
        matches!(event, SourceEvent::Connected { has_audio: false, has_video: true, live: true, .. })
    });
    assert!(connected, "{events:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_ends_its_streams_is_heard_to_the_last_frame() {
    let seconds = 3;
    let camera = Rtsp::serve(0, &SILENT.replace("is-live=true", "is-live=true num-buffers=60"), |_| {});
    let quick = Duration::from_millis(100);
    let config = live(camera.url());
    let reconnect = Reconnect { initial: quick, max: quick, ..config.reconnect };
    let mut running = Running::start(SourceConfig { reconnect, ..config });
    for _ in 0..3 {
        let events = running.until(|event| matches!(event, SourceEvent::Lost { .. })).await;
        let Some(SourceEvent::Lost { failure, .. }) = events.last() else { panic!() };
        let reason = failure.to_string();
        assert!(reason.starts_with("ended-by-source: "), "{reason}");
        let frames = frames(&events);
        let span = frames.last().expect("frames").stream.since(frames[0].stream);
        // Half a second at either side may lie between two grid points or before the first key frame.
        assert!(span > Duration::from_secs(seconds - 1), "{span:?} of {seconds} s");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_the_server_does_not_know() {
    let camera = Rtsp::serve(0, SILENT, |_| {});
    let mut running = Running::start(live(camera.url().replace("/cam", "/other")));
    let events = running.until(|event| matches!(event, SourceEvent::Lost { .. })).await;
    let Some(SourceEvent::Lost { failure, .. }) = events.last() else { panic!() };
    let reason = failure.to_string();
    assert!(reason.starts_with("not-found: "), "{reason}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_up_when_told_to_and_stops_at_once_when_asked() {
    let mut config = live("rtsp://127.0.0.1:9/cam");
    config.reconnect.give_up_after = Some(Duration::from_millis(1));
    let (_, reason) = common::all(config).await;
    assert!(reason.to_string().starts_with("gave-up: unreachable: "), "{reason}");
    // A server that accepts and says nothing: stopping does not wait for it.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = mute.local_addr().expect("bound").port();
    let running = Running::start(live(format!("rtsp://127.0.0.1:{port}/cam")));
    let (_connection, _) = mute.accept().expect("it connects");
    let rest = running.stop().await;
    assert!(matches!(rest.last(), Some(SourceEvent::Ended(End::Stopped))), "{rest:?}");
}
