use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;

type Anything = Result<(), Box<dyn std::error::Error>>;

const CONTENT: &[u8] = b"the weights of a model";

/// What a server does with one request.
#[derive(Clone)]
enum Answer {
    /// Answers with this status and these lines of a header, without a body.
    Status(u16, &'static str),
    /// Sends what the range asks for, but no more than so many bytes of it, and hangs up.
    Content(usize),
    /// Sends so many bytes, and then nothing until the client hangs up.
    Stall(usize),
    /// Never answers.
    Silence,
}

/// A server that follows a script, and repeats the last answer; the ranges that it was asked for.
fn serve(script: Vec<Answer>) -> std::io::Result<(String, Arc<Mutex<Vec<String>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/model", listener.local_addr()?);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let ranges = asked.clone();
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().flatten().enumerate() {
            let answer = script.get(index).or(script.last()).cloned().unwrap_or(Answer::Silence);
            let ranges = ranges.clone();
            // One that is silent must not keep the next from being heard.
            std::thread::spawn(move || {
                // A client that hangs up in the middle is not the server's trouble.
                let _hung_up = follow(stream, &answer, &ranges);
            });
        }
    });
    Ok((url, asked))
}

fn follow(
    mut stream: std::net::TcpStream,
    answer: &Answer,
    ranges: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let head = head.to_lowercase();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")).unwrap_or_default();
    ranges.lock().expect("no test panics with it").push(range.to_owned());
    let start: usize = range.split('-').next().and_then(|start| start.parse().ok()).unwrap_or(0);
    let rest = CONTENT.get(start..).unwrap_or_default();
    let sent = match answer {
        Answer::Status(status, headers) => {
            let close = "content-length: 0\r\nconnection: close\r\n\r\n";
            return write!(stream, "HTTP/1.1 {status} no\r\n{headers}{close}");
        }
        Answer::Content(most) | Answer::Stall(most) => &rest[..rest.len().min(*most)],
        Answer::Silence => rest,
    };
    if !matches!(answer, Answer::Silence) {
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\nconnection: close\r\n\
             content-range: bytes {start}-{}/{}\r\n\r\n",
            rest.len(),
            CONTENT.len() - 1,
            CONTENT.len()
        )?;
        stream.write_all(sent)?;
    }
    if matches!(answer, Answer::Silence | Answer::Stall(_)) {
        // Until the client hangs up.
        reader.read_line(&mut String::new())?;
    }
    Ok(())
}

/// A folder to which `CONTENT` is downloaded.
struct Place {
    folder: tempfile::TempDir,
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new(script: Vec<Answer>) -> std::io::Result<Self> {
        let (url, asked) = serve(script)?;
        Ok(Self { folder: tempfile::tempdir()?, url, asked })
    }

    /// Leaves `bytes` of a download that broke off.
    fn began(self, bytes: &[u8]) -> std::io::Result<Self> {
        std::fs::write(self.folder.path().join("model.part"), bytes)?;
        Ok(self)
    }

    fn download(&self, expected: Option<&str>) -> Result<Vec<u8>, Trouble> {
        self.download_within(Duration::from_secs(60), expected)
    }

    /// With this long for the next byte.
    fn download_within(&self, silence: Duration, expected: Option<&str>) -> Result<Vec<u8>, Trouble> {
        let patience =
            Patience { connect: Duration::from_secs(60), silence, pause: Duration::from_millis(1) };
        let target = self.folder.path().join("model");
        let from = Source { url: &self.url, token: None };
        Web::new(patience).download(&from, &target, expected, Report(&mut |_| {}))?;
        std::fs::read(&target).map_err(Trouble::disk(&target))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics with it").clone()
    }
}

const ALL: Answer = Answer::Content(usize::MAX);

fn sum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn a_server_that_is_busy_is_asked_again() -> Anything {
    let script = vec![Answer::Status(503, ""), Answer::Status(429, "retry-after: 0\r\n"), ALL];
    let place = Place::new(script)?;
    assert_eq!(place.download(None).expect("it comes in the end"), CONTENT);
    assert_eq!(place.asked(), ["0-"; 3]);
    Ok(())
}

#[test]
fn a_server_that_stays_busy_is_given_up() -> Anything {
    let place = Place::new(vec![Answer::Status(500, "")])?;
    let trouble = place.download(None).expect_err("it never delivers");
    assert!(matches!(trouble, Trouble::Status(500, None)), "{trouble:?}");
    assert_eq!(place.asked().len(), TRIES as usize);
    Ok(())
}

#[test]
fn a_refusal_is_not_asked_again() -> Anything {
    for status in [400, 401, 403, 404, 410, 416] {
        let place = Place::new(vec![Answer::Status(status, ""), ALL])?;
        let trouble = place.download(None).expect_err("it refuses");
        assert!(matches!(trouble, Trouble::Status(said, None) if said == status), "{trouble:?}");
        assert_eq!(place.asked().len(), 1, "{status}");
    }
    Ok(())
}

#[test]
fn what_breaks_off_or_stalls_goes_on_where_it_stopped() -> Anything {
    let place = Place::new(vec![Answer::Content(5), Answer::Stall(4), Answer::Silence, ALL])?;
    assert_eq!(place.download_within(Duration::from_secs(2), None).expect("it comes in the end"), CONTENT);
    assert_eq!(place.asked(), ["0-", "5-", "9-", "9-"]);
    Ok(())
}

#[test]
fn a_server_that_never_answers_is_not_waited_for_for_ever() -> Anything {
    let place = Place::new(vec![Answer::Silence])?;
    let trouble = place.download_within(Duration::from_millis(100), None).expect_err("nothing came");
    assert!(matches!(&trouble, Trouble::Broken(reason) if reason.contains("timeout")), "{trouble:?}");
    assert_eq!(place.asked().len(), TRIES as usize);
    Ok(())
}

#[test]
fn a_part_of_which_nothing_follows_is_whole_only_by_its_checksum() -> Anything {
    let place = Place::new(vec![Answer::Status(416, "")])?.began(CONTENT)?;
    assert_eq!(place.download(Some(&sum(CONTENT))).expect("it is whole"), CONTENT);
    assert_eq!(place.asked(), [format!("{}-", CONTENT.len())]);
    let other: &[u8] = b"longer than what the server has, and something else";
    for (part, expected) in [(CONTENT, None), (other, None), (other, Some(sum(CONTENT)))] {
        let place = Place::new(vec![Answer::Status(416, ""), ALL])?.began(part)?;
        assert_eq!(place.download(expected.as_deref()).expect("it starts again"), CONTENT);
        assert_eq!(place.asked(), [format!("{}-", part.len()), "0-".to_owned()]);
    }
    Ok(())
}

#[test]
fn another_range_than_asked_for_is_not_joined() -> Anything {
    let shifted = "content-range: bytes 3-9/22\r\n";
    let place = Place::new(vec![Answer::Status(206, shifted), ALL])?.began(&CONTENT[..5])?;
    let trouble = place.download(None).expect_err("the bytes between are missing");
    assert!(matches!(&trouble, Trouble::Senseless(reason) if reason.contains("bytes 3-9")), "{trouble:?}");
    assert_eq!(place.asked(), ["5-"]);
    Ok(())
}
