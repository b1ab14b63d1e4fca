//! What may not change the numbers, or only so far: how batches are cut, bfloat16 products, the format of features.

use std::collections::HashMap;

use avicuna_corpus::features::{Rows, called};
use avicuna_pipeline::stream::Medium;
use candle_core::{Device, Tensor};

use super::tiny::{Anything, Tiny};
use super::{losses, run, tensors};

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
