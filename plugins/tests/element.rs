//! The element in real pipelines: with the small model on the demo scene, and with what users get wrong.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

mod support;

use support::{init, model, root};

/// Far longer than any test takes: only a hang reaches it.
const HANG: gst::ClockTime = gst::ClockTime::from_seconds(300);

/// Runs a pipeline to its end. What came out of the sink `out`, the warnings, and the error that ended it, if one did.
fn run(launch: &str) -> (Vec<serde_json::Value>, Vec<String>, Option<String>) {
    init();
    let pipeline = gst::parse::launch(launch).expect("the pipeline parses");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("it is a pipeline");
    let sink = pipeline.by_name("out").expect("it has a sink").downcast::<AppSink>().expect("an appsink");
    let bus = pipeline.bus().expect("a bus");
    let (mut warnings, mut error) = (Vec::new(), None);
    if pipeline.set_state(gst::State::Playing).is_err() {
        error = Some(String::new());
    }
    // Not before: a sink that has not started says that it is at its end.
    let reader = std::thread::spawn(move || {
        let mut records = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().expect("a buffer");
            assert!(buffer.pts().is_some(), "a record has a time");
            let map = buffer.map_readable().expect("readable");
            records.push(serde_json::from_slice(&map).expect("a JSON record"));
        }
        records
    });
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Warning];
    loop {
        let message = bus.timed_pop_filtered(HANG, &wanted).expect("the pipeline hangs");
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Warning(warning) => warnings.push(warning.error().to_string()),
            gst::MessageView::Error(failure) => {
                error = Some(format!("{} {}", failure.error(), failure.debug().unwrap_or_default()));
                break;
            }
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    (reader.join().expect("no panic"), warnings, error)
}

#[test]
fn the_demo_scene_gives_events_that_start_once_and_end_once() {
    let (records, _, error) = run(&format!(
        "filesrc location={scene} ! decodebin name=d \
         d. ! queue ! videoconvert ! videoscale ! l.video \
         d. ! queue ! audioconvert ! audioresample ! l.audio \
         avicunalocalizer name=l model={model} stream-id=scene ! appsink name=out sync=false",
        scene = root().join("assets/demo/scene.mp4").display(),
        model = model(),
    ));
    assert_eq!(error, None);
    let phase = |word: &str| -> Vec<&str> {
        let of = records.iter().filter(|record| record["phase"] == word);
        of.filter_map(|record| record["event_id"].as_str()).collect()
    };
    let (mut started, mut ended) = (phase("started"), phase("ended"));
    assert!(!started.is_empty(), "the model sees nothing in the scene");
    started.sort_unstable();
    ended.sort_unstable();
    assert_eq!(started, ended);
    assert!(records.iter().all(|record| record["stream_id"] == "scene" && record["clock"] == "pts"));
    assert!(records.iter().any(|record| record["label"] == "a dog"), "{records:?}");
}

#[test]
fn one_pad_alone_is_enough() {
    let (records, _, error) = run(&format!(
        "audiotestsrc num-buffers=200 samplesperbuffer=4800 wave=silence ! audioconvert ! audioresample ! l.audio \
         avicunalocalizer name=l model={} ! appsink name=out sync=false",
        model()
    ));
    assert_eq!(error, None);
    assert!(
        records.iter().all(|record| record["modality"] == "audio"),
        "nothing can be seen here: {records:?}"
    );
}

#[test]
fn a_missing_model_is_an_error_that_names_it() {
    let launch = |model: &str| {
        run(&format!(
            "videotestsrc num-buffers=5 ! videoconvert ! l.video avicunalocalizer name=l {model} ! appsink name=out"
        ))
    };
    let (_, _, error) = launch("");
    assert!(error.as_ref().is_some_and(|e| e.contains("property \"model\"")), "{error:?}");
    let (_, _, error) = launch("model=/nowhere/at/all");
    assert!(error.as_ref().is_some_and(|e| e.contains("/nowhere/at/all")), "{error:?}");
}

#[test]
fn a_hop_off_the_grid_is_an_error_that_names_better_ones() {
    let (_, _, error) = run(&format!(
        "videotestsrc num-buffers=5 ! videoconvert ! videoscale ! l.video \
         avicunalocalizer name=l model={} hop=700000001 ! appsink name=out",
        model()
    ));
    assert!(error.as_ref().is_some_and(|e| e.contains("hop")), "{error:?}");
}
