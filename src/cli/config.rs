//! `avicuna config`: check a configuration, or show what is in effect.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use avicuna_models::manifest::Manifest;
use avicuna_pipeline::config::{Config, ConfigError};
use avicuna_pipeline::watching;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell everything that is wrong with a configuration, with its file, line and field. Exit code 2 if anything is.
    Check {
        /// The configuration.
        file: PathBuf,
    },
    /// Print the configuration in effect, with defaults and environment, without secrets.
    Show {
        /// The configuration.
        #[arg(long, default_value = "config/avicuna.toml")]
        config: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { file } => {
            let loaded = Config::load(file, std::env::vars())?;
            let mut problems = loaded.missing_files();
            match Manifest::load(&loaded.config.model.path) {
                Ok(manifest) => match watching::plan(&loaded, &manifest) {
                    Ok(_) => {}
                    Err(error) => problems.extend(error.problems),
                },
                Err(error) => problems.push(loaded.places.problem("model.path", error.to_string())),
            }
            if !problems.is_empty() {
                return Err(ConfigError { problems }.into());
            }
            println!("{}: good; {} streams", file.display(), loaded.config.stream.len());
        }
        Command::Show { config } => {
            let loaded = Config::load(config, std::env::vars())?;
            print!("{}", loaded.config.to_toml().context("the configuration cannot be shown")?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
