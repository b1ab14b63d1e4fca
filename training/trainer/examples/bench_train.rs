//! Seconds of a training step: SmolLM2-135M's shape, LoRA on all linear layers; beside scripts/bench_train.py.
//!
//! `cargo run --release --workspace --example bench_train -- [--dtype f32|bf16] [--rows 180] [--batch 8] [--rank 16] [--steps 5]
//! [--checkpointing]`. The first step is not counted.

use std::path::Path;
use std::time::Instant;

use avicuna_models::llm::{Config, Weights};
use avicuna_trainer::decoder::{Batch, Layout, Passing, Products, Target, Trainable};
use avicuna_trainer::lora::fresh;
use candle_core::{Device, Tensor};

/// Rows of each sequence with a label.
const ANSWER: usize = 40;

struct Arguments {
    bf16: bool,
    rows: usize,
    batch: usize,
    rank: usize,
    steps: usize,
    checkpointing: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments =
        Arguments { bf16: false, rows: 180, batch: 8, rank: 16, steps: 5, checkpointing: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--checkpointing" {
            arguments.checkpointing = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|e| format!("{word} {value}: {e}"));
        match word.as_str() {
            "--dtype" => arguments.bf16 = value == "bf16",
            "--rows" => arguments.rows = number()?,
            "--batch" => arguments.batch = number()?,
            "--rank" => arguments.rank = number()?,
            "--steps" => arguments.steps = number()?,
            _ => return Err(format!("{word} is unknown")),
        }
    }
    Ok(arguments)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    let config = Config {
        hidden: 576,
        intermediate: 1536,
        layers: 30,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        vocab: 49_152,
        context: 2048,
        rope_theta: 100_000.0,
        norm_eps: 1e-5,
        tied: true,
        eos: vec![2],
    };
    let make = |_: &str, shape: &[usize]| Tensor::randn(0f32, 0.02, shape, &Device::Cpu);
    let weights = Weights::from_fn(make, &config);
    let rank = arguments.rank;
    let lora = fresh(&config, rank, 2.0 * rank as f64, 1)?;
    let products = if arguments.bf16 { Products::Bf16 } else { Products::Single };
    let mut llm = Trainable::load(&weights, config, Some(&lora), products)?;
    let mut batch = Batch::default();
    for sequence in 0..arguments.batch {
        let ids: Vec<u32> =
            (0..arguments.rows).map(|row| ((sequence * 977 + row * 31) % 49_152) as u32).collect();
        for id in &ids {
            batch.rows.extend(llm.embedding(*id)?);
        }
        let start = sequence * arguments.rows;
        let labelled = arguments.rows.saturating_sub(ANSWER).max(1)..arguments.rows;
        batch.targets.extend(labelled.map(|row| Target { row: start + row - 1, id: ids[row] }));
        batch.sequences.push(Layout::plain(arguments.rows));
    }
    let passing = Passing { checkpointing: arguments.checkpointing, ..Passing::default() };
    let mut seconds = Vec::new();
    for _ in 0..=arguments.steps {
        let began = Instant::now();
        let learned = llm.learn(&batch, passing)?;
        let step = 1e-4 / learned.loss as f32;
        for parameter in llm.parameters_mut() {
            for (value, gradient) in parameter.values.iter_mut().zip(&mut parameter.gradient) {
                *value -= step * *gradient;
                *gradient = 0.0;
            }
        }
        seconds.push(began.elapsed().as_secs_f64());
    }
    let counted = &mut seconds[1..];
    counted.sort_by(f64::total_cmp);
    let (best, median) = (counted[0], counted[counted.len() / 2]);
    let kind = if arguments.bf16 { "bf16" } else { "f32" };
    let Arguments { batch, rows, .. } = arguments;
    println!("avicuna {kind}, {batch} x {rows} rows, r {rank}: {median:.2} s a step ({best:.2} at best)");
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        println!("{peak}");
    }
    Ok(())
}
