//! What the Kafka client's errors mean to a person, and what to do about them.

use rdkafka::error::RDKafkaErrorCode as Code;

/// A sentence that names the brokers or the topic, keeps the library's own words, and says what to do.
pub(super) fn explain(code: Code, raw: &str, brokers: &str, topic: &str) -> String {
    // The library adds how long it took and what it did not say.
    let raw = raw.split(" (after ").next().unwrap_or(raw);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_the_brokers_and_what_to_do() {
        let raw = "a:1/bootstrap: Connect to ipv4#10.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        let sentence = explain(Code::AllBrokersDown, raw, "a:1,b:1", "avicuna.events");
        assert!(sentence.contains("a:1,b:1") && sentence.contains("Connection refused)"), "{sentence}");
        assert!(sentence.contains("sink.kafka.brokers") && !sentence.contains("0ms"), "{sentence}");
        let sentence = explain(Code::UnknownTopicOrPartition, "Unknown topic", "a:1", "avicuna.events");
        assert!(sentence.contains("topic avicuna.events is not there on a:1"), "{sentence}");
    }
}
