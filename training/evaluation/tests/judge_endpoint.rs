//! The judge against a local endpoint that says what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use avicuna_evaluation::judge::{Endpoint, Judge, Judgement, Pair, Verdict};
use serde_json::{Value, json};

/// What came in: the head in lower case, and the body.
struct Request {
    head: String,
    body: Value,
}

/// Serves `responses` (status, body) one after the other, and then no more.
fn endpoint(responses: Vec<(u16, String)>) -> (String, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}/v1/", listener.local_addr().expect("an address"));
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, body) in responses {
            let (stream, _) = listener.accept().expect("somebody asks");
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut head).expect("a line"), 0, "{head}");
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut sent = vec![0; length.expect("a length").trim().parse().expect("a number")];
            reader.read_exact(&mut sent).expect("a body");
            let response = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            reader.get_mut().write_all(response.as_bytes()).expect("it listens");
            let body = serde_json::from_slice(&sent).expect("JSON");
            sender.send(Request { head, body }).expect("the test waits");
        }
    });
    (base, requests)
}

fn says(content: &str) -> (u16, String) {
    (200, json!({"choices": [{"message": {"role": "assistant", "content": content}}]}).to_string())
}

fn judge(base: &str, key: Option<&str>) -> Judge {
    Judge::new(Endpoint {
        base: base.to_owned(),
        model: "a-judge".to_owned(),
        key: key.map(str::to_owned),
        tries: 3,
        pause: Duration::from_millis(1),
        timeout: Duration::from_secs(60),
    })
}

fn pair() -> Pair {
    let text = |text: &str| text.to_owned();
    Pair {
        id: text("1"),
        question: text("What barks?"),
        answer: text("a dog"),
        prediction: text("the hound"),
    }
}

#[test]
fn the_question_goes_to_the_model_with_the_key_and_the_judgement_comes_back() {
    let (base, requests) = endpoint(vec![says(r#"{"pred": "yes", "score": 5}"#)]);
    let verdict = judge(&base, Some("sesame")).judge(&pair());
    assert_eq!(verdict, Verdict::Judged(Judgement { right: true, score: 5.0 }));
    let request = requests.recv().expect("a request");
    assert!(request.head.starts_with("post /v1/chat/completions "), "{}", request.head);
    assert!(request.head.contains("authorization: bearer sesame\r\n"), "{}", request.head);
    assert_eq!((&request.body["model"], &request.body["temperature"]), (&json!("a-judge"), &json!(0)));
    let task = request.body.pointer("/messages/1/content").and_then(Value::as_str).expect("a task");
    for part in ["What barks?", "a dog", "the hound"] {
        assert!(task.contains(part), "{task}");
    }
}

#[test]
fn what_passes_is_tried_again() {
    let busy = (429, r#"{"error": "slow down"}"#.to_owned());
    let (base, _requests) = endpoint(vec![busy, says("I think so"), says(r#"{"pred": "no", "score": 1}"#)]);
    assert_eq!(judge(&base, None).judge(&pair()), Verdict::Judged(Judgement { right: false, score: 1.0 }));
}

#[test]
fn a_judge_that_never_says_it_in_json_is_malformed_after_all_tries() {
    let (base, requests) = endpoint(vec![says("yes"), says("yes"), says("really, yes")]);
    assert_eq!(judge(&base, None).judge(&pair()), Verdict::Malformed("really, yes".to_owned()));
    assert!(requests.iter().all(|request| !request.head.contains("authorization")));
}

#[test]
fn a_refusal_is_not_asked_again_and_shows_no_key() {
    let (base, requests) = endpoint(vec![(401, r#"{"error": "who are you?"}"#.to_owned())]);
    let Verdict::Failed(reason) = judge(&base, Some("sesame")).judge(&pair()) else { panic!("it failed") };
    assert!(reason.contains("401") && reason.contains("who are you?"), "{reason}");
    assert!(!reason.contains("sesame"));
    assert_eq!(requests.iter().count(), 1);
}

#[test]
fn an_endpoint_that_is_not_there_fails_with_the_reason() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let verdict = judge(&format!("http://{port}/v1"), None).judge(&pair());
    assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
}
