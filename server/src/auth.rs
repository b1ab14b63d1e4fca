//! Who may call: bearer tokens from a file, a proxy that has asked already, or nobody but this machine.
//!
//! A token is `avs_NAME_SECRET`; the file keeps `NAME ROLE HASH`, the hash made with Argon2id. A secret that was right once
//! is known again by its SHA-256 for as long as the daemon runs, for Argon2 is slow on purpose.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use axum::http::{HeaderMap, StatusCode, header};
use rand::RngExt;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Hashes that are made at once: each takes 19 MiB and some 20 ms.
const AT_ONCE: usize = 2;
/// Bytes of a secret.
const SECRET: usize = 32;

/// What a caller may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look, and ask.
    Read,
    /// Add, change and remove streams and rules; review events.
    Write,
    /// Make the daemon read its file again.
    Admin,
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            other => Err(format!("\"{other}\" is no role; use read, write or admin")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file cannot be read.
    #[error("control.token_file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no token's.
    #[error("control.token_file {}:{line}: {reason}; `avicuna token` writes such lines", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Debug)]
struct Entry {
    role: Role,
    hash: String,
}

/// Asks callers who they are.
#[derive(Debug)]
pub struct Auth {
    tokens: Option<HashMap<String, Entry>>,
    proxy_header: Option<String>,
    /// Secrets that were right, by their SHA-256.
    known: Mutex<HashMap<[u8; 32], Role>>,
    hashing: Semaphore,
}

impl Auth {
    /// With the tokens of a file, or a proxy in front; without either everybody is let in.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(token_file: Option<&Path>, proxy_header: Option<&str>) -> Result<Self, AuthError> {
        let tokens = token_file.map(read).transpose()?;
        let proxy_header = proxy_header.map(str::to_owned);
        Ok(Self { tokens, proxy_header, known: Mutex::default(), hashing: Semaphore::new(AT_ONCE) })
    }

    /// Is everybody let in?
    pub fn is_open(&self) -> bool {
        self.tokens.is_none() && self.proxy_header.is_none()
    }

    /// What a caller may do.
    ///
    /// # Errors
    /// 401 when it does not say who it is.
    pub async fn role(&self, headers: &HeaderMap) -> Result<Role, Problem> {
        if self.is_open() {
            return Ok(Role::Admin);
        }
        if let Some(name) = &self.proxy_header
            && headers.get(name).is_some_and(|user| !user.is_empty())
        {
            return Ok(Role::Write);
        }
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token
            .and_then(|value| value.split_once(' '))
            .filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let token = token.map(|(_, token)| token.trim());
        let role = match (&self.tokens, token) {
            (Some(tokens), Some(token)) => self.of_token(tokens, token).await,
            _ => None,
        };
        role.ok_or_else(|| {
            let detail = "say who you are: Authorization: Bearer TOKEN";
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        })
    }

    async fn of_token(&self, tokens: &HashMap<String, Entry>, token: &str) -> Option<Role> {
        let (name, secret) = token.strip_prefix("avs_")?.rsplit_once('_')?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        // What is compared is a hash that a caller cannot steer towards another's.
        if let Some(role) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Some(*role);
        }
        let Entry { role, hash } = tokens.get(name)?;
        let _room = self.hashing.acquire().await.ok()?;
        let (secret, hash) = (secret.to_owned(), hash.clone());
        let right = tokio::task::spawn_blocking(move || is_right(&secret, &hash)).await.unwrap_or(false);
        right.then(|| {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, *role);
            *role
        })
    }
}

fn is_right(secret: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
}

fn read(path: &Path) -> Result<HashMap<String, Entry>, AuthError> {
    let unreadable = |source| AuthError::Unreadable { path: path.into(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mut tokens = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |reason: String| AuthError::Line { path: path.into(), line: index + 1, reason };
        let mut words = line.split_whitespace();
        let (Some(name), Some(role), Some(hash), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong("it is not NAME ROLE HASH".to_owned()));
        };
        let role = role.parse().map_err(wrong)?;
        PasswordHash::new(hash).map_err(|error| wrong(format!("its hash cannot be read ({error})")))?;
        if tokens.insert(name.to_owned(), Entry { role, hash: hash.to_owned() }).is_some() {
            return Err(wrong(format!("\"{name}\" is there twice")));
        }
    }
    Ok(tokens)
}

/// A new token: what the caller gets, and the line that knows it again.
///
/// # Errors
/// When the name is none, or the hash cannot be made.
pub fn new_token(name: &str, role: Role) -> Result<(String, String), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.is_empty() || !name.chars().all(legal) {
        return Err(format!("\"{name}\" is no name for a token; use letters, digits, '-' and '.'"));
    }
    let mut random = [0u8; SECRET];
    rand::rng().fill(&mut random);
    let secret = hex::encode(random);
    let hash = Argon2::default().hash_password(secret.as_bytes()).map_err(|error| error.to_string())?;
    Ok((format!("avs_{name}_{secret}"), format!("{name} {role} {hash}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("a header"))])
    }

    fn file(lines: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), lines).expect("it is written");
        file
    }

    #[tokio::test]
    async fn a_token_has_its_role_and_nothing_else_has_any() {
        let (token, line) = new_token("ops", Role::Write).expect("a token");
        let (other, _) = new_token("ops", Role::Admin).expect("a token");
        assert!(
            !line.contains(token.rsplit('_').next().expect("a secret")),
            "the file does not know the secret"
        );
        let file = file(&format!("# who\n\n{line}\n"));
        let auth = Auth::new(Some(file.path()), None).expect("it is read");
        for _twice in 0..2 {
            assert_eq!(auth.role(&bearer(&token)).await, Ok(Role::Write));
            for wrong in [other.as_str(), "avs_ops_", "avs_nobody_00", "ops", ""] {
                assert_eq!(
                    auth.role(&bearer(wrong)).await.map_err(|problem| problem.status),
                    Err(401),
                    "{wrong}"
                );
            }
        }
        assert!(auth.role(&HeaderMap::new()).await.is_err());
    }

    #[tokio::test]
    async fn a_proxy_says_who_it_is_and_without_either_everybody_may() {
        let auth = Auth::new(None, Some("x-user")).expect("it is made");
        let named =
            HeaderMap::from_iter([("x-user".parse().expect("a name"), "ann".parse().expect("a value"))]);
        assert_eq!(auth.role(&named).await, Ok(Role::Write));
        assert!(auth.role(&HeaderMap::new()).await.is_err());
        let open = Auth::new(None, None).expect("it is made");
        assert_eq!(open.role(&HeaderMap::new()).await, Ok(Role::Admin));
    }

    #[test]
    fn a_line_that_is_no_token_is_named() {
        for (lines, expected) in [
            ("ops write", "1: it is not NAME ROLE HASH"),
            ("\nops king $argon2id$x", "2: \"king\" is no role"),
            ("ops read nothing", "1: its hash cannot be read"),
        ] {
            let file = file(lines);
            let error = Auth::new(Some(file.path()), None).expect_err("it is wrong").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
