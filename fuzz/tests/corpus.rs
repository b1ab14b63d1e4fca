//! Each reader on what it once failed on, and on what fuzzing begins with: `README.md`.

use std::path::{Path, PathBuf};

use avicuna_fuzz::READERS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn what_is_in_the_corpus_is_read() {
    for (name, read) in READERS {
        let files = files(&folder("corpus").join(name));
        assert!(!files.is_empty(), "{name} has nothing to begin with");
        for file in files {
            let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            println!("{}", file.display());
            read(&input);
            // Every beginning of a short one.
            (0..input.len().min(256)).for_each(|end| read(&input[..end]));
        }
    }
}
