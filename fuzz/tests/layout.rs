//! Each target is declared and has what it begins with. This looks at files only, so it is also built beside the targets: `scripts/fuzz.sh`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn names(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries.map(|entry| stem(entry.expect("an entry").path())).collect()
}

#[test]
fn each_target_is_declared_and_has_a_corpus_and_a_dictionary() {
    let manifest = include_str!("../Cargo.toml");
    let declared = manifest.lines().filter_map(|line| line.strip_prefix("name = \"fuzz_")?.strip_suffix('"'));
    let declared: BTreeSet<String> = declared.map(str::to_owned).collect();
    assert!(!declared.is_empty());
    for folder in ["fuzz_targets", "corpus", "dictionaries"] {
        assert_eq!(names(folder), declared, "fuzz/{folder}");
    }
}
