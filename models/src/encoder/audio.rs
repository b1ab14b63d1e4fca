//! Clips to embeddings.

use std::path::PathBuf;

use super::parts::{Encoder, Part};
use super::runtime::Interface;
use super::{EncoderError, Runtime};
use crate::manifest::{AudioFrontend, AudioPart, AudioSpec};
use crate::preprocess::mel::LogMel;
use crate::sample::AudioClip;
use crate::vocabulary::Vocabulary;

const PART: &str = "audio";

/// The audio encoder.
pub type AudioEncoder = Encoder<AudioClip>;

impl Encoder<AudioClip> {
    /// Loads the ONNX files of `spec`, which lie at `paths`, one for each part, and checks them against it.
    pub fn load(
        spec: &AudioSpec,
        paths: &[PathBuf],
        vocabulary: Option<&Vocabulary>,
        runtime: &Runtime,
    ) -> Result<Self, EncoderError> {
        let whole = spec.clip_samples();
        let load = |(part, path): (&AudioPart, &PathBuf)| {
            let samples = spec.part_samples(part);
            let mel = match part.frontend {
                AudioFrontend::Clap => Some(LogMel::clap()),
                AudioFrontend::Waveform => None,
            };
            let row = match &mel {
                Some(mel) => vec![mel.frames(samples), mel.spec().mels],
                None => vec![samples],
            };
            let interface = Interface {
                part: PART,
                input: &part.input,
                output: &part.output.name,
                row: &row,
                dim: part.output.dim,
            };
            let tensor = move |clip: &AudioClip| {
                if clip.samples.len() != whole {
                    let reason = format!("a clip of {} samples, not {whole}", clip.samples.len());
                    return Err(EncoderError::Input { part: PART, reason });
                }
                let middle = &clip.samples[(whole - samples) / 2..][..samples];
                Ok(mel.as_ref().map_or_else(|| middle.to_vec(), |mel| mel.run(middle)))
            };
            Part::load(path, &interface, runtime, Box::new(tensor))
        };
        let parts = spec.parts.iter().zip(paths).map(load).collect::<Result<_, _>>()?;
        let outputs: Vec<_> = spec.parts.iter().map(|part| &part.output).collect();
        Self::new(PART, parts, &outputs, vocabulary, spec.dim)
    }
}
