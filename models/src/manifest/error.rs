//! Why a model directory cannot be used.

use std::path::PathBuf;

use super::FILE_NAME;

/// Why a model directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file is not there or cannot be read.
    #[error("cannot read {path}: {source}; a model directory holds a {FILE_NAME}, see `[model] path` of the config", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML, or a key is missing, unknown or of another kind.
    #[error("{path} is no model manifest: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and key.
        reason: String,
    },
    /// A value makes no sense.
    #[error("{path}: `{key}` {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key with its table.
        key: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A part is nowhere.
    #[error("the model's {part} file `{file}` is missing, looked for {places}; {remedy}", places = places(looked))]
    Missing {
        /// `vision`, `audio`, `llm`, `lora` or `adapters`.
        part: &'static str,
        /// Its name in the manifest.
        file: String,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// What to do.
        remedy: &'static str,
    },
    /// A part is not the one the manifest means.
    #[error(
        "the model's {part} file {path} has the sha256 {found}, the manifest says {expected}; it is damaged or of another version: delete it and fetch it again",
        path = path.display()
    )]
    Checksum {
        /// `vision`, `audio`, `llm`, `lora` or `adapters`.
        part: &'static str,
        /// The file.
        path: PathBuf,
        /// The checksum it should have.
        expected: String,
        /// The checksum it has.
        found: String,
    },
    /// The place for shared parts is unknown.
    #[error("neither AVICUNA_CACHE nor HOME is set, so fetched model files have no place; set AVICUNA_CACHE")]
    NoCache,
}

fn places(looked: &[PathBuf]) -> String {
    let paths: Vec<String> = looked.iter().map(|path| format!("as {}", path.display())).collect();
    paths.join(" and ")
}
