//! `avicuna completions` and `avicuna man`: the command line as shells and readers of manuals know it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Whose completions.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder to write into, which is made where it is not there.
    dir: PathBuf,
}

pub(super) fn completions(command: &mut clap::Command, arguments: &Completions) -> anyhow::Result<ExitCode> {
    // Into memory first: the writer of completions panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "avicuna", &mut script);
    std::io::stdout().write_all(&script).context("the completions cannot be printed")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(command: clap::Command, arguments: &Man) -> anyhow::Result<ExitCode> {
    let dir = &arguments.dir;
    let write = |dir: &Path| {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(command, dir)
    };
    write(dir).with_context(|| format!("{}: the manual cannot be written", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
