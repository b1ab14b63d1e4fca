//! Membership of the consumer group: which partitions are this daemon's.
//!
//! The brokers hand partitions out and take them back one by one (cooperative-sticky), so those that stay are not disturbed.
//! A partition that is taken back is given away only when [`Share::Revoked`] was answered: until then nobody else has it.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::FleetError;
use super::client::Client;
use crate::config::FleetProtocol;

/// How long the thread waits for news before it looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);

/// What becomes of partitions.
#[derive(Debug)]
pub(crate) enum Share {
    /// They are this daemon's.
    Assigned(Vec<i32>),
    /// They are not, once this is answered.
    Revoked {
        /// Which.
        partitions: Vec<i32>,
        /// The brokers have given them away already: nothing can be told of them any more.
        lost: bool,
        /// Answered by being dropped.
        done: blocking::Sender<()>,
    },
    /// It has left the group, and has no partition any more.
    Left,
    /// The brokers refuse this daemon, for good.
    Refused(String),
}

/// A member of the group.
pub(crate) struct Member {
    consumer: Arc<BaseConsumer<Shares>>,
    topic: String,
}

/// Hands on what the library calls back, on the thread that polls.
struct Shares {
    news: mpsc::UnboundedSender<Share>,
    protocol: FleetProtocol,
    patience: Duration,
}

impl ClientContext for Shares {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.refused(&error, reason);
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl Shares {
    /// Says so where an error is one for good.
    fn refused(&self, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        let Some(code) = error.rdkafka_error_code() else { return };
        let why = match code {
            Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::InconsistentGroupProtocol => {
                format!("{code}: {reason}")
            }
            Code::UnsupportedVersion | Code::UnsupportedFeature
                if self.protocol == FleetProtocol::Consumer =>
            {
                format!(
                    "{code}: the brokers do not know fleet.protocol = \"consumer\" (Kafka 4 does); use \"classic\""
                )
            }
            _ => return,
        };
        let _over = self.news.send(Share::Refused(why));
    }
}

impl ConsumerContext for Shares {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let (done, answered) = blocking::channel();
        let news = Share::Revoked { partitions: partitions(list), lost: consumer.assignment_lost(), done };
        if self.news.send(news).is_ok() {
            // The sender is dropped, not used.
            let _answered = answered.recv_timeout(self.patience);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                // Settings are read elsewhere: here only who has them is of interest.
                if let Err(error) = consumer.pause(list) {
                    tracing::debug!(%error, "pausing");
                }
                let _over = self.news.send(Share::Assigned(partitions(list)));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "sharing streams out"),
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    let unique: BTreeSet<i32> = list.elements().iter().map(|element| element.partition()).collect();
    unique.into_iter().collect()
}

impl Member {
    /// Joins the group; leaves it with `stop`, when the partitions it has are answered for.
    pub fn join(
        client: &Client,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Share>), FleetError> {
        let fleet = client.fleet();
        let session = fleet.session_timeout.as_millis().to_string();
        let heartbeat = (fleet.session_timeout.as_millis() / 4).max(1).to_string();
        let mut settings = vec![
            ("group.id", client.group()),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "latest"),
        ];
        match fleet.protocol {
            FleetProtocol::Classic => settings.extend([
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("session.timeout.ms", session.as_str()),
                ("heartbeat.interval.ms", heartbeat.as_str()),
            ]),
            // The rest is the brokers', and refused here.
            FleetProtocol::Consumer => settings.push(("group.protocol", "consumer")),
        }
        let config = client.config(&settings);
        let (news, heard) = mpsc::unbounded_channel();
        // Longer than the streams may take, and shorter than the brokers wait for a poll.
        let context =
            Shares { news, protocol: fleet.protocol, patience: fleet.hand_over + Duration::from_secs(60) };
        let consumer = BaseConsumer::from_config_and_context(&config, context);
        let consumer = Arc::new(consumer.map_err(|error| client.says(&error))?);
        let topic = fleet.topics.streams.clone();
        consumer.subscribe(&[topic.as_str()]).map_err(|error| client.says(&error))?;
        let (polled, left) = (consumer.clone(), consumer.context().news.clone());
        let run = move || {
            while !stop.is_cancelled() {
                if let Some(Err(error)) = polled.poll(TICK) {
                    tracing::debug!(%error, "membership of the fleet");
                    polled.context().refused(&error, &error.to_string());
                }
            }
            // The partitions are revoked in here.
            polled.unsubscribe();
            while polled.assignment().is_ok_and(|left| left.count() > 0) {
                let _news = polled.poll(TICK);
            }
            let _over = left.send(Share::Left);
        };
        let started = std::thread::Builder::new().name("fleet-member".into()).spawn(run);
        started.map_err(|error| client.fails(format!("no thread for membership: {error}")))?;
        Ok((Self { consumer, topic }, heard))
    }

    /// Do the brokers hold that `partition` is this daemon's? Asks them; blocks.
    pub fn still_has(&self, partition: i32) -> bool {
        let mut place = TopicPartitionList::new();
        let added = place.add_partition_offset(&self.topic, partition, Offset::Offset(0));
        // Who is not of the present generation may not commit; what is committed nobody reads.
        added.is_ok() && self.consumer.commit(&place, CommitMode::Sync).is_ok()
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("topic", &self.topic).finish_non_exhaustive()
    }
}
