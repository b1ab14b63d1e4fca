//! The command line: one file for each subcommand, which reads its arguments, calls the crates and prints.

mod alone;
mod ask;
mod bench;
mod config;
#[cfg(feature = "training")]
mod dataset;
#[cfg(feature = "training")]
mod eval;
mod fleet;
mod localize;
mod models;
mod notify;
mod run;
mod shell;
mod source;
mod token;
#[cfg(feature = "training")]
mod train;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use avicuna_pipeline::config::{ConfigError, LogConfig, LogFormat, LogLevel};
use avicuna_pipeline::daemon::DaemonError;
use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Watches live streams and says what happened, when, seen or heard.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the streams of a configuration and publish what happens in them.
    Run(run::Arguments),
    /// Watch one file or stream, and print what happens in it: a table, or JSON into a pipe.
    Localize(localize::Arguments),
    /// Ask about a file, or about what a running daemon has just seen of a stream.
    Ask(ask::Arguments),
    /// Check a configuration, or show what is in effect.
    #[command(subcommand)]
    Config(config::Command),
    /// The streams that several daemons share.
    #[command(subcommand)]
    Fleet(fleet::Command),
    /// Make a token for callers of the interface: prints the line for `control.token_file`.
    Token(token::Arguments),
    /// Measure what this machine holds.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Fetch, show and import models.
    #[command(subcommand)]
    Models(models::Command),
    /// Make pseudo-untrimmed videos with questions and answers, to train and to measure with.
    #[cfg(feature = "training")]
    #[command(subcommand)]
    Dataset(dataset::Command),
    /// Train one of the four stages of a model, or go on with it.
    #[cfg(feature = "training")]
    Train(train::Arguments),
    /// Measure a model on a corpus, or files of answers.
    #[cfg(feature = "training")]
    Eval(Box<eval::Arguments>),
    /// Print what a shell needs to complete the command line.
    Completions(shell::Completions),
    /// Write the manual, a page for each subcommand.
    Man(shell::Man),
    /// The process of one source, which the daemon starts.
    #[command(hide = true)]
    Source(source::Arguments),
}

/// The exit code for wrong arguments, which clap uses too, and for wrong configurations.
const WRONG_USE: u8 = 2;

/// The exit code when every stream has ended, but some for trouble.
const TROUBLE: u8 = 3;

/// Prints an answer.
///
/// # Errors
/// When it cannot be written. Who reads no further has read enough.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("standard output cannot be written"))
        }
        _ => Ok(()),
    }
}

/// `println!` panics where standard output cannot be written; that is no fault of the program, and is said in a line.
fn say_what_stdout_says() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().and_then(|said| said.strip_prefix("failed printing to stdout: "));
        match said {
            Some(reason) => {
                // Who reads no further has read enough.
                if !reason.contains("Broken pipe") {
                    eprintln!("standard output cannot be written: {reason}");
                }
                std::process::exit(1);
            }
            None => usual(panic),
        }
    }));
}

/// Runs the program.
pub fn main() -> ExitCode {
    say_what_stdout_says();
    let result = match Cli::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Localize(arguments) => localize::run(&arguments),
        Command::Config(command) => config::run(&command),
        Command::Ask(arguments) => ask::run(&arguments),
        Command::Fleet(command) => fleet::run(command),
        Command::Token(arguments) => token::run(&arguments),
        Command::Bench(command) => bench::run(command).map(|()| ExitCode::SUCCESS),
        Command::Models(command) => models::run(&command).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "training")]
        Command::Dataset(command) => dataset::run(&command).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "training")]
        Command::Train(arguments) => train::run(&arguments),
        #[cfg(feature = "training")]
        Command::Eval(arguments) => eval::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Completions(arguments) => shell::completions(&mut Cli::command(), &arguments),
        Command::Man(arguments) => shell::man(Cli::command(), &arguments),
        Command::Source(arguments) => source::run(arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", told(&error));
            let unfit = matches!(error.downcast_ref(), Some(DaemonError::Config(_)));
            if unfit || error.is::<ConfigError>() { ExitCode::from(WRONG_USE) } else { ExitCode::FAILURE }
        }
    }
}

/// What went wrong and why, each reason once: many of our errors name their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Sends log messages to standard error. `RUST_LOG`, when set, goes before `config.level`.
fn start_log(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
