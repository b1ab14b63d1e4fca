//! What the user sets, and what follows from it for a model.

use std::path::PathBuf;
use std::time::Duration;

use avicuna_models::manifest::Manifest;
use avicuna_pipeline::answer::Asking;
use avicuna_pipeline::track::TrackConfig;
use avicuna_pipeline::window::WindowSpec;

/// What the user sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model directory.
    pub model: PathBuf,
    /// The stream's id in the records.
    pub stream_id: String,
    /// Zero: the model's.
    pub window: Duration,
    /// Zero: half a window.
    pub hop: Duration,
    /// Ask what happens.
    pub detect: bool,
    /// Ask when each of these happens.
    pub queries: Vec<String>,
    /// 0..=1; below 0: the model's.
    pub min_score: f64,
    /// 0..=1; below 0: the model's.
    pub min_query_score: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: PathBuf::new(),
            stream_id: "stream".into(),
            window: Duration::ZERO,
            hop: Duration::ZERO,
            detect: true,
            queries: Vec::new(),
            min_score: -1.0,
            min_query_score: -1.0,
        }
    }
}

impl Settings {
    /// The shape of the windows.
    pub fn window_spec(&self, manifest: &Manifest) -> WindowSpec {
        let set = |duration: Duration| Some(duration).filter(|duration| !duration.is_zero());
        WindowSpec::of(manifest, set(self.window), set(self.hop), Duration::from_secs(1))
    }

    /// How localizations become events.
    pub fn track(&self, manifest: &Manifest, windows: &WindowSpec) -> TrackConfig {
        let set = |score: f64| Some(score).filter(|score| *score >= 0.0);
        let min_score = manifest.prompt.least_score(set(self.min_score));
        TrackConfig {
            min_score,
            min_query_score: manifest.prompt.least_query_score(set(self.min_query_score), min_score),
            ..TrackConfig::new(windows.length, windows.hop)
        }
    }

    /// What is asked of every window.
    ///
    /// # Errors
    /// When that is nothing.
    pub fn questions(&self, manifest: &Manifest) -> Result<Vec<Asking>, String> {
        let prompt = &manifest.prompt;
        let detect = self.detect && prompt.detect.is_some();
        let questions = Asking::all(prompt, detect, &self.queries).unwrap_or_default();
        if questions.is_empty() {
            return Err("nothing is asked: set \"queries\", or \"detect\" with a model that can be asked what happens".into());
        }
        Ok(questions)
    }
}
