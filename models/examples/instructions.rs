//! One kernel at work, for counting its instructions: `scripts/instructions.sh` runs it in callgrind. Without a name it says which
//! kernels there are; with one it prints it with the instructions that it found in this processor.

use std::path::Path;

use avicuna_models::interleave::{Interleaver, Strategy};
use avicuna_models::llm::{Config, Llm, Precision, Weights};
use avicuna_models::preprocess::mel::LogMel;
use avicuna_models::splitmix;
use avicuna_models::tokenizer::Tokenizer;
use candle_core::{Device, Tensor};

type Kernel = Box<dyn FnMut() -> Result<(), Box<dyn std::error::Error>>>;

const KERNELS: [&str; 3] = ["decoder", "log-mel", "interleave"];

/// What is counted.
#[inline(never)]
fn counted(kernel: &mut Kernel) -> Result<(), Box<dyn std::error::Error>> {
    kernel()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Counts are of this thread.
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    let Some(name) = std::env::args().nth(1) else {
        println!("{}", KERNELS.join("\n"));
        return Ok(());
    };
    let mut kernel = match name.as_str() {
        "decoder" => decoder()?,
        "log-mel" => log_mel(),
        "interleave" => interleave()?,
        other => return Err(format!("no kernel {other}; there are {}", KERNELS.join(", ")).into()),
    };
    counted(&mut kernel)?;
    println!("{name} {}", instructions());
    Ok(())
}

/// As far as the kernels differ by it.
fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") {
        return "avx512";
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return "avx2";
    }
    "portable"
}

/// One layer of a decoder in 7-bit blocks over 64 rows: products, attention and norms.
fn decoder() -> Result<Kernel, Box<dyn std::error::Error>> {
    let config = Config {
        hidden: 256,
        intermediate: 512,
        layers: 1,
        heads: 4,
        kv_heads: 4,
        head_dim: 64,
        vocab: 768,
        context: 256,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
        eos: Vec::new(),
    };
    let vocabulary = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/golden/tiny_avicuna/base/tokenizer.model");
    let tokenizer = Tokenizer::from_sentencepiece(&vocabulary)?;
    let weights = Weights::from_fn(|_name, shape| random(shape, 1), &config);
    let llm = Llm::assemble(&weights, config, tokenizer, &Device::Cpu, Precision::Blocks)?;
    let rows = random(&[64, 256], 2)?;
    Ok(Box::new(move || {
        let _logits = llm.logits(&rows)?;
        Ok(())
    }))
}

/// The audio front end over ten seconds.
fn log_mel() -> Kernel {
    let mel = LogMel::clap();
    let samples: Vec<f32> = (0..480_000).map(|i| (i as f32 * 0.01).sin() * 0.5).collect();
    Box::new(move || {
        let _spectrum = mel.run(&samples);
        Ok(())
    })
}

/// The order of a thousand windows, in each of which something is missing.
fn interleave() -> Result<Kernel, Box<dyn std::error::Error>> {
    let interleaver = Interleaver::new(Strategy::Timestamped { stamp_every_slots: 5 }, 80, 20)?;
    Ok(Box::new(move || {
        for window in 0..1000 {
            let there = |count: usize| (0..count).map(|slot| (slot + window) % 7 > 0).collect::<Vec<bool>>();
            let _items = interleaver.sequence(&there(80), &there(20))?;
        }
        Ok(())
    }))
}

fn random(shape: &[usize], seed: u64) -> candle_core::Result<Tensor> {
    let count: usize = shape.iter().product();
    let value = |i: usize| (splitmix::mixed(seed + i as u64) >> 40) as f32 / (1 << 24) as f32 - 0.5;
    Tensor::from_vec((0..count).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu)
}
