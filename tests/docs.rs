//! What README.md and docs/ show is there: configurations are good, commands and their flags are the program's.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use avicuna_pipeline::config::Config;
use support::{avicuna, repository};

/// README.md and the files of docs/, with their texts.
fn pages() -> Vec<(String, String)> {
    let docs = std::fs::read_dir(repository("docs")).expect("docs/ is there");
    let mut paths: Vec<PathBuf> = docs.map(|entry| entry.expect("an entry").path()).collect();
    paths.push(repository("README.md"));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("UTF-8"))
    };
    paths.into_iter().map(read).collect()
}

/// A fenced block: its language, the number of its first line, its text.
struct Block {
    language: String,
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), line: index + 2, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

#[test]
fn configurations_are_good() {
    let mut seen = 0;
    for (name, page) in pages() {
        for block in blocks(&page).iter().filter(|block| block.language == "toml") {
            let place = format!("{name}:{}", block.line);
            let table: toml::Table = block.text.parse().unwrap_or_else(|error| panic!("{place}: {error}"));
            // A page that explains one section leaves the others out; only a stream has no default.
            // Those of a fleet are elsewhere.
            let has_streams = table.contains_key("stream") || table.contains_key("fleet");
            let stream = if has_streams { "" } else { "[[stream]]\nid = \"a\"\nuri = \"test://\"\n" };
            let text = format!("{}{stream}", block.text);
            if let Err(error) = Config::parse(&text, &place, []) {
                panic!("{error}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} configurations were found: are they still marked as toml?");
}

/// What the program's help says of one subcommand.
struct Help {
    subcommands: BTreeSet<String>,
    /// Whether one of them has to be named.
    incomplete: bool,
    flags: BTreeSet<String>,
}

impl Help {
    fn of(path: &[String]) -> Self {
        let output = avicuna().args(path).arg("--help").output().expect("it runs");
        assert!(output.status.success(), "avicuna {} has no help", path.join(" "));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let commands = text.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
        let commands = commands.lines().take_while(|line| !line.is_empty());
        let subcommands =
            commands.filter_map(|line| Some(line.strip_prefix("  ")?.split(' ').next()?.to_owned()));
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        Self {
            subcommands: subcommands.filter(|word| !word.is_empty()).collect(),
            incomplete: text.lines().any(|line| line.starts_with("Usage:") && line.ends_with("<COMMAND>")),
            flags: words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect(),
        }
    }
}

/// The commands that a page shows, in blocks, in indented lines and between back-ticks: each from `avicuna` to where it ends.
fn commands(page: &str) -> Vec<String> {
    let joined = page.replace("\\\n", " ");
    let mut commands = Vec::new();
    let mut fenced = false;
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            let line = line.split(" #").next().unwrap_or_default();
            commands.extend(invocation(line));
        } else {
            commands.extend(line.split('`').skip(1).step_by(2).filter_map(invocation));
        }
    }
    commands
}

/// The part of a shell line that runs the program.
fn invocation(line: &str) -> Option<String> {
    let starts = |word: &str| {
        let word = word.trim_start_matches('\'');
        word == "avicuna" || word.ends_with("/avicuna") && !word.contains(':')
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let first = words.iter().position(|word| starts(word))?;
    let ends = |word: &&str| !matches!(*word, "||" | "|" | "&&" | ">" | "&");
    let rest: Vec<&str> = words[first + 1..].iter().copied().take_while(ends).collect();
    Some(rest.join(" "))
}

#[test]
fn commands_and_flags_are_the_program_s() {
    let mut known: BTreeMap<Vec<String>, Help> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut flags = 0;
    for (name, page) in pages() {
        for command in commands(&page) {
            let mut path: Vec<String> = Vec::new();
            let mut words =
                command.split_whitespace().map(|word| word.trim_matches(['[', ']', '\'', ',', ';']));
            loop {
                let help = known.entry(path.clone()).or_insert_with(|| Help::of(&path));
                let Some(word) = words.next() else { break };
                if let Some(flag) = word.strip_prefix("--").and_then(|flag| flag.split('=').next()) {
                    flags += 1;
                    if !help.flags.contains(&format!("--{flag}")) {
                        wrong.push(format!("{name}: avicuna {command}: no --{flag}"));
                    }
                } else if help.subcommands.contains(word) {
                    path.push(word.to_owned());
                } else if help.incomplete {
                    wrong.push(format!("{name}: avicuna {command}: no subcommand {word}"));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(flags >= 50, "only {flags} flags were found: are commands still written as they were?");
}
