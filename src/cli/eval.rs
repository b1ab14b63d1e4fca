//! `avicuna eval`: what a model is worth, on a corpus watched through the real path or on files of answers.

mod ablate;
mod calibrate;
mod corpus;
mod files;
mod judge;

use std::path::{Path, PathBuf};

use anyhow::Context;
use avicuna_evaluation::report::table::Table;
use avicuna_pipeline::config::{LogConfig, LogLevel};
use clap::{Args, Subcommand};
use comfy_table::presets;
use serde::Serialize;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    data: Option<corpus::Data>,
    #[command(flatten)]
    watch: corpus::Watch,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mean average precision of detections, by the rule of UnAV-100.
    Map(files::Map),
    /// Grounding answers with one segment each, by the rule of VTimeLLM.
    Grounding(files::Grounding),
    /// Dense captions: METEOR, CIDEr, SODA_c. Needs Java; fetches METEOR and the tokenizer once.
    Captions(files::Captions),
    /// Open-ended answers, judged by a model behind an OpenAI-compatible endpoint.
    Judge(judge::Arguments),
    /// Least scores for a stream, from what people said of its events.
    Calibrate(calibrate::Arguments),
    /// The same corpus with something taken away or done otherwise.
    Ablate(ablate::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    super::start_log(&LogConfig { level: LogLevel::Error, ..LogConfig::default() });
    match (&arguments.command, &arguments.data) {
        (Some(Command::Map(map)), _) => files::map(map),
        (Some(Command::Grounding(grounding)), _) => files::grounding(grounding),
        (Some(Command::Captions(captions)), _) => files::captions(captions),
        (Some(Command::Judge(judge)), _) => judge::run(judge),
        (Some(Command::Calibrate(calibrate)), _) => calibrate::run(calibrate),
        (Some(Command::Ablate(ablate)), _) => ablate::run(ablate),
        (None, Some(data)) => corpus::run(data, &arguments.watch),
        (None, None) => anyhow::bail!("name a corpus with --data, or see `avicuna eval --help`"),
    }
}

/// A table for the terminal.
fn shown(table: &Table) -> String {
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(&table.header);
    for row in &table.rows {
        drawn.add_row(row);
    }
    format!("{}\n{drawn}", table.title)
}

/// Writes a file, and the folder it is in.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Writes JSON where it is asked for.
fn write_json(path: Option<&PathBuf>, value: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    write(path, &(serde_json::to_string_pretty(value)? + "\n"))
}

/// `out.json` and `windows.jsonl` to `out.windows.jsonl`.
fn beside(out: &Path, name: &str) -> PathBuf {
    out.with_extension(name)
}
