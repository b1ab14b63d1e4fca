//! What the user sets, and what follows from it for a model.

use std::path::PathBuf;
use std::time::Duration;

use avicuna_models::localizer::Question;
use avicuna_models::manifest::Manifest;
use avicuna_pipeline::answer::Asked;
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
    /// 0..=1
    pub min_score: f64,
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
            min_score: 0.3,
        }
    }
}

impl Settings {
    /// The shape of the windows.
    pub fn window_spec(&self, manifest: &Manifest) -> WindowSpec {
        let or = |set: Duration, default: Duration| if set.is_zero() { default } else { set };
        let length = or(self.window, Duration::from_secs_f64(manifest.window.seconds));
        let audio = manifest.audio.as_ref();
        WindowSpec {
            length,
            hop: or(self.hop, length / 2),
            visual_slots: manifest.window.visual_tokens,
            audio_slots: manifest.window.audio_tokens,
            sample_rate: audio.map_or(0, |audio| audio.sample_rate),
            clip: audio.map_or(Duration::ZERO, |audio| Duration::from_secs_f64(audio.clip_seconds)),
            patience: Duration::from_secs(1),
        }
    }

    /// What is asked of every window.
    ///
    /// # Errors
    /// When that is nothing.
    pub fn questions(&self, manifest: &Manifest) -> Result<Vec<(Question, Asked)>, String> {
        let prompt = &manifest.prompt;
        let question = |text: String| Question { text, max_new_tokens: prompt.max_new_tokens };
        let mut questions = Vec::new();
        if let (true, Some(text)) = (self.detect, &prompt.detect) {
            questions.push((question(text.clone()), Asked::Detect));
        }
        for label in &self.queries {
            questions.push((question(prompt.ground_question(label)), Asked::Ground { label: label.clone() }));
        }
        if questions.is_empty() {
            return Err("nothing is asked: set \"queries\", or \"detect\" with a model that can be asked what happens".into());
        }
        Ok(questions)
    }
}
