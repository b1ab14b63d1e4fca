//! How fast the encoders are, from decoded bytes and samples to embeddings.
//!
//! `cargo run --release -p avicuna-models --example encoder_bench -- MODEL_DIR [THREADS]` reads lines such as
//! `vision 16` (encoder, batch up to 16) and answers each with two numbers: the milliseconds of the preprocessing and of the model's call. `scripts/bench_encoders.py` drives
//! it beside ONNX Runtime's own Python package.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use avicuna_models::encoder::{AudioEncoder, Placement, Runtime, VisionEncoder};
use avicuna_models::manifest::{Manifest, cache_dir};
use avicuna_models::sample::{AudioClip, RgbFrame};

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Anything<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: encoder_bench MODEL_DIR [THREADS]")?;
    let threads = arguments.next().map(|n| n.parse()).transpose()?;
    let manifest = Manifest::load(Path::new(&dir))?;
    let cache = cache_dir()?;
    let runtime = Runtime::open(&cache, Placement::Cpu, threads)?;
    let (vision, audio) = (manifest.vision.as_ref(), manifest.audio.as_ref());
    let (vision, audio) = (vision.ok_or("it does not see")?, audio.ok_or("it does not hear")?);
    let seeing = manifest.locate("vision", &vision.parts[0].file, &cache)?;
    let hearing = manifest.locate("audio", &audio.parts[0].file, &cache)?;
    let encoder = VisionEncoder::load(vision, &[seeing], None, &runtime)?;
    let listener = AudioEncoder::load(audio, &[hearing], None, &runtime)?;

    // What it shows or sounds like does not change the time.
    let size = vision.input_size as usize;
    let frame = |seed: usize| RgbFrame {
        width: size,
        height: size,
        aspect: 1.0,
        data: (0..size * size * 3).map(|i| ((i * 7919 + seed * 104_729) % 251) as u8).collect(),
    };
    let clip = |seed: usize| AudioClip {
        samples: (0..audio.clip_samples()).map(|i| ((i * (seed + 3)) as f32 * 0.01).sin() * 0.3).collect(),
    };
    let frames: Vec<RgbFrame> = (0..64).map(frame).collect();
    let clips: Vec<AudioClip> = (0..64).map(clip).collect();

    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, batch) = line.split_once(' ').ok_or("a line is an encoder and a batch size")?;
        let batch: usize = batch.parse()?;
        let (prepare, call, embeddings) = match name {
            "vision" => {
                let frames: Vec<&RgbFrame> = frames.iter().take(batch).collect();
                timed(|| encoder.prepare(&frames), |ready| encoder.encode_prepared(ready))
            }
            _ => {
                let clips: Vec<&AudioClip> = clips.iter().take(batch).collect();
                timed(|| listener.prepare(&clips), |ready| listener.encode_prepared(ready))
            }
        };
        embeddings.into_iter().collect::<Result<Vec<_>, _>>()?;
        writeln!(out, "{prepare:.4} {call:.4}")?;
        out.flush()?;
    }
    Ok(())
}

/// The milliseconds of both steps, and what the second one gives.
fn timed<T, U>(first: impl FnOnce() -> T, second: impl FnOnce(T) -> U) -> (f64, f64, U) {
    let start = Instant::now();
    let ready = first();
    let between = Instant::now();
    let done = second(ready);
    ((between - start).as_secs_f64() * 1e3, between.elapsed().as_secs_f64() * 1e3, done)
}
