//! The model directory that is left behind: what was learned is in it, and it can be loaded and trained on.

use std::path::Path;

use avicuna_models::checkpoint::{Released, import};
use avicuna_models::llm::{Llm, Lora, Precision};
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_models::manifest::Manifest;
use avicuna_models::tensors::read_tensors;
use avicuna_models::tokenizer::Tokenizer;
use candle_core::{DType, Device, Tensor};

use super::tiny::{self, Anything, Tiny, VISION};
use super::{Tensors, losses, run, tensors};

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
