//! `avicuna train`: one stage of training, with a progress bar; an interruption leaves a checkpoint.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use avicuna_trainer::stages::config::Config;
use avicuna_trainer::stages::{Exported, Options, Progress, Signal, export, train};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

/// The exit code when a stage was interrupted before its end.
const INTERRUPTED: u8 = 4;

#[derive(Debug, Args)]
pub struct Arguments {
    /// 1: vision-text alignment, 2: audio-text alignment, 3: time-event alignment, 4: instruction tuning.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=4))]
    stage: u8,
    /// The configuration; see docs/training.md and config/train/.
    #[arg(long)]
    config: PathBuf,
    /// Learn from this corpus instead of the configuration's; may be given several times.
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// The folder of the run, which holds a folder for each stage.
    #[arg(long, default_value = "run")]
    out: PathBuf,
    /// Go on from the stage's last checkpoint, if there is one.
    #[arg(long)]
    resume: bool,
    /// Stop after so many steps, with a checkpoint.
    #[arg(long)]
    steps: Option<u64>,
    /// Train nothing: write what the stage would learn from into a folder, for trainers on many machines (docs/training.md).
    #[arg(long, value_name = "DIR", conflicts_with_all = ["resume", "steps"])]
    export: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut config = Config::load(&arguments.config)?;
    if !arguments.data.is_empty() {
        config.learn_from(arguments.stage, &arguments.data)?;
    }
    if let Some(dir) = &arguments.export {
        return write_samples(&config, arguments, dir);
    }
    let options = Options {
        stage: arguments.stage,
        out: arguments.out.clone(),
        resume: arguments.resume,
        steps: arguments.steps,
    };
    let stop = stop_on_interrupt()?;
    let bar = ProgressBar::no_length();
    let style = "{msg} [{bar:30}] {pos}/{len}  {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    bar.set_message("loading");
    let outcome = train(&config, &options, &mut |progress| {
        match progress {
            Progress::Begins { samples, steps, done, learning } => {
                let numbers = learning as f64 / 1e6;
                bar.println(format!("{samples} samples, {steps} steps, {numbers:.2} million numbers learn"));
                bar.set_length(steps);
                bar.set_position(done);
                bar.reset_eta();
            }
            Progress::Step(entry) => {
                let (loss, speed) = (entry.loss, entry.tokens_per_second);
                bar.set_message(format!("loss {loss:.3}  lr {:.1e}  {speed:.0} tokens/s", entry.lr));
                bar.set_position(entry.step);
            }
            Progress::Saved(_) => {}
            Progress::Skipped(why) => bar.println(format!("left out: {why}")),
        }
        if stop.load(Ordering::Relaxed) { Signal::Stop } else { Signal::Continue }
    });
    bar.finish_and_clear();
    let outcome = outcome?;
    if outcome.skipped + outcome.cut > 0 {
        println!("{} samples left out, {} tokens cut from too long ones", outcome.skipped, outcome.cut);
    }
    let loss = outcome.loss.map_or(String::new(), |loss| format!(", loss {loss:.3}"));
    println!("step {} of {}{loss}", outcome.steps, outcome.of);
    match outcome.model {
        Some(model) => {
            println!("the model is in {}", model.display());
            Ok(ExitCode::SUCCESS)
        }
        None => {
            println!("go on with --resume");
            let asked = arguments.steps.is_some() && !stop.load(Ordering::Relaxed);
            Ok(if asked { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) })
        }
    }
}

fn write_samples(config: &Config, arguments: &Arguments, dir: &Path) -> Result<ExitCode> {
    let exported = export(config, (arguments.stage, &arguments.out), dir, &mut |progress| {
        if let Progress::Skipped(why) = progress {
            println!("left out: {why}");
        }
    })?;
    let Exported { sequences, steps, skipped, cut } = exported;
    if skipped + cut > 0 {
        println!("{skipped} samples left out, {cut} tokens cut from too long ones");
    }
    println!("{sequences} sequences of {steps} steps are in {}", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Set by the first interrupt (or a request to terminate); the second ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot watch for interrupts")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            for _ in 0..2 {
                interrupted().await;
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(i32::from(INTERRUPTED));
                }
                eprintln!("stopping after this step; once more to stop at once");
            }
        });
    });
    Ok(stop)
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => if result.is_err() { std::future::pending::<()>().await },
        _ = terminate.recv() => {}
    }
}
