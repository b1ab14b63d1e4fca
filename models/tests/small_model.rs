//! The model in `assets/models/avicuna-small` with the parts that `avicuna models pull` fetches.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use avicuna_models::llm::LlmError;
use avicuna_models::localizer::{LoadOptions, Localizer, Question, WindowInput};
use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};
use serde_json::Value;

type Anything = Result<(), Box<dyn std::error::Error>>;

const SIZE: usize = 224;
const CLIP: usize = 48_000;

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn localizer() -> &'static Localizer {
    static LOCALIZER: OnceLock<Localizer> = OnceLock::new();
    LOCALIZER.get_or_init(|| {
        Localizer::load(&project("assets/models/avicuna-small"), &LoadOptions::default())
            .unwrap_or_else(|error| panic!("the default model does not load: {error}"))
    })
}

/// The frame of `tests/fixtures/small/encoders.json`, moved on by `shift`.
fn frame(shift: usize) -> Arc<EncodeOnce<RgbFrame>> {
    let pixel = |x: usize, y: usize, c: usize| ((37 * c + 3 * x + 5 * y + x * y / 16 + shift) % 256) as u8;
    let rows = (0..SIZE).flat_map(|y| (0..SIZE).flat_map(move |x| (0..3).map(move |c| pixel(x, y, c))));
    Arc::new(EncodeOnce::new(RgbFrame { width: SIZE, height: SIZE, aspect: 1.0, data: rows.collect() }))
}

/// The sound of `tests/fixtures/small/encoders.json`, moved up by `shift` Hz.
fn clip(shift: f64) -> Arc<EncodeOnce<AudioClip>> {
    let sample = |i: usize| {
        let time = i as f64 / CLIP as f64;
        (0.5 * (std::f64::consts::TAU * ((200.0 + shift) * time + 2000.0 * time * time)).sin()) as f32
    };
    Arc::new(EncodeOnce::new(AudioClip { samples: (0..CLIP).map(sample).collect() }))
}

fn window() -> WindowInput {
    let prompt = &localizer().manifest().prompt;
    let texts = prompt.detect.iter().cloned().chain([prompt.ground_question("a dog")]);
    WindowInput {
        visual: (0..40).map(|slot| (slot % 10 == 0).then(|| frame(slot))).collect(),
        audio: (0..40).map(|slot| (slot % 5 == 0).then(|| clip(slot as f64))).collect(),
        questions: texts.map(|text| Question { text, max_new_tokens: 24 }).collect(),
        last: None,
    }
}

fn numbers(json: &Value) -> Vec<f32> {
    let values = json.as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(!values.is_empty(), "the fixture holds numbers");
    values.iter().filter_map(|x| Some(x.as_f64()? as f32)).collect()
}

#[test]
fn encoders_agree_with_those_it_was_trained_with() -> Anything {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(project("tests/fixtures/small/encoders.json"))?)?;
    let (picture, sound) = (frame(0), clip(0.0));
    let mut window = window();
    window.visual[3] = Some(picture.clone());
    window.audio[7] = Some(sound.clone());
    window.questions.truncate(1);
    localizer().answer(&[window]).remove(0)?;

    let seen = picture.embedding().ok_or("not encoded")?;
    let pooled = numbers(&expected["frame"]["pooled_first_16"]);
    for (index, (x, y)) in seen.iter().zip(&pooled).enumerate() {
        assert!((x - y).abs() < 1e-2, "pooled feature {index}: {x} {y}");
    }
    let top = &expected["frame"]["posterior_top"];
    let class = top[0].as_u64().ok_or("a class")? as usize;
    let probability = top[1].as_f64().ok_or("a probability")? as f32;
    assert!((seen[1280 + class] - probability).abs() < 1e-2, "{} {probability}", seen[1280 + class]);
    let sum: f32 = seen[1280..].iter().sum();
    assert!((sum - 1.0).abs() < 1e-3, "the posterior sums to {sum}");

    let heard = sound.embedding().ok_or("not encoded")?;
    let expected = numbers(&expected["sound"]["embedding"]);
    assert_eq!(heard.len(), expected.len());
    for (index, (x, y)) in heard.iter().zip(&expected).enumerate() {
        assert!((x - y).abs() < 2e-3, "audio feature {index}: {x} {y}");
    }
    Ok(())
}

#[test]
fn windows_are_answered_the_same_alone_and_together() -> Anything {
    let (first, mut second) = (window(), window());
    second.visual[5] = Some(frame(77));
    second.audio = vec![None; 40];
    let together = localizer().answer(&[first.clone(), second.clone()]);
    for (window, batch) in [first, second].into_iter().zip(together) {
        let batch = batch?;
        assert_eq!((batch.answers.len(), batch.timing.batch), (2, 2));
        // Four frames of each window and one more; the eight clips of the first.
        assert_eq!((batch.timing.frames_encoded, batch.timing.clips_encoded), (9, 8));
        let alone = localizer().answer(&[window]).remove(0)?;
        assert_eq!((alone.timing.frames_encoded, alone.timing.clips_encoded), (0, 0));
        for (a, b) in batch.answers.iter().zip(&alone.answers) {
            assert_eq!(a.text, b.text);
            assert!(!a.tokens.is_empty() && a.tokens.iter().all(|t| t.logprob <= 0.0), "{a:?}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_the_context_fails_alone() -> Result<(), LlmError> {
    let mut long = window();
    long.questions[0].max_new_tokens = 1_000_000;
    let mut results = localizer().answer(&[long, window()]);
    assert!(results.remove(1).is_ok());
    assert!(results.remove(0).is_err_and(|error| error.to_string().contains("context")));
    Ok(())
}
