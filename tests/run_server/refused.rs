//! What is refused: what is asked wrongly, who has no right to it, and connections that say nothing.

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use super::problems;
use super::support::served::{Served, serve, stream};
use super::support::{self, Daemon, config};

#[test]
fn what_is_asked_wrongly_is_answered_so() {
    let served = serve("");
    for (path, expected) in [
        ("/v1/events/none", 404),
        ("/v1/streams/none", 404),
        ("/v1/streams/none/health", 404),
        ("/v1/streams/none/snapshot.jpg", 404),
        ("/v1/nothing", 404),
        ("/v1/events?from=yesterday", 400),
        ("/v1/events?limit=0", 400),
        ("/v1/events?min_score=2", 400),
        ("/v1/events?cursor=x", 400),
        ("/v1/events?modality=smelt", 400),
        ("/v1/events?colour=red", 400),
        ("/v1/events/counts", 200),
        ("/v1/events/counts?bucket=0", 400),
        ("/v1/events/counts?bucket=31622401", 400),
        ("/v1/events/counts?bucket=1", 400),
        ("/v1/events/counts?bucket=1&from=2026-11-29T14:00:00Z&to=2026-11-29T15:00:00Z", 200),
        ("/v1/events/counts?min_score=2", 400),
        ("/v1/events?stream=%27%3B%20DROP%20TABLE%20events%3B--", 200),
        ("/v1/events", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/asyncapi.yaml", 200),
        ("/healthz", 200),
    ] {
        let reply = served.call("GET", path, None);
        assert_eq!(reply.status, expected, "{path}: {}", reply.body);
        if expected >= 400 {
            let problem = reply.json();
            assert!(problem["detail"].is_string() && problem["status"] == expected, "{path}: {problem}");
        }
    }
    assert_eq!(served.call("PUT", "/v1/streams", None).status, 405);
    let curl = |arguments: &[&str]| {
        let url = format!("http://{}/v1/streams", served.address);
        let output =
            Command::new("curl").args(["-sS", "-w", "\n%{http_code}"]).args(arguments).arg(url).output();
        let text = String::from_utf8_lossy(&output.expect("curl runs").stdout).into_owned();
        text.rsplit_once('\n').map(|(body, status)| (status.to_owned(), body.to_owned())).expect("a status")
    };
    assert_eq!(curl(&["-d", "{}"]).0, "415", "what a page of elsewhere could send");
    assert_eq!(curl(&["-H", "Content-Type: application/json", "-d", "{"]).0, "400");
    let large = served.folder.path().join("large");
    std::fs::write(&large, vec![b' '; 100 << 20]).expect("it is written");
    let large = format!("@{}", large.display());
    assert_eq!(curl(&["-H", "Content-Type: application/json", "--data-binary", &large]).0, "413");
    assert_eq!(curl(&["-H", "Host: evil.example.org"]).0, "421", "a name that leads here from elsewhere");

    // Nobody gets through a stream to what the operator did not allow.
    for uri in [
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/a",
        "http://169.254.169.254/x",
        "udp://0.0.0.0:1",
    ] {
        let refused = served.call("POST", "/v1/streams", Some(&json!({"id": "x", "uri": uri})));
        assert_eq!((refused.status, problems(&refused)[0].0.as_str()), (422, "/uri"), "{uri}: {refused:?}");
    }
}

#[test]
fn tokens_have_roles_and_a_daemon_that_others_can_reach_wants_some() {
    let made = |name: &str, role: &str| {
        let output = support::avicuna().args(["token", name, "--role", role]).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().lines().last().map(str::to_owned);
        (text(&output.stdout).expect("a line"), text(&output.stderr).expect("a token"))
    };
    let [(reader, read), (writer, write)] = [made("ann", "read"), made("ben", "write")];
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("{reader}\n{writer}\n")).expect("it is written");
    let served = serve(&format!("control.token_file = {tokens:?}\n"));
    let status = |token: Option<&str>, method: &str, path: &str, body: Option<&Value>| {
        served.call_as(token, method, path, body).status
    };
    assert_eq!(status(None, "GET", "/v1/streams", None), 401);
    assert_eq!(status(Some("avs_ann_00"), "GET", "/v1/streams", None), 401);
    assert_eq!(status(Some(&read), "GET", "/v1/streams", None), 200);
    assert_eq!(status(Some(&read), "POST", "/v1/streams", Some(&stream("one"))), 403);
    assert_eq!(status(Some(&write), "POST", "/v1/streams", Some(&stream("one"))), 201);
    assert_eq!(status(Some(&write), "POST", "/v1/reload", None), 403);
    assert_eq!(status(None, "GET", "/healthz", None), 200, "probes are not asked");
    assert!(!served.daemon.log().contains(read.rsplit('_').next().expect("a secret")));

    let free = TcpListener::bind("0.0.0.0:0").and_then(|free| free.local_addr()).expect("a port");
    let text = config(&folder, "[[stream]]\nid = \"a\"\nuri = \"test://\"\n")
        .replace("\"off\"", &format!("\"0.0.0.0:{}\"", free.port()));
    let mut open = Daemon::start(&folder, &text);
    assert_eq!(open.wait().code(), Some(2));
    assert!(open.log().contains("control.listen") && open.log().contains("token_file"), "{}", open.log());
}

/// With few descriptors, and more connections than those that say nothing.
#[test]
fn connections_that_say_nothing_do_not_take_the_interface_away() {
    let mut served = serve("control.max_clients = 100\n");
    let mut silent = Vec::new();
    for number in 0..1500 {
        if let Ok(mut stream) = std::net::TcpStream::connect(&served.address) {
            if number % 2 == 0 {
                let _closed = std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nHost: 127.0");
            }
            silent.push(stream);
        }
    }
    let pid = served.daemon.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    assert!(open < 200, "{open} descriptors are open");
    // Who says nothing for 10 s is let go.
    let healthy = |served: &Served| {
        let url = format!("http://{}/healthz", served.address);
        Command::new("curl")
            .args(["-sf", "--max-time", "5", &url])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    served.until("it answers again", healthy);
    drop(silent);
}
