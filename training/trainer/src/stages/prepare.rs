//! What a stage needs before its first step: the model that the stages before left, and samples as sequences.

use std::path::Path;

use avicuna_corpus::pu_valor::Timeline;
use avicuna_models::prompt::Template;
use avicuna_pipeline::stream::Medium;

use super::assemble::{SampleAssembler, Sequence};
use super::config::{Config, Form, Part, Stage};
use super::features::Features;
use super::model::{self, Blueprint, Model};
use super::records::Records;
use super::source::{Joined, Sample, Source, random};
use super::windows::Windows;
use super::{TrainError, records};
use crate::labels::LabelError;
use crate::resample::Split;

/// All that a stage needs, loaded.
pub(super) struct Prepared {
    pub(super) plan: Blueprint,
    pub(super) source: Joined,
    pub(super) model: Model,
    pub(super) assembler: SampleAssembler,
}

impl Prepared {
    /// Of stage `number` of the run in `out`.
    pub(super) fn load(config: &Config, number: u8, out: &Path) -> Result<Self, TrainError> {
        let stage = config.stage(number)?;
        let plan = Blueprint::new(config)?;
        let source = source(&plan, stage)?;
        let (model, tokenizer) = plan.load(config, number, out, &source)?;
        let captions = stage.form == Form::Captions;
        let template = if captions { Template::Plain } else { plan.manifest.prompt.template };
        let longest = stage.max_length.min(model.llm.config().context);
        let interleaver = plan.interleaver(stage.form)?;
        let assembler = SampleAssembler { tokenizer, template, interleaver, longest };
        Ok(Self { plan, source, model, assembler })
    }
}

/// A sample of an epoch, and its sequence.
pub(super) fn draw(
    (source, assembler): (&Joined, &SampleAssembler),
    (seed, epoch): (u64, u32),
    index: usize,
) -> Result<(Sample, Sequence), TrainError> {
    let id = source.id(index);
    let sample = source.sample(index, &mut random(seed, &["sample", &epoch.to_string(), &id]))?;
    let sequence = assembler.sequence(&sample)?;
    if sequence.labels() == 0 {
        let why = "nothing of its answers is left to be learned; raise `max_length`";
        return Err(TrainError::Conversation { id, source: LabelError::Turns(why) });
    }
    Ok((sample, sequence))
}

/// The samples of all folders of a stage.
fn source(plan: &Blueprint, stage: &Stage) -> Result<Joined, TrainError> {
    let window = plan.manifest.window;
    let split = Split { visual: window.visual_tokens, audio: window.audio_tokens };
    // Only windows ask what is a kind of what.
    let vocabulary = if stage.form == Form::Windows { model::vocabulary(&plan.manifest)? } else { None };
    let mut sources: Vec<Box<dyn Source + Send + Sync>> = Vec::new();
    for corpus in &stage.data {
        // A caption is learned from with the sense that the stage aligns.
        let dim = |part: Part, sense: Medium| {
            plan.dim(sense).filter(|_| stage.form != Form::Captions || stage.trains(part))
        };
        let (visual, audio) = (dim(Part::Vision, Medium::Video), dim(Part::Audio, Medium::Audio));
        let features = Features::open(corpus, visual, audio)?;
        sources.push(match (&stage.form, &stage.windows) {
            (Form::Windows, settings) => {
                let settings = settings.clone().unwrap_or_default();
                let prompt = plan.manifest.prompt.clone();
                Box::new(Windows::open(corpus, features, (window, prompt, vocabulary.clone()), settings)?)
            }
            (Form::Captions, _) => Box::new(Records::captions(corpus, features, split)?),
            (form, _) => Box::new(Records::open(corpus, features, split, (*form, stage.timing))?),
        });
    }
    let source = Joined(sources);
    if source.len() == 0 {
        let folders: Vec<String> = stage.data.iter().map(|folder| folder.display().to_string()).collect();
        let file = if stage.form == Form::Windows { Timeline::FILE } else { records::FILE };
        let hint =
            format!("make a corpus with `avicuna dataset build`; the file {file} of these folders is empty");
        return Err(TrainError::Empty { folders: folders.join(", "), hint });
    }
    Ok(source)
}
