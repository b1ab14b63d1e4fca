//! Data that is missing, too long or damaged.

use avicuna_trainer::stages::{Options, Progress, Signal, train};

use super::run;
use super::tiny::{self, Anything, Tiny};

#[test]
fn missing_features_are_named_or_counted_never_replaced() -> Anything {
    let tiny = Tiny::new()?;
    let gone = tiny.corpus().join("features/audio/c1.npy");
    std::fs::remove_file(&gone)?;
    let config = tiny.config(&[])?;
    // Stage 3 without adapters of stages 1 and 2 has none to use.
    let error =
        run(&config, 3, &tiny.dir().join("none"), (false, None)).expect_err("no adapters").to_string();
    assert!(error.contains("train stage"), "{error}");

    let adapters =
        [("\"words\"", "\"random\""), ("train = [\"lora\"]", "train = [\"lora\", \"vision\", \"audio\"]")];
    let config = tiny.config(&adapters)?;
    let error =
        run(&config, 3, &tiny.dir().join("error"), (false, None)).expect_err("no features").to_string();
    assert!(error.contains("audio/c1.npy") && error.contains("`v"), "{error}");
    let skip = [("form = \"records\"", "form = \"records\"\nmissing = \"skip\"")];
    let config = tiny.config(&[&adapters[..], &skip[..]].concat())?;
    let mut told = 0;
    let options = Options { stage: 3, out: tiny.dir().join("skip"), resume: false, steps: None };
    let outcome = train(&config, &options, &mut |progress| {
        told += u64::from(matches!(progress, Progress::Skipped(_)));
        Signal::Continue
    })?;
    // Of four videos v0, v1 hold the clip, three times.
    assert_eq!((outcome.skipped, told), (6, 6));
    Ok(())
}

#[test]
fn too_long_samples_are_cut_and_counted() -> Anything {
    let tiny = Tiny::new()?;
    let mut cut = 0;
    for length in (40..110).step_by(5) {
        let length = format!("max_length = {length}");
        let config = tiny.config(&[("\"words\"", "\"random\""), ("max_length = 400", &length)])?;
        match run(&config, 4, &tiny.dir().join(&length), (false, Some(1))) {
            Ok(outcome) => cut += outcome.cut,
            // Nothing of the answers is left.
            Err(error) => assert!(error.to_string().contains("max_length"), "{error}"),
        }
    }
    assert!(cut > 0);
    Ok(())
}

#[test]
fn damaged_data_is_named() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.config(&[("\"words\"", "\"random\"")])?;
    let says = |stage: u8, what: &str| {
        let out = tiny.dir().join("damaged");
        let error = run(&config, stage, &out, (false, None)).expect_err("it is damaged").to_string();
        assert!(error.contains(what), "{error}");
    };
    let lines = tiny.corpus().join("timelines.jsonl");
    let text = std::fs::read_to_string(&lines)?;
    std::fs::write(&lines, text.replacen("\"end\":5.0", "\"end\":-1.0", 1))?;
    says(4, "line 1: `v0` has a segment that does not end");
    std::fs::write(&lines, "")?;
    says(4, "timelines.jsonl");
    let narrow = tiny.dir().join("captions-visual/features/visual/c0.npy");
    tiny::write_npy(&narrow, &[0.0; 8], 4)?;
    says(1, "4 wide");
    let records = tiny.dir().join("captions-visual/records.json");
    std::fs::write(&records, r#"[{"id": "x", "conversations": [{"from": "human", "value": "?"}]}]"#)?;
    says(1, "record `x` has turns");
    std::fs::remove_file(&records)?;
    says(1, "records.json");
    Ok(())
}
