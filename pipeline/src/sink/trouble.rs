//! What the Kafka client's errors mean to a person, and what to do about them.

use rdkafka::error::RDKafkaErrorCode as Code;

/// A sentence that names the brokers or the topic, keeps the library's own words, and says what to do.
pub(super) fn explain(code: Code, raw: &str, brokers: &str, topic: &str) -> String {
    match code {
        Code::Resolve => {
            format!("the name of a broker in \"{brokers}\" is not known ({raw}); check sink.kafka.brokers")
        }
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::RequestTimedOut => {
            format!(
                "no answer from {brokers} ({raw}); check that Kafka runs there and that sink.kafka.brokers is right"
            )
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            format!(
                "{brokers} refused to authenticate us ({raw}); check the sasl.* settings in sink.kafka.properties"
            )
        }
        Code::SSL => {
            format!("TLS with {brokers} failed ({raw}); check the ssl.* settings in sink.kafka.properties")
        }
        Code::TopicAuthorizationFailed => {
            format!(
                "{brokers} do not let us write to topic {topic} ({raw}); grant this user Write and Describe on it"
            )
        }
        Code::ClusterAuthorizationFailed => {
            format!(
                "{brokers} do not let us write idempotently ({raw}); grant this user IdempotentWrite on the cluster"
            )
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => format!(
            "topic {topic} is not there on {brokers} ({raw}); create it, or let the brokers create topics \
             (auto.create.topics.enable)"
        ),
        Code::InvalidTopic => {
            format!("{brokers} do not accept the topic name \"{topic}\"; change sink.kafka.topics")
        }
        _ => format!("{brokers}, topic {topic}: {raw}"),
    }
}
