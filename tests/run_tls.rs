//! The interface and a broker over TLS, with certificates of an authority that only the test knows.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::mosquitto::Mosquitto;
use support::served::start_with;

/// An authority, and a certificate for this machine that it has signed.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn certificates(folder: &Path) -> Certificates {
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=authority",
        "-keyout",
        "authority.key",
        "-out",
        "authority.pem",
    ];
    openssl(folder, &[&authority[..], &new_key].concat());
    let request = ["req", "-new", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"];
    openssl(folder, &[&request[..], &new_key].concat());
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("written");
    let sign = [
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "authority.pem",
        "-CAkey",
        "authority.key",
        "-CAcreateserial",
    ];
    openssl(folder, &[&sign[..], &["-days", "2", "-extfile", "names", "-out", "server.pem"]].concat());
    let [authority, certificate, key] =
        ["authority.pem", "server.pem", "server.key"].map(|name| folder.join(name));
    Certificates { authority, certificate, key }
}

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).output().expect("curl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_interface_and_a_broker_are_spoken_to_over_tls_and_only_by_those_who_trust_them() {
    let keys = tempfile::tempdir().expect("a folder");
    let made = certificates(keys.path());
    let stranger = tempfile::tempdir().expect("a folder");
    let other = certificates(stranger.path());
    let broker = Mosquitto::start_tls(keys.path(), &made.certificate, &made.key);
    let unknown = Mosquitto::start_tls(stranger.path(), &other.certificate, &other.key);
    let rest = format!(
        "control.certificate = {:?}\ncontrol.private_key = {:?}\n\
         [[mqtt]]\nname = \"home\"\nbroker = \"{}\"\nprefix = \"av\"\nsend = [\"streams\"]\n\
         [[mqtt]]\nname = \"unknown\"\nbroker = \"{}\"\nsend = [\"streams\"]\n\
         [[stream]]\nid = \"cam\"\nuri = \"test://?width=64&height=64&fps=5&duration=4\"\n",
        made.certificate,
        made.key,
        broker.address(),
        unknown.address()
    );
    let trusted = made.authority.to_str().expect("UTF-8").to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let mut served = start_with(folder, &rest, &[("SSL_CERT_FILE", &trusted)]);
    let at = format!("https://{}", served.address);
    let sinks = format!("{at}/v1/sinks");
    let get = || -> Value {
        let output = curl(&["--fail", "--cacert", &trusted, &sinks]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };

    // The interface: nobody who does not know the authority, and nobody without TLS.
    get();
    let refused = curl(&["--cacert", other.authority.to_str().expect("UTF-8"), &sinks]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("certificate"), "{refused:?}");
    assert!(!curl(&[&format!("http://{}/v1/sinks", served.address)]).status.success());
    let ask = |trusted: &Path| {
        let mut ask = support::avicuna();
        ask.args(["ask", "nobody", "what happened?", "--daemon", &at]).env("SSL_CERT_FILE", trusted);
        text(&ask.output().expect("it runs").stderr)
    };
    let said = ask(&made.authority);
    assert!(said.contains("nobody") || said.contains("is being loaded"), "it is answered: {said}");
    let said = ask(&other.authority);
    assert!(said.contains("no daemon answers") && said.contains("certificate"), "{said}");

    // The brokers: one is told, the other is not trusted, and says so.
    let sink = |name: &str| {
        let sinks = get();
        let sinks = sinks["sinks"].as_array().expect("a list").clone();
        sinks.into_iter().find(|sink| sink["name"] == name).expect("it is configured")
    };
    served.until("the end of the stream is told", |_| {
        let home = sink("home");
        home["delivered"].as_u64() >= Some(2) && home["waiting"] == 0
    });
    assert_eq!(sink("home")["state"], json!("up"));
    let unknown = sink("unknown");
    assert_eq!((&unknown["state"], &unknown["delivered"]), (&json!("down"), &json!(0)), "{unknown}");
    assert!(unknown["reason"].as_str().is_some_and(|reason| reason.contains("certificate")), "{unknown}");

    let port = broker.address();
    let port = port.rsplit(':').next().expect("a port");
    let mut subscriber = Command::new("mosquitto_sub");
    subscriber.args([
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "--cafile",
        &trusted,
        "-t",
        "av/cam/status",
        "-C",
        "1",
        "-W",
        "20",
    ]);
    let told = subscriber.output().expect("mosquitto_sub runs");
    let state: Value =
        serde_json::from_slice(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    assert_eq!(state["state"], "ended");
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
}
