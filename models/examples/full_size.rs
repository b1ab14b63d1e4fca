//! Whether a model of Vicuna-7B's size loads and answers here: `cargo run --release -p avicuna-models --example full_size`.
//!
//! The weights are random and are stored block by block as they are made, so nothing has to be downloaded and no second copy
//! of them is in memory. An optional argument makes the model smaller: the number of layers instead of 32.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use avicuna_models::llm::{Config, Llm, Precision, Weights};
use avicuna_models::tokenizer::Tokenizer;
use candle_core::{Device, Tensor};

/// Rows before the question, as `llm_bench` counts them; then the question and the answer.
const TOKENS: (usize, usize, usize) = (165, 15, 40);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layers = std::env::args().nth(1).map_or(Ok(32), |n| n.parse())?;
    let config = Config {
        hidden: 4096,
        intermediate: 11_008,
        layers,
        heads: 32,
        kv_heads: 32,
        head_dim: 128,
        vocab: 32_000,
        context: 4096,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
        eos: Vec::new(),
    };
    let parameters: usize = config.weights().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let vocabulary = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/golden/tiny_avicuna/base/tokenizer.model");
    let weights = Weights::from_fn(random, &config);
    let start = Instant::now();
    let tokenizer = Tokenizer::from_sentencepiece(&vocabulary)?;
    let llm = Llm::assemble(&weights, config, tokenizer, &Device::Cpu, Precision::Blocks)?;
    println!(
        "{:.2} billion weights in {:.1} s, {} MiB of them; at most {} MiB in memory",
        parameters as f64 / 1e9,
        start.elapsed().as_secs_f64(),
        llm.weight_bytes() >> 20,
        peak_memory()?
    );

    let (prefix, question, answer) = TOKENS;
    let ids = |count: usize| -> Vec<u32> { (0..count).map(|i| (i * 7919 % 30_000) as u32).collect() };
    let rows = llm.embed(&ids(prefix))?;
    for limit in [1, answer] {
        let start = Instant::now();
        let generated = llm.generate(std::slice::from_ref(&rows), &[vec![(ids(question), limit)]])?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{} + {} tokens, {limit} answered: {seconds:.2} s", prefix, question);
        assert_eq!(generated[0][0].ids.len(), limit);
    }
    println!("at most {} MiB in memory", peak_memory()?);
    Ok(())
}

/// A weight of 16 different values, small enough that the states stay finite.
fn random(name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
    static SEED: AtomicU64 = AtomicU64::new(1);
    if name.ends_with("norm.weight") {
        return Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu);
    }
    let mut state = SEED.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let scale = (3.0 / shape.last().copied().unwrap_or(1) as f32).sqrt() / 7.5;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) & 15) as f32 - 7.5
    };
    let values = (0..shape.iter().product::<usize>()).map(|_| next() * scale).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// The most MiB that the process has had in memory.
fn peak_memory() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()).ok_or("no VmHWM")?;
    Ok(kib.parse::<u64>()? >> 10)
}
