//! `avicuna dataset import`: every public layout once, from small files of made-up rows.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

type Anything = Result<(), Box<dyn std::error::Error>>;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/datasets");

fn run(
    command: &str,
    dataset: &str,
    list: &str,
    media: &Path,
    out: &Path,
    more: &[&str],
) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_avicuna"))
        .args(["dataset", command, "--dataset", dataset, "--list"])
        .arg(Path::new(FIXTURES).join(list))
        .arg("--media")
        .arg(media)
        .arg("--out")
        .arg(out)
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
}

fn succeeds(output: Output) -> Result<String, Box<dyn std::error::Error>> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn lines(path: &Path) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    Ok(std::fs::read_to_string(path)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// `ID: label modality start-end, ...` of every line.
fn told(timelines: &[Value]) -> Vec<String> {
    let segment = |s: &Value| {
        let text = |key: &str| s[key].as_str().unwrap_or("?").to_owned();
        format!("{} {} {}-{}", text("label"), text("modality"), s["start"], s["end"])
    };
    let line = |t: &Value| {
        let segments: Vec<String> = t["segments"].as_array().into_iter().flatten().map(segment).collect();
        format!("{}: {}", t["id"].as_str().unwrap_or("?"), segments.join(", "))
    };
    timelines.iter().map(line).collect()
}

#[test]
fn videos_with_times_become_time_lines() -> Anything {
    let cases: [(&str, &str, &[&str]); 4] = [
        (
            "audioset-strong",
            "audioset_train_strong.tsv",
            &[
                "madeupclip1_30000: a dog audio 0.0-4.0",
                "madeupclip2_0: a person speaks audio 6.25-10.0",
                "madeupclip3_120000: footsteps audio 3.0-3.5",
            ],
        ),
        (
            "desed",
            "desed.tsv",
            &[
                "Ymadeup1_30.000_40.000: a dog audio 0.412-2.03, running water audio 5.0-10.0",
                "Ymadeup2_0.000_10.000: ",
            ],
        ),
        (
            "unav100",
            "unav100_annotations.json",
            &["madeupvid01: dog barking both 0.0-3.5, playing violin both 10.25-30.0"],
        ),
        (
            "llp",
            "AVVP_eval_audio.csv",
            &[
                "madeupllp-1_30_40: a dog audio 0.0-4.0, a dog both 4.0-6.0, a dog visual 6.0-9.0",
                "madeupllp-2_0_10: a person speaks audio 2.0-3.0",
            ],
        ),
    ];
    let dir = tempfile::tempdir()?;
    for (dataset, list, expected) in cases {
        let out = dir.path().join(dataset);
        // The vocabulary may learn wordings that are UnAV-100's labels.
        let labels = if dataset == "unav100" { &["--own-labels"][..] } else { &[] };
        let more = [&["--without-media"], labels].concat();
        let printed = succeeds(run("import", dataset, list, dir.path(), &out, &more)?)?;
        assert!(printed.contains(&format!("{} of", expected.len())), "{printed}");
        assert_eq!(told(&lines(&out.join("timelines.jsonl"))?), expected, "{dataset}");
        let annotations: Value = serde_json::from_slice(&std::fs::read(out.join("annotations.json"))?)?;
        assert_eq!(annotations["database"].as_object().map(serde_json::Map::len), Some(expected.len()));
        let queries: Vec<Value> = serde_json::from_slice(&std::fs::read(out.join("queries.json"))?)?;
        assert!(queries.iter().any(|query| query["kind"] != "absent"), "{dataset}");
    }
    Ok(())
}

#[test]
fn trimmed_clips_become_a_catalogue() -> Anything {
    let dir = tempfile::tempdir()?;
    for (dataset, list, split, count, of) in [
        ("ave", "Annotations.txt", "train", 2, 2),
        ("vggsound", "vggsound.csv", "train", 2, 3),
        ("esc50", "esc50.csv", "train", 2, 4),
        ("esc50", "esc50.csv", "test", 1, 4),
        ("valor", "valor.json", "train", 1, 1),
    ] {
        let out = dir.path().join(format!("{dataset}-{split}"));
        let more = ["--without-media", "--split", split];
        let printed = succeeds(run("import", dataset, list, dir.path(), &out, &more)?)?;
        assert!(printed.contains(&format!("{count} of {of} clips are in the split {split}")), "{printed}");
        assert_eq!(lines(&out.join("catalogue.jsonl"))?.len(), count, "{dataset}");
    }
    let clips = lines(&dir.path().join("esc50-train/catalogue.jsonl"))?;
    let labels: Vec<&str> = clips.iter().filter_map(|clip| clip["label"].as_str()).collect();
    assert_eq!(labels, ["a dog", "a vacuum cleaner"]);
    Ok(())
}

#[test]
fn media_are_linked_and_what_is_missing_is_counted() -> Anything {
    let dir = tempfile::tempdir()?;
    let media = dir.path().join("media");
    std::fs::create_dir(&media)?;
    std::fs::write(media.join("madeupvid01.webm"), "x")?;
    let out = dir.path().join("unav");
    let printed = succeeds(run("import", "unav100", "unav100_annotations.json", &media, &out, &[])?)?;
    assert!(printed.contains("2  no media file") && printed.contains("1 of 1 videos"), "{printed}");
    assert_eq!(std::fs::read_link(out.join("videos/madeupvid01.mp4"))?, media.join("madeupvid01.webm"));
    assert_eq!(lines(&out.join("skipped.jsonl"))?.len(), 2);
    let output = run("import", "unav100", "unav100_annotations.json", &media, &out, &["--split", "test"])?;
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("unav100 has no usable video of the split test"), "{said}");
    let output = run("build", "unav100", "unav100_annotations.json", &media, &out, &[])?;
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("use `avicuna dataset import`"), "{said}");
    let output = run("import", "unav10", "unav100_annotations.json", &media, &out, &[])?;
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("is no dataset; use one of audioset-strong"), "{said}");
    Ok(())
}

#[test]
fn pseudo_untrimmed_videos_are_built_of_a_dataset() -> Anything {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("esc");
    let more = [
        "--without-media",
        "--embedder",
        "words",
        "--cluster-size",
        "2..2",
        "--clips",
        "2..2",
        "--groups",
        "1",
    ];
    let printed = succeeds(run("build", "esc50", "esc50.csv", dir.path(), &out, &more)?)?;
    assert!(printed.contains("2 of 4 clips are in the split train"), "{printed}");
    let told = told(&lines(&out.join("timelines.jsonl"))?);
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("a dog audio")), "{told:?}");
    Ok(())
}
