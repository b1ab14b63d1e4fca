//! Scenes of natural clips, from small clips made here: twice the same, read as a corpus, sounding where the truth says so.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use avicuna_corpus::natural::{self, NaturalError, Options, Recipe};
use avicuna_corpus::pu_valor::Timeline;
use avicuna_corpus::pu_valor::annotations::Annotations;
use avicuna_corpus::pu_valor::queries::{Kind, Query};
use avicuna_corpus::{Catalogue, Modality, Split};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use support::{clip_of_halves, watch};

const RATE: u32 = 48_000;

/// A WAV file of `(seconds, level, hertz)`, one after the other.
fn wav(path: &Path, parts: &[(f64, f64, f64)]) {
    let mut samples: Vec<u8> = Vec::new();
    for (seconds, level, hertz) in parts {
        for i in 0..(seconds * f64::from(RATE)) as usize {
            let value = level * (i as f64 * hertz * std::f64::consts::TAU / f64::from(RATE)).sin();
            samples.extend(((value * 32_767.0) as i16).to_le_bytes());
        }
    }
    let size = samples.len() as u32;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend((2 * RATE).to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(samples);
    fs::write(path, file).expect("written");
}

fn hash(path: &Path) -> String {
    hex::encode(Sha256::digest(fs::read(path).expect("read")))
}

/// Media and a recipe of them.
fn media(folder: &Path) -> Recipe {
    let (sounds, videos) = (folder.join("esc10"), folder.join("video"));
    fs::create_dir_all(&sounds).expect("a folder");
    fs::create_dir_all(&videos).expect("a folder");
    let sound = |class: &str, label: &str, family: &str, steady: bool, parts: &[(f64, f64, f64)]| {
        let mut files = String::new();
        for name in ["1-1-A.wav", "3-9-A.wav"] {
            let path = sounds.join(format!("{class}__{name}"));
            wav(&path, parts);
            files += &format!("\"{name}\" = \"{}\"\n", hash(&path));
        }
        format!(
            "[[sound]]\nclass = \"{class}\"\nsource = \"own\"\npath = \"x\"\nlabel = \"{label}\"\ncaption = \"X.\"\n\
             family = \"{family}\"\nsteady = {steady}\n[sound.files]\n{files}\n"
        )
    };
    let beeps = [(0.5, 0.0, 0.0), (0.6, 0.5, 700.0), (2.0, 0.001, 90.0), (0.4, 0.4, 700.0), (0.5, 0.0, 0.0)];
    let mut text = String::from("[folds]\ntrain = [1]\nvalidation = [3]\n");
    text += "[[source]]\nname = \"own\"\ntitle = \"Tones\"\naddress = \"https://example.org/tones\"\nlicence = \"CC0\"\n";
    text += "[[room]]\nfile = \"beep__1-1-A.wav\"\nstart = 1.4\nend = 2.9\n";
    text +=
        "[absent]\n\"a cat\" = \"cat\"\n\"a kazoo\" = \"horn\"\n\"a dog\" = \"dog\"\n\"a car\" = \"road\"\n";
    text += &sound("beep", "a beep", "alarm", false, &beeps);
    text += &sound("horn", "a horn", "horn", true, &[(3.0, 0.3, 300.0)]);
    text += &sound("whirr", "a fan", "machine", true, &[(1.5, 0.02, 200.0), (1.5, 0.02, 205.0)]);
    for (name, seconds, part) in [
        ("wall.mp4", 8.0, "label = \"a red wall\"\nfamily = \"wall\"\nend = 8.0\nseen = [[0.0, 4.0]]"),
        (
            "bell.mp4",
            4.0,
            "label = \"a bell\"\nfamily = \"bell\"\nend = 2.0\nsound = true\nseen = [[0.0, 2.0]]",
        ),
    ] {
        let path = videos.join(name);
        clip_of_halves(&path, seconds);
        text += &format!(
            "[[video]]\nfile = \"{name}\"\nsource = \"own\"\nsha256 = \"{}\"\n[[video.part]]\nsplit = \"train\"\nstart = 0.0\n\
             caption = \"X.\"\n{part}\n",
            hash(&path)
        );
    }
    let path = folder.join("recipe.toml");
    fs::write(&path, text).expect("written");
    Recipe::read(&path).expect("a recipe")
}

fn options(seed: u64) -> Options {
    Options { videos: 2, seconds: 40, absent: 3, ..Options::new(seed, Split::Train) }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        path.is_file().then(|| (name, fs::read(&path).expect("read")))
    };
    fs::read_dir(folder).expect("a folder").filter_map(read).collect()
}

fn json<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("it is JSON")
}

#[test]
fn scenes_sound_where_the_truth_says_and_are_the_same_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = media(folder.path());
    let made = |name: &str, options: &Options| {
        let out = folder.path().join(name);
        fs::create_dir(&out).expect("a folder");
        natural::build(folder.path(), recipe.clone(), options, &out, &|_, _| ()).expect("scenes");
        out
    };
    let (first, second) = (made("first", &options(3)), made("second", &options(3)));
    for sub in ["", "videos"] {
        assert!(files(&first.join(sub)) == files(&second.join(sub)), "{sub}: the bytes differ");
    }
    let more = made("more", &Options { videos: 3, ..options(3) });
    let (few, many) = (files(&first.join("videos")), files(&more.join("videos")));
    assert!(
        few.iter().all(|(name, bytes)| many[name] == *bytes),
        "the first scenes do not depend on their number"
    );

    let annotations: Annotations = json(&first.join("annotations.json"));
    assert_eq!(annotations.database.len(), 2);
    let queries: Vec<Query> = json(&first.join("queries.json"));
    assert_eq!(Catalogue::read(&first).expect("a catalogue").clips.len(), 2);
    let mut seen = Vec::new();
    for timeline in Timeline::all(&first).expect("time lines") {
        let timeline = timeline.expect("a time line");
        let watched = watch(&first.join("videos").join(format!("{}.mp4", timeline.id)));
        assert!((watched.seconds() - 40.0).abs() < 0.2, "{} s", watched.seconds());
        let heard = |time: f64| {
            let audible = timeline.segments.iter().filter(|segment| segment.modality != Modality::Visual);
            audible.into_iter().any(|segment| segment.start - 0.1 < time && time < segment.end + 0.1)
        };
        for (time, loud) in &watched.heard {
            assert!(!loud || heard(*time), "{}: loud at {time} s", timeline.id);
        }
        for segment in &timeline.segments {
            seen.push((segment.event(), segment.modality));
            if segment.modality != Modality::Visual {
                let begins = watched.heard.iter().find(|(time, loud)| *loud && *time > segment.start - 0.1);
                let begins = begins.map_or(f64::NAN, |(time, _)| *time);
                assert!((begins - segment.start).abs() < 0.15, "{segment:?} begins at {begins} s");
            }
            if segment.modality != Modality::Audio {
                let middle = (segment.start + segment.end) / 2.0;
                let shown =
                    watched.shown.iter().min_by(|a, b| (a.0 - middle).abs().total_cmp(&(b.0 - middle).abs()));
                assert_eq!(shown.map(|(_, colour)| colour.as_str()), Some("red"), "{segment:?}");
            }
        }
        assert!(annotations.database.contains_key(&timeline.id));
        let absent: Vec<_> =
            queries.iter().filter(|query| query.video == timeline.id && query.kind == Kind::Absent).collect();
        assert_eq!(absent.len(), 3);
        assert!(absent.iter().all(|query| query.segments.is_empty()));
        let happens = |label: &str| timeline.segments.iter().any(|segment| segment.event() == label);
        assert!(absent.iter().all(|query| !happens(&query.label)));
        assert!(
            !happens("a horn") || absent.iter().all(|query| query.label != "a kazoo"),
            "they are related"
        );
    }
    for label in ["a beep", "a horn", "a fan"] {
        assert!(seen.contains(&(label.to_owned(), Modality::Audio)), "{label}: {seen:?}");
    }
    let card = fs::read_to_string(first.join("CARD.md")).expect("a card");
    assert!(card.contains("Tones. CC0. <https://example.org/tones>") && card.contains("beep__1-1-A"));
}

#[test]
fn other_files_and_other_scenes_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = media(folder.path());
    let out = folder.path().join("out");
    let complaint = |options: &Options| -> NaturalError {
        natural::build(folder.path(), recipe.clone(), options, &out, &|_, _| ()).expect_err("refused")
    };
    assert!(matches!(
        complaint(&Options { split: Split::Validation, ..options(1) }),
        NaturalError::Empty { .. }
    ));
    assert!(!out.exists(), "nothing is left of it");
    for (setting, options) in [
        ("videos", Options { videos: 0, ..options(1) }),
        ("seconds", Options { seconds: 3, ..options(1) }),
        ("snr", Options { snr: f64::NAN, ..options(1) }),
    ] {
        assert!(complaint(&options).to_string().contains(setting), "{setting}");
    }
    let one = Options { videos: 1, seconds: 20, ..options(1) };
    natural::build(folder.path(), recipe.clone(), &one, &out, &|_, _| ()).expect("a scene");
    let other = complaint(&Options { snr: 0.0, ..one.clone() }).to_string();
    assert!(other.contains("scenes of other settings"), "{other}");
    let horn = folder.path().join("esc10/horn__1-1-A.wav");
    wav(&horn, &[(1.0, 0.1, 100.0)]);
    let error = complaint(&one).to_string();
    assert!(
        error.contains("horn__1-1-A.wav has the sha256") && error.contains("https://example.org/tones"),
        "{error}"
    );
    fs::remove_file(&horn).expect("removed");
    let error = complaint(&one).to_string();
    assert!(
        error.contains("horn__1-1-A.wav is missing; it comes from https://example.org/tones, x/1-1-A.wav"),
        "{error}"
    );
}
