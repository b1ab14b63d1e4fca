//! The command line as people see it: every help text, and what is said of the likeliest mistakes.
//!
//! A file of `tests/cli` shows commands as a terminal does, `$ avicuna ...`, what is printed, and `? N` where the exit code is not 0.
//! `UPDATE_SNAPSHOTS=1 cargo test --workspace --test cli` writes them anew; read the difference before it is committed.

mod support;

use std::path::PathBuf;

use support::{avicuna, repository};

/// What a terminal shows after `command`, in which names may be set before the program's.
fn shown(command: &str) -> String {
    let words = split(command);
    let program = words.iter().position(|word| word == "avicuna").expect("a line runs avicuna");
    let variables = words[..program].iter().map(|word| word.split_once('=').expect("NAME=VALUE"));
    let output = avicuna().envs(variables).args(&words[program + 1..]).output().expect("it runs");
    let mut text = match output.status.code() {
        Some(0) => String::new(),
        Some(code) => format!("? {code}\n"),
        None => panic!("{command}: {}", output.status),
    };
    text.push_str(&String::from_utf8(output.stdout).expect("UTF-8"));
    text.push_str(&String::from_utf8(output.stderr).expect("UTF-8"));
    let lines: Vec<String> = text.lines().map(|line| shortened(line.trim_end())).collect();
    format!("{}\n", lines.join("\n"))
}

/// Lists of everything that would be right grow with the program: their first three show that there is one.
fn shortened(line: &str) -> String {
    for begins in ["expected one of ", "use one of "] {
        let Some((before, list)) = line.split_once(begins) else { continue };
        let first: Vec<&str> = list.split(", ").take(3).collect();
        return format!("{before}{begins}{}, ...", first.join(", "));
    }
    line.to_owned()
}

/// Words with spaces between; those between double quotes stay together.
fn split(command: &str) -> Vec<String> {
    let parts = command.split('"').enumerate();
    let words = parts.flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

/// The page as it would be if every command were run now: each block has one command and ends with its fence.
fn run_anew(page: &str) -> String {
    let mut anew = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        anew.push_str(line);
        anew.push('\n');
        if let Some(command) = line.strip_prefix("$ ") {
            anew.push_str(&shown(command));
            anew.push_str("```\n");
            assert!(lines.any(|line| line == "```"), "the block of {command} is not closed");
        }
    }
    anew
}

#[test]
fn what_is_printed_is_what_was_read_and_found_good() {
    let pages = ["tests/cli", "tests/cli/help"].into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(repository(folder)).expect("the folder is there");
        entries.map(|entry| entry.expect("an entry").path())
    });
    let pages: Vec<PathBuf> = pages.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    assert!(pages.len() > 20, "only {} pages", pages.len());
    let mut wrong = Vec::new();
    for path in pages {
        let page = std::fs::read_to_string(&path).expect("UTF-8");
        let anew = run_anew(&page);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, anew).expect("written");
        } else if anew != page {
            let differ = anew.lines().zip(page.lines()).find(|(now, then)| now != then);
            let (now, then) = differ.unwrap_or(("a line more or less", ""));
            wrong.push(format!("{}:\n  now  {now}\n  then {then}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A subcommand or a stage of it that has no page has not been read.
#[test]
fn every_subcommand_has_a_page() {
    let mut open = vec![Vec::new()];
    let mut pages = 0;
    while let Some(path) = open.pop() {
        let path: Vec<String> = path;
        let page = repository("tests/cli/help")
            .join(format!("{}.md", [&["avicuna".to_owned()], &path[..]].concat().join("_")));
        let text =
            std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        pages += 1;
        let commands = text.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
        for line in commands.lines().take_while(|line| !line.is_empty()) {
            let name = line.strip_prefix("  ").and_then(|line| line.split(' ').next()).unwrap_or_default();
            if !name.is_empty() && name != "help" {
                open.push([&path[..], &[name.to_owned()]].concat());
            }
        }
    }
    assert!(pages > 20, "only {pages} subcommands were found");
}
