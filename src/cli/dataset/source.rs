//! Where a corpus takes its clips from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use avicuna_corpus::cluster::Bounds;
use avicuna_corpus::import::{Dataset, Imported};
use avicuna_corpus::pu_valor::build::Settings;
use avicuna_corpus::{Catalogue, MediaCheck, ReadOptions, Split, packaged};
use clap::{Args, ValueEnum};

use super::lists::{Lists, tell};
use super::media::Packaged;

/// One list of clips, and which of them to use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clips")]
pub(super) struct Source {
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    packaged: Packaged,
    #[command(flatten)]
    lists: Lists,
    /// The folder with the media of --valor, --table or --dataset.
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// Take clips of --valor, --table or --dataset whose media are not there: their features may be.
    #[arg(long)]
    without_media: bool,
    /// Seconds of a clip of --valor or --table, where the list does not say.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    clip_seconds: f64,
    /// The clips to use: train, validation or test.
    #[arg(long, default_value_t = Split::Train)]
    pub(super) split: Split,
    /// What everything is drawn from.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct List {
    /// `packaged`: clips composed from the pictures and sounds of a Debian package.
    #[arg(long)]
    preset: Option<Preset>,
    /// A catalogue.jsonl: a trimmed clip a line, with its caption.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// The annotations of VALOR-32K or VALOR-1M, a JSON list; all its clips count as of the split.
    #[arg(long, value_name = "JSON", requires = "media")]
    valor: Option<PathBuf>,
    /// A table, CSV or JSON lines, with at least `id` and `caption`.
    #[arg(long, value_name = "FILE", requires = "media")]
    table: Option<PathBuf>,
    /// A public dataset of trimmed clips, by its own annotations (--list): ave, vggsound, esc50 or valor.
    #[arg(long, value_name = "NAME", requires = "media", requires = "list")]
    dataset: Option<Dataset>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// 48 things that look and sound, from tuxpaint-stamps-default.
    Packaged,
}

impl Source {
    /// The clips of the split. What was left out is said, and listed in `out`.
    pub(super) fn catalogue(&self, out: &Path) -> Result<Catalogue> {
        let mut catalogue = self.read(out)?;
        let all = catalogue.clips.len();
        catalogue.clips.retain(|clip| clip.split == self.split);
        println!("{} of {all} clips are in the split {}", catalogue.clips.len(), self.split);
        tell(&catalogue.skipped, out)?;
        if catalogue.clips.is_empty() {
            bail!("there are no clips of the split {}; choose another with --split", self.split);
        }
        Ok(catalogue)
    }

    fn read(&self, out: &Path) -> Result<Catalogue> {
        if self.is_packaged() {
            return self.packaged.clips(out, self.seed, self.split);
        }
        let options = ReadOptions {
            split: self.split,
            media: if self.without_media { MediaCheck::Nothing } else { MediaCheck::Exists },
            duration: self.clip_seconds,
        };
        let List { preset: _, catalogue, valor, table, dataset } = &self.list;
        if let (Some(dataset), Some(media)) = (dataset, &self.media) {
            return match self.lists.read(*dataset, media, &self.lists.names()?, &options)? {
                Imported::Clips(catalogue) => Ok(catalogue),
                Imported::Videos(_) => bail!(
                    "the videos of {dataset} have events at known times, and are no clips to make videos of; use `avicuna dataset import`"
                ),
            };
        }
        Ok(match (catalogue, valor, table, &self.media) {
            (Some(path), ..) => Catalogue::read(path)?,
            (_, Some(list), _, Some(media)) => avicuna_corpus::valor(list, media, &options)?,
            (_, _, Some(list), Some(media)) => avicuna_corpus::table(list, media, &options)?,
            // The arguments' own rules leave nothing else.
            _ => bail!(
                "name the clips: --preset packaged, --catalogue FILE, --valor JSON --media DIR, --table FILE --media DIR, or --dataset NAME --list FILE --media DIR"
            ),
        })
    }

    fn is_packaged(&self) -> bool {
        self.list.preset == Some(Preset::Packaged)
    }

    /// Whether its videos become media files without being asked for: what is measured with has to be watched.
    pub(super) fn is_rendered(&self) -> bool {
        self.is_packaged() && self.split == Split::Test
    }

    /// What its videos are like, where nothing else is asked for.
    pub(super) fn settings(&self) -> Settings {
        if !self.is_packaged() {
            return Settings::paper(self.seed, self.split);
        }
        let facts = packaged::FACTS.map(str::to_owned).into();
        Settings { facts, ..Settings::packaged(self.seed, self.split) }
    }

    /// Different captions (or labels) of a cluster, where nothing else is asked for.
    pub(super) fn cluster_size(&self) -> Bounds {
        if self.is_packaged() { self.packaged.cluster_size() } else { Bounds::CAPTIONS }
    }
}
