//! `avicuna bench`: what this machine holds.

mod load;
mod search;
mod trial;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use avicuna_models::manifest::default_model;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};

use serde::Serialize;

use self::search::{Found, most};
use self::trial::{Rules, Trial, run_trial};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find how many live streams this machine watches in time: each trial is a daemon that watches one source so many times over.
    Streams(Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What is watched: the address of a camera, or a film, which is played in a loop at its own speed.
    source: String,
    /// The directory of the model.
    #[arg(long, default_value_os_t = default_model())]
    model: PathBuf,
    /// Asked in each window beside what happens; may be given several times.
    #[arg(long = "query", value_name = "TEXT", default_values = ["a dog barks", "a person speaks", "a car"])]
    queries: Vec<String>,
    /// Length of a window; by default the model's.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    window: Option<Duration>,
    /// From one window to the next; by default half a window.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    hop: Option<Duration>,
    /// Try these numbers of streams only, instead of looking for the most.
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    streams: Vec<usize>,
    /// More streams are not tried.
    #[arg(long, default_value_t = 64)]
    most: usize,
    /// How long a trial is measured, once each stream has had a window answered.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    measure: Duration,
    /// What may lie between the end of a window and its records, of 99 in 100.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    late: Duration,
    /// Measure another program too, in turns.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Write the trials here too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.001..=86400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds are from 0.001 to 86400".to_owned())
}

/// A program and what it was tried with.
struct Tried {
    name: &'static str,
    program: PathBuf,
    trials: Vec<Trial>,
    found: Option<Found>,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Streams(arguments) = command;
    ensure!(arguments.most > 0 && !arguments.streams.contains(&0), "no stream is no trial; try one at least");
    let rules = Rules {
        source: arguments.source,
        model: std::path::absolute(&arguments.model)?,
        queries: arguments.queries,
        window: arguments.window,
        hop: arguments.hop,
        measure: arguments.measure,
        late: arguments.late,
    };
    let this = std::env::current_exe().context("this program cannot be found")?;
    let mut programs = vec![Tried { name: "this", program: this, trials: Vec::new(), found: None }];
    if let Some(program) = arguments.against {
        programs.push(Tried { name: "other", program, trials: Vec::new(), found: None });
    }
    if arguments.streams.is_empty() {
        look_for_most(&mut programs, &rules, arguments.most)?;
    } else {
        for streams in arguments.streams {
            for tried in &mut programs {
                attempt(tried, &rules, streams)?;
            }
        }
    }
    println!("{}", table(&programs));
    for tried in &programs {
        if let Some(found) = tried.found {
            println!("{}: {}", tried.name, found.told());
        }
    }
    if let Some(last) = programs[0].trials.iter().rfind(|trial| trial.holds) {
        println!("{}", last.roofline());
    }
    if let Some(path) = arguments.json {
        write(&programs, &path)?;
    }
    Ok(())
}

/// In turns, so that what else the machine does is everybody's trouble.
fn look_for_most(programs: &mut [Tried], rules: &Rules, most_tried: usize) -> anyhow::Result<()> {
    loop {
        let mut is_over = true;
        for tried in &mut *programs {
            let outcomes: Vec<(usize, bool)> =
                tried.trials.iter().map(|trial| (trial.streams, trial.holds)).collect();
            let share = tried.trials.first().map(Trial::share);
            match most(&outcomes, share, most_tried) {
                Found::Try(streams) => {
                    is_over = false;
                    attempt(tried, rules, streams)?;
                }
                found => tried.found = Some(found),
            }
        }
        if is_over {
            return Ok(());
        }
    }
}

fn attempt(tried: &mut Tried, rules: &Rules, streams: usize) -> anyhow::Result<()> {
    let trial = run_trial(&tried.program, rules, streams)
        .with_context(|| format!("{} with {streams} streams", tried.program.display()))?;
    eprintln!("{}: {}", tried.name, trial.told());
    tried.trials.push(trial);
    Ok(())
}

fn table(programs: &[Tried]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "program",
        "streams",
        "in time",
        "p50",
        "p95",
        "p99",
        "shed",
        "answered",
        "cores",
        "of sources",
        "MiB",
        "MiB of sources",
    ]);
    for tried in programs {
        for trial in &tried.trials {
            let [half, most, nearly_all] = trial.delays.map(|delay| format!("{delay:.1} s"));
            table.add_row([
                tried.name.to_owned(),
                trial.streams.to_string(),
                if trial.holds { "yes" } else { "no" }.to_owned(),
                half,
                most,
                nearly_all,
                trial.shed.to_string(),
                trial.answered.to_string(),
                format!("{:.2}", trial.cores),
                format!("{:.2}", trial.source_cores),
                trial.mebibytes.to_string(),
                trial.source_mebibytes.to_string(),
            ]);
        }
    }
    table
}

fn write(programs: &[Tried], path: &Path) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Of<'a> {
        program: &'a Path,
        trials: &'a [Trial],
    }
    let all: Vec<_> =
        programs.iter().map(|tried| Of { program: &tried.program, trials: &tried.trials }).collect();
    std::fs::write(path, serde_json::to_string_pretty(&all)? + "\n")
        .with_context(|| format!("{} cannot be written", path.display()))
}
