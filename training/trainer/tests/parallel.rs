//! What `avicuna train --export` writes, trained by torch in two processes, is what this trainer makes of it; in the virtual environment that
//! `scripts/setup.sh test` makes, or that of `AVICUNA_PYTHON`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use avicuna_models::tensors::read_tensors;
use avicuna_trainer::stages::{Exported, Options, Signal, export, train};

mod tiny;

use tiny::{Anything, Tiny};

/// Step and loss of every line of a log.
fn losses(path: &Path) -> Result<Vec<(u64, f64)>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path)?;
    let read = |line: &str| -> Result<(u64, f64), Box<dyn std::error::Error>> {
        let line: serde_json::Value = serde_json::from_str(line)?;
        Ok((line["step"].as_u64().ok_or("no step")?, line["loss"].as_f64().ok_or("no loss")?))
    };
    text.lines().map(read).collect()
}

/// The matrices of a LoRA in PEFT's layout.
fn lora(folder: &Path) -> Result<BTreeMap<String, Vec<f32>>, Box<dyn std::error::Error>> {
    let file = ["adapter_model.safetensors", "adapter_model.bin"].map(|name| folder.join(name));
    let file = file.iter().find(|file| file.is_file()).ok_or("no LoRA")?;
    let read = read_tensors(file)?.into_iter();
    let read = read.map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?)));
    Ok(read.collect::<Result<_, candle_core::Error>>()?)
}

fn in_two_processes(samples: &Path, out: &Path) -> Result<Output, Box<dyn std::error::Error>> {
    let python = tiny::python()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/train_parallel.py");
    let mut command = Command::new(&python);
    // Debian's torch does not understand its own default for the output under its Python; of a tenth process there is none to redirect.
    command.args(["-m", "torch.distributed.run", "--standalone", "--redirects", "9:1", "--tee", "9:1"]);
    command.args(["--nproc_per_node", "2"]).arg(script);
    command.arg(samples).arg("--base").arg(tiny::base()).arg("--out").arg(out).env("OMP_NUM_THREADS", "1");
    command.output().map_err(|error| format!("{}: {error}; run `make setup`", python.display()).into())
}

#[test]
fn two_processes_of_torch_learn_what_this_trainer_learns() -> Anything {
    let tiny = Tiny::new()?;
    for (form, steps) in [("records", 6), ("windows", 12)] {
        // What is asked of a window beside other things is a sequence of its own there.
        let windows =
            "lora = { r = 4, alpha = 8.0, dropout = 0.0 }\nwindows = { per_video = 2, grounding = 3 }";
        let changes = [
            ("\"words\"", "\"random\""),
            ("form = \"records\"", &format!("form = \"{form}\"")),
            (
                "lora = { r = 4, alpha = 8.0, dropout = 0.05 }",
                if form == "windows" { windows } else { "lora = { r = 4, alpha = 8.0, dropout = 0.0 }" },
            ),
        ];
        let config = tiny.config(&changes)?;
        let (run, samples, theirs) = (
            tiny.dir().join(form),
            tiny.dir().join(format!("{form}-samples")),
            tiny.dir().join(format!("{form}-theirs")),
        );
        let learn = |stage| {
            let options = Options { stage, out: run.clone(), resume: false, steps: None };
            train(&config, &options, &mut |_| Signal::Continue)
        };
        let (_pictures, _sounds, trained) = (learn(1)?, learn(2)?, learn(3)?);
        let Exported { sequences, steps: exported, skipped, cut } =
            export(&config, (3, &run), &samples, &mut |_| ())?;
        assert_eq!((trained.steps, exported, skipped, cut), (steps, steps, 0, 0), "{form}");
        assert!(sequences >= 2 * steps, "{form}: {sequences} sequences");
        let output = in_two_processes(&samples, &theirs)?;
        assert!(output.status.success(), "{form}: {}", String::from_utf8_lossy(&output.stderr));

        let own = losses(&run.join("stage3/log.jsonl"))?;
        let others = losses(&theirs.join("log.jsonl"))?;
        assert_eq!(own.len(), others.len(), "{form}");
        for ((step, own), (_, other)) in own.iter().zip(&others) {
            assert!((own - other).abs() < 1e-3 * own, "{form}, step {step}: {own} here, {other} there");
        }
        let (own, others) = (lora(&run.join("stage3"))?, lora(&theirs)?);
        assert_eq!(own.keys().collect::<Vec<_>>(), others.keys().collect::<Vec<_>>());
        for (name, own) in &own {
            let most = own.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let apart = own.iter().zip(&others[name]).map(|(own, other)| (own - other).abs());
            let apart = apart.fold(0.0_f32, f32::max);
            assert!(apart < 0.05 * most, "{form}, {name}: {apart} of {most}");
        }
    }
    Ok(())
}

#[test]
fn an_export_that_was_not_finished_is_none() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.config(&[("\"words\"", "\"random\"")])?;
    let (run, samples) = (tiny.dir().join("run"), tiny.dir().join("samples"));
    let learn = |stage, steps| {
        let options = Options { stage, out: run.clone(), resume: false, steps };
        train(&config, &options, &mut |_| Signal::Continue)
    };
    let (_pictures, _sounds) = (learn(1, None)?, learn(2, None)?);
    export(&config, (3, &run), &samples, &mut |_| ())?;
    assert!(samples.join("stage.json").is_file());
    // What it would be written from is gone, and with it what was there before.
    std::fs::remove_dir_all(tiny.corpus().join("features/visual"))?;
    assert!(export(&config, (3, &run), &samples, &mut |_| ()).is_err());
    assert!(!samples.join("stage.json").exists());
    Ok(())
}

#[test]
fn a_stage_that_has_not_ended_is_not_built_upon() -> Anything {
    let tiny = Tiny::new()?;
    let changes = [
        ("\"words\"", "\"random\""),
        ("train = [\"lora\", \"vision\", \"audio\"]", "train = [\"lora\"]"),
        ("lr_of = { vision = 1e-3 }\n", ""),
    ];
    let config = tiny.config(&changes)?;
    let run = tiny.dir().join("run");
    let learn = |stage, steps| {
        let options = Options { stage, out: run.clone(), resume: false, steps };
        train(&config, &options, &mut |_| Signal::Continue)
    };
    let (_pictures, _sounds, _begun) = (learn(1, None)?, learn(2, None)?, learn(3, Some(1))?);
    let refused = export(&config, (4, &run), &tiny.dir().join("samples"), &mut |_| ());
    let why = refused.expect_err("stage 3 has not ended").to_string();
    assert!(why.contains("stage3: stage 3 has begun and not ended"), "{why}");
    Ok(())
}

#[test]
fn what_others_cannot_train_is_not_exported() -> Anything {
    let tiny = Tiny::new()?;
    let out = tiny.dir().join("samples");
    let refused = export(&tiny.config(&[])?, (4, &tiny.dir().join("run")), &out, &mut |_| ());
    let why = refused.expect_err("its adapters learn").to_string();
    assert!(why.contains("stage 4 trains adapters"), "{why}");
    assert!(!out.exists());
    Ok(())
}
