//! What pads tell each other beside samples: gaps, flushes, and what downstream answers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avicuna_models::manifest::Manifest;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

mod support;

use support::{init, model, root};

/// Far longer than any test takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(300);

/// A window and a half, with a dog in it.
const LENGTH: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// The beginning of the demo scene as the model takes it: buffers of both pads in the order of time, and their caps.
struct Scene {
    buffers: Vec<(Pad, gst::Buffer)>,
    caps: [gst::Caps; 2],
    length: gst::ClockTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pad {
    Video,
    Audio,
}

impl Scene {
    fn decode() -> Self {
        init();
        let manifest = Manifest::load(model().as_ref()).expect("the manifest is there");
        let side = manifest.vision.as_ref().expect("it sees").input_size;
        let rate = manifest.audio.as_ref().expect("it hears").sample_rate;
        let launch = format!(
            "filesrc location={scene} ! decodebin name=d \
             d. ! queue ! videoconvert ! videoscale ! videorate \
                ! video/x-raw,format=RGB,width={side},height={side},framerate=5/1 ! appsink name=video sync=false \
             d. ! queue ! audioconvert ! audioresample \
                ! audio/x-raw,format=F32LE,channels=1,layout=interleaved,rate={rate} ! appsink name=audio sync=false",
            scene = root().join("assets/demo/scene.mp4").display(),
        );
        let pipeline = gst::parse::launch(&launch).expect("it parses").downcast::<gst::Pipeline>();
        let pipeline = pipeline.expect("a pipeline");
        pipeline.set_state(gst::State::Playing).expect("it plays");
        let pull = |name: &str| {
            let sink = pipeline.by_name(name).expect("its sink").downcast::<AppSink>().expect("an appsink");
            std::thread::spawn(move || std::iter::from_fn(|| sink.pull_sample().ok()).collect::<Vec<_>>())
        };
        let [video, audio] = [pull("video"), pull("audio")].map(|pulled| pulled.join().expect("no panic"));
        pipeline.set_state(gst::State::Null).expect("it stops");
        let caps = [&video, &audio].map(|samples| samples[0].caps_owned().expect("caps"));
        let of = |pad, samples: Vec<gst::Sample>| {
            samples.into_iter().map(move |sample| (pad, sample.buffer_owned().expect("a buffer")))
        };
        let mut buffers: Vec<_> = of(Pad::Video, video).chain(of(Pad::Audio, audio)).collect();
        buffers.retain(|(_, buffer)| buffer.pts().is_some_and(|pts| pts < LENGTH));
        buffers.sort_by_key(|(_, buffer)| buffer.pts());
        let last = buffers.last().and_then(|(_, buffer)| Some(buffer.pts()? + buffer.duration()?));
        Self { buffers, caps, length: last.expect("times") }
    }
}

/// What came out of the element, in order.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Record(serde_json::Value),
    Event(gst::EventType),
}

/// The element between pads of ours.
struct Harness {
    element: gst::Element,
    video: gst::Pad,
    audio: gst::Pad,
    _sink: gst::Pad,
    out: Arc<Mutex<Vec<Out>>>,
}

impl Harness {
    /// `answer` is what downstream says to each record.
    fn new(scene: &Scene, answer: Result<gst::FlowSuccess, gst::FlowError>) -> Self {
        let element = gst::ElementFactory::make("avicunalocalizer").property("model", model()).build();
        let element = element.expect("the element is there");
        let out = Arc::new(Mutex::new(Vec::new()));
        let (records, events) = (out.clone(), out.clone());
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                let map = buffer.map_readable().expect("readable");
                let record = serde_json::from_slice(&map).expect("a JSON record");
                records.lock().expect("no panic").push(Out::Record(record));
                answer
            })
            .event_function(move |_, _, event| {
                events.lock().expect("no panic").push(Out::Event(event.type_()));
                true
            })
            .build();
        sink.set_active(true).expect("it activates");
        element.static_pad("src").expect("a pad").link(&sink).expect("they link");
        let [video, audio] = ["video", "audio"].map(|name| {
            let pad = gst::Pad::builder(gst::PadDirection::Src).name(name).build();
            pad.set_active(true).expect("it activates");
            pad.link(&element.static_pad(name).expect("a pad")).expect("they link");
            pad
        });
        element.set_state(gst::State::Playing).expect("it plays");
        let harness = Self { element, video, audio, _sink: sink, out };
        for (pad, caps) in [&harness.video, &harness.audio].into_iter().zip(&scene.caps) {
            assert!(pad.push_event(gst::event::StreamStart::new(&pad.name())));
            assert!(pad.push_event(gst::event::Caps::new(caps)));
        }
        harness.segments();
        harness
    }

    fn segments(&self) {
        for pad in [&self.video, &self.audio] {
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            assert!(pad.push_event(gst::event::Segment::new(&segment)));
        }
    }

    fn push(&self, pad: Pad, buffer: &gst::Buffer, offset: gst::ClockTime) -> Result<(), gst::FlowError> {
        let mut buffer = buffer.copy();
        let pts = buffer.pts().expect("a time") + offset;
        buffer.get_mut().expect("a copy of ours").set_pts(pts);
        let pad = if pad == Pad::Video { &self.video } else { &self.audio };
        pad.push(buffer).map(|_| ())
    }

    fn end(&self) {
        for pad in [&self.video, &self.audio] {
            assert!(pad.push_event(gst::event::Eos::new()), "the end is taken");
        }
    }

    fn windows(&self) -> u64 {
        self.element.property("windows")
    }

    fn out(&self) -> Vec<Out> {
        self.out.lock().expect("no panic").clone()
    }

    fn wait(&self, what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < HANG, "{what}: {:?}", self.out());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_the_end(&self) {
        self.wait("no end comes out", || self.out().contains(&Out::Event(gst::EventType::Eos)));
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.element.set_state(gst::State::Null).expect("it stops");
    }
}

/// How often each event was started, and how often ended.
fn lives(out: &[Out]) -> (Vec<String>, Vec<String>) {
    let of = |phase: &str| {
        let mut ids: Vec<String> = out
            .iter()
            .filter_map(|out| match out {
                Out::Record(record) if record["phase"] == phase => Some(record["event_id"].to_string()),
                _ => None,
            })
            .collect();
        ids.sort_unstable();
        ids
    };
    (of("started"), of("ended"))
}

#[test]
fn gaps_of_one_pad_let_the_windows_of_the_other_go_on() {
    let scene = Scene::decode();
    let harness = Harness::new(&scene, Ok(gst::FlowSuccess::Ok));
    for (pad, buffer) in &scene.buffers {
        let (pts, duration) = (buffer.pts().expect("a time"), buffer.duration());
        if *pad == Pad::Video {
            harness.push(*pad, buffer, gst::ClockTime::ZERO).expect("it is taken");
        } else {
            let gap = gst::event::Gap::builder(pts).duration(duration).build();
            assert!(harness.audio.push_event(gap));
        }
    }
    harness.wait("no window closes before the end", || harness.windows() > 0);
    harness.end();
    harness.wait_for_the_end();
    let records = harness.out();
    let heard =
        records.iter().any(|out| matches!(out, Out::Record(record) if record["modality"] != "visual"));
    assert!(!heard, "nothing could be heard: {records:?}");
}

#[test]
fn a_flush_drops_what_waits_ends_what_was_begun_and_starts_afresh() {
    let scene = Scene::decode();
    let harness = Harness::new(&scene, Ok(gst::FlowSuccess::Ok));
    let started = || !lives(&harness.out()).0.is_empty();
    'until_started: for round in 0..100 {
        for (pad, buffer) in &scene.buffers {
            harness.push(*pad, buffer, scene.length * round).expect("it is taken");
            if started() {
                break 'until_started;
            }
        }
    }
    assert!(started(), "the model sees nothing in the scene");
    let flush = gst::event::FlushStart::new();
    let seqnum = flush.seqnum();
    for pad in [&harness.video, &harness.audio] {
        assert!(pad.push_event(gst::event::FlushStart::builder().seqnum(seqnum).build()));
    }
    let (pad, buffer) = &scene.buffers[0];
    assert_eq!(harness.push(*pad, buffer, gst::ClockTime::ZERO), Err(gst::FlowError::Flushing));
    let before = harness.out().len();
    for pad in [&harness.video, &harness.audio] {
        assert!(pad.push_event(gst::event::FlushStop::builder(true).seqnum(seqnum).build()));
    }
    harness.segments();
    for (pad, buffer) in &scene.buffers {
        harness.push(*pad, buffer, gst::ClockTime::ZERO).expect("it is taken");
    }
    harness.end();
    harness.wait_for_the_end();
    let out = harness.out();
    let count = |kind| out.iter().filter(|out| **out == Out::Event(kind)).count();
    assert_eq!((count(gst::EventType::FlushStart), count(gst::EventType::FlushStop)), (1, 1));
    assert_eq!(count(gst::EventType::Segment), 2, "time begins anew");
    let (started, ended) = lives(&out);
    assert_eq!(started, ended, "each life is whole");
    let windows: Vec<f64> = out[before..]
        .iter()
        .filter_map(|out| match out {
            Out::Record(record) if record["phase"] == "started" => record["window"]["start"].as_f64(),
            _ => None,
        })
        .collect();
    assert_eq!(windows.first(), Some(&0.0), "the first window is the first again: {out:?}");
}

#[test]
fn what_downstream_answers_is_told_upstream() {
    let scene = Scene::decode();
    for answer in [gst::FlowError::Eos, gst::FlowError::Flushing, gst::FlowError::Error] {
        let harness = Harness::new(&scene, Err(answer));
        let mut pushed = (0..100).flat_map(|round| {
            let offset = scene.length * round;
            scene.buffers.iter().map(move |(pad, buffer)| (*pad, buffer, offset))
        });
        let told = pushed.find_map(|(pad, buffer, offset)| harness.push(pad, buffer, offset).err());
        assert_eq!(told, Some(answer));
        harness.end();
        harness.wait_for_the_end();
    }
}
