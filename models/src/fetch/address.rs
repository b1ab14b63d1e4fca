//! Files from any HTTP address, taken up again where a download broke off.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::FetchError;
use super::progress::Report;

/// How often a download that breaks off is taken up again.
const RESUMES: usize = 4;

/// Downloads `url` to `folder` and returns the file; one that is there already is taken.
pub(super) fn download(url: &str, folder: &Path, mut report: Report<'_>) -> Result<PathBuf, FetchError> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(wrong(url, "only http and https addresses can be fetched".into()));
    }
    std::fs::create_dir_all(folder).map_err(|e| FetchError::io(folder, e))?;
    let name = hex::encode(Sha256::digest(url.as_bytes()));
    let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    if path.exists() {
        return Ok(path);
    }
    let mut resumes = 0;
    loop {
        let before = std::fs::metadata(&part).map_or(0, |m| m.len());
        match attempt(url, &part, before, report.again()) {
            Ok(()) => break,
            Err(Broken::Refused(error)) => return Err(error),
            Err(Broken::Off(reason)) => {
                let grown = std::fs::metadata(&part).map_or(0, |m| m.len()) > before;
                if resumes == RESUMES || !grown {
                    return Err(wrong(url, format!("{reason}; pull again to go on where it stopped")));
                }
                resumes += 1;
            }
        }
    }
    std::fs::rename(&part, &path).map_err(|e| FetchError::io(&path, e))?;
    Ok(path)
}

enum Broken {
    /// Another attempt would fail as well.
    Refused(FetchError),
    /// The connection broke.
    Off(String),
}

/// Asks for what follows the `before` bytes in `part`.
fn attempt(url: &str, part: &Path, before: u64, mut report: Report<'_>) -> Result<(), Broken> {
    let io = |e: std::io::Error| Broken::Refused(FetchError::io(part, e));
    let request = ureq::get(url).header("Range", format!("bytes={before}-"));
    let response = match request.call() {
        Ok(response) => response,
        // The part is as long as the file or longer: its checksum will tell.
        Err(ureq::Error::StatusCode(416)) if before > 0 => return Ok(()),
        Err(ureq::Error::StatusCode(status)) => {
            return Err(Broken::Refused(wrong(url, format!("the server answered with status {status}"))));
        }
        Err(error) => return Err(Broken::Off(error.to_string())),
    };
    // A server that does not know ranges sends everything again.
    let start = if response.status().as_u16() == 206 { before } else { 0 };
    let mut file = File::options().create(true).write(true).truncate(false).open(part).map_err(io)?;
    file.set_len(start).map_err(io)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start)).map_err(io)?;
    let body = response.into_body();
    let total = body.content_length().map(|rest| start + rest);
    let mut reader = body.into_reader();
    let mut buffer = vec![0; 1 << 18];
    let mut done = start;
    loop {
        let count = reader.read(&mut buffer).map_err(|e| Broken::Off(e.to_string()))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(io)?;
        done += count as u64;
        report.at(done, total);
    }
    match total {
        Some(total) if done < total => Err(Broken::Off(format!("only {done} of {total} bytes came"))),
        _ => Ok(()),
    }
}

fn wrong(url: &str, reason: String) -> FetchError {
    FetchError::Address { url: url.to_owned(), reason }
}
