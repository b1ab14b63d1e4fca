//! The configuration: TOML, environment overrides, defaults and what must hold of it. `config/avicuna.toml` explains
//! every key to users.

mod check;
mod clips;
mod control;
mod document;
mod error;
mod fleet;
mod places;
mod stream;
mod tell;
#[cfg(test)]
mod tests;
mod traces;

use std::path::{Path, PathBuf};
use std::time::Duration;

use avicuna_models::manifest::default_model;
use serde::{Deserialize, Serialize};

pub use clips::{ClipsConfig, S3Config};
pub use control::{AllowConfig, ControlConfig, HistoryConfig};
pub use document::parse;
pub use error::{ConfigError, Problem};
pub use fleet::{FleetConfig, FleetProtocol, FleetTopics};
pub use places::Places;
pub use stream::{Isolation, ReconnectConfig, StreamConfig};
pub use tell::{MqttConfig, RecordKind, SecretKey, WebhookConfig};
pub use traces::TracesConfig;

use crate::durations;
use crate::outbox::OutboxConfig;
use crate::schedule::ScheduleConfig;
use crate::sink::KafkaConfig;

/// Everything a user can set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which model answers, and on what.
    pub model: ModelConfig,
    /// How windows of many streams share the model.
    pub schedule: ScheduleConfig,
    /// Where records wait for delivery.
    pub outbox: OutboxConfig,
    /// Where records go.
    pub sink: SinkConfig,
    /// The interface over HTTP.
    pub control: ControlConfig,
    /// What the interface remembers.
    pub history: HistoryConfig,
    /// What is kept of events, to be looked at.
    pub clips: ClipsConfig,
    /// With whom its streams are shared.
    pub fleet: FleetConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Who is shown where the time of windows goes.
    pub traces: TracesConfig,
    /// When and how the daemon ends.
    pub daemon: DaemonConfig,
    /// Who is told over HTTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook: Vec<WebhookConfig>,
    /// Who is told over MQTT.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mqtt: Vec<MqttConfig>,
    /// What is watched. `[defaults]` of the file has been filled in.
    pub stream: Vec<StreamConfig>,
}

/// `[model]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The model directory, with its `model.toml`.
    pub path: PathBuf,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// CPU threads of each encoder and of the LLM; 0 takes one for each core.
    pub threads: usize,
}

/// `[sink]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkConfig {
    /// Which of the sinks is used.
    pub kind: SinkKind,
    /// For `kafka`; `embedded` takes the names of the topics from here.
    pub kafka: KafkaConfig,
    /// For `jsonl`.
    pub jsonl: JsonlConfig,
}

/// `[sink] kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// A Kafka cluster.
    #[default]
    Kafka,
    /// JSON lines in a file or on standard output.
    Jsonl,
    /// A Kafka broker inside the daemon, for trying things out.
    Embedded,
}

/// `[sink.jsonl]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JsonlConfig {
    /// A file that lines are added to; `-` is standard output.
    pub path: PathBuf,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The least important messages that are shown.
    pub level: LogLevel,
    /// How they are written to standard error.
    pub format: LogFormat,
}

/// `[log] level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what is lost or broken.
    Error,
    /// Also what is degraded.
    Warn,
    /// Also what happens rarely and matters.
    #[default]
    Info,
    /// Also what helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// `[log] format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[daemon]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonConfig {
    /// End, with exit code 0, when every stream has ended.
    pub exit_when_done: bool,
    /// Live streams that would begin at once begin apart, within a hop, so that the model gets their windows one after the other.
    pub spread: bool,
    /// At shutdown, how long the model may work on windows that wait; the rest is shed.
    #[serde(with = "durations")]
    pub grace: Duration,
    /// At shutdown, how long delivery may take; the rest stays in the outbox.
    #[serde(with = "durations")]
    pub flush: Duration,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { path: default_model(), device: "auto".to_owned(), threads: 0 }
    }
}

impl Default for JsonlConfig {
    fn default() -> Self {
        Self { path: PathBuf::from("-") }
    }
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            exit_when_done: true,
            spread: true,
            grace: Duration::from_secs(10),
            flush: Duration::from_secs(10),
        }
    }
}

/// A configuration that holds together, and where each of its fields was set.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was set.
    pub config: Config,
    /// Where it was set.
    pub places: Places,
}

impl Loaded {
    /// Files to watch that cannot be read now. A daemon starts all the same: they may come, and others go on.
    pub fn missing_files(&self) -> Vec<Problem> {
        let failure = |stream: &StreamConfig| stream.address().ok()?.check().err();
        let failures =
            self.config.stream.iter().enumerate().filter_map(|(i, stream)| Some((i, failure(stream)?)));
        failures
            .map(|(i, failure)| self.places.problem(&format!("stream[{i}].uri"), failure.message))
            .collect()
    }
}

impl Config {
    /// Reads a file, with `env` (names and values; others than `AVICUNA__...` are ignored) taking precedence over it and
    /// it over the defaults.
    ///
    /// # Errors
    /// Every problem found, each with its file, line, column and field or its variable, and what to do.
    pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            let advice = "name the file with --config, or copy config/avicuna.toml";
            Problem::whole(format!("{shown}: cannot be read ({error}); {advice}"))
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
            let message = format!(
                "the byte 0x{:02X} is no UTF-8; save the file as UTF-8, without any other encoding",
                error.as_bytes()[good]
            );
            Places::new(&shown, &text).problem_at(Some(good..good), &message)
        })?;
        Self::parse(&text, &shown, env)
    }

    /// As [`Config::load`], of a text that came from `file`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        text: &str,
        file: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let (config, places) = document::read(text, file, env)?;
        let problems = check::problems(&config, &places);
        if problems.is_empty() { Ok(Loaded { config, places }) } else { Err(ConfigError { problems }) }
    }

    /// Everything that is wrong with one stream, that stands in no file. The fields are named as in its own section.
    pub fn stream_problems(stream: &StreamConfig) -> Vec<Problem> {
        check::stream_problems(stream)
    }

    /// As TOML that can be read again, secrets aside.
    ///
    /// # Errors
    /// When a path is not valid UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(&self.redacted())
    }

    /// The same with everything secret blotted out, for logs and for showing it.
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        shown.sink.kafka = self.sink.kafka.redacted();
        shown.clips = self.clips.redacted();
        shown.webhook = self.webhook.iter().map(WebhookConfig::redacted).collect();
        shown.mqtt = self.mqtt.iter().map(MqttConfig::redacted).collect();
        for stream in &mut shown.stream {
            stream.uri = stream.shown_uri();
        }
        shown
    }
}
