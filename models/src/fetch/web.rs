//! Requests over HTTP: how long a server may be silent, what is tried again, and downloads that go on where they broke off.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::error::FetchError;
use super::progress::Report;
use crate::manifest::sha256_of;

#[cfg(test)]
mod tests;

/// How often a server is asked for the same at most.
const TRIES: u32 = 5;
/// How many redirections of a download are followed.
const REDIRECTS: u32 = 10;
/// A server that wants to be left alone for longer is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the address of a name, and then for a connection to it.
    pub(super) connect: Duration,
    /// For an answer, and for more of it.
    pub(super) silence: Duration,
    /// Before the second try; it doubles before each further one.
    pub(super) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [connect, silence] = [30, 60].map(Duration::from_secs);
        Self { connect, silence, pause: Duration::from_millis(500) }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// An http or https address.
    pub(super) url: &'a str,
    /// Shown to the address's own host, not to one that it redirects to.
    pub(super) token: Option<&'a str>,
}

/// Why a server did not deliver.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It answered with a status that is no success, and perhaps said how long it wants to be left alone.
    Status(u16, Option<Duration>),
    /// The connection could not be made, was silent for too long or broke off.
    Broken(String),
    /// The address or the answer makes no sense.
    Senseless(String),
    /// The disk did not do what it was asked.
    Disk(FetchError),
}

impl Trouble {
    fn disk(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::Disk(FetchError::io(path, error))
    }

    /// Whether another try may succeed.
    fn passes(&self) -> bool {
        match self {
            Self::Status(status, _) => *status == 429 || (500..600).contains(status),
            Self::Broken(_) => true,
            Self::Senseless(_) | Self::Disk(_) => false,
        }
    }

    /// How long the server wants to be left alone.
    fn wait(&self) -> Option<Duration> {
        match self {
            Self::Status(_, wait) => *wait,
            _ => None,
        }
    }
}

impl From<ureq::Error> for Trouble {
    fn from(error: ureq::Error) -> Self {
        use ureq::Error::{ConnectProxyFailed, ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
        let reason = error.to_string();
        match error {
            Io(_) | Timeout(_) | HostNotFound | ConnectionFailed | Protocol(_) | ConnectProxyFailed(_) => {
                Self::Broken(reason)
            }
            _ => Self::Senseless(reason),
        }
    }
}

/// Asks servers, patiently.
#[derive(Debug, Clone)]
pub(super) struct Web {
    agent: Agent,
    pause: Duration,
}

impl Web {
    pub(super) fn new(Patience { connect, silence, pause }: Patience) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(silence));
        Self { agent: config.build().into(), pause }
    }

    /// The answer to a request for the first byte, which may be a redirection.
    pub(super) fn probe(&self, from: &Source<'_>) -> Result<Response<Body>, Trouble> {
        self.patiently(|| self.ask(from, "bytes=0-0", 0))
    }

    /// What an address says, as text of at most 16 MiB.
    pub(super) fn text(&self, from: &Source<'_>) -> Result<String, Trouble> {
        self.patiently(|| {
            let body = self.ask(from, "bytes=0-", REDIRECTS)?.into_body();
            Ok(body.into_with_config().limit(16 << 20).read_to_string()?)
        })
    }

    /// Downloads to `target`; a file that is there already is taken.
    ///
    /// What came before a download broke off stays beside it, for this call's further tries and for later calls. Whether a
    /// part is whole of which the server says that nothing follows, only `expected`, its sha256, can tell: without it, or
    /// with another, the download starts again. Whether the result has this checksum is the caller's to see.
    pub(super) fn download(
        &self,
        from: &Source<'_>,
        target: &Path,
        expected: Option<&str>,
        mut report: Report<'_>,
    ) -> Result<(), Trouble> {
        let folder = target.parent().unwrap_or(target);
        std::fs::create_dir_all(folder).map_err(Trouble::disk(folder))?;
        let lock = target.with_added_extension("lock");
        let lock = File::create(&lock).map_err(Trouble::disk(&lock))?;
        // Two processes would write into the same part. Where the disk knows no locks, the checksum tells.
        let _held_until_the_end = lock.lock();
        if target.exists() {
            return Ok(());
        }
        let part = target.with_added_extension("part");
        self.patiently(|| self.go_on(from, &part, expected, report.again()))?;
        std::fs::rename(&part, target).map_err(Trouble::disk(target))
    }

    /// Tries until it succeeds, has failed often enough or would fail again, with growing pauses.
    fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut pause = self.pause;
        for _ in 1..TRIES {
            match attempt() {
                Err(trouble) if trouble.passes() => {
                    std::thread::sleep(trouble.wait().unwrap_or(pause).min(LONGEST_PAUSE));
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        attempt()
    }

    fn ask(&self, from: &Source<'_>, range: &str, redirects: u32) -> Result<Response<Body>, Trouble> {
        let request = self.agent.get(from.url).config().max_redirects(redirects).build();
        // Bytes are counted, joined and checked as they lie at the source.
        let mut request = request.header("Range", range).header("Accept-Encoding", "identity");
        if let Some(token) = from.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = request.call()?;
        let status = response.status();
        if status.is_success() || (redirects == 0 && status.is_redirection()) {
            return Ok(response);
        }
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Trouble::Status(status.as_u16(), wait.map(Duration::from_secs)))
    }

    /// Asks for what follows the bytes in `part`, and adds it.
    fn go_on(
        &self,
        from: &Source<'_>,
        part: &Path,
        expected: Option<&str>,
        mut report: Report<'_>,
    ) -> Result<(), Trouble> {
        let before = std::fs::metadata(part).map_or(0, |m| m.len());
        let response = match self.ask(from, &format!("bytes={before}-"), REDIRECTS) {
            Err(Trouble::Status(416, _)) if before > 0 => {
                if let Some(expected) = expected
                    && sha256_of(part).map_err(Trouble::disk(part))?.eq_ignore_ascii_case(expected)
                {
                    return Ok(());
                }
                std::fs::remove_file(part).map_err(Trouble::disk(part))?;
                return self.go_on(from, part, None, report);
            }
            outcome => outcome?,
        };
        // A server that does not know ranges sends everything again.
        let start = if response.status().as_u16() == 206 { before } else { 0 };
        let sent = response.headers().get("content-range").and_then(|value| value.to_str().ok());
        if let Some(sent) = sent.filter(|sent| start > 0 && !sent.starts_with(&format!("bytes {start}-"))) {
            let reason = format!("asked for what follows {start} bytes, the server sent `{sent}`");
            return Err(Trouble::Senseless(reason));
        }
        let io = Trouble::disk(part);
        let mut file = File::options().create(true).write(true).truncate(false).open(part).map_err(&io)?;
        file.set_len(start).map_err(&io)?;
        file.seek(SeekFrom::Start(start)).map_err(&io)?;
        let body = response.into_body();
        let total = body.content_length().map(|rest| start + rest);
        let mut reader = body.into_reader();
        let mut buffer = vec![0; 1 << 18];
        let mut done = start;
        loop {
            let count = reader.read(&mut buffer).map_err(|e| Trouble::Broken(e.to_string()))?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count]).map_err(&io)?;
            done += count as u64;
            report.at(done, total);
        }
        match total {
            Some(total) if done < total => Err(Trouble::Broken(format!("only {done} of {total} bytes came"))),
            _ => Ok(()),
        }
    }
}
