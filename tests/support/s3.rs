//! A server that speaks as much of S3 as keeping clips needs: objects are put, looked at, read in parts, listed and deleted. Every call has to
//! be signed by the key that is known.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::receiver::Request;

/// The key that signs.
pub const KEY: &str = "clipskey";
/// The only bucket.
pub const BUCKET: &str = "evidence";

/// Listens until the test ends.
#[derive(Debug, Clone, Default)]
pub struct S3 {
    pub address: String,
    /// By their paths below the bucket.
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Nothing more is taken.
    full: Arc<AtomicBool>,
}

/// What is asked.
struct Asked {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl S3 {
    /// Listens on a free port of this machine.
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let s3 = Self { address, ..Self::default() };
        let serving = s3.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.talk(stream));
            }
        });
        s3
    }

    /// The paths of all objects.
    pub fn paths(&self) -> Vec<String> {
        self.objects.lock().expect("nobody panics").keys().cloned().collect()
    }

    /// From now on whatever is put is refused, or taken.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn talk(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        let mut writer = stream;
        while let Some(asked) = read(&mut reader) {
            let (status, headers, body) = self.answer(&asked);
            let length = if headers.contains("content-length") {
                String::new()
            } else {
                format!("content-length: {}\r\n", body.len())
            };
            let head = format!("HTTP/1.1 {status} x\r\n{headers}{length}\r\n");
            let body = if asked.method == "HEAD" { &[][..] } else { &body[..] };
            if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, asked: &Asked) -> (u16, String, Vec<u8>) {
        let error = |status: u16, code: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
            (status, String::new(), body.into_bytes())
        };
        let signed = asked.headers.get("authorization").is_some_and(|by| {
            by.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY}/")) && by.contains("Signature=")
        });
        if !signed {
            return error(403, "AccessDenied");
        }
        let Some(path) = asked.path.strip_prefix(&format!("/{BUCKET}")) else {
            return error(404, "NoSuchBucket");
        };
        let key = decoded(path.trim_start_matches('/'));
        let mut objects = self.objects.lock().expect("nobody panics");
        let stamp = "last-modified: Sun, 29 Nov 2026 12:00:00 GMT\r\netag: \"e\"\r\n";
        match asked.method.as_str() {
            "GET" if key.is_empty() => {
                (200, "content-type: application/xml\r\n".into(), list(&objects, &asked.query))
            }
            "PUT" if self.full.load(Ordering::Relaxed) => error(507, "InsufficientStorage"),
            "PUT" => {
                objects.insert(key, asked.body.clone());
                (200, "etag: \"e\"\r\n".into(), Vec::new())
            }
            "DELETE" => {
                objects.remove(&key);
                (204, String::new(), Vec::new())
            }
            "GET" | "HEAD" => {
                let Some(object) = objects.get(&key) else { return error(404, "NoSuchKey") };
                let range = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
                let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
                    return (200, format!("{stamp}content-length: {}\r\n", object.len()), object.clone());
                };
                let (first, last): (usize, usize) =
                    (first.parse().expect("a number"), last.parse().expect("a number"));
                let last = last.min(object.len() - 1);
                let range = format!("{stamp}content-range: bytes {first}-{last}/{}\r\n", object.len());
                (206, range, object[first..=last].to_vec())
            }
            "POST" if asked.query.starts_with("delete") => {
                let body = String::from_utf8_lossy(&asked.body).into_owned();
                let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
                let mut deleted = String::new();
                for key in keys {
                    objects.remove(key);
                    deleted += &format!("<Deleted><Key>{key}</Key></Deleted>");
                }
                (200, String::new(), format!("<DeleteResult>{deleted}</DeleteResult>").into_bytes())
            }
            _ => error(405, "MethodNotAllowed"),
        }
    }
}

fn list(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> Vec<u8> {
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix="));
    let prefix = decoded(prefix.unwrap_or_default());
    let found = objects.iter().filter(|(key, _)| key.starts_with(&prefix));
    let contents: String = found
        .map(|(key, bytes)| {
            let (key, size) = (key.replace('&', "&amp;").replace('<', "&lt;"), bytes.len());
            format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>e</ETag>\
                 <LastModified>2026-11-29T12:00:00.000Z</LastModified></Contents>"
            )
        })
        .collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>").into_bytes()
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let Request { line, headers, body } = Request::read(reader)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    Some(Asked { method, path, query, headers, body })
}
