//! The decoder on a GPU beside the same steps on the CPU. `scripts/bench_gpu.sh` runs it where there is one.
#![cfg(feature = "cuda")]

use std::path::Path;

use avicuna_models::llm::{Config, Llm, Precision, Weights};
use avicuna_models::tokenizer::Tokenizer;
use candle_core::{DType, Device, Tensor};

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn config() -> Config {
    Config {
        hidden: 256,
        intermediate: 512,
        layers: 4,
        heads: 8,
        kv_heads: 4,
        head_dim: 32,
        vocab: 32_000,
        context: 512,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
        eos: Vec::new(),
    }
}

/// A weight that depends on its name and shape alone.
fn weight(name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
    if name.ends_with("norm.weight") {
        return Tensor::ones(shape, DType::F32, &Device::Cpu);
    }
    let seed = name.bytes().fold(1u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let scale = (3.0 / shape.last().copied().unwrap_or(1) as f32).sqrt();
    let value = |index: usize| {
        ((index as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let values = (0..shape.iter().product::<usize>()).map(|index| value(index) * scale).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn llm(device: &Device) -> Anything<Llm> {
    let vocabulary = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/golden/tiny_avicuna/base/tokenizer.model");
    let tokenizer = Tokenizer::from_sentencepiece(&vocabulary)?;
    let weights = Weights::from_fn(weight, &config());
    Ok(Llm::assemble(&weights, config(), tokenizer, device, Precision::Exact)?)
}

fn ids(count: u32, seed: u32) -> Vec<u32> {
    (0..count).map(|index| (index + seed) * 7919 % 30_000).collect()
}

#[test]
fn the_gpu_says_what_the_cpu_says() -> Anything<()> {
    let (there, here) = (llm(&Device::new_cuda(0)?)?, llm(&Device::Cpu)?);
    let logits = |llm: &Llm| -> Anything<Tensor> {
        Ok(llm.logits(&llm.embed(&ids(90, 5))?)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?)
    };
    let (said, right) = (logits(&there)?, logits(&here)?);
    let norm = |tensor: &Tensor| -> Anything<f32> { Ok(tensor.sqr()?.sum_all()?.sqrt()?.to_scalar()?) };
    // bf16 has eight bits.
    let apart = norm(&said.sub(&right)?)? / norm(&right)?;
    assert!(apart < 0.03, "{apart}");
    Ok(())
}

#[test]
fn answers_do_not_depend_on_what_is_asked_beside() -> Anything<()> {
    let llm = llm(&Device::new_cuda(0)?)?;
    let prefixes = [3, 4, 5].map(|seed| llm.embed(&ids(40 + seed, seed)));
    let prefixes: Vec<Tensor> = prefixes.into_iter().collect::<Result<_, _>>()?;
    let questions: Vec<Vec<_>> = (0..3)
        .map(|window| (0..=window).map(|question| (ids(5 + question, 100 + question), 12)).collect())
        .collect();
    let together = llm.generate(&prefixes, &questions)?;
    for ((prefix, questions), answers) in prefixes.iter().zip(&questions).zip(&together) {
        for (question, answer) in questions.iter().zip(answers) {
            let alone = llm.generate(std::slice::from_ref(prefix), &[vec![question.clone()]])?;
            // Up to rounding: the likelihood of the first token.
            let (one, other) = (alone[0][0].logprobs[0], answer.logprobs[0]);
            assert!((one - other).abs() < 0.1, "{one} {other}");
        }
    }
    Ok(())
}
