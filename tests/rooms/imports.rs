//! Which module of a crate imports which, as its sources say it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::root;

/// A module by its names from the crate's root on.
pub type Module = Vec<String>;

/// The modules of one folder, with those beside them that they import and a file that does.
pub type Graph = BTreeMap<String, BTreeMap<String, PathBuf>>;

/// All sources with their modules, but for tests in files of their own.
fn sources(src: &Path) -> Vec<(PathBuf, Module)> {
    let mut folders = vec![src.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let below = path.strip_prefix(src).expect("it is below").with_extension("");
                let mut module: Module =
                    below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
                if module.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
                    module.pop();
                }
                found.push((path, module));
            }
        }
    }
    found
}

/// The code of a source without comments, and without the module of tests that it ends with: tests may use what is above.
fn code(text: &str) -> String {
    let own = text.lines().take_while(|line| *line != "mod tests {");
    own.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path in `code` that begins with `crate::` or `super::`, braces opened up.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            // `super::super::` is read from its beginning.
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                tree(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads `a::b` or `a::{b, c::d}` at the beginning of `text`, behind `prefix`; what is left of the text.
fn tree<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let length = prefix.len();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                inside = inside.trim_start();
                if let Some(after) = inside.strip_prefix('}') {
                    rest = after;
                    break;
                }
                let after = tree(inside, prefix, found).trim_start();
                let after = after.strip_prefix(',').unwrap_or(after);
                // What is no list of imports, such as a macro's pattern, ends here.
                if after.len() == inside.len() {
                    rest = "";
                    break;
                }
                inside = after;
            }
            break;
        }
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(rest.len());
        prefix.push(rest[..name].to_owned());
        rest = &rest[name..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => {
                found.push(prefix.clone());
                let renamed = rest.trim_start().strip_prefix("as ").map(str::trim_start);
                rest = renamed.map_or(rest, |name| name.trim_start_matches(|c: char| c.is_alphanumeric()));
                break;
            }
        }
    }
    prefix.truncate(length);
    rest
}

/// What a module hands on from those inside it: a name, and where it is from.
type HandedOn = BTreeMap<Module, BTreeMap<String, Vec<String>>>;

/// The names that `code` takes from modules inside its own.
fn handed_on(code: &str) -> BTreeMap<String, Vec<String>> {
    let mut names = Vec::new();
    for line in ["use ", "pub use ", "pub(crate) use ", "pub(super) use "] {
        for (at, _) in code.match_indices(&format!("\n{line}")) {
            tree(&code[at + 1 + line.len()..], &mut Vec::new(), &mut names);
        }
    }
    let own = |path: Vec<String>| path.into_iter().filter(|name| name != "self").collect::<Vec<_>>();
    names.into_iter().map(own).filter_map(|path| Some((path.last()?.clone(), path))).collect()
}

/// The module that `path` in `module` names, or is in: where a thing is defined, though a module above hands it on.
fn target(path: &[String], module: &[String], known: &BTreeSet<Module>, handed: &HandedOn) -> Module {
    let mut target = module.to_vec();
    for name in path {
        match name.as_str() {
            "crate" => target.clear(),
            "super" => {
                target.pop();
            }
            "self" => {}
            name => {
                target.push(name.to_owned());
                if known.contains(&target) {
                    continue;
                }
                target.pop();
                let from = handed.get(&target).and_then(|names| names.get(name));
                let inside = |path: &&Vec<String>| {
                    path.len() > 1 && known.contains(&[&target[..], &path[..1]].concat())
                };
                return match from.filter(inside) {
                    Some(from) => self::target(from, &target, known, handed),
                    None => target,
                };
            }
        }
    }
    target
}

/// For each folder of `src`, by its module, which of the modules in it import which.
pub fn graphs(src: &Path) -> BTreeMap<Module, Graph> {
    let read = |(path, module)| {
        let text = std::fs::read_to_string(&path).expect("a source");
        (path, module, code(&text))
    };
    let sources: Vec<(PathBuf, Module, String)> = sources(src).into_iter().map(read).collect();
    let known: BTreeSet<Module> = sources.iter().map(|(_, module, _)| module.clone()).collect();
    let handed = sources.iter().map(|(_, module, code)| (module.clone(), handed_on(code))).collect();
    let mut graphs: BTreeMap<Module, Graph> = BTreeMap::new();
    for (path, module, code) in &sources {
        for named in paths(code) {
            let target = target(&named, module, &known, &handed);
            let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            // A module and those inside it are one room.
            let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) else { continue };
            let graph = graphs.entry(module[..shared].to_vec()).or_default();
            graph.entry(from.clone()).or_default().insert(to.clone(), path.clone());
        }
    }
    graphs
}

/// The modules at the root of `src`.
pub fn rooms(src: &Path) -> BTreeSet<String> {
    let sources = sources(src).into_iter();
    sources.filter_map(|(_, module)| (module.len() == 1).then(|| module[0].clone())).collect()
}

/// A way along imports from `from` to `to`, both included.
pub fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for next in graph.get(at).into_iter().flat_map(BTreeMap::keys) {
            if before.contains_key(next.as_str()) {
                continue;
            }
            before.insert(next, at);
            if next == to {
                let mut way = vec![to.to_owned()];
                let mut at = to;
                while let Some(previous) = before.get(at) {
                    way.push((*previous).to_owned());
                    at = previous;
                    if at == from {
                        break;
                    }
                }
                way.reverse();
                return Some(way);
            }
            open.push(next);
        }
    }
    None
}

/// A way with the files that make it.
pub fn told(graph: &Graph, way: &[String]) -> String {
    let mut told = way.first().cloned().unwrap_or_default();
    for pair in way.windows(2) {
        let file = graph[&pair[0]][&pair[1]].strip_prefix(root()).expect("it is below").display();
        told += &format!(" -> {} ({file})", pair[1]);
    }
    told
}

#[test]
fn imports_are_read_in_every_form() {
    let code = "use crate::a::{self, b::{C, D}, e as f};\nlet x = crate::g::h(2);\nuse super::super::i;";
    let read: Vec<String> = paths(code).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::a::self",
        "crate::a::b::C",
        "crate::a::b::D",
        "crate::a::e",
        "crate::g::h",
        "super::super::i",
    ];
    assert_eq!(read, expected);
    let graph: Graph = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .into_iter()
        .fold(Graph::new(), |mut graph, (from, to)| {
            graph.entry(from).or_default().insert(to, root().join("x.rs"));
            graph
        });
    let circle = way(&graph, "a", "a").expect("there is one");
    assert_eq!(told(&graph, &circle), "a -> b (x.rs) -> c (x.rs) -> a (x.rs)");
    assert_eq!(way(&graph, "d", "a"), None);
}

#[test]
fn what_is_handed_on_is_traced_to_where_it_is_defined() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let known = ["a", "a::b", "a::b::c", "a::d"].map(module).into_iter().collect();
    let handed = HandedOn::from([
        (module("a"), handed_on("\nmod b;\npub use self::b::{One, Two};\nuse std::fmt;")),
        (module("a::b"), handed_on("\npub use c::Two;")),
    ]);
    let target = |path: &str| target(&module(path), &module("a::d"), &known, &handed).join("::");
    assert_eq!(target("super::One"), "a::b");
    assert_eq!(target("super::Two"), "a::b::c");
    assert_eq!(target("super::Three"), "a");
    assert_eq!(target("super::fmt"), "a");
}
