//! A corpus and a configuration for the tiny model of `tests/fixtures/tiny-model`.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use avicuna_trainer::stages::config::Config;

pub type Anything = Result<(), Box<dyn std::error::Error>>;

pub const VISION: usize = 24;
pub const AUDIO: usize = 16;

fn fixtures() -> PathBuf {
    // The program's own tests use this module as well, two folders up.
    let folders =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("tests/fixtures"));
    folders
        .into_iter()
        .find(|folder| folder.join("tiny-model").is_dir())
        .expect("the fixtures are in the repository")
}

/// The tiny LLM's folder.
pub fn base() -> PathBuf {
    // Not of `AVICUNA_GOLDEN`: what the tiny model adds to it has this one's sizes.
    fixtures().join("golden/tiny_avicuna/base")
}

/// The Python of the virtual environment that `scripts/setup.sh test` makes, or that of `AVICUNA_PYTHON`.
pub fn python() -> Result<PathBuf, Box<dyn std::error::Error>> {
    match std::env::var_os("AVICUNA_PYTHON") {
        Some(python) => Ok(PathBuf::from(python)),
        None => Ok(avicuna_models::manifest::cache_dir()?.join("venv-peft/bin/python")),
    }
}

/// A folder with the tiny model and a corpus of its own.
pub struct Tiny {
    folder: tempfile::TempDir,
}

const CLIPS: [&str; 6] = ["a dog", "a violin", "rain", "a frog", "a clock", "a train"];

impl Tiny {
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let model = folder.path().join("model");
        std::fs::create_dir(&model)?;
        for name in ["model.toml", "vision.onnx", "audio.onnx"] {
            std::fs::copy(fixtures().join("tiny-model").join(name), model.join(name))?;
        }
        std::os::unix::fs::symlink(std::path::absolute(base())?, model.join("base"))?;
        let tiny = Self { folder };
        tiny.write_corpus()?;
        Ok(tiny)
    }

    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub fn corpus(&self) -> PathBuf {
        self.dir().join("corpus")
    }

    /// The features of six clips, four virtual videos of three of them, and captions for each.
    fn write_corpus(&self) -> Anything {
        for (sense, rows, dim) in [("visual", 10, VISION), ("audio", 5, AUDIO)] {
            let folder = self.corpus().join("features").join(sense);
            std::fs::create_dir_all(&folder)?;
            for clip in 0..CLIPS.len() {
                let value = |i: usize| (((clip + 1) * 37 + (i % dim) * (clip + 3)) % 17) as f32 / 17.0 - 0.5;
                let values: Vec<f32> = (0..rows * dim).map(value).collect();
                write_npy(&folder.join(format!("c{clip}.npy")), &values, dim)?;
            }
        }
        let (mut lines, mut records) = (String::new(), Vec::new());
        for video in 0..4usize {
            let clips = [video, (video + 1) % 6, (video + 3) % 6];
            let segments: Vec<serde_json::Value> = clips
                .iter()
                .enumerate()
                .map(|(place, clip)| {
                    let start = 5.0 * place as f64;
                    serde_json::json!({"clip": format!("c{clip}"), "label": CLIPS[*clip],
                        "caption": format!("{} is there", CLIPS[*clip]),
                        "modality": (["both", "audio", "visual"])[place], "start": start, "end": start + 5.0, "scale": 0.5})
                })
                .collect();
            let line = serde_json::json!({"id": format!("v{video}"), "group": "g", "variant": video, "duration": 15.0,
                "segments": segments, "gaps": []});
            lines += &format!("{line}\n");
            records.push(serde_json::json!({"id": format!("v{video}"), "source": "pseudo-valor",
                "conversations": [
                    {"from": "human", "value": format!("<video>\nWhen is {} there?", CLIPS[clips[1]])},
                    {"from": "gpt", "value": "From <s0> to <e0>."},
                    {"from": "human", "value": "And then?"},
                    {"from": "gpt", "value": format!("{}, till <e1>.", CLIPS[clips[2]])}],
                "meta": {"duration": 15.0, "token": {"<s0>": 5.0, "<e0>": 10.0, "<e1>": 15.0},
                    "sub_videos": clips.map(|clip| format!("c{clip}")), "scale": [0.5, 0.5, 0.5]}}));
        }
        std::fs::write(self.corpus().join("timelines.jsonl"), lines)?;
        std::fs::write(self.corpus().join("records.json"), serde_json::to_string(&records)?)?;
        let clip = |(clip, label): (usize, &&str)| {
            let modality = if clip == 5 { "visual" } else { "both" };
            let line = serde_json::json!({"id": format!("c{clip}"), "media": "none.mp4", "duration": 10.0,
                "caption": label, "modality": modality, "split": "train", "tags": []});
            format!("{line}\n")
        };
        let catalogue: String = CLIPS.iter().enumerate().map(clip).collect();
        std::fs::write(self.corpus().join("catalogue.jsonl"), catalogue)?;
        let folder = self.dir().join("captions-visual");
        let own = folder.join("features/visual");
        std::fs::create_dir_all(&own)?;
        let mut records = Vec::new();
        for (clip, label) in CLIPS.iter().enumerate() {
            let name = format!("c{clip}.npy");
            std::fs::copy(self.corpus().join("features/visual").join(&name), own.join(&name))?;
            records.push(serde_json::json!({"id": format!("c{clip}"), "conversations": [
                    {"from": "human", "value": "<image>\nDescribe it."}, {"from": "gpt", "value": label}]}));
        }
        std::fs::write(folder.join("records.json"), serde_json::to_string(&records)?)?;
        Ok(())
    }

    /// All four stages, each changed by `change`, a list of texts and what stands in their place.
    pub fn config(&self, changes: &[(&str, &str)]) -> Result<Config, Box<dyn std::error::Error>> {
        let path = self.write_config(changes)?;
        Ok(Config::load(&path)?)
    }

    pub fn write_config(&self, changes: &[(&str, &str)]) -> std::io::Result<PathBuf> {
        let mut text = CONFIG.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in the configuration");
            text = text.replace(from, to);
        }
        let path = self.dir().join("train.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

const CONFIG: &str = r#"
seed = 3
gradient_checkpointing = false

[model]
manifest = "model/model.toml"
adapters = "words"

[stage.1]
data = ["captions-visual"]
form = "captions"
train = ["vision"]
lr = 1e-3
epochs = 2
batch = 2
max_length = 200

[stage.2]
data = ["corpus"]
form = "captions"
train = ["audio"]
lr = 1e-3
epochs = 3
batch = 2
max_length = 200

[stage.3]
data = ["corpus"]
form = "records"
train = ["lora"]
lr = 2e-3
epochs = 3
batch = 2
max_length = 400
warm_up = 0.1
lora = { r = 4, alpha = 8.0, dropout = 0.05 }

[stage.4]
data = ["corpus"]
form = "windows"
train = ["lora", "vision", "audio"]
lr = 2e-3
lr_of = { vision = 1e-3 }
epochs = 1
batch = 2
max_length = 400
checkpoint_every = 2
lora = { r = 2, alpha = 4.0, dropout = 0.05 }
windows = { per_video = 2, grounding = 3, drop_sense = 0.2, noise = 0.05 }
"#;

/// Writes rows of `dim` values as NumPy does.
pub fn write_npy(path: &Path, values: &[f32], dim: usize) -> std::io::Result<()> {
    let rows = values.len() / dim;
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    std::fs::write(path, bytes)
}
