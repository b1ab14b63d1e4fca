//! What the reference does not do: audio of any lengths, products of bfloat16 numbers, branches, blocks computed again.

use avicuna_trainer::decoder::{Batch, Layout, Parameter, Passing, Products, Target};
use candle_core::{Device, Tensor};

use super::model::{Place, Video, model, model_with};
use super::{Anything, close, golden, values};

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
