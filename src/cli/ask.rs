//! `avicuna ask`: a question about a file, or about what a running daemon has just seen.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use avicuna_models::manifest::default_model;
use avicuna_pipeline::config::StreamConfig;
use avicuna_pipeline::daemon::{self, Reply};
use clap::Args;
use serde_json::{Value, json};

use super::alone::{self, Alone};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file, an address of something that ends, or the id of a stream that a daemon watches.
    source: String,
    /// In your own words.
    question: String,
    /// The model directory, for files.
    #[arg(long, default_value_os_t = default_model())]
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
    super::start_log(&alone::log());
    let watched = arguments.source.contains("://") || Path::new(&arguments.source).exists();
    if !watched && (arguments.source.contains('/') || Path::new(&arguments.source).extension().is_some()) {
        bail!("{} is not there", arguments.source);
    }
    let words = if watched { of_file(arguments)?.to_string() } else { of_stream(arguments)? };
    println!("{words}");
    Ok(ExitCode::SUCCESS)
}

fn of_file(arguments: &Arguments) -> anyhow::Result<Reply> {
    let mut stream = StreamConfig::new("ask", &arguments.source);
    stream.live = Some(false);
    let Alone { localizer, plan } = alone::prepare(stream, &arguments.model, &arguments.device)?;
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
    let tls = ureq::tls::TlsConfig::builder().root_certs(avicuna_pipeline::trust::roots()).build();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build().new_agent();
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
