//! Which crate may import which: what the manifests declare and what the sources name must go along the arrows of one table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::root;

/// A crate's folder, its name, and all that it may import of this workspace. A crate imports only what stands above it.
pub const ROOMS: [(&str, &str, &[&str]); 9] = [
    ("models", "avicuna-models", &[]),
    ("pipeline", "avicuna-pipeline", &["avicuna-models"]),
    ("plugins", "gst-plugin-avicuna", &["avicuna-models", "avicuna-pipeline"]),
    // Records and the reins of a running daemon; no models, no GStreamer.
    ("server", "avicuna-server", &["avicuna-pipeline"]),
    ("training/corpus", "avicuna-corpus", &["avicuna-models", "avicuna-pipeline"]),
    // Of the pipeline it takes the reading of configurations.
    ("training/trainer", "avicuna-trainer", &["avicuna-models", "avicuna-pipeline", "avicuna-corpus"]),
    ("training/evaluation", "avicuna-evaluation", &["avicuna-models", "avicuna-pipeline", "avicuna-corpus"]),
    ("fuzz", "avicuna-fuzz", &["avicuna-models", "avicuna-pipeline"]),
    (
        "",
        "avicuna",
        &[
            "avicuna-models",
            "avicuna-pipeline",
            "avicuna-server",
            "gst-plugin-avicuna",
            "avicuna-corpus",
            "avicuna-trainer",
            "avicuna-evaluation",
        ],
    ),
];

/// Where cargo looks for sources in a crate's folder.
const SOURCES: [&str; 5] = ["src", "tests", "examples", "benches", "build.rs"];

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates that a manifest's table of dependencies names, as they are called where they come from.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, value) in manifest {
        let Value::Table(table) = value else { continue };
        if key.ends_with("dependencies") {
            let package = |value: &Value| value.get("package")?.as_str().map(str::to_owned);
            names.extend(table.iter().map(|(name, value)| package(value).unwrap_or_else(|| name.clone())));
        } else if key == "target" {
            names.extend(table.values().filter_map(Value::as_table).flat_map(dependencies));
        }
    }
    names
}

/// The name by which sources call a crate.
fn called(folder: &str, name: &str) -> String {
    let lib = manifest(folder).get("lib").and_then(|lib| lib.get("name")?.as_str().map(str::to_owned));
    lib.unwrap_or_else(|| name.replace('-', "_"))
}

/// Whether a line of code names the crate: in a `use`, or at the head of a path.
fn names(line: &str, called: &str) -> bool {
    let line = line.trim_start();
    let import = ["use ", "pub use ", "extern crate "].iter().any(|start| line.starts_with(start));
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let named = |(at, _): (usize, &str)| {
        let after = &line[at + called.len()..];
        let whole = !line[..at].ends_with(word) && !after.starts_with(word);
        whole && (import || after.starts_with("::"))
    };
    !line.starts_with("//") && line.match_indices(called).any(named)
}

/// All files below `path`, or itself, of which `wanted` says so. What git ignores is not looked at.
fn files(path: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    if path.is_file() && wanted(path) {
        found.push(path.to_owned());
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries {
        let entry = entry.expect("an entry").path();
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ignored = path == root() && ["target", "data", "run"].contains(&name.as_str());
        if !ignored && !name.starts_with('.') {
            files(&entry, wanted, found);
        }
    }
}

#[test]
fn every_crate_has_its_place_in_the_table() {
    let mut found = Vec::new();
    files(root(), &|path| path.ends_with("Cargo.toml"), &mut found);
    let folder = |path: &PathBuf| {
        let folder = path.parent().expect("a file has a folder").strip_prefix(root()).expect("it is below");
        folder.to_str().expect("UTF-8").to_owned()
    };
    let there: BTreeSet<String> = found.iter().map(folder).collect();
    let placed = BTreeSet::from(ROOMS.map(|(folder, ..)| folder.to_owned()));
    assert_eq!(there, placed, "the folders with a Cargo.toml, and those of the table");
    let workspace = manifest("");
    let members = workspace["workspace"]["members"].as_array().expect("a list").iter();
    let members: BTreeSet<String> = members.map(|member| member.as_str().expect("text").to_owned()).collect();
    assert!(members.is_subset(&placed), "{members:?}");
    for (folder, name, _) in ROOMS {
        assert_eq!(manifest(folder)["package"]["name"].as_str(), Some(name), "the crate in `{folder}`");
    }
}

#[test]
fn the_table_has_no_circle() {
    for (at, (_, name, may)) in ROOMS.iter().enumerate() {
        let above = BTreeSet::from_iter(ROOMS[..at].iter().map(|(_, name, _)| name));
        assert!(may.iter().all(|import| above.contains(import)), "{name} imports what stands below it");
    }
}

#[test]
fn manifests_go_along_the_arrows() {
    for (folder, name, may) in ROOMS {
        for import in dependencies(&manifest(folder)) {
            let own = ROOMS.iter().any(|(_, name, _)| *name == import);
            assert!(
                !own || may.contains(&import.as_str()),
                "{folder}/Cargo.toml: {name} must not import {import}"
            );
        }
    }
}

#[test]
fn sources_go_along_the_arrows() {
    // Nobody can import the program.
    let called: BTreeMap<&str, String> = ROOMS
        .iter()
        .filter(|(folder, ..)| !folder.is_empty())
        .map(|(folder, name, _)| (*name, called(folder, name)))
        .collect();
    for (folder, name, may) in ROOMS {
        let mut sources = Vec::new();
        for place in SOURCES {
            let rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
            files(&root().join(folder).join(place), &rust, &mut sources);
        }
        assert!(!sources.is_empty(), "{name} has sources");
        let barred: Vec<_> =
            called.iter().filter(|(other, _)| **other != name && !may.contains(other)).collect();
        for path in sources {
            let text = fs::read_to_string(&path).expect("it is text");
            for (number, line) in text.lines().enumerate() {
                if let Some((other, _)) = barred.iter().find(|(_, called)| names(line, called)) {
                    panic!("{}:{}: {name} must not import {other}", path.display(), number + 1);
                }
            }
        }
    }
}

#[test]
fn imports_are_seen() {
    for line in
        ["use avicuna_models::llm;", "    pub use avicuna_models as m;", "let a = avicuna_models::f();"]
    {
        assert!(names(line, "avicuna_models"), "{line}");
    }
    for line in ["// use avicuna_models::llm;", "use avicuna_models_of_ours::a;", "let avicuna_models = 1;"] {
        assert!(!names(line, "avicuna_models"), "{line}");
    }
    let manifest: Table = "[dev-dependencies]\nx.workspace = true\n[target.'cfg(unix)'.dependencies]\n\
                           y = { path = \"z\", package = \"avicuna-models\" }\n"
        .parse()
        .expect("a manifest");
    assert_eq!(dependencies(&manifest), BTreeSet::from(["x".to_owned(), "avicuna-models".to_owned()]));
}
