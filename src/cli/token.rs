//! `avicuna token`: who may call the interface.

use std::process::ExitCode;

use avicuna_server::auth::{Role, new_token};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What it is called in the file.
    name: String,
    /// `read`, `write` or `admin`.
    #[arg(long, default_value = "read")]
    role: Role,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (token, line) = new_token(&arguments.name, arguments.role).map_err(anyhow::Error::msg)?;
    println!("{line}");
    eprintln!("Add the line above to control.token_file. The token, which is shown only now:\n{token}");
    Ok(ExitCode::SUCCESS)
}
