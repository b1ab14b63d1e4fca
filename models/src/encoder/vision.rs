//! Frames to embeddings.

use std::path::PathBuf;

use super::parts::{Encoder, Part};
use super::runtime::Interface;
use super::{EncoderError, Runtime};
use crate::manifest::{ClipResize, VisionPart, VisionPreprocess, VisionSpec};
use crate::preprocess::{clip, scale};
use crate::sample::RgbFrame;
use crate::vocabulary::Vocabulary;

const PART: &str = "vision";

/// The visual encoder.
pub type VisionEncoder = Encoder<RgbFrame>;

impl Encoder<RgbFrame> {
    /// Loads the ONNX files of `spec`, which lie at `paths`, one for each part, and checks them against it.
    pub fn load(
        spec: &VisionSpec,
        paths: &[PathBuf],
        vocabulary: Option<&Vocabulary>,
        runtime: &Runtime,
    ) -> Result<Self, EncoderError> {
        let load = |(part, path): (&VisionPart, &PathBuf)| {
            let size = part.input_size as usize;
            let row = [3, size, size];
            let interface = Interface {
                part: PART,
                input: &part.input,
                output: &part.output.name,
                row: &row,
                dim: part.output.dim,
            };
            let (preprocess, arrives) = (part.preprocess, spec.input_size as usize);
            Part::load(
                path,
                &interface,
                runtime,
                Box::new(move |frame| tensor(frame, preprocess, arrives, size)),
            )
        };
        let parts = spec.parts.iter().zip(paths).map(load).collect::<Result<_, _>>()?;
        let outputs: Vec<_> = spec.parts.iter().map(|part| &part.output).collect();
        Self::new(PART, parts, &outputs, vocabulary, spec.dim)
    }
}

/// `[3, size, size]` of a frame that must be `arrives` pixels wide and high, unless it is to be cropped.
fn tensor(
    frame: &RgbFrame,
    preprocess: VisionPreprocess,
    arrives: usize,
    size: usize,
) -> Result<Vec<f32>, EncoderError> {
    let bad = |reason: String| EncoderError::Input { part: PART, reason };
    match preprocess {
        VisionPreprocess::Scale(numbers) | VisionPreprocess::Letterbox(numbers) => {
            if (frame.width, frame.height) != (arrives, arrives) {
                let (width, height) = (frame.width, frame.height);
                return Err(bad(format!(
                    "a frame of {width}x{height} was not scaled to {arrives}x{arrives}"
                )));
            }
            let scaled = if let VisionPreprocess::Letterbox(_) = preprocess {
                scale::letterboxed(frame, size, numbers.mean, numbers.std)
            } else if size == arrives {
                scale::tensor(frame, numbers.mean, numbers.std)
            } else {
                scale::resized(frame, size, numbers.mean, numbers.std)
            };
            scaled.map_err(|e| bad(e.to_string()))
        }
        VisionPreprocess::Clip(numbers) => {
            let resize = match numbers.resize {
                ClipResize::Antialias => clip::Resize::Antialias,
                ClipResize::NoAntialias => clip::Resize::NoAntialias,
                ClipResize::Pil => clip::Resize::Pil,
            };
            clip::tensor(frame, size, resize).map_err(|e| bad(e.to_string()))
        }
    }
}
