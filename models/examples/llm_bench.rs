//! How fast the LLM answers windows: `cargo run --release -p avicuna-models --example llm_bench -- MODEL.gguf`.
//! `scripts/bench_llm.py` runs it in turns with llama.cpp and prints both.
//!
//! One window is a 180-token prefix (100 audio-visual tokens with their time stamps and the prompt's head) with a question
//! and a 40-token answer. Every line is the best of several runs, so that a busy machine disturbs it little.

use std::path::Path;
use std::time::Instant;

use avicuna_models::llm::{Llm, LlmError, Precision};
use candle_core::{Device, Tensor};

/// Rows before the question.
const PREFIX: usize = 165;
/// Tokens of the question and the rest of the prompt.
const QUESTION: usize = 15;
/// Tokens of the answer.
const ANSWER: usize = 40;

/// Best seconds of `runs` runs.
fn best(runs: usize, mut run: impl FnMut() -> Result<(), LlmError>) -> Result<f64, LlmError> {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Seconds that all threads of this process have computed, and the most MiB it has had in memory.
fn used() -> Option<(f64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name may hold spaces; it ends with a bracket. Times are in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some((ticks / 100.0, peak.trim().split(' ').next()?.parse::<u64>().ok()? >> 10))
}

/// GFLOP/s of a large f32 matrix product on this machine: what "fast" means here.
fn peak() -> Result<f64, LlmError> {
    let n = 1536;
    let a = Tensor::rand(-1f32, 1f32, (n, n), &Device::Cpu)?;
    let seconds = best(5, || {
        let _product = a.matmul(&a)?;
        Ok(())
    })?;
    Ok(2.0 * (n as f64).powi(3) / seconds / 1e9)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: llm_bench MODEL [RUNS] [exact]")?;
    let runs: usize = arguments.next().map_or(Ok(5), |n| n.parse())?;
    let precision = if arguments.next().is_some() { Precision::Exact } else { Precision::Auto };
    let start = Instant::now();
    let llm = Llm::load_as(Path::new(&path), None, &Device::Cpu, precision)?;
    println!("loaded in {:.2} s, {} MB of weights", start.elapsed().as_secs_f64(), llm.weight_bytes() >> 20);

    // Ids that are no special token; what they say does not change the time, nor does a stop token, which is not in reach.
    let ids = |count: usize, seed: usize| -> Vec<u32> {
        (0..count).map(|i| 100 + ((i * 7919 + seed * 104_729) % 20_000) as u32).collect()
    };
    let prefix = |window: usize| -> Result<Tensor, LlmError> { llm.embed(&ids(PREFIX, window)) };
    let prefixes: Vec<Tensor> = (0..8).map(prefix).collect::<Result<_, _>>()?;
    let ask = |windows: usize, questions: usize, answer: usize| {
        let asked: Vec<Vec<_>> =
            (0..windows).map(|_| (0..questions).map(|q| (ids(QUESTION, q + 50), answer)).collect()).collect();
        let mut tokens = 0;
        let seconds = best(runs, || {
            let answers = llm.generate(&prefixes[..windows], &asked)?;
            tokens = answers.iter().flatten().map(|a| a.ids.len()).sum();
            Ok(())
        });
        seconds.map(|s| (s, tokens))
    };
    let (first, _) = ask(1, 1, 1)?;
    println!(
        "prefill of {} tokens: {:.1} ms, {:.0} tokens/s",
        PREFIX + QUESTION,
        first * 1e3,
        (PREFIX + QUESTION) as f64 / first
    );
    let linear: usize = llm
        .config()
        .weights()
        .iter()
        .filter(|(_, shape)| shape.len() == 2)
        .map(|(name, shape)| {
            // The embedding table is looked up, unless it is the output layer as well; logits are computed once.
            if name.contains("embed_tokens") { 0 } else { shape.iter().product::<usize>() }
        })
        .sum();
    let reached = 2.0 * linear as f64 * (PREFIX + QUESTION) as f64 / first / 1e9;
    println!("linear layers: {reached:.0} GFLOP/s of {:.0} GFLOP/s that f32 matrices reach", peak()?);
    for (windows, questions) in [(1, 1), (1, 3), (8, 1)] {
        let (start, _) = ask(windows, questions, 1)?;
        let before = used();
        let (seconds, tokens) = ask(windows, questions, ANSWER)?;
        if let (Some(before), Some(after)) = (before, used()) {
            println!(
                "json {{\"windows\":{windows},\"questions\":{questions},\"seconds\":{seconds:.4},\"cpu_seconds\":{:.4},\"peak_mib\":{}}}",
                (after.0 - before.0) / runs as f64,
                after.1
            );
        }
        let steps = (tokens - windows * questions) as f64;
        println!(
            "{windows} windows x {questions} questions: {:.3} s, {:.2} windows/s; decode {:.0} tokens/s ({tokens} tokens)",
            seconds,
            windows as f64 / seconds,
            steps / (seconds - start),
        );
    }
    Ok(())
}
