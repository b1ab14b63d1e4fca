//! Frames to embeddings.

use std::path::Path;

use super::runtime::{Interface, Model};
use super::{EncoderError, MAX_BATCH, Prepared, Runtime};
use crate::manifest::{ClipResize, VisionPreprocess, VisionSpec};
use crate::preprocess::{clip, scale};
use crate::sample::{Embedding, RgbFrame};

const PART: &str = "vision";

/// The visual encoder.
pub struct VisionEncoder {
    model: Model,
    size: usize,
    preprocess: VisionPreprocess,
}

impl VisionEncoder {
    /// Loads the ONNX file that lies at `path` and checks it against `spec`.
    pub fn load(spec: &VisionSpec, path: &Path, runtime: &Runtime) -> Result<Self, EncoderError> {
        let size = spec.input_size as usize;
        let interface = Interface {
            part: PART,
            input: &spec.input,
            output: &spec.output,
            row: &[3, size, size],
            dim: spec.dim,
        };
        Ok(Self { model: Model::load(runtime, path, &interface)?, size, preprocess: spec.preprocess })
    }

    /// One embedding `[dim]` for each frame, or what is wrong with that frame.
    pub fn encode(&self, frames: &[&RgbFrame]) -> Vec<Result<Embedding, EncoderError>> {
        frames.chunks(MAX_BATCH).flat_map(|chunk| self.encode_prepared(self.prepare(chunk))).collect()
    }

    /// The first half of [`encode`](Self::encode): frames to input tensors.
    pub fn prepare(&self, frames: &[&RgbFrame]) -> Prepared {
        self.model.prepare(frames, |frame| self.tensor(frame))
    }

    /// The second half: the model itself, in one call.
    pub fn encode_prepared(&self, frames: Prepared) -> Vec<Result<Embedding, EncoderError>> {
        self.model.encode(frames)
    }

    /// `[3, size, size]`
    fn tensor(&self, frame: &RgbFrame) -> Result<Vec<f32>, EncoderError> {
        let bad = |reason: String| EncoderError::Input { part: PART, reason };
        match self.preprocess {
            VisionPreprocess::Scale(numbers) => {
                let size = self.size;
                if (frame.width, frame.height) != (size, size) {
                    let (width, height) = (frame.width, frame.height);
                    return Err(bad(format!("a frame of {width}x{height} was not scaled to {size}x{size}")));
                }
                scale::tensor(frame, numbers.mean, numbers.std).map_err(|e| bad(e.to_string()))
            }
            VisionPreprocess::Clip(numbers) => {
                let resize = match numbers.resize {
                    ClipResize::Antialias => clip::Resize::Antialias,
                    ClipResize::NoAntialias => clip::Resize::NoAntialias,
                    ClipResize::Pil => clip::Resize::Pil,
                };
                clip::tensor(frame, self.size, resize).map_err(|e| bad(e.to_string()))
            }
        }
    }
}
