//! What the manifest says of the two modalities' encoders, each of one or several ONNX graphs.

use serde::Deserialize;

use super::FileRef;
use crate::vocabulary::Classes;

/// How pictures become embeddings.
///
/// A model with one graph has its keys in `[vision]` itself; several are listed as `[[vision.parts]]`. The embedding of a frame is then
/// the evidence for the vocabulary's phrases, from all parts with `classes`, and behind it the outputs of the other parts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawVision")]
pub struct VisionSpec {
    /// Pixels per side of the frames that the source delivers.
    pub input_size: u32,
    /// What becomes of a picture that is not square.
    pub fit: Fit,
    /// Width of an embedding.
    pub dim: usize,
    /// The graphs, in the order of their columns.
    pub parts: Vec<VisionPart>,
}

/// One visual graph: `[batch, 3, input_size, input_size]` f32 in, `[batch, dim]` f32 out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionPart {
    /// The ONNX file.
    pub file: FileRef,
    /// Pixels per side.
    pub input_size: u32,
    /// From bytes to the input tensor.
    pub preprocess: VisionPreprocess,
    /// Name of the input.
    #[serde(default = "frames")]
    pub input: String,
    /// What is taken of its output, and how often.
    pub output: OutputSpec,
}

/// What is taken of a graph's output, and how often it runs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Name of the output.
    #[serde(default = "embedding")]
    pub name: String,
    /// Its width.
    pub dim: usize,
    /// The first column that is taken, up to the last.
    #[serde(default)]
    pub from: usize,
    /// What its columns are, where they become evidence for phrases of the vocabulary; `None`: they are taken as they are.
    pub classes: Option<Classes>,
    /// It runs on one of so many slots; the others have what it said last.
    #[serde(default = "one")]
    pub every: usize,
}

impl OutputSpec {
    /// All columns, of every sample, as they are.
    pub fn whole(name: &str, dim: usize) -> Self {
        Self { name: name.to_owned(), dim, from: 0, classes: None, every: 1 }
    }
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

/// From bytes to the input tensor of a visual graph.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisionPreprocess {
    /// `(byte / 255 - mean) / std` for each of red, green, blue; a frame of another size is scaled to the graph's.
    Scale(ScaleSpec),
    /// As `scale`, but the picture in its own proportions, with grey around it.
    Letterbox(ScaleSpec),
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

/// How sound becomes embeddings; of one graph or several, as [`VisionSpec`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawAudio")]
pub struct AudioSpec {
    /// Samples per second; mono.
    pub sample_rate: u32,
    /// Length of one clip, centred on its place in the window.
    pub clip_seconds: f64,
    /// Width of an embedding.
    pub dim: usize,
    /// The graphs, in the order of their columns.
    pub parts: Vec<AudioPart>,
}

/// One audio graph: what its front end makes of a clip in, `[batch, dim]` f32 out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioPart {
    /// The ONNX file.
    pub file: FileRef,
    /// From samples to the input tensor.
    pub frontend: AudioFrontend,
    /// Seconds of the middle of a clip that it hears; `None`: all of it.
    pub seconds: Option<f64>,
    /// Name of the input.
    #[serde(default = "mel")]
    pub input: String,
    /// What is taken of its output, and how often.
    pub output: OutputSpec,
}

impl AudioSpec {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        self.samples(self.clip_seconds)
    }

    /// Samples of a clip that `part` hears.
    pub fn part_samples(&self, part: &AudioPart) -> usize {
        part.seconds.map_or_else(|| self.clip_samples(), |seconds| self.samples(seconds))
    }

    fn samples(&self, seconds: f64) -> usize {
        (f64::from(self.sample_rate) * seconds).round() as usize
    }
}

/// From samples to the input tensor of an audio graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudioFrontend {
    /// CLAP's log-mel spectrogram, `[frames, 64]`: 64 bins every 480 samples of 48 kHz.
    Clap,
    /// The samples themselves, `[samples]`: the graph has a front end of its own.
    Waveform,
}

/// `[vision]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVision {
    input_size: u32,
    fit: Fit,
    dim: usize,
    file: Option<FileRef>,
    preprocess: Option<VisionPreprocess>,
    input: Option<String>,
    output: Option<String>,
    parts: Option<Vec<VisionPart>>,
}

/// `[audio]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAudio {
    sample_rate: u32,
    clip_seconds: f64,
    dim: usize,
    file: Option<FileRef>,
    frontend: Option<AudioFrontend>,
    input: Option<String>,
    output: Option<String>,
    parts: Option<Vec<AudioPart>>,
}

impl TryFrom<RawVision> for VisionSpec {
    type Error = String;

    fn try_from(raw: RawVision) -> Result<Self, String> {
        let RawVision { input_size, fit, dim, file, preprocess, input, output, parts } = raw;
        let parts = match parts {
            Some(parts) => {
                only(
                    "vision",
                    file.is_some() || preprocess.is_some() || input.is_some() || output.is_some(),
                )?;
                parts
            }
            None => vec![VisionPart {
                file: needed("vision", "file", file)?,
                input_size,
                preprocess: needed("vision", "preprocess", preprocess)?,
                input: input.unwrap_or_else(frames),
                output: OutputSpec::whole(&output.unwrap_or_else(embedding), dim),
            }],
        };
        Ok(Self { input_size, fit, dim, parts })
    }
}

impl TryFrom<RawAudio> for AudioSpec {
    type Error = String;

    fn try_from(raw: RawAudio) -> Result<Self, String> {
        let RawAudio { sample_rate, clip_seconds, dim, file, frontend, input, output, parts } = raw;
        let parts = match parts {
            Some(parts) => {
                only("audio", file.is_some() || frontend.is_some() || input.is_some() || output.is_some())?;
                parts
            }
            None => vec![AudioPart {
                file: needed("audio", "file", file)?,
                frontend: needed("audio", "frontend", frontend)?,
                seconds: None,
                input: input.unwrap_or_else(mel),
                output: OutputSpec::whole(&output.unwrap_or_else(embedding), dim),
            }],
        };
        Ok(Self { sample_rate, clip_seconds, dim, parts })
    }
}

fn needed<T>(table: &str, key: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("missing field `{key}` of [{table}], which has no [[{table}.parts]] either"))
}

fn only(table: &str, own: bool) -> Result<(), String> {
    if !own {
        return Ok(());
    }
    Err(format!(
        "with [[{table}.parts]], its files, front ends, inputs and outputs belong there and not into [{table}]"
    ))
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

fn one() -> usize {
    1
}
