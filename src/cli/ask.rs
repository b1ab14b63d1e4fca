//! `avicuna ask`: a question about a file, or about what a running daemon has just seen.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_pipeline::config::{LogConfig, LogLevel, StreamConfig};
use avicuna_pipeline::daemon::{self, Reply};
use avicuna_pipeline::watching::Plan;
use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file, an address of something that ends, or the id of a stream that a daemon watches.
    source: String,
    /// In your own words.
    question: String,
    /// The model directory, for files.
    #[arg(long, default_value = "assets/models/avicuna-natural")]
    model: PathBuf,
    /// `auto`, `cpu` or `cuda:N`, for files.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Where the daemon of a stream answers.
    #[arg(long, default_value = "http://127.0.0.1:9464")]
    daemon: String,
    /// A file that holds the token for the daemon.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Of a stream: from when, RFC 3339; by default as long ago as it remembers.
    #[arg(long)]
    from: Option<String>,
    /// Of a stream: until when, RFC 3339; by default until now.
    #[arg(long)]
    to: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let log = LogConfig { level: LogLevel::Error, ..LogConfig::default() };
    super::start_log(&log);
    let watched = arguments.source.contains("://") || Path::new(&arguments.source).exists();
    if !watched && (arguments.source.contains('/') || Path::new(&arguments.source).extension().is_some()) {
        bail!("{} is not there", arguments.source);
    }
    let words = if watched { of_file(arguments, &log)?.to_string() } else { of_stream(arguments)? };
    println!("{words}");
    Ok(ExitCode::SUCCESS)
}

fn of_file(arguments: &Arguments, log: &LogConfig) -> anyhow::Result<Reply> {
    let mut stream = StreamConfig::new("ask", &arguments.source);
    stream.live = Some(false);
    stream.address()?.check()?;
    let device = arguments.device.parse().map_err(anyhow::Error::msg)?;
    let localizer = Localizer::load(&arguments.model, &LoadOptions { device, ..LoadOptions::default() })
        .with_context(|| format!("the model in {} cannot be loaded", arguments.model.display()))?;
    let mut plan = Plan::of(&stream, localizer.manifest())?;
    plan.apart = stream.is_apart().then(|| super::source::worker(log)).transpose()?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime does not start")?;
    let reply = runtime.block_on(daemon::ask(plan, localizer, &arguments.question));
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(reply?)
}

fn of_stream(arguments: &Arguments) -> anyhow::Result<String> {
    let mut span = json!({"type": "stream_span", "stream_id": arguments.source});
    for (key, time) in [("from", &arguments.from), ("to", &arguments.to)] {
        if let Some(time) = time {
            span[key] = json!(time);
        }
    }
    let content = json!([{"type": "text", "text": arguments.question}, span]);
    let body = json!({"messages": [{"role": "user", "content": content}]});
    let url = format!("{}/v1/chat/completions", arguments.daemon.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(&url).header("Content-Type", "application/json");
    if let Some(path) = &arguments.token_file {
        let token =
            std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        request = request.header("Authorization", format!("Bearer {}", token.trim()));
    }
    let mut response = request
        .send(body.to_string())
        .with_context(|| format!("no daemon answers at {}; name it with --daemon", arguments.daemon))?;
    let text = response.body_mut().read_to_string().context("the answer cannot be read")?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("this is no answer: {text}"))?;
    if !response.status().is_success() {
        bail!("{}", answer["detail"].as_str().unwrap_or(&text));
    }
    let words = answer["choices"][0]["message"]["content"].as_str();
    Ok(words.with_context(|| format!("this is no answer: {text}"))?.to_owned())
}
