//! `avicuna dataset`: a corpus of a small catalogue, whole and in shards, and what is said of wrong input.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

type Anything = Result<(), Box<dyn std::error::Error>>;

fn dataset(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_avicuna")).arg("dataset").args(arguments).output()
}

/// Runs it and returns what it printed; what went wrong is the error.
fn succeeds(arguments: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let output = dataset(arguments)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns what it says when it fails.
fn fails(arguments: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let output = dataset(arguments)?;
    assert!(!output.status.success(), "{arguments:?} should fail");
    Ok(String::from_utf8(output.stderr)?)
}

/// 24 clips about dogs and 24 about rain, no two of the same caption.
fn catalogue(dir: &Path) -> std::io::Result<String> {
    let line = |index: usize| {
        let caption = match index % 2 {
            0 => format!("A dog of breed {index} barks at a passing cat."),
            _ => format!("Rain number {index} falls on a tin roof."),
        };
        let clip = serde_json::json!({
            "id": format!("clip{index:02}"), "media": format!("clips/clip{index:02}.mp4"), "duration": 10.0,
            "caption": caption, "modality": "both", "split": if index < 48 { "train" } else { "test" },
        });
        format!("{clip}\n")
    };
    let path = dir.join("clips.jsonl");
    std::fs::write(&path, (0..50).map(line).collect::<String>())?;
    Ok(path.to_string_lossy().into_owned())
}

fn files(dir: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let files = entries.iter().filter(|entry| entry.path().is_file());
    let read = |entry: &std::fs::DirEntry| {
        Ok((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?))
    };
    files.map(read).collect()
}

#[test]
fn a_corpus_is_the_same_in_one_piece_and_in_shards() -> Anything {
    let dir = tempfile::tempdir()?;
    let catalogue = catalogue(dir.path())?;
    let out = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let build = |name: &str, shard: &str| {
        succeeds(&[
            "build",
            "--catalogue",
            &catalogue,
            "--embedder",
            "words",
            "--cluster-size",
            "24..24",
            "--clips",
            "3..6",
            "--groups",
            "10",
            "--variants",
            "2",
            "--gaps",
            "0.3",
            "--repeats",
            "0.2",
            "--seed",
            "7",
            "--shard",
            shard,
            "--out",
            &out(name),
        ])
    };
    let printed = build("whole", "1/1")?;
    assert!(printed.contains("48 of 50 clips are in the split train"), "{printed}");
    assert!(printed.contains("2 clusters of 48 captions"), "{printed}");
    assert!(printed.contains("20 videos of 10 groups"), "{printed}");
    build("shards", "2/3")?;
    build("shards", "1/3")?;
    let early = fails(&["merge", &out("shards")])?;
    assert!(early.contains("--shard 3/3"), "{early}");
    build("shards", "3/3")?;
    succeeds(&["merge", &out("shards")])?;
    let (whole, shards) = (files(&dir.path().join("whole"))?, files(&dir.path().join("shards"))?);
    for (name, bytes) in &whole {
        assert!(shards.get(name) == Some(bytes), "{name} differs");
    }
    for name in ["CARD.md", "clusters.json", "clusters.svg", "clusters.txt", "corpus.json", "records.json"] {
        assert!(whole.contains_key(name), "{name} is missing");
    }
    // Dogs and rain do not share videos.
    let groups = String::from_utf8(whole["groups.jsonl"].clone())?;
    for line in groups.lines() {
        let group: serde_json::Value = serde_json::from_str(line)?;
        let clips = group["clips"].as_array().ok_or("a group has clips")?;
        let odd = |clip: &serde_json::Value| {
            clip.as_str().and_then(|id| id[4..].parse::<usize>().ok()).map(|index| index % 2)
        };
        assert!(clips.iter().all(|clip| odd(clip) == odd(&clips[0])), "{line}");
    }
    let stats: serde_json::Value = serde_json::from_str(&succeeds(&["stats", &out("whole"), "--json"])?)?;
    assert_eq!((stats["videos"].as_u64(), stats["groups"].as_u64()), (Some(20), Some(10)));
    Ok(())
}

/// What the containers of deploy/kubernetes/dataset.yaml run, by the name of the container; and the number of shards.
fn kubernetes() -> std::io::Result<(BTreeMap<String, String>, usize)> {
    let yaml = std::fs::read_to_string("deploy/kubernetes/dataset.yaml")?;
    let after = |line: &str, before: &str| line.trim().strip_prefix(before).map(str::to_owned);
    let names = yaml.lines().filter_map(|line| after(line, "- name: "));
    let commands = yaml.lines().filter_map(|line| after(line, "command: [sh, -ec, \""));
    let commands = commands.map(|command| command.trim_end_matches("\"]").to_owned());
    let count = yaml.lines().find_map(|line| after(line, "completions: ")?.parse().ok());
    Ok((names.zip(commands).collect(), count.expect("the number of shards")))
}

#[test]
fn a_cluster_of_machines_makes_the_same_corpus() -> Anything {
    let dir = tempfile::tempdir()?;
    let catalogue = catalogue(dir.path())?;
    let (commands, count) = kubernetes()?;
    assert_eq!(commands.keys().collect::<Vec<_>>(), ["build", "cluster", "merge"]);
    let (options, videos) = ("--seed 7 --embedder words --cluster-size 24..24", "--clips 3..6 --groups 10");
    let program = Path::new(env!("CARGO_BIN_EXE_avicuna")).parent().ok_or("a folder")?;
    let path = format!("{}:{}", program.display(), std::env::var("PATH")?);
    let pod = |name: &str, index: usize| {
        let command = commands[name].replace("/data/", &format!("{}/", dir.path().display()));
        let mut pod = Command::new("sh");
        pod.args(["-ec", &command]).env("PATH", &path).env("CATALOGUE", &catalogue);
        pod.env("OPTIONS", options).env("VIDEOS", videos).env("JOB_COMPLETION_INDEX", index.to_string());
        pod.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn()
    };
    let ends = |pod: std::process::Child| -> Anything {
        let output = pod.wait_with_output()?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    };
    ends(pod("cluster", 0)?)?;
    // All at once, as far as they come.
    let pods: Vec<_> = (0..count).map(|index| pod("build", index)).collect::<Result<_, _>>()?;
    pods.into_iter().try_for_each(ends)?;
    ends(pod("merge", 0)?)?;
    let whole = dir.path().join("whole").to_string_lossy().into_owned();
    let words = format!("build --catalogue {catalogue} {options} {videos} --out {whole}");
    succeeds(&words.split_whitespace().collect::<Vec<_>>())?;
    let made = files(&dir.path().join("corpus"))?;
    for (name, bytes) in files(Path::new(&whole))? {
        assert!(made.get(&name) == Some(&bytes), "{name} differs");
    }
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said() -> Anything {
    let dir = tempfile::tempdir()?;
    let catalogue = catalogue(dir.path())?;
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let build = |more: &[&str]| {
        let mut arguments = vec!["build", "--catalogue", &catalogue, "--embedder", "words", "--out", &out];
        arguments.extend(more);
        fails(&arguments)
    };
    let said = build(&["--cluster-size", "40..44"])?;
    assert!(
        said.contains("48 different captions or labels cannot be put into clusters of 40 to 44"),
        "{said}"
    );
    let said = build(&["--cluster-size", "8..12"])?;
    assert!(said.contains("groups of 16 are asked for"), "{said}");
    let said = build(&["--repeats", "2"])?;
    assert!(said.contains("`repeats` is 2"), "{said}");
    let said = build(&["--shard", "4/3"])?;
    assert!(said.contains("`4/3` is no shard"), "{said}");
    let said = build(&["--lengths", "20..5"])?;
    assert!(said.contains("ends before it begins"), "{said}");
    let said = build(&["--split", "validation"])?;
    assert!(said.contains("no clips of the split"), "{said}");
    let text = std::fs::read_to_string(&catalogue)?.replacen("\"duration\":10.0", "\"duration\":\"long\"", 3);
    std::fs::write(&catalogue, text)?;
    let said = build(&[])?;
    assert!(said.contains("line 1, field duration"), "{said}");
    let said = fails(&["build", "--out", &out])?;
    assert!(said.contains("--catalogue"), "{said}");
    Ok(())
}

#[test]
fn the_papers_statistics_are_shown() -> Anything {
    let printed = succeeds(&["stats", "--groups", "100", "--variants", "3"])?;
    assert!(printed.contains("300 videos of 100 groups"), "{printed}");
    assert!(printed.contains("| seconds of a segment | 12."), "{printed}");
    Ok(())
}

/// Rendering takes the most time: it is announced, counted, and only after it the corpus is called complete.
#[test]
fn a_build_says_what_it_does_and_is_complete_at_its_end() -> Anything {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("corpus").to_string_lossy().into_owned();
    let few = [
        "--label",
        "a dog",
        "--label",
        "a frog",
        "--clips-per-label",
        "2",
        "--groups",
        "1",
        "--variants",
        "1",
    ];
    let rest =
        ["--embedder", "words", "--clips", "2..2", "--lengths", "5..5", "--split", "test", "--out", &out];
    let output = dataset(&[&["build", "--preset", "packaged"], &few[..], &rest[..]].concat())?;
    let (told, counted) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(output.status.success(), "{counted}");
    let place = |what: &str| told.find(what).ok_or_else(|| format!("nothing of \"{what}\" in:\n{told}"));
    assert!(place("1 videos drawn")? < place("rendered in")?, "{told}");
    assert!(place("rendered in")? < place("is complete")?, "{told}");
    assert!(told.trim_end().ends_with("is complete"), "{told}");
    for step in ["composing clips: 4 of 4", "drawing videos: 1 of 1", "rendering videos: 1 of 1"] {
        assert!(counted.contains(step), "nothing of \"{step}\" in:\n{counted}");
    }
    assert!(dir.path().join("corpus/videos").read_dir()?.next().is_some());
    Ok(())
}

#[test]
fn evidence_is_simulated() -> Anything {
    let dir = tempfile::tempdir()?;
    let vocabulary = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/avicuna-natural/vocabulary.toml");
    let simulate = |name: &str, videos: &str| {
        let out = dir.path().join(name).to_string_lossy().into_owned();
        let rest = ["--videos", videos, "--seconds", "30", "--seed", "4", "--out", &out];
        dataset(&[&["simulate", "--vocabulary", vocabulary], &rest[..]].concat())
    };
    for name in ["one", "other"] {
        let output = simulate(name, "6")?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout)?;
        assert!(said.contains("6 videos, of which") && said.contains("is complete"), "{said}");
    }
    for folder in ["", "features", "features/visual", "features/audio"] {
        let read = |name: &str| files(&dir.path().join(name).join(folder));
        assert!(!read("one")?.is_empty() && read("one")? == read("other")?, "{folder} differs");
    }
    let said = String::from_utf8(simulate("none", "0")?.stderr)?;
    assert!(said.contains("`videos` is 0"), "{said}");
    Ok(())
}
