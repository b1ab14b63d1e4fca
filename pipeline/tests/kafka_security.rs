//! TLS, passwords and rights on a real broker: what passes, and what is said when it does not.

mod support;

use std::path::Path;
use std::process::Command;

use avicuna_pipeline::outbox::Outbox;
use avicuna_pipeline::sink::{Delivery, DeliveryState, KafkaConfig};
use support::*;
use tokio_util::sync::CancellationToken;

/// A certificate for 127.0.0.1, and with its key as the broker wants it.
fn certificate(folder: &Path) -> [String; 2] {
    let [key, certificate, both] = ["key.pem", "ca.pem", "both.pem"].map(|name| folder.join(name));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let [key, text] = [&key, &certificate].map(|path| std::fs::read_to_string(path).expect("made"));
    std::fs::write(&both, key + &text).expect("written");
    [certificate, both].map(|path| path.display().to_string())
}

fn secured(brokers: &str, test: &str, ca: &str, user: &str, password: &str) -> KafkaConfig {
    let properties = [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", ca),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", password),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    KafkaConfig { properties, ..kafka(brokers, test) }
}

/// Waits until the delivery says that it cannot work, with all of `words`; checks that everything stays in the outbox.
///
/// On a busy machine it may first say that nobody answers.
async fn refused(outbox: &Outbox, config: &KafkaConfig, words: &[&str]) {
    let before = outbox.accounting();
    let delivery = Delivery::start(outbox.clone(), sink(config), |_, _| {}, CancellationToken::new());
    let is_told = || match delivery.state() {
        DeliveryState::Unreachable { reason, .. } => words.iter().all(|word| reason.contains(word)),
        _ => false,
    };
    until(outbox, &format!("the refusal says {words:?}"), is_told).await;
    delivery.stop().await;
    assert_eq!(outbox.accounting(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_passwords_and_rights() {
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::place());
    let [ca, both] = certificate(folder.path());
    let port = Port::free();
    let mut settings = Vec::from(broker.listeners_with("SASL_SSL", &port));
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    settings.extend(
        [
            "sasl.enabled.mechanisms=PLAIN",
            &format!(
                "listener.name.sasl_ssl.plain.sasl.jaas.config={login} user_writer=\"w\" user_reader=\"r\";"
            ),
            "ssl.keystore.type=PEM",
            &format!("ssl.keystore.location={both}"),
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:writer;User:ANONYMOUS",
        ]
        .map(str::to_owned),
    );
    broker.start_with(&settings);
    let brokers = port.address();
    let outbox = Outbox::open(&outbox_config(&folder)).expect("opens");
    append(&outbox, interleaved(2, 0..50)).await;

    let wrong_password = secured(&brokers, "security", &ca, "writer", "x");
    refused(&outbox, &wrong_password, &["authenticate us", &brokers, "sasl.*"]).await;

    let no_rights = secured(&brokers, "security", &ca, "reader", "r");
    refused(&outbox, &no_rights, &["do not let us write to topic security."]).await;

    let elsewhere = tempfile::tempdir().expect("a folder");
    let [other_ca, _] = certificate(elsewhere.path());
    let untrusted = secured(&brokers, "security", &other_ca, "writer", "w");
    refused(&outbox, &untrusted, &["TLS", "ssl.*"]).await;

    refused(&outbox, &kafka(&brokers, "security"), &[&brokers]).await;

    let config = secured(&brokers, "security", &ca, "writer", "w");
    deliver_all(&outbox, sink(&config)).await;
    check_order(&consume(&broker.brokers(), &config.topics.events), 2, 50);
}
