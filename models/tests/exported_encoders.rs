//! CLIP and CLAP as `scripts/export_encoders.py` exports them, behind our preprocessing, against torch.
//!
//! `tests/fixtures/encoders/make.py` made the two files, random and small, and what torch, Pillow and transformers' own feature
//! extractor say of one picture and one sound.

use std::path::PathBuf;

use avicuna_models::encoder::{AudioEncoder, Placement, Runtime, VisionEncoder};
use avicuna_models::manifest::{
    AudioFrontend, AudioPart, AudioSpec, ClipResize, ClipSpec, FileRef, Fit, OutputSpec, VisionPart,
    VisionPreprocess, VisionSpec, cache_dir,
};
use avicuna_models::sample::{AudioClip, Embedding, RgbFrame};
use serde_json::Value;

type Anything<T = ()> = Result<T, Box<dyn std::error::Error>>;

const SIZE: u32 = 32;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/encoders").join(name)
}

fn expected() -> Anything<Value> {
    Ok(serde_json::from_slice(&std::fs::read(fixture("expected.json"))?)?)
}

fn numbers(json: &Value) -> Vec<f32> {
    json.as_array().into_iter().flatten().filter_map(|x| Some(x.as_f64()? as f32)).collect()
}

fn file(name: &str) -> FileRef {
    FileRef { file: name.into(), sha256: None, fetch: None, convert: None }
}

fn runtime() -> Anything<Runtime> {
    Ok(Runtime::open(&cache_dir()?, Placement::Cpu, Some(1))?)
}

fn clip(resize: ClipResize) -> Anything<VisionEncoder> {
    let spec = VisionSpec {
        input_size: SIZE,
        fit: Fit::Crop,
        dim: 12,
        parts: vec![VisionPart {
            file: file("clip.onnx"),
            input_size: SIZE,
            preprocess: VisionPreprocess::Clip(ClipSpec { resize }),
            input: "frames".into(),
            output: OutputSpec::whole("embedding", 12),
        }],
    };
    Ok(VisionEncoder::load(&spec, &[fixture("clip.onnx")], None, &runtime()?)?)
}

fn clap() -> Anything<AudioEncoder> {
    let spec = AudioSpec {
        sample_rate: 48_000,
        clip_seconds: 10.0,
        dim: 10,
        parts: vec![AudioPart {
            file: file("clap.onnx"),
            frontend: AudioFrontend::Clap,
            seconds: None,
            input: "mel".into(),
            output: OutputSpec::whole("embedding", 10),
        }],
    };
    Ok(AudioEncoder::load(&spec, &[fixture("clap.onnx")], None, &runtime()?)?)
}

/// The picture of `make.py`.
fn picture(width: usize, height: usize) -> RgbFrame {
    let byte = |i: usize| {
        let (x, y, colour) = (i / 3 % width, i / 3 / width, i % 3);
        ((x * 5 + y * 3 + (x * y) % 17 * 9) * (colour + 1) % 256) as u8
    };
    RgbFrame { width, height, aspect: 1.0, data: (0..width * height * 3).map(byte).collect() }
}

/// The sound of `make.py` before it is cut to 16 bits.
fn sound() -> AudioClip {
    let mut state = 1u32;
    let mut sample = |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (f64::from(state >> 16) - 32_768.0) / 32_768.0;
        (noise * ((i / 24_000 * 7) % 5) as f64 / 4.0) as f32
    };
    AudioClip { samples: (0..480_000).map(&mut sample).collect() }
}

fn furthest(found: &Embedding, expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn clip_sees_what_torch_sees_by_each_way_of_resizing() -> Anything {
    let expected = expected()?;
    let rules = [
        (ClipResize::Antialias, "antialias"),
        (ClipResize::NoAntialias, "no-antialias"),
        (ClipResize::Pil, "pil"),
    ];
    let frames = [picture(83, 51), picture(40, 64)];
    for (resize, rule) in rules {
        let found = clip(resize)?.encode(&frames.iter().collect::<Vec<_>>());
        for (index, found) in found.into_iter().enumerate() {
            let found = found?;
            let off = |rule: &str| furthest(&found, &numbers(&expected["clip"][rule][index]));
            assert!(off(rule) < 1e-3, "{rule}, picture {index}: {}", off(rule));
            for (_, other) in rules.iter().filter(|(_, other)| *other != rule) {
                assert!(off(other) > 3e-3, "{rule} and {other} cannot be told apart: {}", off(other));
            }
        }
    }
    Ok(())
}

#[test]
fn clap_hears_what_torch_hears_of_a_clip_that_is_not_longer() -> Anything {
    let expected = numbers(&expected()?["clap"]);
    let encoder = clap()?;
    let silence = AudioClip { samples: vec![0.0; 480_000] };
    let found = encoder.encode(&[&sound(), &silence, &sound()]);
    let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert!(furthest(&found[0], &expected) < 1e-3, "{:?} {expected:?}", found[0]);
    assert!(furthest(&found[1], &expected) > 0.05, "silence sounds the same");
    assert!(furthest(&found[2], &found[0]) < 1e-5, "a clip's place in the batch changes what is heard");
    for embedding in &found {
        let length: f32 = embedding.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
    }
    Ok(())
}

/// A file with other names or sizes than the manifest says is refused with both.
#[test]
fn an_export_for_another_encoder_is_named() {
    let spec = VisionSpec {
        input_size: SIZE,
        fit: Fit::Crop,
        dim: 10,
        parts: vec![VisionPart {
            file: file("clap.onnx"),
            input_size: SIZE,
            preprocess: VisionPreprocess::Clip(ClipSpec { resize: ClipResize::Pil }),
            input: "frames".into(),
            output: OutputSpec::whole("embedding", 10),
        }],
    };
    let runtime = runtime().expect("ONNX Runtime is there");
    let error = VisionEncoder::load(&spec, &[fixture("clap.onnx")], None, &runtime);
    let said = error.map(drop).expect_err("it hears").to_string();
    assert!(said.contains("clap.onnx") && said.contains("`frames`") && said.contains("`mel`"), "{said}");
}
