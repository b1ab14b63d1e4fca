//! What the manifest says of the two encoders.

use serde::Deserialize;

use super::FileRef;

/// The visual encoder: ONNX, `[batch, 3, input_size, input_size]` f32 in, `[batch, dim]` f32 out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionSpec {
    /// The ONNX file.
    pub file: FileRef,
    /// Pixels per side.
    pub input_size: u32,
    /// What becomes of a picture that is not square.
    pub fit: Fit,
    /// From bytes to the input tensor.
    pub preprocess: VisionPreprocess,
    /// Width of an embedding.
    pub dim: usize,
    /// Name of the input.
    #[serde(default = "frames")]
    pub input: String,
    /// Name of the output.
    #[serde(default = "embedding")]
    pub output: String,
}

/// What becomes of a picture that is not square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The whole picture, stretched to the square; whoever decodes it does so.
    Stretch,
    /// Its shorter side fills the square and the middle is kept; frames arrive in their own size.
    Crop,
}

/// From bytes to the input tensor of a visual encoder.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisionPreprocess {
    /// `(byte / 255 - mean) / std` for each of red, green, blue; the frame has its size already.
    Scale(ScaleSpec),
    /// CLIP's resizing, centre crop and normalisation.
    Clip(ClipSpec),
}

/// Numbers of [`VisionPreprocess::Scale`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleSpec {
    /// Subtracted, for red, green, blue.
    pub mean: [f32; 3],
    /// What is left is divided by it.
    pub std: [f32; 3],
}

/// Choices of [`VisionPreprocess::Clip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSpec {
    /// How the picture is made smaller.
    pub resize: ClipResize,
}

/// The bicubic filters in use with CLIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipResize {
    /// On floats, widened when shrinking.
    Antialias,
    /// On floats, four taps whatever the scale; what the released AVicuna was trained with.
    NoAntialias,
    /// As the Pillow library does, rounded to bytes; what CLIP itself was trained with.
    Pil,
}

/// The audio encoder: ONNX, `[batch, frames, mels]` f32 in, `[batch, dim]` f32 out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioSpec {
    /// The ONNX file.
    pub file: FileRef,
    /// Samples per second; mono.
    pub sample_rate: u32,
    /// Length of one clip, centred on its place in the window.
    pub clip_seconds: f64,
    /// From samples to the input tensor.
    pub frontend: AudioFrontend,
    /// Width of an embedding.
    pub dim: usize,
    /// Name of the input.
    #[serde(default = "mel")]
    pub input: String,
    /// Name of the output.
    #[serde(default = "embedding")]
    pub output: String,
}

impl AudioSpec {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        (f64::from(self.sample_rate) * self.clip_seconds).round() as usize
    }
}

/// From samples to the input tensor of an audio encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudioFrontend {
    /// CLAP's log-mel spectrogram: 64 bins every 480 samples of 48 kHz.
    Clap,
}

fn frames() -> String {
    "frames".into()
}

fn mel() -> String {
    "mel".into()
}

fn embedding() -> String {
    "embedding".into()
}
