//! Runs that are killed, stopped or fail, and go on from their checkpoint.

use std::path::Path;

use avicuna_trainer::stages::{Options, Progress, Signal, train};

use super::tiny::{self, Anything, Tiny, VISION};
use super::{losses, run, tensors};

fn checkpoint(out: &Path, stage: u8) -> std::io::Result<Vec<u8>> {
    std::fs::read(out.join(format!("stage{stage}/checkpoint.safetensors")))
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_losses_and_weights() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.config(&[])?;
    let [whole, killed] = ["whole", "killed"].map(|name| tiny.dir().join(name));
    let folder = killed.join("stage4");
    std::fs::create_dir_all(&folder)?;
    let options = Options { stage: 4, out: whole.clone(), resume: false, steps: None };
    let mut saved = 0;
    let outcome = train(&config, &options, &mut |progress| {
        if let Progress::Saved(path) = progress {
            saved += 1;
            if saved == 1 {
                // The disk as it is when the program is killed after its first checkpoint.
                std::fs::copy(path, folder.join("checkpoint.safetensors")).expect("copied");
            }
        }
        Signal::Continue
    })?;
    assert!(outcome.steps == 4 && saved == 2, "{outcome:?}");
    // The log is ahead of the checkpoint, and its last line was being written.
    let log = std::fs::read_to_string(whole.join("stage4/log.jsonl"))?;
    std::fs::write(folder.join("log.jsonl"), &log[..log.len() - 40])?;

    let again = run(&config, 4, &killed, (true, None))?;
    assert_eq!((again.steps, again.of), (4, 4));
    assert_eq!(losses(&killed, 4)?, losses(&whole, 4)?);
    assert_eq!(tensors(&killed, 4)?, tensors(&whole, 4)?);
    Ok(())
}

#[test]
fn a_run_that_was_stopped_goes_on_and_another_does_not_take_its_place() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.config(&[])?;
    let [whole, parts] = ["whole", "parts"].map(|name| tiny.dir().join(name));
    run(&config, 4, &whole, (false, None))?;
    for part in 0..4 {
        let outcome = run(&config, 4, &parts, (part > 0, Some(1)))?;
        assert_eq!(outcome.model.is_some(), part == 3);
    }
    assert_eq!(tensors(&parts, 4)?, tensors(&whole, 4)?);

    let error = run(&config, 4, &parts, (false, None)).expect_err("there is a run").to_string();
    assert!(error.contains("--resume"), "{error}");
    let other = tiny.config(&[("seed = 3", "seed = 4")])?;
    let error = run(&other, 4, &parts, (true, None)).expect_err("another seed").to_string();
    assert!(error.contains("seed 3") && error.contains("seed 4"), "{error}");
    Ok(())
}

#[test]
fn a_loss_that_is_no_number_stops_and_leaves_the_checkpoint() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.config(&[("\"words\"", "\"random\"")])?;
    let out = tiny.dir().join("run");
    run(&config, 4, &out, (false, Some(2)))?;
    let before = checkpoint(&out, 4)?;
    for clip in 0..6 {
        let path = tiny.corpus().join(format!("features/visual/c{clip}.npy"));
        tiny::write_npy(&path, &[f32::NAN; 10 * VISION], VISION)?;
    }
    let error = run(&config, 4, &out, (true, None)).expect_err("no number").to_string();
    assert!(error.contains("step 3") && error.contains("loss is NaN") && error.contains("v"), "{error}");
    assert_eq!(checkpoint(&out, 4)?, before);
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_with_a_word_and_leaves_the_checkpoint() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.config(&[("\"words\"", "\"random\"")])?;
    let out = tiny.dir().join("run");
    run(&config, 4, &out, (false, Some(2)))?;
    let before = checkpoint(&out, 4)?;
    let part = out.join(format!("stage4/checkpoint.safetensors.{}.part", std::process::id()));
    std::os::unix::fs::symlink("/dev/full", &part)?;
    let error = run(&config, 4, &out, (true, None)).expect_err("the disk is full").to_string();
    assert!(error.contains("checkpoint.safetensors") && error.contains("No space left"), "{error}");
    assert_eq!(checkpoint(&out, 4)?, before);
    // With room again the run ends as if nothing had been.
    assert!(!part.exists());
    let outcome = run(&config, 4, &out, (true, None))?;
    assert_eq!(outcome.steps, outcome.of);
    Ok(())
}
