//! Modules import along one order, and in no folder in a circle.

use std::collections::BTreeSet;

use super::crates::ROOMS;
use super::imports::{graphs, rooms, told, way};
use super::root;

/// The order of the rooms of `folder`, as ARCHITECTURE.md states it: `| folder | first, second |`.
fn order(folder: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it is there");
    let row = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("| `{folder}/src/` | "))?.strip_suffix(" |"))?;
    Some(row.split(", ").map(|name| name.trim_matches('`').to_owned()).collect())
}

#[test]
fn no_way_along_imports_leads_back() {
    let mut circles = Vec::new();
    for (folder, ..) in ROOMS {
        for (module, graph) in graphs(&root().join(folder).join("src")) {
            // One is enough to know of: every module of a circle has a way back.
            let back = graph.keys().find_map(|room| way(&graph, room, room));
            circles
                .extend(back.map(|way| format!("{folder}/src/{}: {}", module.join("/"), told(&graph, &way))));
        }
    }
    assert!(circles.is_empty(), "modules import each other in a circle:\n{}", circles.join("\n"));
}

#[test]
fn rooms_import_only_what_stands_before_them() {
    for folder in ["models", "pipeline", "server"] {
        let order = order(folder).unwrap_or_else(|| panic!("ARCHITECTURE.md has no order of {folder}/src/"));
        let src = root().join(folder).join("src");
        let listed: BTreeSet<String> = order.iter().cloned().collect();
        assert_eq!(listed, rooms(&src), "the rooms that ARCHITECTURE.md lists, and those of {folder}/src/");
        assert_eq!(listed.len(), order.len(), "ARCHITECTURE.md lists each room of {folder}/src/ once");
        let place = |room: &str| order.iter().position(|listed| listed == room);
        for (room, imported) in &graphs(&src)[&Vec::new()] {
            for (other, file) in imported {
                assert!(
                    place(other) < place(room),
                    "{}: {room} imports {other}, which stands after it",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn imports_are_seen_where_they_are() {
    let graphs = graphs(&root().join("pipeline/src"));
    let imports = |folder: &str, from: &str, to: &str| {
        let folder = folder.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        graphs[&folder].get(from).is_some_and(|imported| imported.contains_key(to))
    };
    assert!(imports("", "timeline", "stream") && imports("", "window", "timeline"));
    assert!(imports("source", "video", "intake") && imports("source", "watch", "event"));
    assert!(!imports("", "stream", "timeline"));
}
