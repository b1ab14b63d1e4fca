//! `avicuna dataset cluster`, and the clustering of a build.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use avicuna_corpus::Catalogue;
use avicuna_corpus::cluster::quality::{self, Quality};
use avicuna_corpus::cluster::{self, Bounds, Clusters, Compared, Embeddings, Events, Method, minilm, words};
use avicuna_corpus::pu_valor::Span;
use avicuna_models::fetch::Progress;
use avicuna_models::manifest::cache_dir;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::counter::Counter;
use super::events;
use super::source::Source;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    clustering: Clustering,
    /// The corpus directory to write clusters.json, clusters.txt and clusters.svg to.
    #[arg(long)]
    out: PathBuf,
}

/// How captions are clustered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clustering")]
pub(super) struct Clustering {
    /// How captions are put into clusters.
    #[arg(long, default_value = "bisect")]
    method: MethodName,
    /// What tells how alike captions are.
    #[arg(long, default_value = "minilm")]
    embedder: Embedder,
    /// Different captions (or labels) of a cluster [captions: 16..64, packaged labels: 16..32].
    #[arg(long, value_name = "LEAST..MOST")]
    cluster_size: Option<Span>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodName {
    /// Halve again and again by spherical 2-means.
    Bisect,
    /// A caption and its nearest ones, again and again.
    Greedy,
    /// Any captions together.
    Random,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Embedder {
    /// all-MiniLM-L6-v2, which knows what words mean.
    Minilm,
    /// The words that captions share; needs no download.
    Words,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { source, clustering, out } = arguments;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let catalogue = source.catalogue(out)?;
    let events = Events::of(&catalogue.clips)?;
    let embeddings = clustering.embed(&events, out)?;
    clustering.make(&events, &embeddings, source, out)?;
    println!("{}", std::fs::read_to_string(out.join("clusters.txt"))?);
    Ok(())
}

impl Clustering {
    /// The clusters of a catalogue: those in `out` when they are of the same clips and settings, else new ones.
    pub(super) fn clusters(&self, catalogue: &Catalogue, source: &Source, out: &Path) -> Result<Clusters> {
        let events = Events::of(&catalogue.clips)?;
        let path = out.join("clusters.json");
        let key = events.key(self.embedder.name(), self.method.into(), self.bounds(source), source.seed);
        if path.exists() {
            let known = Clusters::read(&path)?;
            if known.key == key {
                return Ok(known);
            }
        }
        let embeddings = self.embed(&events, out)?;
        self.make(&events, &embeddings, source, out)
    }

    fn bounds(&self, source: &Source) -> Bounds {
        match self.cluster_size {
            Some(span) => Bounds { min: span.min as usize, max: span.max as usize },
            None => source.cluster_size(),
        }
    }

    fn embed(&self, events: &Events<'_>, out: &Path) -> Result<Embeddings> {
        if self.embedder == Embedder::Words {
            return Ok(words::embed(&events.texts)?);
        }
        pull()?;
        let cache = cache_dir()?;
        let counter = Counter::new("embedding")?;
        let (mut done, of) = (0, events.texts.len() as u64);
        let open = || minilm::CaptionEncoder::open(&cache);
        let dir = out.join("embeddings");
        let mut progress = |more| {
            done += more;
            counter.at(done, of);
        };
        let embeddings = cluster::embed_cached(&dir, &events.texts, &open, &mut progress)?;
        counter.end();
        Ok(embeddings)
    }

    /// Clusters, compares the method with the others, and writes clusters and report.
    fn make(
        &self,
        all: &Events<'_>,
        embeddings: &Embeddings,
        source: &Source,
        out: &Path,
    ) -> Result<Clusters> {
        let (method, bounds, seed) = (Method::from(self.method), self.bounds(source), source.seed);
        let others = [Method::Bisect, Method::Greedy, Method::Random];
        let mut methods = vec![method];
        methods.extend(others.into_iter().filter(|other| *other != method));
        let mut measured: Vec<(Method, Quality)> = Vec::new();
        let mut used = Vec::new();
        for (index, method) in methods.into_iter().enumerate() {
            let start = Instant::now();
            let clusters = cluster::partition(embeddings, method, bounds, seed)?;
            eprintln!("{method:?}: {:.1} s", start.elapsed().as_secs_f64());
            measured.push((method, quality::measure(embeddings, &clusters)));
            if index == 0 {
                used = clusters;
            }
        }
        let compared: Vec<Compared<'_>> =
            measured.iter().map(|(method, quality)| Compared { method: *method, quality }).collect();
        let text = cluster::text(all, embeddings, &used, &compared);
        std::fs::write(out.join("clusters.txt"), text)?;
        cluster::plot(&out.join("clusters.svg"), &compared)?;
        let clusters = all.named(&used, self.embedder.name(), method, bounds, seed);
        clusters.write(&out.join("clusters.json"))?;
        println!("{} clusters of {} {}", clusters.clusters.len(), all.texts.len(), events(all.by));
        Ok(clusters)
    }
}

impl Embedder {
    fn name(self) -> &'static str {
        match self {
            Self::Minilm => minilm::NAME,
            Self::Words => words::NAME,
        }
    }
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Bisect => Self::Bisect,
            MethodName::Greedy => Self::Greedy,
            MethodName::Random => Self::Random,
        }
    }
}

/// Fetches the caption encoder when it is not there.
pub(super) fn pull() -> Result<Vec<PathBuf>> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("encoder [{bar:40}] {bytes}/{total_bytes}  {eta} left")?);
    let pulled = minilm::pull(&cache_dir()?, &mut |progress| {
        if let Progress::Bytes(done, total) = progress {
            total.into_iter().for_each(|total| bar.set_length(total));
            bar.set_position(done);
        }
    });
    bar.finish_and_clear();
    Ok(pulled?)
}
