//! Readers of what comes from outside, each as a function of one input. It panics where the reader breaks a promise; `README.md` says how
//! they are run.

mod media;
mod texts;
mod weights;

pub use media::{message, mp4, nal, pat, rtcp};
pub use texts::{answer, config, manifest};
pub use weights::{gguf, pickle};

/// A function that reads one input.
pub type Reader = fn(&[u8]);

/// Each reader under the name of its target, its corpus and its dictionary.
pub const READERS: [(&str, Reader); 10] = [
    ("answer", answer),
    ("config", config),
    ("gguf", gguf),
    ("manifest", manifest),
    ("message", message),
    ("mp4", mp4),
    ("nal", nal),
    ("pat", pat),
    ("pickle", pickle),
    ("rtcp", rtcp),
];

/// What `read` makes of a file with these bytes.
fn as_file<T>(input: &[u8], suffix: &str, read: impl FnOnce(&std::path::Path) -> T) -> T {
    let mut builder = tempfile::Builder::new();
    let file = builder.prefix("hurt").suffix(suffix).tempfile().expect("a place for temporary files");
    std::fs::write(file.path(), input).expect("room for temporary files");
    read(file.path())
}
