//! What the Kafka client's errors mean to a person, and what to do about them.

use rdkafka::error::RDKafkaErrorCode as Code;

/// A sentence that names the brokers or the topic, keeps the library's own words, and says what to do.
pub(super) fn explain(code: Code, raw: &str, brokers: &str, topic: &str) -> String {
    // The library adds how long it took and what it did not say.
    let raw = raw.split(" (after ").next().unwrap_or(raw);
    if let Some(address) = advertised(raw, brokers) {
        return format!(
            "{brokers} answered, and said that a broker is at {address}, where none is found from here ({raw}); that \
             address is the broker's setting advertised.listeners: make it one that this machine reaches"
        );
    }
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

/// The address in what the library says of a broker it cannot reach, if it knows it from the brokers and not from us:
/// `HOST:PORT/NUMBER: ...`; ours end with `/bootstrap` until the broker has said its number.
fn advertised<'r>(raw: &'r str, brokers: &str) -> Option<&'r str> {
    let (name, _) = raw.split_once(": ")?;
    let name = name.rsplit_once("://").map_or(name, |(_, name)| name);
    let (address, number) = name.rsplit_once('/')?;
    number.parse::<i32>().ok()?;
    let is_ours = brokers.split(',').any(|broker| broker.trim() == address);
    (!is_ours && (raw.contains("resolve") || raw.contains("Connect to"))).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_a_broker_gave_is_the_brokers_fault() {
        let sentence = |raw| explain(Code::Resolve, raw, "a:1,b:1", "avicuna.events");
        let raw = "kafka.lan:9092/1: Failed to resolve 'kafka.lan:9092': Name or service not known (after 3ms in state CONNECT)";
        let told = sentence(raw);
        assert!(told.contains("advertised.listeners") && told.contains("kafka.lan:9092"), "{told}");
        let told =
            sentence("sasl_ssl://10.0.0.9:9093/2: Connect to ipv4#10.0.0.9:9093 failed: Connection refused");
        assert!(told.contains("a broker is at 10.0.0.9:9093"), "{told}");
        for ours in [
            "a:1/bootstrap: Failed to resolve 'a:1'",
            "b:1/2: Connect to ipv4#10.0.0.1:1 failed",
            "2/3 brokers are down",
        ] {
            assert!(!sentence(ours).contains("advertised"), "{ours}");
        }
    }

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
