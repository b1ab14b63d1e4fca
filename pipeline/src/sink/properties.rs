//! The names of librdkafka's properties, to find the one that was meant.

/// Those that a producer knows and a person may want to set. The library tells whether it knows a name, but gives no list.
const NAMES: &str = "
    allow.auto.create.topics api.version.request api.version.request.timeout.ms batch.num.messages batch.size
    broker.address.family broker.address.ttl client.dns.lookup client.id client.rack compression.codec compression.level
    compression.type connections.max.idle.ms debug enable.metrics.push enable.random.seed
    enable.sasl.oauthbearer.unsecure.jwt enable.ssl.certificate.verification https.ca.location https.ca.pem
    internal.termination.signal linger.ms log.connection.close log_level max.in.flight
    max.in.flight.requests.per.connection message.copy.max.bytes message.max.bytes message.send.max.retries
    metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy partitioner
    plugin.library.paths queue.buffering.backpressure.threshold queue.buffering.max.kbytes
    queue.buffering.max.messages queue.buffering.max.ms receive.message.max.bytes reconnect.backoff.max.ms
    reconnect.backoff.ms request.timeout.ms retries retry.backoff.max.ms retry.backoff.ms sasl.kerberos.keytab
    sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin sasl.kerberos.principal
    sasl.kerberos.service.name sasl.mechanism sasl.mechanisms sasl.oauthbearer.assertion.algorithm
    sasl.oauthbearer.assertion.claim.aud sasl.oauthbearer.assertion.claim.iss
    sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file
    sasl.oauthbearer.assertion.private.key.file sasl.oauthbearer.assertion.private.key.passphrase
    sasl.oauthbearer.assertion.private.key.pem sasl.oauthbearer.client.id sasl.oauthbearer.client.secret
    sasl.oauthbearer.config sasl.oauthbearer.extensions sasl.oauthbearer.grant.type sasl.oauthbearer.method
    sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url sasl.password sasl.username security.protocol
    socket.connection.setup.timeout.ms socket.keepalive.enable socket.max.fails socket.nagle.disable
    socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms ssl.ca.certificate.stores
    ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem ssl.cipher.suites ssl.crl.location
    ssl.curves.list ssl.endpoint.identification.algorithm ssl.engine.id ssl.engine.location ssl.key.location
    ssl.key.password ssl.key.pem ssl.keystore.location ssl.keystore.password ssl.providers ssl.sigalgs.list
    statistics.interval.ms sticky.partitioning.linger.ms topic.metadata.propagation.max.ms
    topic.metadata.refresh.interval.ms topic.metadata.refresh.sparse
";

/// The property that `name` looks like a slip of.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    // Whoever knows Java's client writes capitals and underscores.
    let plain = name.to_lowercase().replace(['_', '-'], ".");
    let near = NAMES.split_whitespace().map(|known| (distance(&plain, known), known));
    let (distance, known) = near.min()?;
    (distance <= 1 + name.chars().count() / 8).then_some(known)
}

/// How many letters must be added, left out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in other.iter().enumerate() {
            let changed = corner + usize::from(letter != *other);
            corner = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes;

    use super::*;

    #[test]
    fn the_library_knows_every_name() {
        for name in NAMES.split_whitespace() {
            let set = ClientConfig::new().set(name, "").create_native_config().err();
            let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
            assert!(!matches!(set, Some(KafkaError::ClientConfig(why, ..)) if why == unknown), "{name}");
        }
    }

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        for (name, expected) in [
            ("sasl.pasword", Some("sasl.password")),
            ("ssl.ca.locaton", Some("ssl.ca.location")),
            ("security_protocol", Some("security.protocol")),
            ("Security.Protocol", Some("security.protocol")),
            ("linger.m", Some("linger.ms")),
            ("ssl.truststore.location", None),
            ("hunter2", None),
        ] {
            assert_eq!(meant(name), expected, "{name}");
        }
    }

    #[test]
    fn the_distance_counts_letters() {
        for (one, other, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
