//! What a model makes of the same videos when something is taken away or done otherwise, as far as that needs no training.

use std::path::{Path, PathBuf};
use std::time::Duration;

use avicuna_models::manifest::{FILE_NAME, Manifest};
use avicuna_pipeline::window::{SpecError, WindowSpec};
use toml::{Table, Value};

use super::EvaluationError;
use super::watch::Settings;

/// Interleaving rates in percent: the share of audio among the audio-visual tokens.
pub const RATES: [u32; 12] = [0, 10, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100];

/// A way of watching that differs from the model's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// What it is.
    pub name: String,
    /// Visual and audio tokens of a window; `None`: the model's own.
    pub tokens: Option<(usize, usize)>,
    /// The interleaving rule, as the manifest names it; `None`: the model's own.
    pub strategy: Option<&'static str>,
    /// The window by the model's own.
    pub windows: f64,
    /// The hop by the window.
    pub hops: f64,
    /// Listen.
    pub audio: bool,
    /// Look.
    pub video: bool,
}

impl Variant {
    fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tokens: None,
            strategy: None,
            windows: 1.0,
            hops: 0.5,
            audio: true,
            video: true,
        }
    }

    /// With audio and video, and without either.
    pub fn modalities() -> Vec<Self> {
        vec![
            Self::new("both"),
            Self { audio: false, ..Self::new("without audio") },
            Self { video: false, ..Self::new("without video") },
        ]
    }

    /// The three interleaving rules.
    pub fn interleavers() -> Vec<Self> {
        let rule = |name| Self { strategy: Some(name), ..Self::new(name) };
        ["reference", "even", "timestamped"].map(rule).into()
    }

    /// As many tokens as the model has, divided by each rate.
    pub fn rates(manifest: &Manifest, rates: &[u32]) -> Vec<Self> {
        let all = manifest.window.visual_tokens + manifest.window.audio_tokens;
        let variant = |rate: &u32| {
            let audio = (all as f64 * f64::from(*rate) / 100.0).round() as usize;
            Self { tokens: Some((all - audio, audio)), ..Self::new(format!("{rate} %")) }
        };
        rates.iter().map(variant).collect()
    }

    /// Streams of twice the length the model was trained with: in windows of that length, or of its own.
    pub fn windows(manifest: &Manifest) -> Vec<Self> {
        let tokens = manifest.window;
        let twice = Some((2 * tokens.visual_tokens, 2 * tokens.audio_tokens));
        vec![
            Self::new("windows of the trained length, each half over the next"),
            Self { hops: 1.0, ..Self::new("windows of the trained length, one after the other") },
            Self { windows: 2.0, hops: 1.0, ..Self::new("twice the length, the same tokens") },
            Self {
                windows: 2.0,
                hops: 1.0,
                tokens: twice,
                ..Self::new("twice the length, twice the tokens")
            },
        ]
    }

    /// How it watches: the length and hop nearest to its own that its tokens can be spread over.
    ///
    /// # Errors
    /// When there is none.
    pub fn settings(&self, manifest: &Manifest) -> Result<Settings, EvaluationError> {
        let window = manifest.window.seconds * self.windows;
        let span = |seconds: f64| Duration::from_nanos((seconds * 1e9).round() as u64);
        let spec = WindowSpec {
            length: span(window),
            hop: span(window * self.hops),
            visual_slots: manifest.window.visual_tokens,
            audio_slots: manifest.window.audio_tokens,
            sample_rate: manifest.audio.as_ref().map_or(0, |audio| audio.sample_rate),
            clip: Duration::from_secs_f64(manifest.audio.as_ref().map_or(0.0, |audio| audio.clip_seconds)),
            patience: Duration::ZERO,
        };
        let WindowSpec { length, hop, .. } = fitted(spec).map_err(|error| EvaluationError::Variant {
            variant: self.name.clone(),
            reason: error.to_string(),
        })?;
        let (window, hop) = (length.as_secs_f64(), hop.as_secs_f64());
        Ok(Settings { window, hop, audio: self.audio, video: self.video })
    }

    /// The model directory to watch with: `base` itself, or one in `scratch` with a manifest of its own and links to the
    /// rest of `base`.
    ///
    /// # Errors
    /// When `base` cannot be read or `scratch` not be written.
    pub fn model(&self, base: &Path, scratch: &Path) -> Result<PathBuf, EvaluationError> {
        if self.tokens.is_none() && self.strategy.is_none() {
            return Ok(base.to_owned());
        }
        let path = base.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(|source| EvaluationError::io(&path, source))?;
        let mut manifest: Table = text
            .parse()
            .map_err(|error: toml::de::Error| EvaluationError::content(&path, error.to_string()))?;
        self.edit(&mut manifest);
        let dir = scratch.join(self.name.replace(' ', "-").replace('%', "percent"));
        let make = || -> std::io::Result<()> {
            std::fs::create_dir_all(&dir)?;
            for entry in std::fs::read_dir(base)? {
                let entry = entry?;
                let link = dir.join(entry.file_name());
                if entry.file_name() != FILE_NAME && !link.exists() {
                    std::os::unix::fs::symlink(entry.path().canonicalize()?, link)?;
                }
            }
            std::fs::write(dir.join(FILE_NAME), manifest.to_string())
        };
        make().map_err(|source| EvaluationError::io(&dir, source))?;
        Ok(dir)
    }

    fn edit(&self, manifest: &mut Table) {
        let count = |manifest: &Table, key: &str| {
            manifest.get("window").and_then(|window| window.get(key)?.as_integer()).unwrap_or_default()
        };
        let slots = |manifest: &Table| count(manifest, "visual_tokens").max(count(manifest, "audio_tokens"));
        let before = slots(manifest);
        if let Some((visual, audio)) = self.tokens {
            for (part, key, tokens) in [("vision", "visual_tokens", visual), ("audio", "audio_tokens", audio)]
            {
                if let Some(window) = manifest.get_mut("window").and_then(Value::as_table_mut) {
                    window.insert(key.to_owned(), Value::Integer(tokens as i64));
                }
                if tokens == 0 {
                    manifest.remove(part);
                }
            }
        }
        let after = slots(manifest);
        let Some(interleave) = manifest.get_mut("interleave").and_then(Value::as_table_mut) else { return };
        if let Some(strategy) = self.strategy {
            let own = interleave.get("strategy").and_then(Value::as_str) == Some(strategy);
            interleave.insert("strategy".to_owned(), Value::String(strategy.to_owned()));
            if strategy != "timestamped" {
                interleave.remove("stamp_every_slots");
            } else if !own {
                interleave.insert("stamp_every_slots".to_owned(), Value::Integer(2));
            }
        }
        // As many time stamps as before.
        if let Some(Value::Integer(every)) = interleave.get_mut("stamp_every_slots") {
            let scaled = *every as f64 * after as f64 / before.max(1) as f64;
            *every = (scaled.round() as i64).max(1);
        }
    }
}

/// The nearest shape that windows can have.
fn fitted(mut spec: WindowSpec) -> Result<WindowSpec, SpecError> {
    let closest =
        |to: Duration, nearest: &[Duration]| nearest.iter().copied().min_by_key(|near| near.abs_diff(to));
    // Once for the length, once for the hop.
    for _ in 0..2 {
        match spec.validated() {
            Err(SpecError::Slots { length, nearest, slots }) => {
                let fits = closest(length, &nearest);
                let whole = spec.hop == spec.length;
                spec.length = fits.ok_or(SpecError::Slots { length, nearest, slots })?;
                spec.hop = if whole { spec.length } else { spec.hop.min(spec.length) };
            }
            Err(SpecError::HopOffGrid { hop, step, nearest }) => {
                spec.hop = closest(hop, &nearest).ok_or(SpecError::HopOffGrid { hop, step, nearest })?;
            }
            fits_or_not => return fits_or_not,
        }
    }
    spec.validated()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/avicuna-small")
    }

    #[test]
    fn every_rate_has_a_model_directory_whose_windows_fit() {
        let scratch = tempfile::tempdir().expect("a folder");
        let own = Manifest::load(&small()).expect("the default model");
        for variant in Variant::rates(&own, &RATES) {
            let dir = variant.model(&small(), scratch.path()).expect("it is made");
            let manifest = Manifest::load(&dir).unwrap_or_else(|error| panic!("{}: {error}", variant.name));
            assert_eq!(manifest.window.visual_tokens + manifest.window.audio_tokens, 80, "{}", variant.name);
            assert_eq!(manifest.vision.is_none(), manifest.window.visual_tokens == 0);
            let settings =
                variant.settings(&manifest).unwrap_or_else(|error| panic!("{}: {error}", variant.name));
            assert!((settings.window - 20.0).abs() < 0.2, "{}: {settings:?}", variant.name);
            assert!(settings.hop > 7.0 && settings.hop < 13.0, "{}: {settings:?}", variant.name);
        }
    }

    #[test]
    fn other_rules_and_lengths_make_manifests_that_load() {
        let scratch = tempfile::tempdir().expect("a folder");
        let own = Manifest::load(&small()).expect("the default model");
        let variants = [Variant::interleavers(), Variant::windows(&own), Variant::modalities()].concat();
        for variant in variants {
            let dir = variant.model(&small(), scratch.path()).expect("it is made");
            let manifest = Manifest::load(&dir).unwrap_or_else(|error| panic!("{}: {error}", variant.name));
            variant.settings(&manifest).unwrap_or_else(|error| panic!("{}: {error}", variant.name));
        }
    }
}
