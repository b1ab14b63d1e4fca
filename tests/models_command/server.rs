//! A web server of our own, whose answers may break off.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// What a request asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// How the server answers.
#[derive(Clone, Default)]
pub struct Behaviour {
    pub files: HashMap<String, Vec<u8>>,
    /// Answers everything with this status.
    pub status: Option<u16>,
    /// Cuts so many answers after so many bytes of their body.
    pub cuts: usize,
    pub cut_after: usize,
    /// Knows nothing of ranges.
    pub whole: bool,
}

/// An HTTP server on a free port, in the layout of the hub; it ends with the test.
pub struct Server {
    pub address: String,
    behaviour: Arc<Mutex<Behaviour>>,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(behaviour: Behaviour) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let behaviour = Arc::new(Mutex::new(behaviour));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, behaviour: behaviour.clone(), requests: requests.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up in the middle is not the server's trouble.
                let _hung_up = answer(stream, &behaviour, &requests);
            }
        });
        Ok(server)
    }

    /// The requests for more than a file's first byte.
    pub fn downloads(&self) -> Vec<Request> {
        let requests = self.requests.lock().expect("no test panics with it");
        requests.iter().filter(|r| r.range.as_deref() != Some("bytes=0-0")).cloned().collect()
    }

    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().expect("no test panics with it"));
    }
}

fn answer(
    mut stream: TcpStream,
    behaviour: &Mutex<Behaviour>,
    requests: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, range: None, authorization: None };
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                request.range = Some(value.trim().into())
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.authorization = Some(value.trim().into())
            }
            Some(_) => {}
            None => break,
        }
    }
    requests.lock().expect("no test panics with it").push(request.clone());
    let mut now = behaviour.lock().expect("no test panics with it");
    let file = now.files.get(&request.path).cloned();
    let refusal = now.status.or(file.is_none().then_some(404));
    if let Some(status) = refusal {
        return write!(stream, "HTTP/1.1 {status} no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let file = file.unwrap_or_default();
    let range = request.range.as_deref().filter(|_| !now.whole).and_then(|r| r.strip_prefix("bytes="));
    let (start, end) = range.and_then(|r| r.split_once('-')).unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap_or(0);
    let end = end.parse().map_or(file.len(), |end: usize| (end + 1).min(file.len()));
    let body = file.get(start..end).unwrap_or_default();
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len())?;
    if range.is_some() {
        write!(stream, "content-range: bytes {start}-{}/{}\r\n", end.saturating_sub(1), file.len())?;
    }
    let tag = hex(&Sha256::digest(&file));
    write!(stream, "etag: \"{tag}\"\r\nx-repo-commit: 0123456789abcdef0123456789abcdef01234567\r\n\r\n")?;
    let probe = request.range.as_deref() == Some("bytes=0-0");
    let cut = !probe && now.cuts > 0 && body.len() > now.cut_after;
    if cut {
        now.cuts -= 1;
        return stream.write_all(&body[..now.cut_after]);
    }
    stream.write_all(body)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn serving(path: &str, bytes: &[u8]) -> Behaviour {
    Behaviour { files: HashMap::from([(path.to_owned(), bytes.to_vec())]), ..Behaviour::default() }
}
