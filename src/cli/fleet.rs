//! `avicuna fleet`: the streams that several daemons share.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use avicuna_pipeline::config::{Config, ConfigError, StreamConfig};
use avicuna_pipeline::fleet::{Desk, Overview, SharedStream};
use clap::Subcommand;

/// How long the brokers are listened to before what they keep is taken for all.
const SETTLED: Duration = Duration::from_millis(1500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who watches what: daemons with their load, streams with who has them. JSON into a pipe.
    Status {
        #[command(flatten)]
        fleet: Fleet,
        /// JSON on a terminal, too.
        #[arg(long)]
        json: bool,
    },
    /// Put the streams of a file into the fleet: those that are there already get the settings of the file.
    Apply {
        /// A file with `[[stream]]` sections, and `[defaults]`.
        file: PathBuf,
        #[command(flatten)]
        fleet: Fleet,
        /// Take streams out that the file does not name.
        #[arg(long)]
        prune: bool,
    },
    /// Take streams out of the fleet; their open events are ended.
    Remove {
        /// Their ids.
        #[arg(required = true)]
        streams: Vec<String>,
        #[command(flatten)]
        fleet: Fleet,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Fleet {
    /// The configuration of a daemon of the fleet: `[fleet]` and `[sink.kafka]` of it.
    #[arg(long, default_value = "config/avicuna.toml")]
    config: PathBuf,
}

impl Fleet {
    async fn open(&self) -> anyhow::Result<Desk> {
        let config = Config::load(&self.config, std::env::vars())?.config;
        let desk = Desk::open(&config.sink.kafka, &config.fleet).await?;
        let Some(desk) = desk else { bail!("{}: names no fleet; set fleet.group", self.config.display()) };
        // The topics are short; nobody says where they end.
        let mut changes = desk.changes();
        while tokio::time::timeout(SETTLED, changes.changed()).await.is_ok() {}
        Ok(desk)
    }
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        match command {
            Command::Status { fleet, json } => status(&fleet.open().await?.overview(), json)?,
            Command::Apply { file, fleet, prune } => apply(&file, &fleet, prune).await?,
            Command::Remove { streams, fleet } => {
                let desk = fleet.open().await?;
                for id in streams {
                    desk.remove(&id).await?;
                    println!("{id}: taken out");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn apply(file: &Path, fleet: &Fleet, prune: bool) -> anyhow::Result<()> {
    let wanted = Config::load(file, [])?.config.stream;
    let problems: Vec<_> = wanted.iter().flat_map(Config::stream_problems).collect();
    if !problems.is_empty() {
        return Err(ConfigError { problems }.into());
    }
    if wanted.is_empty() {
        bail!("{}: has no [[stream]]", file.display());
    }
    let desk = fleet.open().await?;
    let known = |id: &str| -> Option<Option<StreamConfig>> {
        desk.look(|table| {
            table.streams().get(id).map(|setting| setting.config.clone().ok().map(|config| *config))
        })
    };
    for stream in &wanted {
        match known(&stream.id) {
            Some(Some(before)) if before == *stream => println!("{}: as before", stream.id),
            before => {
                desk.put(stream).await?;
                println!("{}: {}", stream.id, if before.is_some() { "changed" } else { "added" });
            }
        }
    }
    if prune {
        let all: Vec<String> = desk.look(|table| table.streams().keys().cloned().collect());
        for id in all.into_iter().filter(|id| wanted.iter().all(|stream| stream.id != *id)) {
            desk.remove(&id).await?;
            println!("{id}: taken out");
        }
    }
    Ok(())
}

fn status(overview: &Overview, json: bool) -> anyhow::Result<()> {
    if json || !std::io::stdout().is_terminal() {
        println!("{}", serde_json::to_string_pretty(overview)?);
        return Ok(());
    }
    print!("{}", table(overview));
    Ok(())
}

/// For a person.
fn table(overview: &Overview) -> String {
    let Overview { group, partitions, unassigned, members, streams } = overview;
    let mut text = format!(
        "fleet {group}: {} daemons, {partitions} partitions, {} streams\n\n",
        members.len(),
        streams.len()
    );
    text += &format!(
        "{:<28} {:>10} {:>8} {:>14} {:>9}\n",
        "DAEMON", "PARTITIONS", "STREAMS", "WINDOWS/S", "HEADROOM"
    );
    for member in members {
        let capacity = member.capacity.map_or_else(|| "-".to_owned(), |most| format!("{most:.2}"));
        let headroom =
            member.capacity.filter(|most| *most > 0.0).map(|most| 100.0 * (1.0 - member.load / most));
        let headroom = headroom.map_or_else(|| "-".to_owned(), |part| format!("{part:.0} %"));
        let pace = format!("{:.2} of {capacity}", member.load);
        let (name, shares, watched) = (&member.member, member.partitions.len(), member.streams.len());
        text += &format!("{name:<28} {shares:>10} {watched:>8} {pace:>14} {headroom:>9}\n");
    }
    if !unassigned.is_empty() {
        text += &format!("nobody has the partitions {unassigned:?}\n");
    }
    text += &format!("\n{:<28} {:>9} {:<10} {:>7} {}\n", "STREAM", "PARTITION", "STATE", "LAG", "DAEMON");
    for stream in streams {
        let member = stream.member.as_deref().unwrap_or("-");
        let reason = stream.reason.as_ref().map(|reason| format!("  ({reason})")).unwrap_or_default();
        let lag = stream.lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s"));
        let SharedStream { id, partition, state, .. } = stream;
        text += &format!("{id:<28} {partition:>9} {state:<10} {lag:>7} {member}{reason}\n");
    }
    text
}
