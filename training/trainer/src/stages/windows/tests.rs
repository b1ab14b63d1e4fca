use avicuna_models::manifest::Manifest;
use candle_core::{Device, Tensor};

use super::super::source;
use super::*;

/// Ten videos of 30 s, in each another thing that is seen and heard all the time, and its features: the number of the video.
fn corpus(settings: Settings) -> (tempfile::TempDir, Windows) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut lines = String::new();
    for number in 0..10u8 {
        let id = format!("v{number}");
        let segment = Segment {
            clip: id.clone(),
            label: Some(format!("thing {number}")),
            caption: String::new(),
            modality: Modality::Both,
            start: 0.0,
            end: 30.0,
            scale: 1.0,
        };
        let timeline = Timeline {
            id: id.clone(),
            group: id.clone(),
            variant: 0,
            duration: 30.0,
            segments: vec![segment],
            gaps: Vec::new(),
            absent: vec![
                format!("thing {}", (number + 5) % 10),
                format!("thing {number}"),
                "a kite".to_owned(),
            ],
        };
        lines += &(serde_json::to_string(&timeline).expect("it is JSON") + "\n");
        for sense in ["visual", "audio"] {
            let folder = dir.path().join("features").join(sense);
            std::fs::create_dir_all(&folder).expect("a folder");
            let rows = Tensor::full(f32::from(number), (60, 1), &Device::Cpu).expect("rows");
            rows.write_npy(folder.join(format!("{id}.npy"))).expect("a file");
        }
    }
    std::fs::write(dir.path().join(Timeline::FILE), lines).expect("a file");
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/models/avicuna-small"));
    let manifest = Manifest::load(model).expect("the default model's manifest");
    let features = Features::open(dir.path(), Some(1), Some(1)).expect("features");
    let windows = Windows::open(dir.path(), features, (manifest.window, manifest.prompt, None), settings);
    (dir, windows.expect("a corpus"))
}

/// The video of each sense of a window, and what is told of what happens.
fn drawn(windows: &Windows, index: usize) -> (f32, f32, String) {
    let sample = windows.sample(index, &mut source::random(1, &[&index.to_string()])).expect("a window");
    let video = |rows: &[Option<Vec<f32>>]| rows[0].as_ref().expect("there is a row")[0];
    (video(&sample.visual), video(&sample.audio), sample.conversations[0][1].clone())
}

#[test]
fn the_sound_of_another_video_is_heard_and_its_picture_is_seen() {
    let (_dir, windows) = corpus(Settings { other_sound: 1.0, ..Settings::default() });
    let mut others = 0;
    for index in 0..windows.len() {
        let (seen, heard, told) = drawn(&windows, index);
        if seen == heard {
            assert_eq!(told, format!("From 00 to 99, thing {seen}, seen and heard."));
        } else {
            others += 1;
            let both = [
                format!("From 00 to 99, thing {seen}, seen."),
                format!("From 00 to 99, thing {heard}, heard."),
            ];
            assert!(both.iter().all(|sentence| told.contains(sentence)), "{told}");
        }
    }
    assert!(others >= windows.len() / 2, "{others} of {}", windows.len());
}

#[test]
fn picture_and_sound_are_of_one_video_unless_the_settings_say_otherwise() {
    let (_dir, windows) = corpus(Settings::default());
    for index in 0..windows.len() {
        let (seen, heard, told) = drawn(&windows, index);
        assert_eq!((seen, heard), ((index / 2) as f32, (index / 2) as f32));
        assert_eq!(told, format!("From 00 to 99, thing {seen}, seen and heard."));
    }
}

#[test]
fn what_was_looked_for_in_vain_is_asked_for_first() {
    let (_dir, windows) = corpus(Settings { grounding: 3, ..Settings::default() });
    for index in 0..windows.len() {
        let sample = windows.sample(index, &mut source::random(1, &[&index.to_string()])).expect("a window");
        let asked: Vec<&[String]> = sample.conversations[1..].iter().map(Vec::as_slice).collect();
        let number = index / 2;
        let of = |label: &str| asked.iter().find(|turn| turn[0].contains(label)).map(|turn| turn[1].clone());
        let nothing = Some(windows.prompt.absent.clone());
        assert_eq!(of(&format!("thing {}", (number + 5) % 10)), nothing.clone(), "{asked:?}");
        // It happens, whatever anybody said.
        assert_ne!(of(&format!("thing {number}")), nothing, "{asked:?}");
        assert_eq!((of("a kite"), asked.len()), (nothing, 3), "{asked:?}");
    }
}
