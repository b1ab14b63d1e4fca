//! Where the time of windows goes, as a collector of OpenTelemetry gets it.

mod support;

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message as _;
use support::kafka::Port;
use support::receiver::Request;
use support::{Daemon, config, lines, repository};

type Got = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// Takes what is posted on a port of this machine, until the test ends.
fn collect(port: &Port) -> Got {
    let listener = TcpListener::bind(port.address()).expect("the port is free");
    let got = Got::default();
    let all = got.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let all = all.clone();
            std::thread::spawn(move || take(stream, &all));
        }
    });
    got
}

fn take(mut stream: TcpStream, all: &Mutex<Vec<ExportTraceServiceRequest>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    while let Some(request) = Request::read(&mut reader) {
        assert!(request.line.starts_with("POST /v1/traces "), "{}", request.line);
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        let body = ExportTraceServiceRequest::decode(request.body.as_slice()).expect("protobuf");
        all.lock().expect("nobody panics").push(body);
        stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").expect("it listens");
    }
}

fn words(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let word = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(word)) => word.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{}: {other:?}", attribute.key),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), word(attribute))).collect()
}

/// A daemon that watches the demo's scene and sends its traces to `endpoint`; what it logged.
fn watch(endpoint: &str, more: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (records, scene) = (folder.path().join("records.jsonl"), repository("assets/demo/scene.mp4"));
    let text = format!(
        "model.path = \"assets/models/avicuna-small\"\nsink.kind = \"jsonl\"\nsink.jsonl.path = {records:?}\n\
         [traces]\nendpoint = {endpoint:?}\n{more}\n\
         [[stream]]\nid = \"the-\\\"scene\\\"\"\nuri = {scene:?}\nmin_score = 0.0\n"
    );
    let mut daemon = Daemon::start(&folder, &config(&folder, &text));
    assert!(daemon.wait().success(), "{}", daemon.log());
    assert!(!lines(&records, "events").is_empty(), "{}", daemon.log());
    daemon.log()
}

#[test]
fn a_collector_sees_where_the_time_of_each_window_went() {
    let port = Port::free();
    let got = collect(&port);
    let log = watch(&format!("http://{}/", port.address()), "service = \"cameras\"");
    let got = got.lock().expect("nobody panics");
    let mut spans: Vec<Span> = Vec::new();
    for resource in got.iter().flat_map(|request| &request.resource_spans) {
        let of = words(&resource.resource.as_ref().expect("a resource").attributes);
        assert_eq!(
            (of["service.name"].as_str(), of["service.version"].as_str()),
            ("cameras", env!("CARGO_PKG_VERSION"))
        );
        spans.extend(resource.scope_spans.iter().flat_map(|scope| scope.spans.clone()));
    }
    let (roots, steps): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| span.name == "window");
    // Of a minute: 0 to 20 s, 10 to 30 s, ... 40 to 60 s.
    assert_eq!(roots.len(), 5, "{log}");
    let mut delivered = 0;
    let mut indices = Vec::new();
    for root in &roots {
        let of = words(&root.attributes);
        assert_eq!(
            (of["avicuna.stream.id"].as_str(), of["avicuna.window.fate"].as_str()),
            ("the-\"scene\"", "answered")
        );
        indices.push(of["avicuna.window.index"].parse::<usize>().expect("a number"));
        assert_eq!(root.status.as_ref().map_or(0, |status| status.code), StatusCode::Unset as i32);
        assert!(root.parent_span_id.is_empty());
        let mut own: Vec<&Span> = steps.iter().filter(|step| step.trace_id == root.trace_id).collect();
        own.sort_by_key(|step| (step.start_time_unix_nano, step.end_time_unix_nano));
        assert!(own.iter().all(|step| step.parent_span_id == root.span_id));
        // A film is not captured while it is watched: its windows begin where they are complete.
        let names: Vec<&str> = own.iter().map(|step| step.name.as_str()).take(5).collect();
        assert_eq!(names, ["queue", "encode", "llm", "read", "store"]);
        // Each step begins where the one before ended, the first with the window, and the last ends with it.
        let mut reached = root.start_time_unix_nano;
        for step in &own {
            assert_eq!(step.start_time_unix_nano, reached, "{}", step.name);
            reached = step.end_time_unix_nano;
        }
        assert_eq!(reached, root.end_time_unix_nano);
        let took = |name: &str| {
            let steps = own.iter().filter(|step| step.name == name);
            steps.map(|step| step.end_time_unix_nano - step.start_time_unix_nano).sum::<u64>()
        };
        assert!(took("encode") > 0 && took("llm") > 0);
        delivered += own.iter().filter(|step| step.name == "deliver").count();
    }
    indices.sort_unstable();
    assert_eq!(indices, (0..roots.len()).collect::<Vec<_>>());
    assert!(delivered > 0, "no record was delivered in any window's trace");
}

/// A page that asks who one is answers a post, too.
#[test]
fn a_server_that_sends_elsewhere_has_taken_nothing() {
    let port = Port::free();
    let listener = TcpListener::bind(port.address()).expect("the port is free");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            while let Some(request) = Request::read(&mut reader) {
                let answer: &[u8] = match request.line.starts_with("POST") {
                    true => b"HTTP/1.1 302 x\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n",
                    false => b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n",
                };
                if stream.write_all(answer).is_err() {
                    break;
                }
            }
        }
    });
    let log = watch(&format!("http://{}", port.address()), "");
    assert!(log.contains("traces are lost until") && log.contains("302"), "{log}");
}

#[test]
fn none_or_no_collector_is_no_trouble() {
    let port = Port::free();
    let log = watch(&format!("http://{}", port.address()), "");
    let said = log.matches("traces are lost until the collector takes them").count();
    assert_eq!(said, 1, "{log}");
    let got = collect(&port);
    watch(&format!("http://{}", port.address()), "share = 0");
    assert!(got.lock().expect("nobody panics").is_empty());
}
