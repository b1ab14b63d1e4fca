//! The four stages on the tiny model: what they learn, survive, refuse and leave behind.

use std::collections::HashMap;
use std::path::Path;

use avicuna_corpus::features::{Rows, called};
use avicuna_models::checkpoint::{Released, import};
use avicuna_models::llm::{Llm, Lora, Precision};
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_models::manifest::Manifest;
use avicuna_models::tensors::read_tensors;
use avicuna_models::tokenizer::Tokenizer;
use avicuna_pipeline::stream::Medium;
use avicuna_trainer::stages::config::Config;
use avicuna_trainer::stages::{Options, Progress, Signal, TrainError, Trained, train};
use candle_core::{DType, Device, Tensor};

mod tiny;

use tiny::{Anything, Tiny, VISION};

fn run(
    config: &Config,
    stage: u8,
    out: &Path,
    (resume, steps): (bool, Option<u64>),
) -> Result<Trained, TrainError> {
    let options = Options { stage, out: out.to_owned(), resume, steps };
    train(config, &options, &mut |_| Signal::Continue)
}

/// Step and loss of every line of a stage's log.
fn losses(out: &Path, stage: u8) -> Result<Vec<(u64, f64)>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(out.join(format!("stage{stage}/log.jsonl")))?;
    let read = |line: &str| -> Result<(u64, f64), Box<dyn std::error::Error>> {
        let line: serde_json::Value = serde_json::from_str(line)?;
        Ok((line["step"].as_u64().ok_or("no step")?, line["loss"].as_f64().ok_or("no loss")?))
    };
    text.lines().map(read).collect()
}

fn checkpoint(out: &Path, stage: u8) -> std::io::Result<Vec<u8>> {
    std::fs::read(out.join(format!("stage{stage}/checkpoint.safetensors")))
}

/// Names and values.
type Tensors = Vec<(String, Vec<f32>)>;

/// The tensors of a checkpoint, without the header, which knows how long the run took.
fn tensors(out: &Path, stage: u8) -> Result<Tensors, Box<dyn std::error::Error>> {
    let path = out.join(format!("stage{stage}/checkpoint.safetensors"));
    let mut tensors: Tensors = read_tensors(&path)?
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?)))
        .collect::<Result<_, candle_core::Error>>()?;
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

#[test]
fn four_stages_learn_and_their_import_speaks_as_the_model_directory_does() -> Anything {
    let tiny = Tiny::new()?;
    let config = tiny.config(&[])?;
    let out = tiny.dir().join("run");
    for stage in 1..=4 {
        let outcome = run(&config, stage, &out, (false, None))?;
        assert_eq!((outcome.steps, outcome.skipped, outcome.cut), (outcome.of, 0, 0), "stage {stage}");
        let losses = losses(&out, stage)?;
        assert_eq!(losses.len() as u64, outcome.steps);
        // Stage 4 draws other windows in every epoch, and has only one.
        if stage < 4 {
            let epoch = losses.len() / config.stage(stage)?.epochs as usize;
            let mean =
                |part: &[(u64, f64)]| part.iter().map(|(_, loss)| loss).sum::<f64>() / part.len() as f64;
            let (first, last) = (mean(&losses[..epoch]), mean(&losses[losses.len() - epoch..]));
            assert!(last < first, "stage {stage} learns nothing: {losses:?}");
        }
        assert!(std::fs::read_to_string(out.join(format!("stage{stage}/loss.svg")))?.contains("<svg"));
    }

    // What PEFT wants to find.
    let own = read_tensors(&out.join("stage3/adapter_model.safetensors"))?;
    let golden = read_tensors(&tiny::base().join("../stage3/adapter_model.safetensors"))?;
    assert_eq!(own.len(), golden.len());
    for (name, tensor) in &golden {
        assert_eq!(own[name].dims(), tensor.dims(), "{name}");
    }
    let settings = std::fs::read(out.join("stage4/adapter_config.json"))?;
    let settings: serde_json::Value = serde_json::from_slice(&settings)?;
    assert_eq!((settings["r"].as_u64(), settings["lora_alpha"].as_u64()), (Some(2), Some(4)));
    // Stage 3 only had a LoRA, stage 4 the adapters as well.
    assert!(!out.join("stage3/non_lora_trainables.safetensors").exists());
    let others = read_tensors(&out.join("stage4/non_lora_trainables.safetensors"))?;
    assert_eq!(others["base_model.model.model.mm_projector.weight"].dims(), [64, VISION]);

    let released = Released {
        base: tiny::base(),
        visual: out.join("stage1/mm_projector.safetensors"),
        audio: out.join("stage2/mm_projector_a.safetensors"),
        stages: vec![out.join("stage3"), out.join("stage4")],
    };
    let imported = import(&released)?;
    let tokenizer = Tokenizer::from_dir(&tiny::base())?;
    let merged =
        Llm::assemble(&imported.weights, imported.config.clone(), tokenizer, &Device::Cpu, Precision::Exact)?;
    let model = out.join("stage4/model");
    let manifest = Manifest::load(&model)?;
    let lora = manifest.llm.lora.as_ref().ok_or("the model has a LoRA")?;
    assert_eq!((lora.r, lora.alpha), (6, 6.0));
    let lora = Lora { path: model.join(&lora.file.file), r: lora.r, alpha: lora.alpha };
    let joined = Llm::load_as(&tiny::base(), Some(&lora), &Device::Cpu, Precision::Exact)?;
    let rows = joined.embed(&(5..60).collect::<Vec<u32>>())?;
    let plain = Llm::load_as(&tiny::base(), None, &Device::Cpu, Precision::Exact)?;
    let largest = |a: &Tensor, b: &Tensor| (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    let logits = joined.logits(&rows)?;
    assert!(largest(&logits, &merged.logits(&rows)?)? < 1e-3);
    assert!(largest(&logits, &plain.logits(&rows)?)? > 1e-2, "nothing was learned");
    let adapters = read_tensors(&model.join("adapters.safetensors"))?;
    assert_eq!(largest(&adapters["vision.weight"], &imported.visual.weight)?, 0.0);
    assert_eq!(largest(&adapters["audio.bias"], &imported.audio.bias)?, 0.0);

    // The daemon takes it as it is.
    let localizer = Localizer::load(&model, &LoadOptions::default())?;
    assert_eq!(localizer.manifest().name, "tiny");
    Ok(())
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
fn how_a_batch_is_cut_and_what_is_kept_changes_nothing() -> Anything {
    let tiny = Tiny::new()?;
    let mut last = Vec::new();
    let ways = [
        [("batch = 2", "batch = 4"), ("gradient_checkpointing = false", "gradient_checkpointing = false")],
        [
            ("batch = 2", "batch = 2\naccumulation = 2"),
            ("gradient_checkpointing = false", "gradient_checkpointing = true"),
        ],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        // Dropout would differ: it is drawn for each batch.
        let mut changes = way.to_vec();
        changes.push((", dropout = 0.05", ""));
        let out = tiny.dir().join(format!("way{number}"));
        run(&tiny.config(&changes)?, 4, &out, (false, Some(1)))?;
        last.push(tensors(&out, 4)?);
    }
    let (first, second) = (&last[0], &last[1]);
    for ((name, a), (_, b)) in first.iter().zip(second).filter(|((name, _), _)| name.starts_with("first.")) {
        let top = a.iter().fold(1e-6f32, |top, x| top.max(x.abs()));
        let off = a.iter().zip(b).fold(0f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(off <= 5e-3 * top, "{name}: off by {off}, the largest is {top}");
    }
    Ok(())
}

#[test]
fn a_model_directory_can_be_trained_on() -> Anything {
    let tiny = Tiny::new()?;
    let [first, second] = ["first", "second"].map(|name| tiny.dir().join(name));
    run(&tiny.config(&[("\"words\"", "\"random\"")])?, 4, &first, (false, None))?;
    let changes = [
        ("\"words\"", "{ file = \"first/stage4/model/adapters.safetensors\" }"),
        ("r = 2, alpha = 4.0", "r = 2, alpha = 4.0, start = \"first/stage4/model/lora.safetensors\""),
        ("lr = 2e-3", "lr = 1e-9"),
        ("vision = 1e-3", "vision = 1e-9"),
    ];
    run(&tiny.config(&changes)?, 4, &second, (false, Some(1)))?;
    let values = |out: &Path| -> Result<Tensors, Box<dyn std::error::Error>> {
        let all = tensors(out, 4)?.into_iter();
        Ok(all.filter(|(name, _)| name.starts_with("value.")).collect())
    };
    for ((name, first), (_, second)) in values(&first)?.iter().zip(&values(&second)?) {
        let off = first.iter().zip(second).fold(0f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(off < 1e-6, "{name} starts elsewhere, off by {off}");
    }
    let wrong = [changes[0], changes[1], ("r = 2, alpha", "r = 3, alpha")];
    let error = run(&tiny.config(&wrong)?, 4, &tiny.dir().join("third"), (false, None))
        .expect_err("rank")
        .to_string();
    assert!(error.contains("lora.safetensors") && error.contains("rank"), "{error}");
    Ok(())
}

#[test]
fn a_model_directory_in_half_precision_holds_the_same_numbers_rounded() -> Anything {
    let tiny = Tiny::new()?;
    let [full, half] = ["full", "half"].map(|name| tiny.dir().join(name));
    run(&tiny.config(&[])?, 4, &full, (false, None))?;
    let halved = tiny.config(&[("adapters = \"words\"", "adapters = \"words\"\nsave = \"f16\"")])?;
    run(&halved, 4, &half, (false, None))?;
    let tensors = |out: &Path, file: &str| read_tensors(&out.join("stage4/model").join(file));
    for file in ["adapters.safetensors", "lora.safetensors"] {
        let (full, half) = (tensors(&full, file)?, tensors(&half, file)?);
        assert_eq!(full.len(), half.len());
        for (name, own) in &half {
            assert_eq!((own.dtype(), full[name].dtype()), (DType::F16, DType::F32), "{name}");
            let rounded = full[name].to_dtype(DType::F16)?.flatten_all()?.to_vec1::<half::f16>()?;
            assert_eq!(own.flatten_all()?.to_vec1::<half::f16>()?, rounded, "{name}");
        }
    }
    Localizer::load(&half.join("stage4/model"), &LoadOptions::default())?;
    Ok(())
}

/// Products of bfloat16 numbers, on any processor: a whole stage goes where it goes in single precision.
#[test]
fn a_stage_of_bfloat16_products_learns_what_one_in_single_precision_learns() -> Anything {
    let tiny = Tiny::new()?;
    let adapters =
        [("\"words\"", "\"random\""), ("train = [\"lora\"]", "train = [\"lora\", \"vision\", \"audio\"]")];
    let single = tiny.dir().join("single");
    run(&tiny.config(&adapters)?, 3, &single, (false, None))?;
    let halved = [&adapters[..], &[("seed = 3", "seed = 3\ndtype = \"bf16\"")]].concat();
    let bf16 = tiny.dir().join("bf16");
    run(&tiny.config(&halved)?, 3, &bf16, (false, None))?;
    let (single, bf16) = (losses(&single, 3)?, losses(&bf16, 3)?);
    assert_eq!(single.len(), bf16.len());
    assert_ne!(single, bf16, "nothing was rounded");
    for ((step, single), (_, bf16)) in single.iter().zip(&bf16) {
        assert!((bf16 / single - 1.0).abs() < 0.005, "step {step}: {bf16}, {single} in single precision");
    }
    Ok(())
}

/// `avicuna dataset features --format` gives the same numbers in either format, and training does not see which it was.
#[test]
fn one_step_is_the_same_from_both_formats_of_features() -> Anything {
    let mut seen = Vec::new();
    for safetensors in [false, true] {
        let tiny = Tiny::new()?;
        if safetensors {
            let features = tiny.corpus().join("features");
            for clip in 0..6 {
                let id = format!("c{clip}");
                let tensor = |medium: Medium| -> Result<(String, Tensor), Box<dyn std::error::Error>> {
                    let rows = Rows::read(&features, medium, &id)?.ok_or("no rows")?;
                    let shape = (rows.len(), rows.dim);
                    Ok((called(medium).to_owned(), Tensor::from_vec(rows.values, shape, &Device::Cpu)?))
                };
                let both = HashMap::from([tensor(Medium::Video)?, tensor(Medium::Audio)?]);
                candle_core::safetensors::save(&both, features.join(format!("{id}.safetensors")))?;
            }
            std::fs::remove_dir_all(features.join("visual"))?;
            std::fs::remove_dir_all(features.join("audio"))?;
        }
        let out = tiny.dir().join("run");
        run(&tiny.config(&[("\"words\"", "\"random\"")])?, 4, &out, (false, Some(1)))?;
        seen.push((losses(&out, 4)?, tensors(&out, 4)?));
    }
    assert_eq!(seen[0].0.len(), 1);
    assert!(seen[0] == seen[1], "{:?} from npy, {:?} from safetensors", seen[0].0, seen[1].0);
    Ok(())
}

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

#[test]
fn the_presets_are_right_and_the_big_one_is_the_papers() -> Anything {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/train");
    let small = Config::load(&folder.join("small.toml"))?;
    assert_eq!(small.stage.len(), 4);
    let more = Config::load(&folder.join("small-more.toml"))?;
    assert_eq!(more.stage.keys().collect::<Vec<_>>(), ["3"]);
    let mut ablation = Config::load(&folder.join("ablation.toml"))?;
    assert_eq!(ablation.stage.keys().collect::<Vec<_>>(), ["1", "2", "3"]);
    ablation.learn_from(3, &["elsewhere".into()])?;
    assert_eq!(ablation.stage(3)?.data, [Path::new("elsewhere")]);
    assert!(ablation.learn_from(4, &[]).expect_err("no such stage").to_string().contains("[stage.4]"));
    let big = Config::load(&folder.join("vicuna-7b.toml"))?;
    Manifest::parse(&std::fs::read_to_string(&big.model.manifest)?, &big.model.manifest)?;
    let numbers = |stage: u8| -> Result<_, Box<dyn std::error::Error>> {
        let stage = big.stage(stage)?;
        Ok((stage.lr, stage.epochs, stage.batch, stage.accumulation, stage.warm_up, stage.max_length))
    };
    for stage in [1, 2] {
        assert_eq!(numbers(stage)?, (1e-3, 1, 16, 8, 0.03, 2048));
    }
    for stage in [3, 4] {
        assert_eq!(numbers(stage)?, (1e-4, 2, 8, 16, 0.03, 2048));
        let lora = big.stage(stage)?.lora.as_ref().ok_or("a LoRA")?;
        assert_eq!((lora.r, lora.alpha, lora.dropout), (64, 128.0, 0.05));
    }
    Ok(())
}
