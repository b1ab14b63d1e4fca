//! Processes of sources that misbehave: each is ended, which is an outage of its stream.

mod common;

use std::time::Duration;

use avicuna_pipeline::source::SourceEvent;
use avicuna_pipeline::source::apart::{Worker, spawn};
use common::{HANG, live};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Why the stream is lost whose process is this program, which knows nothing of sources.
async fn lost(program: &str, arguments: &[&str], memory: u64, silence: Duration) -> String {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let worker = Worker { program: program.into(), arguments, memory, silence };
    let (sender, mut events) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let task = spawn(worker, live("udp://127.0.0.1:9"), None, sender, shutdown.clone());
    let failure = loop {
        let event = tokio::time::timeout(HANG, events.recv()).await.expect("it hangs").expect("it goes on");
        if let SourceEvent::Lost { failure, .. } = event {
            break failure;
        }
    };
    shutdown.cancel();
    drop(events);
    tokio::time::timeout(HANG, task).await.expect("it hangs").expect("no panic");
    failure.to_string()
}

#[tokio::test]
async fn one_that_grows_without_a_word_is_ended() {
    // A shell that holds 200 MB in a variable.
    let hungry = ["-c", "held=$(head -c 200000000 /dev/zero | tr '\\0' a); sleep 1000; echo $held"];
    let said = lost("sh", &hungry, 100 << 20, HANG).await;
    assert!(said.starts_with("crashed: ") && said.contains("grew to "), "{said}");
}

#[tokio::test]
async fn one_that_says_nothing_is_ended() {
    let said = lost("sleep", &["1000"], 100 << 20, Duration::from_secs(2)).await;
    assert!(said.starts_with("crashed: ") && said.contains("said nothing for 2 s"), "{said}");
}

#[tokio::test]
async fn one_that_says_what_is_no_message_is_ended() {
    let said = lost("yes", &[], 100 << 20, HANG).await;
    assert!(said.starts_with("crashed: "), "{said}");
}

#[tokio::test]
async fn one_that_grows_while_nobody_listens_to_it_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let header = br#"{"Event":{"Progress":0}}"#;
    let mut message = Vec::from((header.len() as u32).to_le_bytes());
    message.extend([0; 4]);
    message.extend(header);
    std::fs::write(folder.path().join("words"), message.repeat(100_000)).expect("it is written");
    let script = format!(
        "cd {}; cat words & held=$(head -c 200000000 /dev/zero | tr '\\0' a); touch full; sleep 1000; echo $held",
        folder.path().display()
    );
    let worker = Worker {
        program: "sh".into(),
        arguments: vec!["-c".to_owned(), script],
        memory: 100 << 20,
        silence: HANG,
    };
    let (sender, mut events) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let _task = spawn(worker, live("udp://127.0.0.1:9"), None, sender, shutdown.clone());
    let begun = std::time::Instant::now();
    let marked = folder.path().display().to_string();
    let mut seen = false;
    loop {
        let runs = std::fs::read_dir("/proc").expect("processes").flatten().any(|process| {
            std::fs::read_to_string(process.path().join("cmdline")).is_ok_and(|line| line.contains(&marked))
        });
        if seen && !runs {
            break;
        }
        seen |= runs;
        assert!(begun.elapsed() < HANG, "it goes on growing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lost = async {
        while let Some(event) = events.recv().await {
            if let SourceEvent::Lost { failure, .. } = event {
                return failure.to_string();
            }
        }
        String::new()
    };
    let said = tokio::time::timeout(HANG, lost).await.expect("it hangs");
    assert!(said.contains("grew to "), "{said}");
    shutdown.cancel();
}
