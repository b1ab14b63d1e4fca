//! Puts the parts of all shards together.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use serde_json::value::RawValue;

use super::{Counts, Done, Part, Shard, write_whole};
use crate::pu_valor::annotations::VERSION;
use crate::pu_valor::statistics::{Counter, Statistics};
use crate::pu_valor::{PuValorError, Timeline, card};

/// Joins the parts in `out` to its lists, and writes `corpus.json`, `statistics.json` and `CARD.md`. The parts are removed.
pub fn merge(out: &Path) -> Result<Statistics, PuValorError> {
    let (parts, done) = complete(out)?;
    let mut counts = Counts::default();
    for part in &done {
        counts.groups += part.counts.groups;
        counts.videos += part.counts.videos;
        counts.add(&part.counts);
    }
    join(&parts, "groups", &out.join("groups.jsonl"), &Frame::LINES, |_| Ok(()))?;
    let mut counter = Counter::default();
    join(&parts, "timelines", &out.join(Timeline::FILE), &Frame::LINES, |line| {
        let timeline: Timeline = serde_json::from_str(line).map_err(|e| e.to_string())?;
        counter.add(&timeline);
        Ok(())
    })?;
    join(&parts, "records", &out.join("records.json"), &Frame::ARRAY, |_| Ok(()))?;
    join(&parts, "queries", &out.join("queries.json"), &Frame::ARRAY, |_| Ok(()))?;
    let open = format!("{{\"version\":{},\"database\":{{\n", json!(VERSION));
    let database = Frame { open: &open, between: ",\n", close: "\n}}\n", pairs: true };
    join(&parts, "annotations", &out.join("annotations.json"), &database, |_| Ok(()))?;

    let statistics = counter.finish(counts.queries, counts.dialogues);
    let settings = &done[0].settings;
    let clips = statistics.clips;
    let corpus = json!({
        "format": 1, "preset": settings.preset, "seed": settings.seed, "split": settings.split, "clips": clips,
        "groups": counts.groups, "videos": counts.videos, "settings": settings,
    });
    write_whole(&out.join("statistics.json"), &pretty(&json!(statistics)))?;
    write_whole(&out.join("CARD.md"), card::write(settings, &statistics).as_bytes())?;
    write_whole(&out.join("corpus.json"), &pretty(&corpus))?;
    let parts = out.join("parts");
    std::fs::remove_dir_all(&parts).map_err(PuValorError::write(&parts))?;
    Ok(statistics)
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// All parts in `out`, when none is missing and all were made with the same settings.
fn complete(out: &Path) -> Result<(Vec<Part>, Vec<Done>), PuValorError> {
    let dir = out.join("parts");
    // Whichever part is there says how many there should be.
    let entries = std::fs::read_dir(&dir).map_err(PuValorError::read(&dir))?;
    let counts = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.rsplit_once("-of-").and_then(|(_, of)| of.parse::<usize>().ok())
    });
    let of = counts.min().filter(|of| *of > 0).unwrap_or(1);
    let parts: Vec<Part> = (1..=of).map(|index| Part::of(out, Shard { index, of })).collect();
    let mut done: Vec<Done> = Vec::with_capacity(of);
    for (index, part) in parts.iter().enumerate() {
        let shard = index + 1;
        let missing = || PuValorError::MissingShard { dir: out.to_owned(), missing: shard, of };
        let part = part.done().ok_or_else(missing)?;
        if done.first().is_some_and(|first| first.key != part.key) {
            return Err(PuValorError::MixedShards { dir: out.to_owned(), shard });
        }
        done.push(part);
    }
    Ok((parts, done))
}

/// What stands around and between the lines of a list.
struct Frame<'a> {
    open: &'a str,
    between: &'a str,
    close: &'a str,
    /// Each line is a pair `[key, value]` and becomes `key: value`.
    pairs: bool,
}

impl Frame<'static> {
    const LINES: Self = Self { open: "", between: "\n", close: "\n", pairs: false };
    const ARRAY: Self = Self { open: "[\n", between: ",\n", close: "\n]\n", pairs: false };
}

/// Joins one list of all parts, line by line, so that no list need fit into memory; `see` gets each line.
fn join(
    parts: &[Part],
    list: &str,
    path: &Path,
    frame: &Frame<'_>,
    mut see: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), PuValorError> {
    let unfinished: PathBuf = path.with_added_extension("part");
    let wrong = PuValorError::write;
    let file = File::create(&unfinished).map_err(wrong(&unfinished))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut write = |text: &str| out.write_all(text.as_bytes()).map_err(wrong(&unfinished));
    write(frame.open)?;
    let mut first = true;
    for part in parts {
        let from = part.list(list);
        let file = File::open(&from).map_err(PuValorError::read(&from))?;
        for (number, line) in BufReader::with_capacity(1 << 20, file).lines().enumerate() {
            let line = line.map_err(PuValorError::read(&from))?;
            let content = |reason| PuValorError::Content { path: from.clone(), line: number + 1, reason };
            see(&line).map_err(content)?;
            if !first {
                write(frame.between)?;
            }
            first = false;
            if frame.pairs {
                let pair: Result<(&RawValue, &RawValue), _> = serde_json::from_str(&line);
                let (key, value) = pair.map_err(|error| content(format!("is no pair: {error}")))?;
                write(key.get())?;
                write(":")?;
                write(value.get())?;
            } else {
                write(&line)?;
            }
        }
    }
    if !first || !frame.open.is_empty() {
        write(frame.close)?;
    }
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(wrong(&unfinished))?;
    std::fs::rename(&unfinished, path).map_err(wrong(path))
}
