//! Clips to embeddings.

use std::path::Path;

use super::runtime::{Interface, Model};
use super::{EncoderError, MAX_BATCH, Prepared, Runtime};
use crate::manifest::{AudioFrontend, AudioSpec};
use crate::preprocess::mel::LogMel;
use crate::sample::{AudioClip, Embedding};

const PART: &str = "audio";

/// The audio encoder.
pub struct AudioEncoder {
    model: Model,
    mel: LogMel,
    samples: usize,
}

impl AudioEncoder {
    /// Loads the ONNX file that lies at `path` and checks it against `spec`.
    pub fn load(spec: &AudioSpec, path: &Path, runtime: &Runtime) -> Result<Self, EncoderError> {
        let mel = match spec.frontend {
            AudioFrontend::Clap => LogMel::clap(),
        };
        let samples = spec.clip_samples();
        let interface = Interface {
            part: PART,
            input: &spec.input,
            output: &spec.output,
            row: &[mel.frames(samples), mel.spec().mels],
            dim: spec.dim,
        };
        Ok(Self { model: Model::load(runtime, path, &interface)?, mel, samples })
    }

    /// One embedding `[dim]` for each clip, or what is wrong with that clip.
    pub fn encode(&self, clips: &[&AudioClip]) -> Vec<Result<Embedding, EncoderError>> {
        clips.chunks(MAX_BATCH).flat_map(|chunk| self.encode_prepared(self.prepare(chunk))).collect()
    }

    /// The first half of [`encode`](Self::encode): clips to log-mels.
    pub fn prepare(&self, clips: &[&AudioClip]) -> Prepared {
        self.model.prepare(clips, |clip| {
            if clip.samples.len() != self.samples {
                let reason = format!("a clip of {} samples, not {}", clip.samples.len(), self.samples);
                return Err(EncoderError::Input { part: PART, reason });
            }
            Ok(self.mel.run(&clip.samples))
        })
    }

    /// The second half: the model itself, in one call.
    pub fn encode_prepared(&self, clips: Prepared) -> Vec<Result<Embedding, EncoderError>> {
        self.model.encode(clips)
    }
}
