//! The command line: one file for each subcommand, which reads its arguments, calls the crates and prints.

mod config;

use std::process::ExitCode;

use avicuna_pipeline::config::{ConfigError, LogConfig, LogFormat, LogLevel};
use clap::{Parser, Subcommand};
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
    /// Check a configuration, or show what is in effect.
    #[command(subcommand)]
    Config(config::Command),
}

/// The exit code for wrong arguments, which clap uses too, and for wrong configurations.
const WRONG_USE: u8 = 2;

/// Runs the program.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Config(command) => config::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            if error.is::<ConfigError>() { ExitCode::from(WRONG_USE) } else { ExitCode::FAILURE }
        }
    }
}

/// Sends log messages to standard error. `RUST_LOG`, when set, goes before `config.level`.
#[expect(dead_code, reason = "`run` and `localize` use it")]
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
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
