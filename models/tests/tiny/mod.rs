//! The tiny model of `tests/fixtures/tiny-model`, copied to where a test may change it.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use avicuna_models::localizer::{LoadOptions, Localizer, LocalizerError, Question, WindowInput};
use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};

pub const SIZE: usize = 32;
pub const SAMPLES: usize = 4_800;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A model directory of one's own.
pub struct TinyModel {
    folder: tempfile::TempDir,
}

impl TinyModel {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let from = fixtures().join("tiny-model");
        for name in ["model.toml", "vision.onnx", "audio.onnx", "adapters.safetensors", "lora.safetensors"] {
            std::fs::copy(from.join(name), folder.path().join(name)).expect(name);
        }
        // Not of `AVICUNA_GOLDEN`: what the tiny model adds to it has this one's sizes.
        let base = std::path::absolute(fixtures().join("golden/tiny_avicuna/base")).expect("a path");
        std::os::unix::fs::symlink(base, folder.path().join("base")).expect("a link");
        Self { folder }
    }

    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces `from`, which must be there, in the manifest.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.dir().join("model.toml");
        let text = std::fs::read_to_string(&path).expect("the manifest");
        assert!(text.contains(from), "{from} is not in the manifest");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
    }

    /// Takes the checksums out, so that parts may be replaced.
    pub fn unpin(&self) {
        let path = self.dir().join("model.toml");
        let text = std::fs::read_to_string(&path).expect("the manifest");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("sha256")).collect();
        std::fs::write(&path, lines.join("\n")).expect("written");
    }

    pub fn load(&self) -> Result<Localizer, LocalizerError> {
        Localizer::load(self.dir(), &LoadOptions::default())
    }

    /// Why it does not load.
    pub fn trouble(&self) -> String {
        self.load().map(|_| ()).expect_err("the model must not load").to_string()
    }
}

/// What the encoders make of [`golden_frame`] (`vision`) or [`golden_clip`] (`audio`).
pub fn golden(name: &str) -> Vec<f32> {
    let text = std::fs::read(fixtures().join("tiny-model/golden.json")).expect("golden.json");
    let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    json[name].as_array().expect(name).iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

pub fn golden_frame() -> RgbFrame {
    let data = (0..SIZE * SIZE * 3).map(|i| (i * 37 % 251) as u8).collect();
    RgbFrame { width: SIZE, height: SIZE, aspect: 1.0, data }
}

pub fn golden_clip() -> AudioClip {
    let sample = |i: usize| {
        let time = i as f64 / 48_000.0;
        (0.5 * (std::f64::consts::TAU * (400.0 + 20_000.0 * time) * time).sin()) as f32
    };
    AudioClip { samples: (0..SAMPLES).map(sample).collect() }
}

/// A frame unlike those of other seeds.
pub fn frame(seed: usize) -> Arc<EncodeOnce<RgbFrame>> {
    let byte = |i: usize| ((i / 97 + 1) * (seed * 53 + 11) % 256) as u8;
    let data = (0..SIZE * SIZE * 3).map(byte).collect();
    Arc::new(EncodeOnce::new(RgbFrame { width: SIZE, height: SIZE, aspect: 1.0, data }))
}

/// A clip unlike those of other seeds.
pub fn clip(seed: usize) -> Arc<EncodeOnce<AudioClip>> {
    let sample = |i: usize| (i as f32 * (0.02 + 0.03 * seed as f32)).sin() * 0.4;
    Arc::new(EncodeOnce::new(AudioClip { samples: (0..SAMPLES).map(sample).collect() }))
}

pub fn question(text: &str) -> Question {
    Question { text: text.into(), max_new_tokens: 8 }
}

/// Four frames and four clips from `seed` on, and two questions.
pub fn window(seed: usize) -> WindowInput {
    WindowInput {
        visual: (seed..seed + 4).map(|seed| Some(frame(seed))).collect(),
        audio: (seed..seed + 4).map(|seed| Some(clip(seed))).collect(),
        questions: vec![question("What happens, and when?"), question("Is there a dog?")],
        last: None,
    }
}
