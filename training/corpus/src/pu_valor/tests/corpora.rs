//! Corpus directories: shards, restarts, what their files say.

use std::collections::BTreeMap;
use std::path::Path;

use super::build::{self, Settings, Shard};
use super::*;

fn settings(seed: u64) -> Settings {
    Settings {
        clips_per_group: Span::new(3, 6),
        groups: Some(11),
        variants: 3,
        scaling: everything(),
        facts: vec!["Something is held out.".into()],
        ..Settings::paper(seed, Split::Validation)
    }
}

fn make(dir: &Path, seed: u64, of: usize) -> Result<statistics::Statistics, PuValorError> {
    let (clips, clusters) = clips(3, 7, false);
    for index in 1..=of {
        let built = build::build(dir, &clips, &clusters, &settings(seed), Shard { index, of }, &|_| {})?;
        assert!(!built.kept);
    }
    build::merge(dir)
}

fn files(dir: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let read = |entry: &std::fs::DirEntry| {
        Ok((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?))
    };
    entries.iter().map(read).collect()
}

#[test]
fn shards_together_are_the_whole_byte_by_byte() -> Result<(), Box<dyn std::error::Error>> {
    let [whole, again, shards, other] = [(1, 1), (1, 1), (1, 4), (2, 1)].map(|(seed, of)| {
        let dir = tempfile::tempdir().expect("a folder for the test");
        make(dir.path(), seed, of).expect("a corpus");
        files(dir.path()).expect("its files")
    });
    let names: Vec<&str> = whole.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "CARD.md",
            "annotations.json",
            "corpus.json",
            "groups.jsonl",
            "queries.json",
            "records.json",
            "statistics.json",
            "timelines.jsonl"
        ]
    );
    for (name, bytes) in &whole {
        assert!(again[name] == *bytes, "{name} differs from run to run");
        assert!(shards[name] == *bytes, "{name} differs when made in shards");
    }
    assert_ne!(other["timelines.jsonl"], whole["timelines.jsonl"]);
    Ok(())
}

#[test]
fn the_lists_of_a_corpus_agree() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let statistics = make(dir.path(), 1, 2)?;
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name));
    let timelines: Vec<Timeline> =
        text("timelines.jsonl")?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let records: Vec<record::Record> = serde_json::from_str(&text("records.json")?)?;
    let queries: Vec<queries::Query> = serde_json::from_str(&text("queries.json")?)?;
    let annotations: annotations::Annotations = serde_json::from_str(&text("annotations.json")?)?;
    let groups: Vec<Group> =
        text("groups.jsonl")?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let corpus: serde_json::Value = serde_json::from_str(&text("corpus.json")?)?;
    assert_eq!((groups.len(), timelines.len(), records.len()), (11, 33, 33));
    assert_eq!(annotations.database.len(), 33);
    for (timeline, record) in timelines.iter().zip(&records) {
        assert_eq!(timeline.id, record.id);
        let video = &annotations.database[&timeline.id];
        assert_eq!(video.annotations.len(), timeline.segments.len());
        assert_eq!(video.duration, timeline.duration);
        assert!(queries.iter().any(|query| query.video == timeline.id));
    }
    assert_eq!((corpus["format"].as_u64(), corpus["videos"].as_u64()), (Some(1), Some(33)));
    assert_eq!((corpus["split"].as_str(), corpus["groups"].as_u64()), (Some("validation"), Some(11)));
    assert_eq!(statistics.queries.values().sum::<usize>(), queries.len());
    assert_eq!(statistics.dialogues.values().sum::<usize>(), 4 * records.len());
    assert_eq!(statistics::read(dir.path())?, statistics);
    // What the time lines alone say is the same.
    std::fs::remove_file(dir.path().join("statistics.json"))?;
    let counted = statistics::read(dir.path())?;
    assert_eq!((counted.videos, counted.video_seconds), (statistics.videos, statistics.video_seconds));
    let card = text("CARD.md")?;
    assert!(card.contains("33 videos") && card.contains("- Something is held out."), "{card}");
    Ok(())
}

#[test]
fn a_finished_shard_is_kept_and_a_changed_one_is_made_again() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let (clips, clusters) = clips(3, 7, false);
    let build = |seed, index, of| {
        build::build(dir.path(), &clips, &clusters, &settings(seed), Shard { index, of }, &|_| {})
    };
    assert!(!build(1, 1, 2)?.kept);
    assert!(build(1, 1, 2)?.kept);
    assert!(!build(9, 1, 2)?.kept);
    let missing = build::merge(dir.path()).expect_err("the second shard is missing");
    assert!(missing.to_string().contains("--shard 2/2"), "{missing}");
    build(1, 2, 2)?;
    let mixed = build::merge(dir.path()).expect_err("the seeds differ");
    assert!(mixed.to_string().contains("shard 2 differs from shard 1"), "{mixed}");
    build(1, 1, 2)?;
    // A stopped write leaves no part.json: the shard is made again.
    std::fs::remove_file(dir.path().join("parts/00002-of-00002/part.json"))?;
    assert!(!build(1, 2, 2)?.kept);
    build::merge(dir.path())?;
    // Shards of another cut do not mix in.
    build(1, 1, 3)?;
    assert!(!build(1, 1, 1)?.kept);
    assert_eq!(build::merge(dir.path())?.videos, 33);
    Ok(())
}

#[test]
fn shards_share_the_groups_out() {
    for of in 1..9 {
        let ranges: Vec<_> = (1..=of).map(|index| Shard { index, of }.range(20)).collect();
        let all: Vec<usize> = ranges.iter().cloned().flatten().collect();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        assert!(ranges.iter().all(|range| (20 / of..=20 / of + 1).contains(&range.len())));
    }
    assert_eq!("2/8".parse(), Ok(Shard { index: 2, of: 8 }));
    for text in ["0/8", "9/8", "1", "a/b", "1/0", "-1/4"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
}

#[test]
fn damaged_time_lines_are_told_with_line_and_field() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    make(dir.path(), 1, 1)?;
    std::fs::remove_file(dir.path().join("statistics.json"))?;
    let path = dir.path().join("timelines.jsonl");
    let text = std::fs::read_to_string(&path)?;
    let damaged: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(at, line)| if at == 4 { line.replace("\"duration\"", "\"length\"") } else { line.into() })
        .collect();
    std::fs::write(&path, damaged.join("\n"))?;
    let error = statistics::read(dir.path()).expect_err("a field is missing");
    assert!(error.to_string().contains("line 5: missing field `duration`"), "{error}");
    Ok(())
}
