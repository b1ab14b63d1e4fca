//! Where a corpus takes its clips from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use avicuna_training::cluster::Bounds;
use avicuna_training::corpus::{self, Catalogue, MediaCheck, ReadOptions, Split, packaged};
use avicuna_training::pu_valor::build::Settings;
use clap::{Args, ValueEnum};

use super::media::Packaged;

/// One list of clips, and which of them to use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clips")]
pub(super) struct Source {
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    packaged: Packaged,
    /// The folder with the media of --valor or --table.
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// Take clips of --valor or --table whose media are not there: their features may be.
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// 48 things that look and sound, from tuxpaint-stamps-default.
    Packaged,
}

/// What was left out is listed here.
const SKIPPED: &str = "skipped.jsonl";

impl Source {
    /// The clips of the split. What was left out is said, and listed in `out`.
    pub(super) fn catalogue(&self, out: &Path) -> Result<Catalogue> {
        let mut catalogue = self.read(out)?;
        let all = catalogue.clips.len();
        catalogue.clips.retain(|clip| clip.split == self.split);
        println!("{} of {all} clips are in the split {}", catalogue.clips.len(), self.split);
        if !catalogue.skipped.is_empty() {
            println!("{} were left out, see {SKIPPED}:", catalogue.skipped.len());
            for (reason, count) in catalogue.skipped_by_reason() {
                println!("  {count:6}  {reason}");
            }
        }
        let lines: Result<Vec<String>, _> = catalogue.skipped.iter().map(serde_json::to_string).collect();
        std::fs::write(out.join(SKIPPED), lines?.into_iter().map(|line| line + "\n").collect::<String>())?;
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
        let List { preset: _, catalogue, valor, table } = &self.list;
        Ok(match (catalogue, valor, table, &self.media) {
            (Some(path), ..) => Catalogue::read(path)?,
            (_, Some(list), _, Some(media)) => corpus::valor(list, media, &options)?,
            (_, _, Some(list), Some(media)) => corpus::table(list, media, &options)?,
            // The arguments' own rules leave nothing else.
            _ => bail!(
                "name the clips: --preset packaged, --catalogue FILE, --valor JSON --media DIR, or --table FILE --media DIR"
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
