//! A Kafka broker inside this process, for the first run: the client library's mock cluster. Real consumers can attach.
//! It keeps messages in memory (the last 5 MiB of each topic) and forgets them when the process ends.

use std::sync::mpsc;
use std::thread::JoinHandle;

use rdkafka::mocking::MockCluster;

use super::config::KafkaConfig;
use super::error::SinkError;
use crate::outbox::Topic;

/// The broker; it ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedBroker {
    bootstrap_servers: String,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts it on a free port of 127.0.0.1, with the topics of `config`, each with one partition.
    ///
    /// # Errors
    /// When it cannot listen or a topic's name is wrong.
    pub fn start(config: &KafkaConfig) -> Result<Self, SinkError> {
        let topics: Vec<String> = Topic::ALL.map(|topic| config.topics.name(topic).to_owned()).into();
        let (started, result) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        // The library's handle must stay on one thread.
        let host = move || match host(&topics) {
            Ok(cluster) => {
                let _starter_gone = started.send(Ok(cluster.bootstrap_servers()));
                // Comes back when the sender is dropped.
                let _dropped = ended.recv();
            }
            Err(error) => {
                let _starter_gone = started.send(Err(error));
            }
        };
        let failed = |why: String| SinkError::Embedded(why);
        let spawned = std::thread::Builder::new().name("embedded-broker".into()).spawn(host);
        let thread = spawned.map_err(|error| failed(error.to_string()))?;
        let bootstrap_servers =
            result.recv().map_err(|_| failed("its thread ended".into()))?.map_err(failed)?;
        Ok(Self { bootstrap_servers, end: Some(end), thread: Some(thread) })
    }

    /// `host:port`, for [`KafkaConfig::brokers`] and for consumers.
    pub fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers.clone()
    }
}

type Cluster = MockCluster<'static, rdkafka::producer::DefaultProducerContext>;

fn host(topics: &[String]) -> Result<Cluster, String> {
    let cluster = MockCluster::new(1).map_err(|error| error.to_string())?;
    for topic in topics {
        let made = cluster.create_topic(topic, 1, 1);
        made.map_err(|error| format!("topic \"{topic}\": {error}; change sink.kafka.topics"))?;
    }
    Ok(cluster)
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by the panic hook.
            let _panicked = thread.join();
        }
    }
}
