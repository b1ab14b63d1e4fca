//! Packaged clips, a video of them, and its features: made twice, decoded as the daemon does, cut off and gone on with.

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use avicuna_corpus::features::{self, Encoders, Media};
use avicuna_corpus::packaged::{self, Options, Scenery};
use avicuna_corpus::pu_valor::{Segment, Timeline};
use avicuna_corpus::render::{self, AudioScaling, Background, RenderError, RenderOptions};
use avicuna_corpus::{Clip, MediaCheck, Modality, ReadOptions, Split};
use avicuna_models::encoder::DeviceChoice;
use support::{Watched, clip_of_halves, watch};

/// A time line of `(clip, start, end)`, in seconds.
fn timeline(id: &str, duration: f64, segments: &[(&Clip, f64, f64)]) -> Timeline {
    let segment = |&(clip, start, end): &(&Clip, f64, f64)| Segment {
        clip: clip.id.clone(),
        label: clip.label.clone(),
        caption: clip.caption.clone(),
        modality: clip.modality,
        start,
        end,
        scale: (end - start) / clip.duration,
    };
    let segments = segments.iter().map(segment).collect();
    Timeline {
        id: id.to_owned(),
        group: id.to_owned(),
        variant: 0,
        duration,
        segments,
        gaps: Vec::new(),
        absent: Vec::new(),
    }
}

fn by_id(clips: &[Clip]) -> BTreeMap<String, Clip> {
    clips.iter().map(|clip| (clip.id.clone(), clip.clone())).collect()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        path.is_file().then(|| (name, fs::read(&path).expect("read")))
    };
    fs::read_dir(folder).expect("a folder").filter_map(read).collect()
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_features_go_on_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = |name: &str, clips_per_label: usize| {
        let labels = vec!["a dog".to_owned(), "a bee".to_owned()];
        let options = Options { clips_per_label, labels, ..Options::new(5, Split::Test) };
        let dir = folder.path().join(name);
        let clips = packaged::build(&dir, &options, &|_, _| ()).expect("clips").clips;
        // An empty scene, a clip at half its length, and the other.
        let plan = timeline("v0", 12.0, &[(&clips[0], 2.0, 7.0), (&clips[clips_per_label], 7.0, 12.0)]);
        let scenery = Scenery::open(5, Split::Test).expect("the package is installed");
        let how = RenderOptions { background: Background::Packaged(scenery), ..RenderOptions::default() };
        render::all(std::slice::from_ref(&plan), &by_id(&clips), &dir.join("videos"), &how, &|_, _| ())
            .expect("a video");
        (dir, clips)
    };
    let (first, clips) = made("first", 1);
    let (second, _) = made("second", 1);
    for sub in ["", "clips", "videos"] {
        let (one, other) = (files(&first.join(sub)), files(&second.join(sub)));
        assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        assert!(one == other, "{sub}: the bytes differ");
        assert!(one.keys().all(|name| !name.ends_with(".part")));
    }

    let watched = watch(&first.join("videos/v0.mp4"));
    assert!((watched.seconds() - 12.0).abs() < 0.1, "{} s", watched.seconds());

    let mut media: Vec<Media> = clips.iter().map(Media::from).collect();
    let broken = folder.path().join("broken.mp4");
    fs::write(&broken, "no media").expect("written");
    media.push(Media { id: "broken".to_owned(), path: broken });
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/avicuna-small");
    let encoders =
        Encoders::load(&model, DeviceChoice::Cpu, None).expect("run `make setup` and `avicuna models pull`");
    let extract = |out: &str, stop_after: usize| {
        let out = folder.path().join(out);
        let seen = Cell::new(0);
        let progress = |progress: features::Progress| {
            seen.set(progress.done);
            assert!(progress.done < stop_after, "killed");
        };
        let run = || features::extract(&encoders, &media, &out, &features::Options::default(), &progress);
        catch_unwind(AssertUnwindSafe(run)).ok().map(|report| report.expect("features"))
    };
    let whole = extract("whole", usize::MAX).expect("to its end");
    assert_eq!((whole.made, whole.kept), (2, 0));
    assert_eq!(whole.skipped.len(), 1);
    assert!(whole.skipped[0].id == "broken" && !whole.skipped[0].reason.is_empty(), "{:?}", whole.skipped);
    assert_eq!(extract("cut", 1), None, "killed after the first file");
    let rest = extract("cut", usize::MAX).expect("to its end");
    assert_eq!(rest.made + rest.kept, 2, "{:?}", rest.skipped);
    assert_eq!(rest.skipped, whole.skipped);
    let again = extract("cut", usize::MAX).expect("to its end");
    assert_eq!((again.made, again.kept), (0, 2));
    for sub in ["", "visual", "audio"] {
        let (one, other) =
            (files(&folder.path().join("whole").join(sub)), files(&folder.path().join("cut").join(sub)));
        assert!(one == other, "{sub}: the bytes differ");
    }
    for clip in &clips {
        let table = |sense: &str| {
            let path = folder.path().join(format!("whole/{sense}/{}.npy", clip.id));
            candle_core::Tensor::read_npy(path).expect("read").dims().to_vec()
        };
        assert_eq!((table("visual"), table("audio")), (vec![20, 2280], vec![20, 128]));
    }
}

/// Clips whose first half is red and sounds, and whose second half is blue and silent.
fn halves(folder: &Path) -> Vec<Clip> {
    let make = |id: &str, seconds: f64| {
        let media = folder.join(format!("{id}.mp4"));
        clip_of_halves(&media, seconds);
        Clip {
            id: id.to_owned(),
            media,
            duration: seconds,
            caption: format!("Clip {id}."),
            label: None,
            modality: Modality::Both,
            split: Split::Train,
            tags: Vec::new(),
        }
    };
    vec![make("long", 8.0), make("short", 4.0)]
}

#[test]
fn sight_and_sound_follow_one_time_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let clips = halves(folder.path());
    // 1 s of black, the long clip at half its length, 1.5 s of black, the short one at twice its length.
    let plan = timeline("t", 14.5, &[(&clips[0], 1.0, 5.0), (&clips[1], 6.5, 14.5)]);
    let out = folder.path().join("t.mp4");
    render::video(&plan, &by_id(&clips), &out, &RenderOptions::default()).expect("a video");
    let video = watch(&out);
    assert!((video.seconds() - 14.5).abs() < 0.1, "{} s", video.seconds());
    let expected =
        [("black", 1.0), ("red", 3.0), ("blue", 5.0), ("black", 6.5), ("red", 10.5), ("blue", 14.5)];
    assert_shown(&video, &expected);
    assert_heard(&video, &[(1.0, 3.0), (6.5, 10.5)]);
}

#[test]
fn looped_sound_keeps_its_length_and_two_clips_share_picture_and_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let clips = halves(folder.path());
    // The short clip at twice its length: red for 4 s, but heard at 0..2 and again at 4..6. The long one joins at 7.
    let plan = timeline("t", 11.0, &[(&clips[1], 0.0, 8.0), (&clips[0], 7.0, 11.0)]);
    let out = folder.path().join("t.mp4");
    let how = RenderOptions {
        audio: AudioScaling::LoopOrTrim,
        background: Background::Freeze,
        ..RenderOptions::default()
    };
    render::video(&plan, &by_id(&clips), &out, &how).expect("a video");
    let video = watch(&out);
    assert_shown(&video, &[("red", 4.0), ("blue", 7.0), ("blue|red", 8.0), ("red", 9.0), ("blue", 11.0)]);
    // The long clip's sound is trimmed to its first half, which sounds throughout.
    assert_heard(&video, &[(0.0, 2.0), (4.0, 6.0), (7.0, 11.0)]);
}

#[test]
fn lists_say_what_their_media_are() {
    let folder = tempfile::tempdir().expect("a folder");
    clip_of_halves(&folder.path().join("whole.mp4"), 4.0);
    let make = |line: &str, name: &str| {
        support::make(&format!("{line} ! filesink location={}", folder.path().join(name).display()))
    };
    let pictures =
        "videotestsrc num-buffers=50 ! video/x-raw,width=64,height=64,framerate=25/1 ! x264enc ! mp4mux";
    make(pictures, "deaf.mp4");
    make("audiotestsrc num-buffers=100 ! wavenc", "blind.wav");
    make("audiotestsrc num-buffers=100 wave=silence ! wavenc", "nothing.wav");
    make("audiotestsrc num-buffers=20 ! wavenc", "short.wav");
    fs::write(folder.path().join("broken.mp4"), "no media").expect("written");
    let lines = ["whole", "deaf", "blind", "nothing", "short", "broken", "gone"];
    let lines: String = lines.map(|id| format!("{{\"id\":\"{id}\",\"caption\":\"It is {id}.\"}}\n")).concat();
    let list = folder.path().join("clips.jsonl");
    fs::write(&list, lines).expect("written");
    let options = ReadOptions { media: MediaCheck::Decode, ..ReadOptions::default() };
    let read = avicuna_corpus::table(&list, folder.path(), &options).expect("read");
    let found: Vec<_> =
        read.clips.iter().map(|clip| (clip.id.as_str(), clip.modality, clip.tags.join(","))).collect();
    let expected = [
        ("whole", Modality::Both, String::new()),
        ("deaf", Modality::Visual, "no audio".to_owned()),
        ("blind", Modality::Audio, "no video".to_owned()),
    ];
    assert_eq!(found, expected);
    assert!((read.clips[0].duration - 4.0).abs() < 0.1 && (read.clips[1].duration - 2.0).abs() < 0.1);
    let skipped: Vec<_> = read.skipped.iter().map(|s| (s.id.as_str(), s.reason.split(':').next())).collect();
    let expected = [
        ("nothing", Some("there is nothing to see or hear")),
        ("short", Some("shorter than 1 s")),
        ("broken", Some("it cannot be decoded")),
        ("gone", Some("no media file")),
    ];
    assert_eq!(skipped, expected);
}

#[test]
fn what_cannot_be_rendered_is_named_and_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let clips = halves(folder.path());
    let out = folder.path().join("t.mp4");
    let failure = |plan: &Timeline, clips: &[Clip]| -> RenderError {
        render::video(plan, &by_id(clips), &out, &RenderOptions::default()).expect_err("impossible")
    };
    let plan = timeline("t", 6.0, &[(&clips[0], 0.0, 6.0)]);
    assert!(failure(&plan, &clips[1..]).to_string().contains("\"long\", which the catalogue does not have"));
    let backwards = timeline("t", 6.0, &[(&clips[0], 5.0, 4.0)]);
    assert!(failure(&backwards, &clips).to_string().contains("from 5 to 4 s of 6 s"));
    fs::write(&clips[0].media, "no media").expect("written");
    assert!(failure(&plan, &clips).to_string().contains("long.mp4 cannot be decoded"));
    assert!(files(folder.path()).keys().all(|name| !name.starts_with("t.mp4")));
}

/// `(what, until)` in seconds; borders are met within 0.1 s.
fn assert_shown(video: &Watched, expected: &[(&str, f64)]) {
    for (time, shown) in &video.shown {
        let near = expected.iter().any(|(_, until)| (time - until).abs() < 0.1);
        let wanted = expected.iter().find(|(_, until)| time < until);
        if let Some((wanted, _)) = wanted.filter(|_| !near) {
            assert_eq!(shown, wanted, "at {time} s");
        }
    }
}

/// Spans with sound, in seconds; borders are met within 0.1 s.
fn assert_heard(video: &Watched, spans: &[(f64, f64)]) {
    for (time, loud) in &video.heard {
        let near = spans.iter().any(|(start, end)| (time - start).abs() < 0.1 || (time - end).abs() < 0.1);
        if !near {
            assert_eq!(*loud, spans.iter().any(|(start, end)| (*start..*end).contains(time)), "at {time} s");
        }
    }
}
