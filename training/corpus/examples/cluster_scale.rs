//! Time and memory of clustering at the sizes of VALOR-32K and VALOR-1M, on synthetic embeddings.
//!
//! `cargo run --release -p avicuna-corpus --example cluster_scale -- bisect 32000 320000 1200000`
//!
//! Rows lie around topics, and topics around themes, as captions do. Prints a Markdown table; memory is the peak of the
//! process, so run the largest size alone to know its own.

use std::error::Error;
use std::time::Instant;

use avicuna_corpus::cluster::{Bounds, Embeddings, Method, partition, quality};
use avicuna_corpus::seeded;
use rand::RngExt;
use rayon::prelude::*;

const DIM: usize = 384;

/// Rows of a topic, and topics of a theme.
const TOPIC: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let method = match arguments.next().as_deref() {
        Some("greedy") => Method::Greedy,
        Some("random") => Method::Random,
        _ => Method::Bisect,
    };
    let sizes: Vec<usize> = arguments.map(|text| text.parse()).collect::<Result<_, _>>()?;
    let bounds = Bounds { min: 16, max: 64 };
    println!("| method | rows | clusters | seconds | peak MiB | within | between | at home |");
    println!("|---|---|---|---|---|---|---|---|");
    for rows in sizes {
        let embeddings = synthetic(rows)?;
        let start = Instant::now();
        let clusters = partition(&embeddings, method, bounds, 0)?;
        let seconds = start.elapsed().as_secs_f64();
        let q = quality::measure(&embeddings, &clusters);
        println!(
            "| {method:?} | {rows} | {} | {seconds:.1} | {} | {:.3} | {:.3} | {:.0}% |",
            q.clusters,
            peak_mebibytes().map_or("?".into(), |peak| peak.to_string()),
            q.within,
            q.between,
            100.0 * q.at_home
        );
    }
    Ok(())
}

fn synthetic(rows: usize) -> Result<Embeddings, Box<dyn Error>> {
    let mut values = vec![0f32; rows * DIM];
    values.par_chunks_mut(TOPIC * DIM).enumerate().for_each(|(topic, values)| {
        let theme = direction(&format!("theme/{}", topic / TOPIC));
        let own = direction(&format!("topic/{topic}"));
        let mut noise = seeded::rng(0, &format!("rows/{topic}"));
        for (at, value) in values.iter_mut().enumerate() {
            *value = theme[at % DIM] + own[at % DIM] + noise.random_range(-1.0..1.0);
        }
    });
    Ok(Embeddings::new(values, DIM)?)
}

fn direction(name: &str) -> Vec<f32> {
    let mut rng = seeded::rng(0, name);
    (0..DIM).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// The most memory this process ever held, where the system tells.
fn peak_mebibytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024)
}
