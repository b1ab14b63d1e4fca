//! `avicuna train`: killed for real, and told what is wrong.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

#[path = "../training/trainer/tests/tiny/mod.rs"]
mod tiny;

use tiny::{Anything, Tiny};

fn avicuna(config: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_avicuna"));
    command
        .args(["train", "--stage", "4", "--config"])
        .arg(config)
        .arg("--out")
        .arg(out)
        .stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Step and loss of every whole line of the log.
fn losses(out: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(out.join("stage4/log.jsonl")).unwrap_or_default();
    let read = |line: &str| -> Option<(u64, f64)> {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((line["step"].as_u64()?, line["loss"].as_f64()?))
    };
    text.lines().filter_map(read).collect()
}

#[test]
fn a_killed_run_goes_on_to_the_same_losses() -> Anything {
    let tiny = Tiny::new()?;
    let many = [(
        "epochs = 1\nbatch = 2\nmax_length = 400\ncheckpoint_every = 2",
        "epochs = 10\nbatch = 2\nmax_length = 400\ncheckpoint_every = 7",
    )];
    let config = tiny.write_config(&many)?;
    let [whole, killed] = ["whole", "killed"].map(|name| tiny.dir().join(name));
    let output = avicuna(&config, &whole).output()?;
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("step 40 of 40") && text(&output).contains("stage4/model"),
        "{}",
        text(&output)
    );

    let mut child = avicuna(&config, &killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let began = Instant::now();
    while losses(&killed).len() < 9 && child.try_wait()?.is_none() {
        assert!(began.elapsed() < Duration::from_secs(300), "it makes no steps");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    let output = avicuna(&config, &killed).arg("--resume").output()?;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(losses(&killed), losses(&whole));
    Ok(())
}

#[test]
fn a_corpus_of_the_command_line_takes_the_place_of_the_configurations() -> Anything {
    let tiny = Tiny::new()?;
    let (config, out) = (tiny.write_config(&[])?, tiny.dir().join("run"));
    let train = |data: &Path| avicuna(&config, &out).args(["--steps", "1", "--data"]).arg(data).output();
    let output = train(Path::new("nowhere"))?;
    assert!(!output.status.success() && text(&output).contains("nowhere/"), "{}", text(&output));
    let output = train(&tiny.corpus())?;
    assert!(output.status.success() && text(&output).contains("step 1 of"), "{}", text(&output));
    Ok(())
}

#[test]
fn what_is_wrong_is_told_with_its_place() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.write_config(&[("batch = 2", "batch = 0")])?;
    let output = avicuna(&config, &tiny.dir().join("run")).output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("train.toml:") && text(&output).contains("stage.4.batch"),
        "{}",
        text(&output)
    );
    let output = avicuna(Path::new("nowhere.toml"), &tiny.dir().join("run")).output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("nowhere.toml"), "{}", text(&output));
    Ok(())
}
