//! A small vocabulary, and what always holds of what is drawn for it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use avicuna_models::vocabulary::Classes;
use proptest::prelude::*;

use super::scene::{Event, Part};
use super::*;
use crate::Modality;

/// Phrases with their group, classes of AudioSet, ImageNet and COCO, and what they are or are seen with.
type Row = (&'static str, &'static str, [&'static [&'static str]; 3], &'static str);

const PHRASES: [Row; 16] = [
    ("a person", "people", [&[], &[], &["person"]], ""),
    ("a person speaks", "people", [&["Speech"], &[], &[]], "with = \"a person\""),
    ("an animal", "animals", [&["Animal"], &[], &[]], ""),
    ("a dog", "animals", [&["Dog", "Bark"], &["beagle"], &["dog"]], "is = \"an animal\""),
    ("a cat", "animals", [&["Cat"], &["tabby"], &["cat"]], "is = \"an animal\""),
    ("a bird", "animals", [&["Bird"], &[], &["bird"]], "is = \"an animal\""),
    ("a robin", "animals", [&[], &["robin"], &[]], "is = \"a bird\""),
    ("an owl", "animals", [&["Owl"], &["great grey owl"], &[]], "is = \"a bird\""),
    ("a car", "vehicles", [&["Car"], &["convertible"], &["car"]], ""),
    ("a train", "vehicles", [&["Train"], &[], &["train"]], ""),
    ("rain", "nature", [&["Rain"], &[], &[]], ""),
    ("music", "music", [&["Music"], &[], &[]], ""),
    ("a knock", "household", [&["Knock"], &[], &[]], ""),
    ("a phone rings", "alarms", [&["Telephone bell ringing"], &[], &[]], ""),
    ("a harp", "instruments", [&["Harp"], &["harp"], &[]], ""),
    ("a bottle", "things", [&[], &["water bottle"], &["bottle"]], ""),
];

/// The vocabulary of [`PHRASES`]; all other classes are silent.
fn vocabulary() -> Vocabulary {
    let lists = ["audioset", "imagenet", "coco"];
    let mut text = "[silent]\n".to_owned();
    for (list, (name, classes)) in lists.iter().zip(Classes::ALL).enumerate() {
        let taken: Vec<&str> = PHRASES.iter().flat_map(|row| row.2[list]).copied().collect();
        let rest: Vec<&str> = classes.names().filter(|class| !taken.contains(class)).collect();
        writeln!(text, "{name} = {rest:?}").expect("strings take everything");
    }
    for (phrase, group, classes, more) in PHRASES {
        writeln!(text, "[[phrase]]\ntext = {phrase:?}\ngroup = {group:?}\n{more}")
            .expect("strings take everything");
        for (name, classes) in lists.iter().zip(classes) {
            writeln!(text, "{name} = {classes:?}").expect("strings take everything");
        }
    }
    Vocabulary::parse(&text, Path::new("test.toml")).expect("a vocabulary")
}

fn settings(seed: u64, videos: usize, seconds: u32) -> Settings {
    Settings { seed, videos, seconds, levels: Levels::default() }
}

/// Runs `check` with every video of a corpus.
fn each_video(settings: &Settings, mut check: impl FnMut(&Video, &World<'_>)) {
    let things = Things::new(&vocabulary());
    let world = World::new(&vocabulary(), &things, &settings.levels, settings.seed);
    for (index, cast) in casts(&things, settings).iter().enumerate() {
        check(&video(index, cast, &world, settings), &world);
    }
}

fn thing(things: &Things, text: &str) -> usize {
    things.all.iter().position(|thing| thing.text == text).expect("a phrase of the test")
}

fn files(folder: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(name, bytes)| (path.join(name), bytes)));
        } else {
            let name = path.file_name().expect("files have names").into();
            found.insert(name, fs::read(&path).expect("a file"));
        }
    }
    found
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_many_work_at_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = |name: &str, seed: u64, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let out = folder.path().join(name);
        let report = pool.install(|| simulate(&vocabulary(), &settings(seed, 12, 30), &out, &|_| ()));
        assert_eq!(report.expect("drawn").videos, 12);
        let relative = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
            (path.strip_prefix(&out).map(Path::to_owned).unwrap_or(path), bytes)
        };
        files(&out).into_iter().map(relative).collect::<BTreeMap<_, _>>()
    };
    let (one, other, another) = (made("one", 7, 1), made("other", 7, 3), made("another", 8, 2));
    assert_eq!(one.len(), 3 + 2 * 12, "{:?}", one.keys());
    assert!(one == other, "threads change the bytes");
    let lines = Path::new(Timeline::FILE);
    assert_ne!(one[lines], another[lines]);
}

#[test]
fn rows_are_read_back_as_halves_of_the_right_shape() {
    let folder = tempfile::tempdir().expect("a folder");
    simulate(&vocabulary(), &settings(3, 2, 20), folder.path(), &|_| ()).expect("drawn");
    let read = |sense: &str| {
        let path = folder.path().join(format!("features/{sense}/simulated-3-000001.npy"));
        candle_core::Tensor::read_npy(path).expect("a file")
    };
    assert_eq!((read("visual").dims(), read("visual").dtype()), (&[40, 10][..], candle_core::DType::F16));
    assert_eq!(read("audio").dims(), [40, 13]);
    let note = fs::read_to_string(folder.path().join("features/features.json")).expect("a note");
    assert!(note.contains("\"step_seconds\": 0.5") && note.contains("\"dim\": 10"), "{note}");
    assert_eq!(Timeline::all(folder.path()).expect("time lines").count(), 2);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |settings: Settings| {
        simulate(&vocabulary(), &settings, folder.path(), &|_| ()).expect_err("no sense").to_string()
    };
    assert_eq!(refused(settings(1, 0, 120)), "`videos` is 0; ask for one at least");
    assert_eq!(refused(settings(1, 1, 5)), "`seconds` is 5; use 10 to 3600");
    let nothing = Vocabulary::parse("", Path::new("empty.toml")).expect("an empty one");
    let said = simulate(&nothing, &settings(1, 1, 60), folder.path(), &|_| ()).expect_err("no classes");
    assert!(said.to_string().contains("no phrase with classes"), "{said}");
}

#[test]
fn a_corpus_has_empty_videos_and_every_phrase() {
    let (mut empty, mut told) = (0, BTreeMap::new());
    each_video(&settings(5, 400, 60), |video, _| {
        empty += usize::from(video.timeline.segments.is_empty());
        for segment in &video.timeline.segments {
            *told.entry(segment.caption.clone()).or_insert(0) += 1;
        }
    });
    assert!((40..140).contains(&empty), "{empty} of 400 hold nothing");
    for (text, ..) in PHRASES {
        assert!(told.get(text).is_some_and(|count| *count >= 8), "{text}: {told:?}");
    }
}

#[test]
fn the_detector_looks_every_second() {
    let things = Things::new(&vocabulary());
    let levels = Levels::default();
    let world = World::new(&vocabulary(), &things, &levels, 1);
    let person = thing(&things, "a person");
    let column = things.seen.of[person].expect("it can be seen");
    let mut draw = Draw::new(1, "scene");
    let scene = Scene::new(&[person], &things, 60.0, &mut draw);
    let rows: Vec<f32> = sight::see(&scene, &world, &mut draw).column(column).collect();
    assert!(rows.chunks_exact(2).all(|pair| pair[0] == pair[1]));
    assert!(rows.windows(3).any(|three| three[0] != three[2]));
}

#[test]
fn who_is_seen_while_speaking_is_seen_and_heard() {
    let things = Things::new(&vocabulary());
    let levels = Levels { told: 0.0, ..Levels::default() };
    let world = World::new(&vocabulary(), &things, &levels, 1);
    let part = |start: f64, end: f64| Some(Part { start, end, on: vec![(start, end)] });
    let (person, speaks) = (thing(&things, "a person"), thing(&things, "a person speaks"));
    let heard = |start, end| Event { thing: speaks, seen: None, heard: part(start, end) };
    let seen = Event { thing: person, seen: part(10.0, 20.0), heard: None };
    let events = vec![heard(12.0, 18.0), heard(19.0, 23.0), seen, heard(30.0, 31.0)];
    let scene = Scene { seconds: 60.0, events, noise: -40.0 };
    let mut draw = Draw::new(1, "rows");
    let (seen, heard) = (sight::see(&scene, &world, &mut draw), sound::hear(&scene, &world, &mut draw));
    let timeline = truth::timeline("x", &scene, &world, &seen, &heard);
    let told: Vec<_> = timeline.segments.iter().map(|s| (s.caption.as_str(), s.start, s.modality)).collect();
    let expected = [
        ("a person", 10.0, Modality::Visual),
        ("a person speaks", 12.0, Modality::Both),
        ("a person speaks", 19.0, Modality::Audio),
        ("a person speaks", 30.0, Modality::Audio),
    ];
    assert_eq!(told, expected);
    let gaps: Vec<_> = timeline.gaps.iter().map(|gap| (gap.start, gap.end)).collect();
    assert_eq!(gaps, [(0.0, 10.0), (23.0, 30.0), (31.0, 60.0)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_told_is_there_to_be_known(seed in any::<u64>(), seconds in 10..150u32) {
        let settings = settings(seed, 8, seconds);
        let mut wrong = Vec::new();
        each_video(&settings, |video, world| {
            let Video { timeline, seen, heard } = video;
            if seen.values.iter().chain(&heard.values).any(|value| !(0.0..=1.0).contains(value)) {
                wrong.push("a number that is no probability".to_owned());
            }
            for segment in &timeline.segments {
                let part = Part { start: segment.start, end: segment.end, on: Vec::new() };
                let thing = thing(world.things, &segment.caption);
                let sense = |columns: &things::Columns, table: &Table, not: Modality| {
                    let column = columns.of[thing].filter(|_| segment.modality != not)?;
                    Some(truth::mean(table, column, &part))
                };
                let seen = sense(&world.things.seen, seen, Modality::Audio);
                let heard = sense(&world.things.heard, heard, Modality::Visual);
                // Sight and sound of one event may be apart by a share of it.
                let surest = seen.unwrap_or(0.0).max(heard.unwrap_or(0.0));
                if surest < 0.6 * settings.levels.told {
                    wrong.push(format!("{segment:?} has {seen:?} and {heard:?}"));
                }
                if !(segment.start >= 0.0 && segment.start < segment.end && segment.end <= timeline.duration) {
                    wrong.push(format!("{segment:?} is not in the video"));
                }
            }
            let covered: f64 = timeline.gaps.iter().map(|gap| gap.end - gap.start).sum();
            if timeline.segments.is_empty() && covered != timeline.duration {
                wrong.push(format!("{:?} are not all of it", timeline.gaps));
            }
        });
        prop_assert!(wrong.is_empty(), "{:?}", wrong);
    }

    #[test]
    fn scenes_have_few_events_at_a_time_and_no_kind_beside_its_own(seed in any::<u64>(), seconds in 10..150u32) {
        let things = Things::new(&vocabulary());
        let mut draw = Draw::new(seed, "test");
        let cast: Vec<usize> = (0..8).map(|_| draw.index(0..things.all.len())).collect();
        let scene = Scene::new(&cast, &things, f64::from(seconds), &mut draw);
        prop_assert!(scene.events.len() <= 12);
        for (index, event) in scene.events.iter().enumerate() {
            for sense in [|event: &Event| event.seen.clone(), |event: &Event| event.heard.clone()] {
                let Some(part) = sense(event) else { continue };
                prop_assert!(part.start >= 0.0 && part.end <= f64::from(seconds) && part.end - part.start >= 0.49);
                let others: Vec<(usize, Part)> =
                    scene.events.iter().enumerate().filter(|(other, _)| *other != index)
                        .filter_map(|(_, other)| Some((other.thing, sense(other)?))).collect();
                let at = |other: &&(usize, Part)| other.1.start <= part.start && part.start < other.1.end;
                prop_assert!(others.iter().filter(at).count() < 3);
                let meets = |other: &(usize, Part)| other.1.start < part.end && part.start < other.1.end;
                prop_assert!(!others.iter().any(|other| things.related(other.0, event.thing) && meets(other)));
            }
        }
    }
}
