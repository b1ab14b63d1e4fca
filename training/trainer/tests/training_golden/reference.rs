//! The losses and gradients of the batches of each stage, and a LoRA of the reference, written again.

use avicuna_models::tensors::{Named, read_tensors};
use avicuna_trainer::decoder::{Parameter, Passing};
use avicuna_trainer::peft::{PeftConfig, write_lora};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use super::golden::{self, golden, json};
use super::model::{Place, Video, model};
use super::{Anything, close, integers, values};

/// The values of a parameter or its gradient, in the shape of `like`.
fn tensor(values: &[f32], like: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::from_slice(values, like.dims(), &Device::Cpu)
}

fn loss_is(loss: f64, expected: &Value) -> Anything {
    let expected = expected.as_f64().expect("a loss");
    assert!((loss - expected).abs() <= 1e-4, "the loss is {loss}, the reference's {expected}");
    Ok(())
}

fn gradient_is(parameter: &Parameter, expected: &Tensor, what: &str) -> Anything {
    close(&tensor(&parameter.gradient, expected)?, expected, 1e-3, what)
}

#[test]
fn stage_one_learns_the_visual_projector_as_the_reference_does() -> Anything {
    let (tensors, expected) = (golden::tensors()?, &json("tiny_avicuna/golden.json")["train"]["stage1"]);
    let mut model = model(&[], None)?;
    let images = values(&tensors["stage1.image"])?;
    let dim = model.visual.inputs();
    let video =
        |image: &[f32]| Video { visual: image.to_vec(), audio: Vec::new(), order: vec![Place::Visual(0)] };
    let videos: Vec<Video> = images.chunks_exact(dim).map(video).collect();
    let loss = model.learn(&tensors, "stage1", &videos, Passing::default())?;
    loss_is(loss, &expected["loss"])?;
    gradient_is(&model.visual.weight, &tensors["stage1.grad.weight"], "weight")?;
    gradient_is(&model.visual.bias, &tensors["stage1.grad.bias"], "bias")
}

#[test]
fn stage_two_learns_the_audio_projector_as_the_reference_does() -> Anything {
    let (tensors, expected) = (golden::tensors()?, &json("tiny_avicuna/golden.json")["train"]["stage2"]);
    let mut model = model(&[], None)?;
    let audio = &tensors["stage2.audio"];
    let order = (0..audio.dim(0)?).map(Place::Audio).collect();
    let video = Video { visual: Vec::new(), audio: values(audio)?, order };
    let loss = model.learn(&tensors, "stage2", &[video], Passing::default())?;
    loss_is(loss, &expected["loss"])?;
    gradient_is(&model.audio.weight, &tensors["stage2.grad.weight"], "weight")?;
    gradient_is(&model.audio.bias, &tensors["stage2.grad.bias"], "bias")?;
    assert!(model.visual.weight.gradient.iter().all(|g| *g == 0.0), "nothing visual is in it");
    Ok(())
}

#[test]
fn stage_three_learns_every_lora_matrix_as_the_reference_does() -> Anything {
    let (tensors, expected) = (golden::tensors()?, &json("tiny_avicuna/golden.json")["train"]["stage3"]);
    for checkpointing in [false, true] {
        let mut model = model(&[], Some("stage3"))?;
        let video = model.interleaved(&tensors["input.visual"], &tensors["input.audio"])?;
        let videos = [video];
        let supervised = model.batch(&tensors, "stage3", &videos)?.targets.len();
        assert_eq!(supervised as u64, expected["supervised_tokens"].as_u64().expect("a number"));
        let loss =
            model.learn(&tensors, "stage3", &videos, Passing { checkpointing, ..Passing::default() })?;
        loss_is(loss, &expected["loss"])?;
        let compared = expected["grads"].as_object().expect("gradients").len();
        assert_eq!(model.llm.parameters().len(), compared);
        for parameter in model.llm.parameters() {
            gradient_is(parameter, &tensors[&format!("stage3.grad.{}", parameter.name)], &parameter.name)?;
        }
    }
    Ok(())
}

#[test]
fn what_is_written_for_peft_is_what_was_read() -> Anything {
    let model = model(&[], Some("stage3"))?;
    let folder = tempfile::tempdir()?;
    let matrices: Vec<Named<'_>> = model
        .llm
        .parameters()
        .into_iter()
        .map(|p| Named { name: p.name.clone(), shape: p.shape.to_vec(), values: &p.values })
        .collect();
    let golden_settings = json("tiny_avicuna/stage3/adapter_config.json");
    let config = PeftConfig {
        r: golden_settings["r"].as_u64().expect("r") as usize,
        alpha: golden_settings["lora_alpha"].as_f64().expect("alpha"),
        dropout: golden_settings["lora_dropout"].as_f64().expect("dropout"),
        base: golden_settings["base_model_name_or_path"].as_str().expect("a name").into(),
    };
    write_lora(folder.path(), &config, &matrices)?;
    let saved = read_tensors(&folder.path().join("adapter_model.safetensors"))?;
    let original = read_tensors(&golden("tiny_avicuna/stage3/adapter_model.safetensors"))?;
    assert_eq!(saved.len(), original.len());
    for (name, tensor) in &original {
        close(&saved[name], &tensor.to_dtype(DType::F32)?, 0.0, name)?;
    }
    let settings: Value = serde_json::from_slice(&std::fs::read(folder.path().join("adapter_config.json"))?)?;
    assert_eq!(settings, golden_settings);
    Ok(())
}

/// Our batches are packed, the reference's are padded; its silent second video has only the projector's bias for audio.
#[test]
fn a_batch_of_two_has_the_references_loss_and_gradients() -> Anything {
    let (tensors, expected) = (golden::tensors()?, &json("tiny_avicuna/golden.json")["train"]["batch2"]);
    let mut model = model(&["stage3", "stage4"], None)?;
    let silence = tensors["input.audio"].zeros_like()?;
    let videos = [
        model.interleaved(&tensors["input.visual"], &tensors["input.audio"])?,
        model.interleaved(&tensors["batch2.visual_second"], &silence)?,
    ];
    let batch = model.batch(&tensors, "batch2", &videos)?;
    let mut start = 0;
    for (row, sequence) in batch.sequences.iter().enumerate() {
        let labels = integers(&tensors["batch2.expanded_labels"].get(row)?)?;
        let rows = start..start + sequence.rows();
        let ours = batch.targets.iter().filter(|target| rows.contains(&target.row));
        let ours: Vec<(usize, i64)> =
            ours.map(|target| (target.row - start + 1, i64::from(target.id))).collect();
        let theirs: Vec<(usize, i64)> =
            labels.into_iter().enumerate().filter(|(_, label)| *label != -100).collect();
        assert_eq!(ours, theirs, "row {row}");
        start = rows.end;
    }
    let loss = model.learn(&tensors, "batch2", &videos, Passing::default())?;
    loss_is(loss, &expected["loss"])?;
    for (name, bias) in [("mm_projector", &model.visual.bias), ("mm_projector_a", &model.audio.bias)] {
        gradient_is(bias, &tensors[&format!("batch2.grad.{name}.bias")], name)?;
    }
    Ok(())
}
