//! A file server over HTTP/1.1 with ranges, on a free port of the loopback interface.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Serves the files of one directory until it is dropped.
pub struct Http {
    host: &'static str,
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Http {
    pub fn serve(directory: &Path) -> Self {
        Self::serve_at("127.0.0.1", directory)
    }

    /// At another address of this machine.
    pub fn serve_at(host: &'static str, directory: &Path) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, directory) = (Arc::clone(&stop), directory.to_owned());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let directory = directory.clone();
                std::thread::spawn(move || answer(client, &directory));
            }
        });
        Self { host, port, stop, thread: Some(thread) }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}:{}/{name}", self.host, self.port)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener up.
        let _woken = TcpStream::connect((self.host, self.port));
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// One request: a file, a range of it, the status that the path names (`/403`), or a redirect to the address in it (`/to/ADDRESS`).
fn answer(mut client: TcpStream, directory: &Path) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    let mut range = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        range = line.strip_prefix("range: bytes=").map(str::to_owned).or(range);
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next()?, words.next()?.trim_start_matches('/').split('?').next()?);
    if let Some(address) = path.strip_prefix("to/") {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return client.write_all(head.as_bytes()).ok();
    }
    let path: PathBuf = directory.join(path);
    if path.ends_with("403") {
        return client
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .ok();
    }
    let Ok(data) = std::fs::read(&path) else {
        return client
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .ok();
    };
    let total = data.len();
    let (from, to) = match range.as_deref().and_then(|range| range.split_once('-')) {
        Some((from, to)) => {
            (from.parse().unwrap_or(0).min(total), to.parse().map_or(total, |to: usize| to + 1))
        }
        None => (0, total),
    };
    let to = to.min(total);
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("mp4") => "video/mp4",
        Some("ts") => "video/mp2t",
        _ => "application/octet-stream",
    };
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nConnection: close\r\n",
        to - from
    );
    if range.is_some() {
        head += &format!("Content-Range: bytes {from}-{}/{total}\r\n", to.max(1) - 1);
    }
    client.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if method != "HEAD" {
        client.write_all(&data[from..to]).ok()?;
    }
    Some(())
}
