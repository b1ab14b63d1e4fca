//! Losses and gradients against numbers of the reference: `AVICUNA_GOLDEN`, or the fixtures.

#[path = "../../../models/tests/golden/mod.rs"]
mod golden;

use std::collections::HashMap;
use std::path::Path;

use avicuna_models::checkpoint::read_projector;
use avicuna_models::interleave::{Interleaver, Item, Strategy};
use avicuna_models::llm::{Config, LoraWeights, Weights};
use avicuna_models::tensors::{Named, read_tensors};
use avicuna_trainer::decoder::{
    Batch, Layout, Learned, Parameter, Passing, Products, Projection, Target, Trainable,
};
use avicuna_trainer::peft::{PeftConfig, write_lora};
use candle_core::{DType, Device, Tensor};
use golden::{golden, json};
use serde_json::Value;

type Anything<T = ()> = Result<T, Box<dyn std::error::Error>>;
type Tensors = HashMap<String, Tensor>;

/// `tensor` differs from `expected` by at most `relative` of the latter's largest value.
fn close(tensor: &Tensor, expected: &Tensor, relative: f32, what: &str) -> Anything {
    assert_eq!(tensor.dims(), expected.dims(), "{what}");
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    let (difference, top) = (largest(&tensor.sub(expected)?)?, largest(expected)?);
    assert!(difference <= relative * top, "{what}: off by {difference}, the largest is {top}");
    Ok(())
}

fn integers(tensor: &Tensor) -> candle_core::Result<Vec<i64>> {
    tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1()
}

/// The projector `name` of a file.
fn adapter(file: &Path, name: &str) -> Result<Projection, Box<dyn std::error::Error>> {
    let projector = read_projector(file, name)?;
    let parameter = |tensor: &Tensor| -> candle_core::Result<Parameter> {
        let shape = [tensor.dims()[0], tensor.dims().get(1).copied().unwrap_or(1)];
        Ok(Parameter::new(name, shape, tensor.flatten_all()?.to_vec1()?))
    };
    Ok(Projection { weight: parameter(&projector.weight)?, bias: parameter(&projector.bias)? })
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// The values of a parameter or its gradient, in the shape of `like`.
fn tensor(values: &[f32], like: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::from_slice(values, like.dims(), &Device::Cpu)
}

/// One audio-visual token of a sequence.
#[derive(Clone, Copy)]
enum Place {
    Visual(usize),
    Audio(usize),
}

/// The audio-visual part of a sequence: features of both senses, and the order of their tokens.
struct Video {
    visual: Vec<f32>,
    audio: Vec<f32>,
    order: Vec<Place>,
}

struct Model {
    llm: Trainable,
    visual: Projection,
    audio: Projection,
}

/// The base with the stages before `trained` merged, and the stage `trained` as variables.
fn model(merged: &[&str], trained: Option<&str>) -> Result<Model, Box<dyn std::error::Error>> {
    model_with(merged, trained, Products::Single)
}

fn model_with(
    merged: &[&str],
    trained: Option<&str>,
    products: Products,
) -> Result<Model, Box<dyn std::error::Error>> {
    let tiny = golden("tiny_avicuna");
    let config = Config::from_json(&tiny.join("base/config.json"))?;
    let lora = |stage: &str| -> Result<LoraWeights, Box<dyn std::error::Error>> {
        let adapter = json(&format!("tiny_avicuna/{stage}/adapter_config.json"));
        let (r, alpha) = (adapter["r"].as_u64().expect("r"), adapter["lora_alpha"].as_f64().expect("alpha"));
        let file = tiny.join(stage).join("adapter_model.safetensors");
        Ok(LoraWeights::new(&file, r as usize, alpha, read_tensors(&file)?)?)
    };
    let mut weights = Weights::from_dir(&tiny.join("base"), &config)?;
    for stage in merged {
        weights = weights.with_lora(lora(stage)?);
    }
    let trained = trained.map(lora).transpose()?;
    let llm = Trainable::load(&weights, config, trained.as_ref(), products)?;
    // A stage may bring its own projectors; the last one counts.
    let own = |name: &str, file: &str| -> Result<Projection, Box<dyn std::error::Error>> {
        for stage in merged.iter().rev() {
            let others = tiny.join(stage).join("non_lora_trainables.bin");
            if read_tensors(&others)?.keys().any(|key| key.ends_with(&format!("{name}.weight"))) {
                return adapter(&others, name);
            }
        }
        adapter(&tiny.join(file), name)
    };
    Ok(Model {
        llm,
        visual: own("mm_projector", "mm_projector.bin")?,
        audio: own("mm_projector_a", "mm_projector_a.bin")?,
    })
}

impl Model {
    /// The reference's sequence of all visual and audio tokens.
    fn interleaved(&self, visual: &Tensor, audio: &Tensor) -> Result<Video, Box<dyn std::error::Error>> {
        let interleaver = Interleaver::new(Strategy::Reference, visual.dim(0)?, audio.dim(0)?)?;
        let place = |item: &Item| match item {
            Item::Visual(token) => Place::Visual(*token),
            Item::Audio(token) => Place::Audio(*token),
            Item::Text(text) => panic!("the reference has no text between its tokens: {text:?}"),
        };
        let order = interleaver.full().iter().map(place).collect();
        Ok(Video { visual: values(visual)?, audio: values(audio)?, order })
    }

    /// The rows of a batch `NAME.input_ids`, -200 replaced by its video; padding at the end is left out.
    fn batch(
        &self,
        tensors: &Tensors,
        name: &str,
        videos: &[Video],
    ) -> Result<Batch, Box<dyn std::error::Error>> {
        let hidden = self.llm.config().hidden;
        let mut batch = Batch::default();
        for (row, video) in videos.iter().enumerate() {
            let part = |part: &str| integers(&tensors[&format!("{name}.{part}")].get(row)?);
            let (ids, labels) = (part("input_ids")?, part("labels")?);
            let length = ids.iter().rposition(|id| *id != 0).map_or(0, |last| last + 1);
            let (visual, audio) = (self.visual.project(&video.visual), self.audio.project(&video.audio));
            let start = batch.rows.len() / hidden;
            for (id, label) in ids.iter().zip(&labels).take(length) {
                if let Ok(id) = u32::try_from(*label) {
                    batch.targets.push(Target { row: batch.rows.len() / hidden - 1, id });
                }
                if *id != -200 {
                    batch.rows.extend(self.llm.embedding(*id as u32)?);
                    continue;
                }
                for place in &video.order {
                    batch.rows.extend(match place {
                        Place::Visual(token) => &visual[token * hidden..][..hidden],
                        Place::Audio(token) => &audio[token * hidden..][..hidden],
                    });
                }
            }
            batch.sequences.push(Layout::plain(batch.rows.len() / hidden - start));
        }
        Ok(batch)
    }

    /// Goes through the batch and hands the gradients of the videos' rows to the projectors; everything is the gradient
    /// of the mean loss then. Returns that loss.
    fn learn(
        &mut self,
        tensors: &Tensors,
        name: &str,
        videos: &[Video],
        passing: Passing,
    ) -> Result<f64, Box<dyn std::error::Error>> {
        let hidden = self.llm.config().hidden;
        let batch = self.batch(tensors, name, videos)?;
        let Learned { loss, rows } = self.llm.learn(&batch, passing)?;
        let mut start = 0;
        for (row, video) in videos.iter().enumerate() {
            let ids = integers(&tensors[&format!("{name}.input_ids")].get(row)?)?;
            let first = start + ids.iter().position(|id| *id == -200).expect("a <video> mark");
            let (mut visual, mut audio) = (
                vec![0.0; video.visual.len() / self.visual.inputs() * hidden],
                vec![0.0; video.audio.len() / self.audio.inputs() * hidden],
            );
            for (index, place) in video.order.iter().enumerate() {
                let (into, token) = match place {
                    Place::Visual(token) => (&mut visual, token),
                    Place::Audio(token) => (&mut audio, token),
                };
                into[token * hidden..][..hidden].copy_from_slice(&rows[(first + index) * hidden..][..hidden]);
            }
            self.visual.learn(&video.visual, &visual);
            self.audio.learn(&video.audio, &audio);
            start += batch.sequences[row].rows();
        }
        let count = batch.targets.len() as f32;
        let adapters =
            [&mut self.visual.weight, &mut self.visual.bias, &mut self.audio.weight, &mut self.audio.bias];
        for parameter in self.llm.parameters_mut().into_iter().chain(adapters) {
            parameter.gradient.iter_mut().for_each(|g| *g /= count);
        }
        let again = self.llm.loss(&batch)? / f64::from(count);
        assert!(passing.dropout > 0.0 || (again - loss / f64::from(count)).abs() < 1e-6);
        Ok(loss / f64::from(count))
    }
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

/// Quirk (e) of the tiny AVicuna: two clips of unequal length are taken for a picture and a sound, three raise an error.
#[test]
fn batches_of_audio_alone_may_have_any_lengths() -> Anything {
    let mut tensors = golden::tensors()?;
    for part in ["stage2.input_ids", "stage2.labels"] {
        let row = &tensors[part];
        tensors.insert(part.into(), Tensor::cat(&[row, row, row], 0)?);
    }
    let model = model(&[], None)?;
    let heard = |rows: usize| -> candle_core::Result<Video> {
        let audio = values(&tensors["stage2.audio"].narrow(0, 0, rows)?)?;
        Ok(Video { visual: Vec::new(), audio, order: (0..rows).map(Place::Audio).collect() })
    };
    let loss = |videos: &[Video]| -> Result<f64, Box<dyn std::error::Error>> {
        Ok(model.llm.loss(&model.batch(&tensors, "stage2", videos)?)?)
    };
    let all = tensors["stage2.audio"].dim(0)?;
    let lengths = [1, all, all.div_ceil(2)];
    let alone = lengths.iter().map(|rows| loss(&[heard(*rows)?])).sum::<Result<f64, _>>()?;
    let together = loss(&[heard(lengths[0])?, heard(lengths[1])?, heard(lengths[2])?])?;
    assert!(alone > 0.0 && (together / alone - 1.0).abs() < 1e-5, "{together} {alone}");
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

/// Numbers of 8 bits give gradients that are off by so much of a tensor's largest, and point where those of 24 bits do.
#[test]
fn gradients_of_bfloat16_products_are_near_those_in_single_precision() -> Anything {
    let tensors = golden::tensors()?;
    let learned = |products| -> Result<(f64, Vec<Parameter>), Box<dyn std::error::Error>> {
        let mut model = model_with(&[], Some("stage3"), products)?;
        let video = model.interleaved(&tensors["input.visual"], &tensors["input.audio"])?;
        let loss = model.learn(&tensors, "stage3", &[video], Passing::default())?;
        let adapters = [model.visual.weight, model.visual.bias, model.audio.weight, model.audio.bias];
        Ok((loss, model.llm.parameters().into_iter().cloned().chain(adapters).collect()))
    };
    let (exact_loss, exact) = learned(Products::Single)?;
    let (loss, rounded) = learned(Products::Bf16)?;
    assert!(loss != exact_loss && (loss / exact_loss - 1.0).abs() < 0.01, "{loss} {exact_loss}");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    for (exact, rounded) in exact.iter().zip(&rounded) {
        let (exact, rounded, name) = (&exact.gradient, &rounded.gradient, &exact.name);
        let cosine = dot(exact, rounded) / (dot(exact, exact) * dot(rounded, rounded)).sqrt();
        let top = exact.iter().fold(0f32, |top, x| top.max(x.abs()));
        let off = exact.iter().zip(rounded).fold(0f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(
            cosine > 0.98 && off <= 0.25 * top,
            "{name}: cosine {cosine}, off by {off}, the largest is {top}"
        );
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

/// Questions side by side behind one window teach what they teach one after the other.
#[test]
fn branches_teach_what_their_sequences_teach_alone() -> Anything {
    let base = model(&[], Some("stage3"))?;
    let hidden = base.llm.config().hidden;
    let rows = |ids: &[u32]| -> Result<Vec<f32>, Box<dyn std::error::Error>> {
        let rows = ids.iter().map(|id| base.llm.embedding(*id)).collect::<Result<Vec<_>, _>>()?;
        Ok(rows.concat())
    };
    let prefix: Vec<u32> = (10..90).collect();
    let questions: [Vec<u32>; 3] = [(100..130).collect(), vec![200, 201], (300..341).collect()];
    let learn = |batch: &Batch| -> Anything<(f64, Vec<f32>, Vec<f32>)> {
        let mut model = model(&[], Some("stage3"))?;
        let learned = model.llm.learn(batch, Passing::default())?;
        let gradient = model.llm.parameters().into_iter().flat_map(|p| p.gradient.clone()).collect();
        Ok((learned.loss, learned.rows, gradient))
    };
    let mut together = Batch { rows: rows(&prefix)?, ..Batch::default() };
    let (mut loss, mut first_rows, mut gradient) = (0.0, vec![0.0; prefix.len() * hidden], Vec::new());
    for question in &questions {
        let alone = Batch {
            rows: [rows(&prefix)?, rows(question)?].concat(),
            sequences: vec![Layout::plain(prefix.len() + question.len())],
            targets: (1..question.len())
                .map(|i| Target { row: prefix.len() + i - 1, id: question[i] })
                .collect(),
        };
        let (own_loss, own_rows, own) = learn(&alone)?;
        loss += own_loss;
        first_rows.iter_mut().zip(&own_rows).for_each(|(sum, own)| *sum += own);
        gradient.resize(own.len(), 0.0);
        gradient.iter_mut().zip(&own).for_each(|(sum, own)| *sum += own);
        let start = together.rows.len() / hidden;
        together.rows.extend(rows(question)?);
        together.targets.extend((1..question.len()).map(|i| Target { row: start + i - 1, id: question[i] }));
    }
    together.sequences =
        vec![Layout { prefix: prefix.len(), branches: questions.iter().map(Vec::len).collect() }];
    let (all, all_rows, all_gradient) = learn(&together)?;
    assert!((all - loss).abs() < 1e-3 * loss, "{all} {loss}");
    let same = |ours: &[f32], theirs: &[f32], what: &str| -> Anything {
        let tensor = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu);
        close(&tensor(ours)?, &tensor(theirs)?, 1e-3, what)
    };
    same(&all_rows[..first_rows.len()], &first_rows, "the prefix")?;
    same(&all_gradient, &gradient, "the LoRA")
}

#[test]
fn dropout_is_the_same_when_a_block_is_computed_again() -> Anything {
    let tensors = golden::tensors()?;
    let run = |checkpointing: bool, key: u64| -> Result<(f64, Vec<f32>), Box<dyn std::error::Error>> {
        let mut model = model(&[], Some("stage3"))?;
        let video = model.interleaved(&tensors["input.visual"], &tensors["input.audio"])?;
        let passing = Passing { checkpointing, dropout: 0.2, key };
        let loss = model.learn(&tensors, "stage3", &[video], passing)?;
        Ok((loss, model.llm.parameters().into_iter().flat_map(|p| p.gradient.clone()).collect()))
    };
    let first = run(false, 1)?;
    assert_eq!(first, run(true, 1)?);
    assert_ne!(first.0, run(false, 2)?.0);
    Ok(())
}

#[test]
fn a_batch_that_cannot_be_learned_from_says_why() -> Anything {
    let mut model = model(&[], None)?;
    let rows = [1, 2, 3].iter().map(|id| model.llm.embedding(*id)).collect::<Result<Vec<_>, _>>()?.concat();
    let mut batch = Batch { rows, sequences: vec![Layout::plain(3)], targets: Vec::new() };
    let mut says = |batch: &Batch, what: &str| {
        let error = model.llm.learn(batch, Passing::default()).expect_err("it is wrong").to_string();
        assert!(error.contains(what), "{error}");
    };
    says(&batch, "no sequence has a label");
    batch.targets = vec![Target { row: 0, id: 99_999 }];
    says(&batch, "99999");
    batch.targets = vec![Target { row: 3, id: 5 }];
    says(&batch, "row 3");
    batch.sequences = vec![Layout::plain(4)];
    says(&batch, "4 rows");
    Ok(())
}
