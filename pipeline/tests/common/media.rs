//! Small media, made by GStreamer while the test runs, and transport streams with any time stamps.

use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Runs a launch line to its end.
pub fn make(line: &str) {
    gst::init().expect("GStreamer starts");
    let pipeline = gst::parse::launch(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let bus = pipeline.bus().expect("a pipeline has a bus");
    pipeline.set_state(gst::State::Playing).unwrap_or_else(|error| panic!("{line}: {error}"));
    let wait = gst::ClockTime::from_seconds(240);
    let last = bus.timed_pop_filtered(wait, &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).expect("a pipeline stops");
    match last.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => {}
        Some(gst::MessageView::Error(error)) => panic!("{line}: {} {:?}", error.error(), error.debug()),
        _ => panic!("{line}: does not end"),
    }
}

/// `seconds` of pictures, 10 a second.
pub fn pictures(seconds: f64, more: &str) -> String {
    let count = (seconds * 10.0).round();
    format!("videotestsrc num-buffers={count} {more} ! video/x-raw,framerate=10/1,width=160,height=120")
}

/// `seconds` of a tone.
pub fn tone(seconds: f64, rate: u32, more: &str) -> String {
    let count = (seconds * 50.0).round();
    let size = rate / 50;
    format!(
        "audiotestsrc num-buffers={count} samplesperbuffer={size} {more} ! audio/x-raw,rate={rate},channels=2 ! audioconvert"
    )
}

/// A Matroska file of JPEG pictures and PCM sound, each if it is given.
pub fn matroska(path: &Path, video: Option<&str>, audio: Option<&str>) -> PathBuf {
    let video = video.map(|video| format!("{video} ! jpegenc ! queue ! mux.")).unwrap_or_default();
    let audio =
        audio.map(|audio| format!("{audio} ! audio/x-raw,format=S16LE ! queue ! mux.")).unwrap_or_default();
    make(&format!("matroskamux name=mux ! filesink location={} {video} {audio}", path.display()));
    path.to_owned()
}

/// A transport stream of H.264 and AAC.
pub fn transport(path: &Path, seconds: f64, size: (u32, u32), rate: u32) -> Vec<u8> {
    let video = format!(
        "{} ! videoscale ! video/x-raw,width={},height={} ! openh264enc gop-size=10 ! h264parse config-interval=-1",
        pictures(seconds, ""),
        size.0,
        size.1
    );
    let audio = format!("{} ! avenc_aac ! aacparse", tone(seconds, rate, ""));
    let path = path.display();
    make(&format!(
        "mpegtsmux name=mux ! filesink location={path} {video} ! queue ! mux. {audio} ! queue ! mux."
    ));
    std::fs::read(path.to_string()).expect("it was just written")
}

/// Ticks of a transport stream's clock in a second; its time stamps have 33 bits.
pub const TICKS: i64 = 90_000;
const WRAP: i64 = 1 << 33;

/// Time stamps of the first and the last packet that has one, in ticks.
pub fn stamps(stream: &[u8]) -> (i64, i64) {
    let mut stream = stream.to_owned();
    let mut seen = Vec::new();
    each_stamp(&mut stream, |stamp| {
        seen.push(stamp);
        stamp
    });
    (seen.iter().copied().min().expect("a stamp"), seen.iter().copied().max().expect("a stamp"))
}

/// The stream with all its time stamps moved, wrapping as they do.
pub fn shifted(stream: &[u8], ticks: i64) -> Vec<u8> {
    let mut stream = stream.to_owned();
    each_stamp(&mut stream, |stamp| (stamp + ticks).rem_euclid(WRAP));
    stream
}

/// Changes every clock reference, presentation and decoding time stamp.
fn each_stamp(stream: &mut [u8], mut change: impl FnMut(i64) -> i64) {
    for packet in stream.chunks_exact_mut(188) {
        assert_eq!(packet[0], 0x47, "a transport packet");
        let (starts, adaptation, payload) =
            (packet[1] & 0x40 != 0, packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        let mut at = 4;
        if adaptation {
            if packet[4] > 0 && packet[5] & 0x10 != 0 {
                let low = packet[10] & 0x80;
                let pcr = i64::from(u32::from_be_bytes([packet[6], packet[7], packet[8], packet[9]])) << 1
                    | i64::from(low >> 7);
                let pcr = change(pcr);
                packet[6..10].copy_from_slice(&((pcr >> 1) as u32).to_be_bytes());
                packet[10] = packet[10] & 0x7f | ((pcr & 1) as u8) << 7;
            }
            at += 1 + usize::from(packet[4]);
        }
        if !starts || !payload || packet.get(at..at + 3) != Some(&[0, 0, 1]) {
            continue;
        }
        let flags = packet[at + 7] >> 6;
        for field in 0..usize::from(flags.count_ones() as u8) {
            let field = &mut packet[at + 9 + 5 * field..][..5];
            let stamp = i64::from(field[0] >> 1 & 7) << 30
                | i64::from(field[1]) << 22
                | i64::from(field[2] >> 1) << 15
                | i64::from(field[3]) << 7
                | i64::from(field[4] >> 1);
            let stamp = change(stamp);
            field[0] = field[0] & 0xf1 | ((stamp >> 30) as u8 & 7) << 1;
            field[1] = (stamp >> 22) as u8;
            field[2] = ((stamp >> 15) as u8 & 0x7f) << 1 | 1;
            field[3] = (stamp >> 7) as u8;
            field[4] = (stamp as u8 & 0x7f) << 1 | 1;
        }
    }
}

/// Runs ffmpeg, which makes what GStreamer has no muxer for.
pub fn ffmpeg(arguments: &str) {
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .status()
        .expect("ffmpeg is installed: run `make setup`");
    assert!(status.success(), "ffmpeg {arguments}");
}
