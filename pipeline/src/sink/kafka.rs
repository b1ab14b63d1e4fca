//! A Kafka cluster: an idempotent producer for each topic, CloudEvents 1.0 in binary mode.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::mpsc;

use super::config::{KafkaConfig, say};
use super::error::SinkError;
use super::report::{Failure, NotSent, Note};
use super::trouble;
use crate::outbox::{Message, Topic};
use crate::percent;

/// How long one question for a topic's metadata waits. Short, for it holds a blocking thread when the program stops.
const PROBE: Duration = Duration::from_secs(2);

/// A Kafka cluster. Nothing is connected before the delivery starts.
#[derive(Clone)]
pub struct KafkaSink {
    config: Arc<KafkaConfig>,
    client: ClientConfig,
}

impl fmt::Debug for KafkaSink {
    /// Without the client's configuration, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaSink {
    /// Checks the configuration, files of certificates included. Does not connect.
    ///
    /// # Errors
    /// When a property is unknown, has a wrong value or would break what the delivery promises.
    pub fn new(config: &KafkaConfig) -> Result<Self, SinkError> {
        let client = config.client_config()?;
        let (notes, _) = mpsc::unbounded_channel();
        let context = Context { notes };
        // Only a producer reads the certificates; this one is gone before it has connected.
        BaseProducer::from_config_and_context(&client, context)
            .map_err(|error| SinkError::Configuration(say(&error)))?;
        Ok(Self { config: Arc::new(config.clone()), client })
    }

    /// A producer for one topic, and what it reports. Starts threads; connects in their background.
    pub(super) fn courier(&self, topic: Topic) -> Result<(Courier, mpsc::UnboundedReceiver<Note>), String> {
        let (notes, received) = mpsc::unbounded_channel();
        let producer = ThreadedProducer::from_config_and_context(&self.client, Context { notes });
        let producer = producer.map_err(|error| say(&error))?;
        Ok((Courier { producer, config: self.config.clone(), topic }, received))
    }

    /// What the library's error means for `topic` on these brokers, and what to do.
    pub(super) fn explain(&self, topic: Topic, code: RDKafkaErrorCode, raw: &str) -> String {
        trouble::explain(code, raw, &self.config.brokers, self.config.topics.name(topic))
    }
}

/// One topic's producer.
pub(super) struct Courier {
    producer: ThreadedProducer<Context>,
    config: Arc<KafkaConfig>,
    topic: Topic,
}

impl Courier {
    /// Hands a message to the producer; a note says later what became of it. Does not block.
    pub fn send(&self, number: u64, message: &Message) -> Result<(), NotSent> {
        let headers = headers(message);
        // Numbers count messages from 0, they fit any address.
        let record = BaseRecord::with_opaque_to(self.config.topics.name(self.topic), number as usize)
            .key(&message.key)
            .payload(&message.payload)
            .headers(headers);
        match self.producer.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(NotSent::Full),
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                Err(NotSent::Failed(failure(code)))
            }
        }
    }

    /// Asks the brokers for the topic; they may create it then. Blocks up to 2 s.
    pub fn probe(&self) -> Result<(), String> {
        let name = self.config.topics.name(self.topic);
        let explain = |code, raw: &str| trouble::explain(code, raw, &self.config.brokers, name);
        match self.producer.client().fetch_metadata(Some(name), PROBE) {
            Ok(metadata) => match metadata.topics().first() {
                Some(topic) => match topic.error() {
                    Some(code) => {
                        let code = RDKafkaErrorCode::from(code);
                        Err(explain(code, &code.to_string()))
                    }
                    None if topic.partitions().is_empty() => {
                        Err(explain(RDKafkaErrorCode::UnknownTopicOrPartition, "it has no partitions"))
                    }
                    None => Ok(()),
                },
                None => Err(explain(RDKafkaErrorCode::UnknownTopicOrPartition, "the brokers do not know it")),
            },
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                Err(explain(code, &code.to_string()))
            }
        }
    }

    /// Gives up what is not delivered; the notes of all messages come at once. The threads' end is waited for.
    pub fn abandon(self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        while self.producer.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// CloudEvents attributes as headers, of the Kafka protocol binding's binary content mode.
pub(crate) fn headers(message: &Message) -> OwnedHeaders {
    let Message { key, ce_type, ce_id, ce_time, .. } = message;
    let source = source(key);
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", ce_id),
        ("ce_source", &source),
        ("ce_type", ce_type),
        ("ce_time", ce_time),
        ("ce_subject", key),
        ("content-type", "application/json"),
    ];
    let empty = OwnedHeaders::new_with_capacity(attributes.len());
    attributes
        .into_iter()
        .fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

/// `/avicuna/streams/ID`, a URI reference: what a URI cannot hold is percent-encoded.
pub fn source(stream: &str) -> String {
    format!("/avicuna/streams/{}", percent::component(stream))
}

/// Whether more tries could help.
fn failure(code: RDKafkaErrorCode) -> Failure {
    use crate::outbox::reason::{REJECTED, TOO_LARGE};
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
            Failure::Refused { reason: TOO_LARGE, code }
        }
        RDKafkaErrorCode::InvalidRecord
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::InvalidTimestamp
        | RDKafkaErrorCode::UnsupportedForMessageFormat
        | RDKafkaErrorCode::BadMessage => Failure::Refused { reason: REJECTED, code },
        _ => Failure::Trouble(code),
    }
}

/// Passes on what the library calls back; runs on its polling thread.
struct Context {
    notes: mpsc::UnboundedSender<Note>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // The lane tells what matters once and in words; the library would repeat it for every broker and try.
        tracing::debug!(target: "librdkafka", ?level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        // A lane that has ended needs no news.
        let _ended = self.notes.send(Note::Complaint(code, reason.to_owned()));
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, number: usize) {
        let outcome = match delivered {
            Ok(_) => Ok(()),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                tracing::debug!(number, %code, key = ?message.key(), "not delivered");
                Err(failure(code))
            }
        };
        let _ended = self.notes.send(Note::Report(number as u64, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_makes_a_valid_uri_reference() {
        assert_eq!(source("cam-1.north"), "/avicuna/streams/cam-1.north");
        assert_eq!(source("Tür 2/a"), "/avicuna/streams/T%C3%BCr%202%2Fa");
    }

    #[test]
    fn a_wrong_configuration_is_told_at_once() {
        let error = |name: &str, value: &str| {
            let properties = [(name, value), ("security.protocol", "SSL")];
            let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            KafkaSink::new(&KafkaConfig { properties, ..KafkaConfig::default() }).expect_err(name).to_string()
        };
        assert!(error("ssl.ca.locaton", "/ca").contains("ssl.ca.locaton"));
        assert!(error("linger.ms", "soon").contains("\"linger.ms\" = \"soon\""));
        let no_file = error("ssl.key.location", "/nowhere/key.pem");
        assert!(no_file.contains("ssl.key.location"), "{no_file}");
        let secret = error("sasl.oauthbearer.client.secret.typo", "hunter2");
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn secrets_do_not_show() {
        let properties = [("sasl.password".to_owned(), "hunter2".to_owned())].into();
        let sink = KafkaSink::new(&KafkaConfig { properties, ..KafkaConfig::default() }).expect("valid");
        let shown = format!("{sink:?} {:?}", crate::sink::Sink::from(sink.clone()));
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_good_configuration_needs_no_broker() {
        let properties = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "camera"),
            ("sasl.password", "hunter2"),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let brokers = "nowhere.invalid:9093".to_owned();
        KafkaSink::new(&KafkaConfig { brokers, properties: properties.into(), ..KafkaConfig::default() })
            .expect("valid");
    }
}
