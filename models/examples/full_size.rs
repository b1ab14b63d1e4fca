//! Whether a model of Vicuna-7B's size loads and answers here, and how fast:
//! `cargo run --release -p avicuna-models --example full_size -- [LAYERS] [DEVICE] [GB/S]`.
//!
//! The weights are random and are stored block by block as they are made, so nothing has to be downloaded and no second copy
//! of them is in memory. LAYERS makes the model smaller than 32; DEVICE is `cpu` (7-bit blocks), `exact` (f32, the steps of a GPU on a
//! CPU) or `cuda` (bf16); GB/S is what the memory of the weights can be read at: each step of an answer reads them once, whatever
//! the number of answers. `scripts/bench_gpu.sh` runs it on a GPU.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use avicuna_models::llm::{Config, Llm, Precision, Weights};
use avicuna_models::tokenizer::Tokenizer;
use candle_core::{Device, Tensor};

/// Rows before the question, as `llm_bench` counts them; then the question and the answer.
const TOKENS: (usize, usize, usize) = (165, 15, 40);
/// Seconds of a chunk, and tokens that are answered to it, where streams of other programs are counted so.
const CHUNK: (f64, usize) = (10.0, 100);

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Anything<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let layers = arguments.first().map_or(Ok(32), |n| n.parse())?;
    let place = arguments.get(1).map_or("cpu", String::as_str);
    let bandwidth: Option<f64> = arguments.get(2).map(|n| n.parse()).transpose()?;
    let (device, precision) = match place {
        "cpu" => (Device::Cpu, Precision::Blocks),
        "exact" => (Device::Cpu, Precision::Exact),
        "cuda" => (Device::new_cuda(0)?, Precision::Exact),
        _ => return Err("DEVICE is cpu, exact or cuda".into()),
    };
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
    let llm = Llm::assemble(&weights, config, tokenizer, &device, precision)?;
    println!(
        "{:.2} billion weights in {:.1} s, {} MiB of them; at most {} MiB in memory",
        parameters as f64 / 1e9,
        start.elapsed().as_secs_f64(),
        llm.weight_bytes() >> 20,
        peak_memory()?
    );
    let most = if device.is_cuda() { 64 } else { 2 };
    for windows in [1, 2, 4, 8, 16, 32, 64].into_iter().filter(|windows| *windows <= most) {
        println!("{}", row(&llm, windows, bandwidth)?);
    }
    let (seconds, answered) = (CHUNK.0, CHUNK.1);
    let took = generate(&llm, most, answered)?;
    println!(
        "{seconds} s chunks with {answered} tokens each, {most} at a time: {:.1} streams",
        most as f64 * seconds / took
    );
    println!("at most {} MiB in memory", peak_memory()?);
    Ok(())
}

/// What `windows` at a time come to.
fn row(llm: &Llm, windows: usize, bandwidth: Option<f64>) -> Anything<String> {
    let answer = TOKENS.2;
    let first = generate(llm, windows, 1)?;
    let all = generate(llm, windows, answer)?;
    let step = (all - first) / (answer - 1) as f64;
    let roofline = bandwidth.map_or(String::new(), |gigabytes| {
        let least = llm.weight_bytes() as f64 / (gigabytes * 1e9);
        format!("; {:.0} % of what reading the weights alone allows", 100.0 * least / step)
    });
    Ok(format!(
        "{windows:2} windows: {:.2} windows/s; {:.0} ms to the first token, then {:.0} tokens/s{roofline}",
        windows as f64 / all,
        first * 1e3,
        windows as f64 / step
    ))
}

/// Seconds that answers of `limit` tokens to so many windows take, the second time.
fn generate(llm: &Llm, windows: usize, limit: usize) -> Anything<f64> {
    let (prefix, question, _) = TOKENS;
    let ids = |count: usize, seed: usize| -> Vec<u32> {
        (0..count).map(|i| ((i + seed) * 7919 % 30_000) as u32).collect()
    };
    let prefixes =
        (0..windows).map(|window| llm.embed(&ids(prefix, window))).collect::<Result<Vec<_>, _>>()?;
    let questions = vec![vec![(ids(question, 0), limit)]; windows];
    let mut seconds = 0.0;
    for _ in 0..2 {
        let start = Instant::now();
        let generated = llm.generate(&prefixes, &questions)?;
        seconds = start.elapsed().as_secs_f64();
        assert!(generated.iter().flatten().all(|answer| answer.ids.len() == limit));
    }
    Ok(seconds)
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
