//! `[sink.kafka]` of the configuration.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use serde::{Deserialize, Serialize};

use super::error::SinkError;
use super::properties;
use crate::outbox::Topic;

/// `[sink.kafka]` of the configuration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas. Any of them is enough to find the others.
    pub brokers: String,
    /// Names of the topics.
    pub topics: Topics,
    /// Any property of librdkafka, as TLS and SASL settings. Those that delivery rests on are refused.
    pub properties: BTreeMap<String, String>,
}

/// `[sink.kafka.topics]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topics {
    /// Event records.
    pub events: String,
    /// Coverage records.
    pub coverage: String,
    /// Error records.
    pub errors: String,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        let brokers = "localhost:9092".to_owned();
        Self { brokers, topics: Topics::default(), properties: BTreeMap::new() }
    }
}

impl Default for Topics {
    fn default() -> Self {
        let named = |word: &str| format!("avicuna.{word}");
        Self { events: named("events"), coverage: named("coverage"), errors: named("errors") }
    }
}

impl Topics {
    /// The name of `topic` on the brokers.
    pub fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Events => &self.events,
            Topic::Coverage => &self.coverage,
            Topic::Errors => &self.errors,
        }
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, topics, properties } = self.redacted();
        let mut shown = f.debug_struct("KafkaConfig");
        shown.field("brokers", &brokers).field("topics", &topics).field("properties", &properties).finish()
    }
}

impl KafkaConfig {
    /// The same with the values of secret properties blotted out, for logs and for showing the configuration.
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        for (name, value) in &mut shown.properties {
            if is_secret(name) {
                "***".clone_into(value);
            }
        }
        shown
    }

    /// Whether the client library knows the user's properties and takes their values; starts nothing.
    ///
    /// # Errors
    /// What it says of the first that it does not.
    pub fn checked(&self) -> Result<(), SinkError> {
        let client = self.client_config()?;
        client.create_native_config().map(drop).map_err(|error| SinkError::Property(say(&error)))
    }

    /// The client library's configuration: our defaults, then the user's properties, then what delivery rests on.
    ///
    /// # Errors
    /// When the user's properties contain one of those.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, SinkError> {
        let mut client = self.connection()?;
        for (name, value) in GUARANTEES {
            client.set(*name, *value);
        }
        Ok(client)
    }

    /// The same without what delivery rests on: how the brokers are reached.
    ///
    /// # Errors
    /// As of [`client_config`](Self::client_config).
    pub(crate) fn connection(&self) -> Result<ClientConfig, SinkError> {
        let mut client = ClientConfig::new();
        for (name, value) in DEFAULTS {
            client.set(*name, *value);
        }
        for (name, value) in &self.properties {
            if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                return Err(SinkError::ReservedProperty { property: name.clone(), reason });
            }
            client.set(name, value);
        }
        client.set("bootstrap.servers", &self.brokers);
        Ok(client)
    }
}

fn is_secret(property: &str) -> bool {
    const WORDS: [&str; 8] = [
        "password",
        "secret",
        "token",
        "jaas",
        "key.pem",
        "oauthbearer.config",
        "credential",
        "assertion.private",
    ];
    WORDS.iter().any(|word| property.contains(word))
}

/// Overridable.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "avicuna"),
    ("linger.ms", "5"),
    ("compression.type", "zstd"),
    // The client copies what it sends; with our own window this bounds its memory while the broker is away.
    ("queue.buffering.max.kbytes", "65536"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "5000"),
];

/// What "nothing is lost, and the order of a key is kept" rests on.
const GUARANTEES: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "true"),
    // A failure that would leave a gap stops this producer; the delivery then sends again from the gap on. Without it
    // the client would go on behind the gap, and the retried message would arrive out of order.
    ("enable.gapless.guarantee", "true"),
    // A message never times out inside the client: one that did could be overtaken by those behind it.
    ("message.timeout.ms", "0"),
];

/// Property, and why it cannot be set.
const RESERVED: &[(&str, &str)] = &[
    ("acks", "a message counts as delivered when all replicas have it"),
    ("request.required.acks", "a message counts as delivered when all replicas have it"),
    ("enable.idempotence", "the order of a stream's messages rests on it"),
    ("enable.gapless.guarantee", "the order of a stream's messages rests on it"),
    ("message.timeout.ms", "messages wait in the outbox as long as it takes; bound it with outbox.max_bytes"),
    (
        "delivery.timeout.ms",
        "messages wait in the outbox as long as it takes; bound it with outbox.max_bytes",
    ),
    ("transactional.id", "a daemon of a fleet names its transactions itself"),
    ("group.id", "set fleet.group"),
    ("bootstrap.servers", "set sink.kafka.brokers"),
    ("metadata.broker.list", "set sink.kafka.brokers"),
    ("dr_cb", "the delivery needs every report"),
    ("delivery.report.only.error", "the delivery needs every report"),
];

/// What is wrong with a client's settings, without values that may be secrets: of a property that nobody knows, it may be one.
pub(crate) fn say(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
            let advice = properties::meant(name).map_or_else(
                || "look its name up in the documentation of librdkafka".to_owned(),
                |meant| format!("did you mean \"{meant}\"?"),
            );
            format!("there is no property \"{name}\"; {advice}")
        }
        KafkaError::ClientConfig(_, detail, name, value) if !name.is_empty() => {
            let shown =
                KafkaConfig { properties: [(name.clone(), value.clone())].into(), ..KafkaConfig::default() };
            let value = shown.redacted().properties.remove(name).unwrap_or_default();
            format!("property \"{name}\" = \"{value}\": {detail}")
        }
        KafkaError::ClientCreation(detail) => detail.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> KafkaConfig {
        KafkaConfig {
            properties: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..KafkaConfig::default()
        }
    }

    #[test]
    fn secrets_are_blotted_out() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "sasl.oauthbearer.client.secret",
            "ssl.key.pem",
            "sasl.jaas.config",
        ] {
            let shown = format!("{:?}", with(name, "hunter2"));
            assert!(!shown.contains("hunter2") && shown.contains(name), "{shown}");
        }
        assert!(format!("{:?}", with("sasl.username", "camera")).contains("camera"));
    }

    #[test]
    fn properties_override_defaults_but_not_guarantees() {
        let client = with("linger.ms", "50").client_config().expect("linger may change");
        assert_eq!((client.get("linger.ms"), client.get("acks")), (Some("50"), Some("all")));
        for (name, _) in RESERVED {
            let error = with(name, "1").client_config().expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn reads_toml_and_refuses_unknown_keys() {
        let text =
            "brokers = \"a:1,b:2\"\ntopics.events = \"e\"\nproperties.\"ssl.ca.location\" = \"/ca.pem\"\n";
        let config: KafkaConfig = toml::from_str(text).expect("valid");
        assert_eq!(
            (config.topics.name(Topic::Events), config.topics.name(Topic::Errors)),
            ("e", "avicuna.errors")
        );
        assert!(toml::from_str::<KafkaConfig>("broker = \"a:1\"").is_err());
    }
}
