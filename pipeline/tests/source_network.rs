//! HTTP, HLS, SRT and UDP from real servers on the loopback interface.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use avicuna_pipeline::source::{End, SourceConfig, SourceEvent};
use avicuna_pipeline::timeline::{ClockQuality, UtcTime};
use common::http::Http;
use common::media::{TICKS, make, pictures, shifted, stamps, tone, transport};
use common::ports::Port;
use common::rtmp::Rtmp;
use common::{Running, all, check, config, frames, gaps, heard, live, media};
use gstreamer as gst;
use gstreamer::prelude::*;
use tempfile::TempDir;

/// A sender that plays until it is dropped.
struct Sender(gst::Element);

impl Sender {
    fn play(line: &str) -> Self {
        gst::init().expect("GStreamer starts");
        let pipeline = gst::parse::launch(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        pipeline.set_state(gst::State::Playing).unwrap_or_else(|error| panic!("{line}: {error}"));
        Self(pipeline)
    }

    /// A live transport stream into `sink`.
    fn live(sink: &str) -> Self {
        Self::through("mpegtsmux name=mux alignment=7", sink)
    }

    /// What a camera or an encoder sends, through a muxer.
    fn through(muxer: &str, sink: &str) -> Self {
        Self::play(&format!(
            "{muxer} ! {sink} \
             videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=10/1 ! \
             openh264enc gop-size=5 ! h264parse config-interval=-1 ! queue ! mux. \
             audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=1 ! avenc_aac ! aacparse ! queue ! mux."
        ))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.set_state(gst::State::Null).expect("a sender stops");
    }
}

/// Watches until 8 frames and some sound came.
async fn some(running: &mut Running) -> Vec<SourceEvent> {
    let (mut seen, mut sound) = (0, false);
    running
        .until(|event| {
            seen += i32::from(matches!(event, SourceEvent::Frame(_)));
            sound |= matches!(event, SourceEvent::Audio(_));
            seen >= 8 && sound
        })
        .await
}

#[tokio::test]
async fn a_film_over_http_is_the_same_as_from_disk() {
    let footage = media("bigbuckbunny.mp4");
    let http = Http::serve(footage.parent().expect("a directory"));
    let config = config(http.url("bigbuckbunny.mp4"));
    let (events, reason) = all(config.clone()).await;
    assert_eq!(reason, End::OfFile);
    check(&config, &events);
    let disk = SourceConfig { uri: footage.to_str().expect("utf-8").to_owned(), ..config };
    let (from_disk, _) = all(disk).await;
    let pixels = |events: &[SourceEvent]| -> Vec<_> {
        frames(events).iter().map(|frame| (frame.at, frame.stream, frame.frame.clone())).collect()
    };
    assert!(pixels(&events) == pixels(&from_disk));
    assert_eq!(heard(&events, 16_000), heard(&from_disk, 16_000));
}

#[tokio::test]
async fn a_playlist_is_played_to_its_end() {
    let directory = TempDir::new().expect("a directory");
    let text = playlist(&directory, 8.0, 2);
    let list = directory.path().join("list.m3u8");
    assert!(text.matches("part").count() >= 3 && text.contains("#EXT-X-ENDLIST"), "{text}");
    let http = Http::serve(directory.path());
    let config = config(http.url("list.m3u8"));
    let (events, reason) = all(config.clone()).await;
    assert_eq!(reason, End::OfFile);
    check(&config, &events);
    assert!(frames(&events).len() >= 31, "{}", frames(&events).len());
    assert!((heard(&events, 16_000) - 8.0).abs() < 0.3, "{}", heard(&events, 16_000));
    // The playlist goes, and a live source says so and comes back.
    std::fs::remove_file(&list).expect("removed");
    let mut running = Running::start(live(http.url("list.m3u8")));
    let events = running.until(|event| matches!(event, SourceEvent::Lost { .. })).await;
    let Some(SourceEvent::Lost { failure, .. }) = events.last() else { panic!() };
    let reason = failure.to_string();
    assert!(reason.starts_with("not-found: "), "{reason}");
    std::fs::write(&list, text).expect("written");
    some(&mut running).await;
    running.stop().await;
}

/// `seconds` of a film as parts of so many seconds and a playlist of them.
fn playlist(directory: &TempDir, seconds: f64, part: u32) -> String {
    let path = directory.path().display();
    make(&format!(
        "hlssink2 name=sink location={path}/part%05d.ts playlist-location={path}/list.m3u8 target-duration={part} \
         playlist-length=0 max-files=100 {} ! openh264enc gop-size=10 ! h264parse ! sink.video {} ! avenc_aac ! aacparse ! sink.audio",
        pictures(seconds, ""),
        tone(seconds, 48_000, "")
    ));
    std::fs::read_to_string(directory.path().join("list.m3u8")).expect("written")
}

#[tokio::test]
async fn a_part_that_is_missing_is_named_by_its_status_and_what_is_before_it_is_watched() {
    let directory = TempDir::new().expect("a directory");
    playlist(&directory, 16.0, 4);
    let parts = std::fs::read_dir(directory.path()).expect("there").count() - 1;
    std::fs::remove_file(directory.path().join(format!("part{:05}.ts", parts / 2))).expect("removed");
    let http = Http::serve(directory.path());
    let (events, end) = all(config(http.url("list.m3u8"))).await;
    let reason = end.to_string();
    assert!(reason.starts_with("not-found: ") && reason.contains("HTTP status 404"), "{reason}");
    assert!(!reason.contains("damaged"), "{reason}");
    assert!(frames(&events).len() >= 8, "{}", frames(&events).len());
    playlist(&directory, 16.0, 4);
    std::fs::remove_file(directory.path().join(format!("part{:05}.ts", parts - 1))).expect("removed");
    let reason = all(config(http.url("list.m3u8"))).await.1.to_string();
    assert!(reason.starts_with("truncated: ") && reason.contains("the server refuses the rest"), "{reason}");
}

#[tokio::test]
async fn a_live_playlist_that_says_its_end_ends_the_stream() {
    let directory = TempDir::new().expect("a directory");
    assert!(playlist(&directory, 8.0, 2).contains("#EXT-X-ENDLIST"));
    let http = Http::serve(directory.path());
    let config = live(http.url("list.m3u8"));
    let (events, end) = all(config.clone()).await;
    assert_eq!(end, End::OfFile);
    check(&config, &events);
    assert!((heard(&events, 16_000) - 8.0).abs() < 0.3, "once and whole: {}", heard(&events, 16_000));
}

/// The first clock of a live playlist and the capture times of its frames, until `enough` came.
async fn dated(url: String, enough: usize) -> (ClockQuality, Vec<UtcTime>) {
    let config = live(url);
    let mut running = Running::start(config.clone());
    let mut seen = 0;
    let mut events = running
        .until(|event| {
            seen += usize::from(matches!(event, SourceEvent::Frame(_)));
            seen >= enough
        })
        .await;
    events.extend(running.stop().await);
    check(&config, &events);
    let clock = events.iter().find_map(|event| match event {
        SourceEvent::Clock { clock, .. } => Some(*clock),
        _ => None,
    });
    (clock.expect("a clock"), frames(&events).iter().map(|frame| frame.capture).collect())
}

#[tokio::test]
async fn a_live_playlist_is_dated_by_itself_or_by_the_end_of_its_first_burst() {
    let directory = TempDir::new().expect("a directory");
    let text = playlist(&directory, 12.0, 2).replace("#EXT-X-ENDLIST", "");
    let list = directory.path().join("list.m3u8");
    std::fs::write(&list, &text).expect("written");
    let http = Http::serve(directory.path());
    let (clock, captured) = dated(http.url("list.m3u8"), 12).await;
    assert_eq!(clock, ClockQuality::Pts);
    assert!(captured.is_sorted(), "{captured:?}");
    let age = UtcTime::now().seconds_since(captured[0]);
    assert!(age > 5.0, "three parts of 2 s came at once: the first is {age} s old");

    let base = UtcTime::now().offset(-40_000_000_000);
    let mut number = 0;
    let dated_text: String = text
        .lines()
        .map(|line| {
            let date = base.offset(2_000_000_000 * number).to_rfc3339();
            number += i64::from(line.starts_with("#EXTINF"));
            if line.starts_with("#EXTINF") {
                format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n{line}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    std::fs::write(&list, dated_text).expect("written");
    let (clock, captured) = dated(http.url("list.m3u8"), 12).await;
    assert_eq!(clock, ClockQuality::Ntp);
    let within = captured[0].seconds_since(base).rem_euclid(2.0);
    assert!(!(0.3..1.7).contains(&within), "it begins with a part: {within}");
    assert!((0.0..12.0).contains(&captured[0].seconds_since(base)));
}

#[tokio::test(flavor = "multi_thread")]
async fn srt_from_a_listener_that_dies_and_returns() {
    let held = Port::free();
    let port = held.number();
    let sink =
        format!("srtsink uri=srt://127.0.0.1:{port}?mode=listener wait-for-connection=true latency=100");
    let config = SourceConfig {
        stall_timeout: Duration::from_secs(10),
        ..live(format!("srt://127.0.0.1:{port}?mode=caller"))
    };
    let sender = Sender::live(&sink);
    let mut running = Running::start(config.clone());
    let mut events = some(&mut running).await;
    drop(sender);
    events.extend(running.until(|event| matches!(event, SourceEvent::Lost { .. })).await);
    let _sender = Sender::live(&sink);
    events.extend(some(&mut running).await);
    events.extend(running.stop().await);
    check(&config, &events);
    assert!(gaps(&events).iter().any(|gap| gap.2.starts_with("outage: ")), "{:?}", gaps(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmp_whose_publisher_dies_and_returns() {
    let server = Rtmp::serve();
    let publish = || {
        Sender::through("flvmux name=mux streamable=true", &format!("rtmp2sink location={}", server.url()))
    };
    let config = SourceConfig { stall_timeout: Duration::from_secs(10), ..live(server.url()) };
    let sender = publish();
    let mut running = Running::start(config.clone());
    let mut events = some(&mut running).await;
    drop(sender);
    events.extend(running.until(|event| matches!(event, SourceEvent::Lost { .. })).await);
    let _sender = publish();
    events.extend(some(&mut running).await);
    events.extend(running.stop().await);
    check(&config, &events);
    assert!(gaps(&events).iter().any(|gap| gap.2.starts_with("outage: ")), "{:?}", gaps(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn srt_with_a_wrong_passphrase_is_refused_and_not_called_without_a_pause() {
    let held = Port::free();
    let port = held.number();
    let _sender = Sender::live(&format!(
        "srtsink uri=srt://127.0.0.1:{port}?mode=listener passphrase=theRightOne1 pbkeylen=16 wait-for-connection=true"
    ));
    let mut running = Running::start(live(format!("srt://127.0.0.1:{port}?passphrase=theWrongOne1")));
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let events = running.until(|event| matches!(event, SourceEvent::Lost { .. })).await;
        let Some(SourceEvent::Lost { failure, retry_in }) = events.last() else { panic!() };
        let reason = failure.to_string();
        assert!(reason.starts_with("unauthorised: ") && !reason.contains("theWrongOne1"), "{reason}");
        pauses.push(retry_in.as_millis());
    }
    assert_eq!(pauses, [200, 400, 500]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn srt_as_a_listener() {
    let held = Port::free();
    let port = held.number();
    let config = live(format!("srt://127.0.0.1:{port}?mode=listener"));
    let mut running = Running::start(config.clone());
    let _sender = Sender::live(&format!("srtsink uri=srt://127.0.0.1:{port}?mode=caller latency=100"));
    let mut events = some(&mut running).await;
    events.extend(running.stop().await);
    check(&config, &events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_stream_over_udp() {
    let held = Port::free();
    let port = held.number();
    let config = live(format!("udp://127.0.0.1:{port}"));
    let mut running = Running::start(config.clone());
    let sender = Sender::live(&format!("udpsink host=127.0.0.1 port={port}"));
    let mut events = some(&mut running).await;
    events.extend(running.stop().await);
    check(&config, &events);
    drop(sender);
    // Nobody sends: that is all UDP can tell.
    let silent = SourceConfig { stall_timeout: Duration::from_millis(500), ..config };
    let mut running = Running::start(silent);
    let events = running.until(|event| matches!(event, SourceEvent::Lost { .. })).await;
    let Some(SourceEvent::Lost { failure, .. }) = events.last() else { panic!() };
    let reason = failure.to_string();
    assert!(reason.starts_with("stalled: "), "{reason}");
    running.stop().await;
}

/// Sends a recorded transport stream about as fast as it was recorded.
fn trickle(port: u16, stream: Vec<u8>, seconds: f64) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let packets: Vec<&[u8]> = stream.chunks(188 * 7).collect();
        let pause = Duration::from_secs_f64(seconds / packets.len() as f64);
        for packet in packets {
            // Nobody listens any more once the test has seen enough.
            let _gone = socket.send_to(packet, ("127.0.0.1", port));
            std::thread::sleep(pause);
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_transport_stream_whose_stamps_wrap_and_start_again() {
    let directory = TempDir::new().expect("a directory");
    let part = transport(&directory.path().join("a.ts"), 4.0, (160, 120), 48_000);
    let (first, last) = stamps(&part);
    let wrapping = shifted(&part, (1 << 33) - first - (last - first) / 2);
    let stream = [wrapping, shifted(&part, 5000 * TICKS), part].concat();
    let held = Port::free();
    let port = held.number();
    let config = live(format!("udp://127.0.0.1:{port}"));
    let mut running = Running::start(config.clone());
    let sender = trickle(port, stream, 12.0);
    let mut events =
        running.until(|event| matches!(event, SourceEvent::Frame(frame) if frame.at.0 >= 36)).await;
    events.extend(running.stop().await);
    sender.join().expect("it sends");
    check(&config, &events);
    let last = frames(&events).last().expect("frames").stream.as_secs_f64();
    assert!(last < 20.0, "no time is made up: {last}");
    assert!(frames(&events).len() >= 24, "{}", frames(&events).len());
}
