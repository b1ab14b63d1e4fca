//! JSON lines, in a file or on standard output: `{"topic", "type", "id", "time", "data"}`, one record a line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc as threads};
use std::thread::JoinHandle;

use rdkafka::error::RDKafkaErrorCode;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;

use super::error::SinkError;
use super::report::{Failure, NotSent, Note};
use crate::outbox::{Message, reason};

/// Lines that are written, and synced, together.
const BATCH: usize = 1024;

/// A file of JSON lines, or standard output. Clones share it.
#[derive(Debug, Clone)]
pub struct JsonlSink {
    path: PathBuf,
    target: Arc<Mutex<Target>>,
}

#[derive(Debug)]
enum Target {
    Stdout,
    /// A regular file. When a write failed, `torn` is where the whole lines end.
    File {
        file: File,
        torn: Option<u64>,
    },
    /// A pipe or device.
    Stream(File),
}

impl JsonlSink {
    /// Opens `path` for appending, or makes it; `-` is standard output. Half a line that a crash left at the end is cut
    /// off: its record is still in the outbox.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, SinkError> {
        let path = path.as_ref().to_path_buf();
        let target = open(&path).map_err(|source| SinkError::JsonlFile { path: path.clone(), source })?;
        Ok(Self { path, target: Arc::new(Mutex::new(target)) })
    }

    /// A thread that writes.
    pub(super) fn courier(&self) -> Result<(Courier, mpsc::UnboundedReceiver<Note>), String> {
        let (notes, received) = mpsc::unbounded_channel();
        let (lines, waiting) = threads::channel();
        let (path, target) = (self.path.clone(), self.target.clone());
        let thread = std::thread::Builder::new()
            .name("jsonl".into())
            .spawn(move || write(&path, &target, &waiting, &notes));
        let thread =
            thread.map_err(|error| format!("no thread to write {}: {error}", self.path.display()))?;
        Ok((Courier { lines, thread }, received))
    }
}

fn open(path: &Path) -> io::Result<Target> {
    if path.as_os_str() == "-" {
        return Ok(Target::Stdout);
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(Target::Stream(OpenOptions::new().append(true).open(path)?));
    }
    // Where the disk knows no locks, nobody can be asked.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(io::Error::other("another process has it open"));
    }
    // Whatever is cut off must be half a line, and not the end of a film.
    let mut first = [0];
    if file.read(&mut first)? > 0 && first != *b"{" {
        return Err(io::Error::other("it holds something else than JSON lines"));
    }
    let length = whole_lines(&mut file)?;
    file.set_len(length)?;
    Ok(Target::File { file, torn: None })
}

/// Where the last whole line ends.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        file.seek(SeekFrom::Start(start))?;
        let read = &mut block[..(end - start) as usize];
        file.read_exact(read)?;
        if let Some(at) = read.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl Target {
    /// Writes whole lines, and has them on disk if it is one. After an error none of them counts as written.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush())
            }
            Self::Stream(stream) => stream.write_all(lines),
            Self::File { file, torn } => {
                if let Some(length) = *torn {
                    file.set_len(length)?;
                }
                // Asked each time: whoever rotates the file may have emptied it.
                *torn = Some(file.metadata()?.len());
                file.write_all(lines).and_then(|()| file.sync_data())?;
                *torn = None;
                Ok(())
            }
        }
    }
}

type Line = (u64, Vec<u8>);

/// One topic's writing thread; the topics take turns at the file.
pub(super) struct Courier {
    lines: threads::Sender<Line>,
    thread: JoinHandle<()>,
}

impl Courier {
    pub fn send(&self, number: u64, message: &Message) -> Result<(), NotSent> {
        let Some(line) = line(message) else {
            let code = RDKafkaErrorCode::InvalidRecord;
            return Err(NotSent::Failed(Failure::Refused { reason: reason::REJECTED, code }));
        };
        let sent = self.lines.send((number, line));
        sent.map_err(|_| NotSent::Failed(Failure::Failed("the writing thread has ended".into())))
    }

    pub fn abandon(self) {
        drop(self.lines);
        // A panic in it has been reported by the panic hook; the next courier starts a new thread.
        let _panicked = self.thread.join();
    }
}

/// `None` when the payload is no JSON.
fn line(message: &Message) -> Option<Vec<u8>> {
    let Message { topic, key: _, ce_type, ce_id, ce_time, payload, subject: _ } = message;
    serde_json::from_slice::<IgnoredAny>(payload).ok()?;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (topic, ce_type, ce_id, ce_time) =
        (quoted(topic.word()), quoted(ce_type), quoted(ce_id), quoted(ce_time));
    let mut line = Vec::with_capacity(payload.len() + 160);
    line.extend_from_slice(
        format!("{{\"topic\":{topic},\"type\":{ce_type},\"id\":{ce_id},\"time\":{ce_time},\"data\":")
            .as_bytes(),
    );
    // JSON has line breaks between its tokens only; a space there means the same.
    line.extend(payload.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    line.extend_from_slice(b"}\n");
    Some(line)
}

/// Until the lane has gone, or writing fails.
fn write(
    path: &Path,
    target: &Mutex<Target>,
    waiting: &threads::Receiver<Line>,
    notes: &mpsc::UnboundedSender<Note>,
) {
    let mut failed: Option<String> = None;
    while let Ok(first) = waiting.recv() {
        let batch: Vec<Line> = std::iter::once(first).chain(waiting.try_iter().take(BATCH - 1)).collect();
        if failed.is_none() {
            let lines: Vec<u8> = batch.iter().flat_map(|(_, line)| line.iter().copied()).collect();
            let written = target.lock().unwrap_or_else(PoisonError::into_inner).write(&lines);
            failed = written.err().map(|error| explain(path, &error));
        }
        for (number, _) in batch {
            let outcome = failed.clone().map_or(Ok(()), |why| Err(Failure::Failed(why)));
            // A lane that has ended reads the outbox again when it starts again.
            let _ended = notes.send(Note::Report(number, outcome));
        }
    }
}

fn explain(path: &Path, error: &io::Error) -> String {
    let target = match path.to_str() {
        Some("-") => "standard output".to_owned(),
        _ => path.display().to_string(),
    };
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            format!("{target}: its reader has gone; start it again or change sink.jsonl.path")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{target}: the disk is full; free some space or change sink.jsonl.path")
        }
        _ => format!("{target}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Topic;

    #[test]
    fn a_record_is_one_line_of_json() {
        let message = Message {
            topic: Topic::Events,
            key: "cam".into(),
            ce_type: "avicuna.event.v1".into(),
            ce_id: "a\"b".into(),
            ce_time: "2026-11-24T02:45:39.120Z".into(),
            payload: b"{\n  \"label\": \"dog\\n\"\r\n}".to_vec(),
            subject: None,
        };
        let line = String::from_utf8(line(&message).expect("is JSON")).expect("is UTF-8");
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
        let expected = serde_json::json!({"topic": "events", "type": "avicuna.event.v1", "id": "a\"b",
            "time": "2026-11-24T02:45:39.120Z", "data": {"label": "dog\n"}});
        assert_eq!(read, expected);
        assert!(super::line(&Message { payload: b"not json".to_vec(), ..message }).is_none());
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("records.jsonl");
        for (before, after) in [("{}\n{}\n{\"a", "{}\n{}\n"), ("{}\n", "{}\n"), ("{half", ""), ("", "")] {
            std::fs::write(&path, before).expect("written");
            JsonlSink::new(&path).expect("opens");
            assert_eq!(std::fs::read_to_string(&path).expect("readable"), after);
        }
        let long = format!("{{}}\n{{{}", "x".repeat(10_000));
        std::fs::write(&path, long).expect("written");
        JsonlSink::new(&path).expect("opens");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "{}\n");
        let error = JsonlSink::new(folder.path().join("no/such/file")).expect_err("no folder").to_string();
        assert!(error.contains("no/such/file"), "{error}");
    }

    #[test]
    fn a_file_of_something_else_or_of_another_process_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("film.mp4");
        std::fs::write(&path, "SQLite format 3\0\nand more").expect("written");
        let refused = JsonlSink::new(&path).expect_err("no JSON lines").to_string();
        assert!(refused.contains("something else than JSON lines"), "{refused}");
        assert_eq!(std::fs::read(&path).expect("readable"), b"SQLite format 3\0\nand more");
        let path = folder.path().join("records.jsonl");
        let one = JsonlSink::new(&path).expect("opens");
        let refused = JsonlSink::new(&path).expect_err("it is taken").to_string();
        assert!(refused.contains("another process has it open"), "{refused}");
        drop(one);
        JsonlSink::new(&path).expect("opens again");
    }
}
