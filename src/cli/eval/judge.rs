//! Open-ended answers and their judge.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use avicuna_evaluation::judge::{Endpoint, Judge, Pair, Verdict, summarize};
use avicuna_evaluation::report::table::{Table, figure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{shown, write_json};

#[derive(Debug, Args)]
pub struct Arguments {
    /// JSON lines {"id": "...", "question": "...", "answer": "...", "prediction": "..."}.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// Up to and with the version, such as http://127.0.0.1:8000/v1.
    #[arg(long, value_name = "ADDRESS")]
    endpoint: String,
    /// Which of its models judges.
    #[arg(long, value_name = "NAME")]
    judge: String,
    /// The variable of the environment that holds the key; where it is not set, none is sent.
    #[arg(long, value_name = "NAME", default_value = "OPENAI_API_KEY")]
    key_env: String,
    /// Tries for each pair.
    #[arg(long, default_value_t = 4)]
    tries: u32,
    /// Seconds that one try may take.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// Where figures and verdicts are written. A second run asks again only for what was not judged.
    #[arg(long = "json", value_name = "OUT")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    summary: avicuna_evaluation::judge::Summary,
    judge: &'a str,
    verdicts: BTreeMap<&'a str, Verdict>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pairs = read(&arguments.pairs)?;
    let known = known(&arguments.out, &arguments.judge);
    let judge = Judge::new(Endpoint {
        base: arguments.endpoint.clone(),
        model: arguments.judge.clone(),
        key: std::env::var(&arguments.key_env).ok().filter(|key| !key.is_empty()),
        tries: arguments.tries,
        pause: Duration::from_secs(1),
        timeout: Duration::from_secs(arguments.timeout),
    });
    let bar = ProgressBar::new(pairs.len() as u64);
    bar.set_style(ProgressStyle::with_template("[{bar:40}] {pos} of {len}  {eta} left")?);
    let mut verdicts = BTreeMap::new();
    for pair in &pairs {
        let verdict = match known.get(&pair.id) {
            Some(verdict @ Verdict::Judged(_)) => verdict.clone(),
            _ => judge.judge(pair),
        };
        verdicts.insert(pair.id.as_str(), verdict);
        bar.inc(1);
        // What was paid for is kept.
        if verdicts.len() % 20 == 0 {
            save(arguments, &verdicts)?;
        }
    }
    bar.finish_and_clear();
    save(arguments, &verdicts)?;
    let summary = summarize(verdicts.values());
    let mut table = Table::new(
        "Open-ended answers",
        &["pairs", "judged", "malformed", "failed", "accuracy", "score (0-5)"],
    );
    let counts =
        [summary.pairs, summary.judged, summary.malformed, summary.failed].map(|count| count.to_string());
    table.rows.push(counts.into_iter().chain([figure(summary.accuracy), figure(summary.score)]).collect());
    println!("{}", shown(&table));
    let failure = verdicts.values().find_map(|verdict| match verdict {
        Verdict::Failed(reason) => Some(reason),
        _ => None,
    });
    anyhow::ensure!(
        summary.judged > 0 || summary.pairs == 0,
        "nothing was judged: {}",
        failure.map_or("", |f| f)
    );
    Ok(())
}

fn save(arguments: &Arguments, verdicts: &BTreeMap<&str, Verdict>) -> anyhow::Result<()> {
    let report =
        Report { summary: summarize(verdicts.values()), judge: &arguments.judge, verdicts: verdicts.clone() };
    write_json(Some(&arguments.out), &report)
}

fn read(path: &Path) -> anyhow::Result<Vec<Pair>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let pair = |(index, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), index + 1))
    };
    lines.map(pair).collect()
}

/// The verdicts of an earlier run with the same judge.
fn known(path: &Path, judge: &str) -> BTreeMap<String, Verdict> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    if report["judge"] != judge {
        return BTreeMap::new();
    }
    serde_json::from_value(report["verdicts"].clone()).unwrap_or_default()
}
