//! `avicuna models import`: the released checkpoints, from folders or from the hub.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use avicuna_models::checkpoint::{self, Format, Layout, Released};
use avicuna_models::fetch::{Fetcher, Repository};
use avicuna_models::manifest::cache_dir;
use clap::Args;

use super::{bar, tell};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A repository of the hub with the released checkpoints: a folder for each stage, known by the files in it. Instead of --visual, --audio and --stage.
    #[arg(long, value_name = "OWNER/NAME[@REVISION]", conflicts_with_all = ["visual", "audio", "stages"])]
    hub: Option<Repository>,
    /// The base LLaMA: a folder with config.json, weights as safetensors or pytorch_model*.bin, and tokenizer, or `hub:OWNER/NAME[@REVISION]`. With
    /// --hub by default hub:lmsys/vicuna-7b-v1.5.
    #[arg(long, required_unless_present = "hub")]
    base: Option<Base>,
    /// The visual projector, mm_projector.bin.
    #[arg(long, required_unless_present = "hub")]
    visual: Option<PathBuf>,
    /// The audio projector, mm_projector_a.bin.
    #[arg(long, required_unless_present = "hub")]
    audio: Option<PathBuf>,
    /// A folder with a LoRA and its non_lora_trainables.bin; once for each stage, in their order.
    #[arg(long = "stage")]
    stages: Vec<PathBuf>,
    /// f32, f16 or bf16 for safetensors; q8_0, q6_k, q5_k, q4_k, q4_1 or q4_0 for a GGUF file.
    #[arg(long, default_value = "bf16")]
    weights: Format,
    /// What records call the model.
    #[arg(long, default_value = "avicuna-7b")]
    name: String,
    /// The model directory to write.
    pub(super) out: PathBuf,
}

/// What the release was trained on.
const VICUNA: &str = "hub:lmsys/vicuna-7b-v1.5";

/// Where the base model is.
#[derive(Debug, Clone)]
enum Base {
    Folder(PathBuf),
    Hub(Repository),
}

impl FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("hub:") {
            Some(repository) => repository.parse().map(Self::Hub),
            None => Ok(Self::Folder(text.into())),
        }
    }
}

/// Writes the model directory; returns where its LLM is.
pub(super) fn run(arguments: &Arguments) -> Result<PathBuf> {
    let released = released(arguments)?;
    let imported = checkpoint::import(&released)?;
    Ok(imported.write(&arguments.out, &arguments.name, arguments.weights)?)
}

fn released(arguments: &Arguments) -> Result<Released> {
    let Arguments { hub, base, visual, audio, stages, .. } = arguments;
    // The parts are looked for before the base is fetched, which is large.
    let parts = match hub {
        Some(repository) => {
            let (folder, layout) = fetched(repository, |files| {
                let layout = Layout::of(files)?;
                Ok((layout.files.clone(), layout))
            })?;
            let stages = layout.stages.iter().map(|stage| folder.join(stage)).collect();
            (folder.join(&layout.visual), folder.join(&layout.audio), stages)
        }
        None => {
            let given = |path: &Option<PathBuf>| path.clone().context("say --visual and --audio, or --hub");
            (given(visual)?, given(audio)?, stages.clone())
        }
    };
    let vicuna = || VICUNA.parse().map_err(|error: String| anyhow!(error));
    let base = match base.clone().map_or_else(vicuna, Ok)? {
        Base::Folder(folder) => folder,
        Base::Hub(repository) => fetched(&repository, |files| Ok((checkpoint::base_files(files)?, ())))?.0,
    };
    let (visual, audio, stages) = parts;
    Ok(Released { base, visual, audio, stages })
}

/// Fetches what `choose` takes of a repository's files; the folder with them, and what else `choose` found.
fn fetched<T>(
    repository: &Repository,
    choose: impl FnOnce(&[String]) -> Result<(Vec<String>, T), String>,
) -> Result<(PathBuf, T)> {
    let fetcher = Fetcher::new(&cache_dir()?);
    let listing = fetcher.list(repository)?;
    let (files, found) = choose(&listing.files).map_err(|reason| {
        anyhow!("{repository} on the hub cannot be imported: {reason}; check the name and the revision")
    })?;
    let commit = Repository { revision: listing.commit, ..repository.clone() };
    println!("{} files of {commit}", files.len());
    let bar = bar()?;
    let folder = fetcher.folder(&commit, &files, &mut |file, progress| {
        tell(&bar, Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file), progress);
    });
    bar.finish_and_clear();
    Ok((folder?, found))
}
