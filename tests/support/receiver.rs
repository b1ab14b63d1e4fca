//! A server that is posted to, and answers as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How a post is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With this status, and a header line where there is one.
    Status(u16, &'static str),
    /// Not at all.
    Hang,
}

/// A post.
#[derive(Debug, Clone)]
pub struct Letter {
    pub at: Instant,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub answer: Answer,
}

impl Letter {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn is_taken(&self) -> bool {
        matches!(self.answer, Answer::Status(200..300, _))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Listens until the test ends.
#[derive(Debug, Clone)]
pub struct Receiver {
    letters: Arc<Mutex<Vec<Letter>>>,
}

impl Receiver {
    /// Listens on a port of this machine; gives the first posts these answers, and takes the rest.
    pub fn listen(port: u16, first: &[Answer]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let receiver = Self { letters: Arc::default() };
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::new(Mutex::new(first.iter().copied().collect()));
        let letters = receiver.letters.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (letters, answers) = (letters.clone(), answers.clone());
                std::thread::spawn(move || serve(stream, &letters, &answers));
            }
        });
        receiver
    }

    /// Every post until now.
    pub fn letters(&self) -> Vec<Letter> {
        self.letters.lock().expect("nobody panics").clone()
    }

    /// Ids of the posts that were taken, in order.
    pub fn taken(&self) -> Vec<String> {
        let letters = self.letters();
        letters.iter().filter(|letter| letter.is_taken()).map(|letter| letter.id().to_owned()).collect()
    }
}

/// Answers the posts of one connection.
fn serve(stream: TcpStream, letters: &Mutex<Vec<Letter>>, answers: &Mutex<VecDeque<Answer>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut writer = stream;
    while let Some((headers, body)) = read(&mut reader) {
        let next = answers.lock().expect("nobody panics").pop_front();
        let answer = next.unwrap_or(Answer::Status(204, ""));
        let letter = Letter { at: Instant::now(), headers, body, answer };
        letters.lock().expect("nobody panics").push(letter);
        match answer {
            Answer::Status(status, header) => {
                let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
                let reply = format!("HTTP/1.1 {status} x\r\n{header}content-length: 0\r\n\r\n");
                if writer.write_all(reply.as_bytes()).is_err() {
                    return;
                }
            }
            Answer::Hang => {
                std::thread::sleep(Duration::from_secs(60));
                return;
            }
        }
    }
}

/// What is asked of a server of the tests.
pub struct Request {
    /// As `GET /path HTTP/1.1`.
    pub line: String,
    /// Their names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// The next one of a connection; `None` when there is none. Without a length it has no body.
    pub fn read(reader: &mut impl BufRead) -> Option<Self> {
        let (mut first, mut headers) = (String::new(), BTreeMap::new());
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { line: first, headers, body })
    }
}

/// The headers and the body of the next post; `None` when there is none.
fn read(reader: &mut impl BufRead) -> Option<(BTreeMap<String, String>, String)> {
    let Request { line, headers, body } = Request::read(reader)?;
    assert!(line.starts_with("POST /hook"), "{line}");
    headers.get("content-length")?.parse::<usize>().ok()?;
    Some((headers, String::from_utf8(body).ok()?))
}
