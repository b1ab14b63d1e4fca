//! The rooms of this crate: which module imports which, and that no way along imports leads back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module by its names from the crate's root on.
type Module = Vec<String>;

/// The modules of one folder, with those beside them that they import and a file that does.
type Graph = BTreeMap<String, BTreeMap<String, PathBuf>>;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All sources with their modules, but for tests in files of their own.
fn sources() -> Vec<(PathBuf, Module)> {
    let mut folders = vec![src()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let below = path.strip_prefix(src()).expect("it is below").with_extension("");
                let mut module: Module =
                    below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
                if module.last().is_some_and(|name| name == "mod" || name == "lib") {
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

/// The module that `path` in `module` names, or is in.
fn target(path: &[String], module: &[String], known: &BTreeSet<Module>) -> Module {
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
                if !known.contains(&target) {
                    target.pop();
                    break;
                }
            }
        }
    }
    target
}

/// For each folder, by its module, which of the modules in it import which.
fn graphs() -> BTreeMap<Module, Graph> {
    let sources = sources();
    let known: BTreeSet<Module> = sources.iter().map(|(_, module)| module.clone()).collect();
    let mut graphs: BTreeMap<Module, Graph> = BTreeMap::new();
    for (path, module) in &sources {
        let text = std::fs::read_to_string(path).expect("a source");
        for named in paths(&code(&text)) {
            let target = target(&named, module, &known);
            let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            // A module and those inside it are one room.
            let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) else { continue };
            let graph = graphs.entry(module[..shared].to_vec()).or_default();
            graph.entry(from.clone()).or_default().insert(to.clone(), path.clone());
        }
    }
    graphs
}

/// A way along imports from `from` to `to`, both included.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
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
fn told(graph: &Graph, way: &[String]) -> String {
    let mut told = way.first().cloned().unwrap_or_default();
    for pair in way.windows(2) {
        let file = graph[&pair[0]][&pair[1]].strip_prefix(src()).expect("it is below").display();
        told += &format!(" -> {} ({file})", pair[1]);
    }
    told
}

#[test]
fn no_way_along_imports_leads_back() {
    let mut circles = Vec::new();
    for (folder, graph) in graphs() {
        for module in graph.keys() {
            if let Some(way) = way(&graph, module, module) {
                circles.push(format!("src/{}: {}", folder.join("/"), told(&graph, &way)));
            }
        }
    }
    assert!(circles.is_empty(), "modules import each other in a circle:\n{}", circles.join("\n"));
}

#[test]
fn rooms_know_nothing_of_what_lies_above_them() {
    let graphs = graphs();
    let graph = &graphs[&Vec::new()];
    for (below, above) in [
        ("tensors", "checkpoint"),
        ("tensors", "fetch"),
        ("manifest", "fetch"),
        ("manifest", "localizer"),
        ("llm", "checkpoint"),
        ("llm", "fetch"),
        ("llm", "localizer"),
        ("checkpoint", "fetch"),
    ] {
        if let Some(way) = way(graph, below, above) {
            panic!("{below} must not know {above}: {}", told(graph, &way));
        }
    }
    for (module, imported) in
        [("fetch", "manifest"), ("checkpoint", "manifest"), ("checkpoint", "tensors"), ("llm", "tensors")]
    {
        assert!(graph[module].contains_key(imported), "{module} imports {imported}, which was not seen");
    }
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
            graph.entry(from).or_default().insert(to, src().join("x.rs"));
            graph
        });
    let circle = way(&graph, "a", "a").expect("there is one");
    assert_eq!(told(&graph, &circle), "a -> b (x.rs) -> c (x.rs) -> a (x.rs)");
    assert_eq!(way(&graph, "d", "a"), None);
}
