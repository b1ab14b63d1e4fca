//! Loading a model directory, part by part.

use std::path::Path;
use std::sync::Arc;

use super::{LoadOptions, Localizer, LocalizerError, PromptAssembler, Tails};
use crate::adapter::Adapter;
use crate::encoder::{Devices, Encoders, Runtime};
use crate::evidence::Presence;
use crate::interleave::Interleaver;
use crate::llm::{Llm, Lora};
use crate::manifest::{Located, Manifest, WordingSpec, cache_dir};
use crate::prompt::Template;
use crate::sentence::SentenceFiles;
use crate::vocabulary::Vocabulary;
use crate::wording::Wording;

/// See [`Localizer::load`].
pub(super) fn load(dir: &Path, options: &LoadOptions) -> Result<Localizer, LocalizerError> {
    let manifest = Manifest::load(dir)?;
    let cache = match &options.cache {
        Some(cache) => cache.clone(),
        None => cache_dir()?,
    };
    // The cheap checks come first: a part that is missing is known before another is read.
    let (tokens, rule) = (manifest.window, manifest.interleave.strategy());
    let interleaver = Interleaver::new(rule, tokens.visual_tokens, tokens.audio_tokens)?;
    let located = manifest.locate_all(&cache, |_| true)?;

    let devices = Devices::open(options.device)?;
    let runtime = Runtime::open(&cache, devices.encoders, options.threads)?;
    let encoders = Encoders::load(&manifest, &located, &runtime)?;

    let lora = manifest.llm.lora.as_ref();
    let lora =
        lora.map(|lora| Lora { path: located.path(&lora.file).to_owned(), r: lora.r, alpha: lora.alpha });
    let mut llm = Llm::load(located.path(&manifest.llm.file), lora.as_ref(), &devices.llm)?;
    if let Some(threads) = options.threads {
        llm = llm.with_threads(threads)?;
    }
    if manifest.prompt.readable_times {
        llm = llm.with_readable_times();
    }
    let adapter = |name: &str, dim: Option<usize>| {
        let load =
            |dim| Adapter::load(located.path(&manifest.adapters), name, dim, llm.hidden_size(), &devices.llm);
        dim.map(load).transpose()
    };
    let visual = adapter("vision", manifest.vision.as_ref().map(|vision| vision.dim))?;
    let heard = adapter("audio", manifest.audio.as_ref().map(|audio| audio.dim))?;

    let template = manifest.prompt.template;
    check_stop(template, &llm)?;
    let head = template.head(llm.tokenizer())?;
    let assembler = PromptAssembler::new(interleaver, visual, heard, &head, &llm)?;
    let tails = Tails::new(template);
    check_length(&manifest, &assembler, &tails, &llm)?;
    tracing::info!(
        model = manifest.id(),
        device = ?devices.llm.location(),
        llm_mb = llm.weight_bytes() >> 20,
        "model loaded"
    );
    let wording = match (&manifest.wording, encoders.vocabulary()) {
        (Some(spec), Some(vocabulary)) => Some(load_wording(spec, vocabulary, &located)?),
        _ => None,
    };
    let presence = manifest.evidence.presence.as_ref();
    let presence = presence.map(|file| Presence::load(located.path(file)).map(Arc::new)).transpose()?;
    Ok(Localizer { manifest, wording, presence, encoders, assembler, llm, tails })
}

fn load_wording(
    spec: &WordingSpec,
    vocabulary: &Vocabulary,
    located: &Located,
) -> Result<Wording, LocalizerError> {
    let path = |file| located.path(file).to_owned();
    let files = SentenceFiles {
        config: path(&spec.config),
        tokenizer: path(&spec.tokenizer),
        weights: path(&spec.weights),
    };
    Ok(Wording::load(
        files,
        vocabulary,
        located.path(&spec.vectors),
        [spec.least_similarity, spec.sure_similarity],
    )?)
}

/// An answer must be able to end: the template's stop token is one of the LLM's.
fn check_stop(template: Template, llm: &Llm) -> Result<(), LocalizerError> {
    let stop = template.stop();
    let ends = llm.tokenizer().token_id(stop).is_some_and(|id| llm.config().eos.contains(&id));
    if ends {
        return Ok(());
    }
    let reason =
        format!("its answers do not end in `{stop}`; use the template that the LLM was trained with");
    Err(LocalizerError::Mismatch { key: "prompt.template", reason })
}

/// A full window with its question and answer must fit into the LLM's context.
fn check_length(
    manifest: &Manifest,
    assembler: &PromptAssembler,
    tails: &Tails,
    llm: &Llm,
) -> Result<(), LocalizerError> {
    let prompt = &manifest.prompt;
    let mut longest = 0;
    for question in prompt.detect.iter().chain([&prompt.ground]) {
        longest = longest.max(tails.of(llm.tokenizer(), question)?.len());
    }
    let needed = assembler.longest() + longest + prompt.max_new_tokens;
    let context = llm.config().context;
    if needed <= context {
        return Ok(());
    }
    let reason =
        format!("a full window with question and answer takes {needed} tokens, the context holds {context}");
    Err(LocalizerError::Mismatch { key: "window", reason })
}
