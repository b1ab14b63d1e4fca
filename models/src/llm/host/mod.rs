//! The LLaMA decoder for CPUs: weights and activations in blocks of small integers, everything else in f32.
//!
//! Same steps as [`super::candle_engine`], on plain slices. A batch-1 decode step is bound by reading the weights, so they
//! take 9 bits; a prefill is bound by arithmetic, which integer instructions do twice as fast as f32 ones.
//! A row's result does not depend on the other rows of a pass, not even in its last bit.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::candle_engine::rotations;
use super::config::Config;
use super::decoder::{Decoder, Output, Segment};
use super::error::LlmError;
use super::table::Table;
use super::weights::Weights;

mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod lanes;
mod linear;
mod simd;

use attention::{Head, Query, Span, TILE};
use blocks::{Activations, BlockMatrix};
use lanes::LANES;
use linear::{Store, product};
use simd::Isa;

/// The LLaMA decoder for CPUs.
pub(crate) struct Host {
    config: Config,
    isa: Isa,
    /// `[vocab, hidden]`
    embedding: Table,
    blocks: Vec<Block>,
    /// `[hidden]`
    norm: Vec<f32>,
    /// `[vocab, hidden]`
    head: BlockMatrix,
    /// `[context, head_dim / 2]`
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// One transformer block.
struct Block {
    /// `[hidden]`
    attention_norm: Vec<f32>,
    /// `[q_dim + 2 kv_dim, hidden]`: queries, keys, values
    qkv: BlockMatrix,
    /// `[hidden, q_dim]`
    output: BlockMatrix,
    /// `[hidden]`
    feed_forward_norm: Vec<f32>,
    /// `[2 intermediate, hidden]`: gate, up
    gate_up: BlockMatrix,
    /// `[hidden, intermediate]`
    down: BlockMatrix,
}

/// Keys and values of one sequence.
pub(crate) struct HostCache {
    /// What the sequence shares with others; it shares nothing itself.
    prefix: Option<Arc<HostCache>>,
    /// Per block: keys and values of each key head.
    layers: Vec<Vec<Head>>,
    length: usize,
}

impl HostCache {
    fn past(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.length) + self.length
    }
}

/// Where a row of a pass stands.
#[derive(Clone, Copy)]
struct Place {
    segment: usize,
    /// Its position in the whole sequence.
    position: usize,
}

impl Host {
    /// Whether a model of these dimensions can be stored in blocks.
    pub(crate) fn fits(config: &Config) -> bool {
        let linear = [config.hidden, config.q_dim(), config.intermediate].into_iter().all(BlockMatrix::fits);
        linear && config.head_dim.is_multiple_of(LANES)
    }

    /// Reads all `weights` and stores them in blocks.
    pub(crate) fn load(weights: &Weights, config: Config) -> Result<Self, LlmError> {
        let (hidden, wide) = (config.hidden, config.intermediate);
        let vector =
            |name: &str| -> Result<Vec<f32>, LlmError> { Ok(weights.get(name, &[hidden])?.to_vec1()?) };
        let matrix = |parts: &[(&str, usize)], inputs: usize| -> Result<BlockMatrix, LlmError> {
            let mut matrix = BlockMatrix::new(inputs);
            for (name, outputs) in parts {
                matrix.push(&weights.get(name, &[*outputs, inputs])?.flatten_all()?.to_vec1::<f32>()?);
            }
            Ok(matrix)
        };
        let block = |layer: usize| -> Result<Block, LlmError> {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let [q, k, v] = ["q", "k", "v"].map(|x| name(&format!("self_attn.{x}_proj")));
            let parts = [(&*q, config.q_dim()), (&*k, config.kv_dim()), (&*v, config.kv_dim())];
            let [gate, up] = ["gate", "up"].map(|x| name(&format!("mlp.{x}_proj")));
            Ok(Block {
                attention_norm: vector(&name("input_layernorm"))?,
                qkv: matrix(&parts, hidden)?,
                output: matrix(&[(&name("self_attn.o_proj"), hidden)], config.q_dim())?,
                feed_forward_norm: vector(&name("post_attention_layernorm"))?,
                gate_up: matrix(&[(&gate, wide), (&up, wide)], hidden)?,
                down: matrix(&[(&name("mlp.down_proj"), hidden)], wide)?,
            })
        };
        let blocks = (0..config.layers).into_par_iter().map(block).collect::<Result<_, _>>()?;
        let table = "model.embed_tokens.weight";
        let (cos, sin) = rotations(&config);
        Ok(Self {
            isa: Isa::detect(),
            blocks,
            embedding: weights.table(table, &[config.vocab, hidden])?,
            norm: vector("model.norm.weight")?,
            head: matrix(&[(if config.tied { table } else { "lm_head.weight" }, config.vocab)], hidden)?,
            cos,
            sin,
            config,
        })
    }

    /// Stores `x [n, hidden]`, divided by its root mean square and scaled by `norm`, as activations.
    fn normalised(&self, x: &[f32], norm: &[f32], into: &mut Activations) {
        let hidden = self.config.hidden;
        self.isa.quantise(x, hidden, hidden, into, |to, from| {
            let square = square_sum(from);
            let scale = 1.0 / (square / hidden as f32 + self.config.norm_eps).sqrt();
            for ((to, from), norm) in to.iter_mut().zip(from).zip(norm) {
                *to = from * scale * norm;
            }
        });
    }

    /// Turns queries and keys of one row `[q_dim + 2 kv_dim]` by their position and scales the queries.
    fn rotate(&self, row: &mut [f32], position: usize) {
        let Config { head_dim, heads, kv_heads, .. } = self.config;
        let half = head_dim / 2;
        let cos = &self.cos[position * half..][..half];
        let sin = &self.sin[position * half..][..half];
        let scale = 1.0 / (head_dim as f32).sqrt();
        for (index, head) in row.chunks_exact_mut(head_dim).take(heads + kv_heads).enumerate() {
            let scale = if index < heads { scale } else { 1.0 };
            let (first, second) = head.split_at_mut(half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = ((*a * cos - *b * sin) * scale, (*b * cos + *a * sin) * scale);
            }
        }
    }

    /// What the rows at `places` attend to: `out [places, q_dim]` from `qkv [n, q_dim + 2 kv_dim]`.
    fn attend(
        &self,
        layer: usize,
        qkv: &[f32],
        caches: &[&HostCache],
        places: &[(usize, Place)],
        out: &mut [f32],
    ) {
        let q_dim = self.config.q_dim();
        // One token of one sequence is not worth a second thread; a prefill is cut fine, because later rows see more.
        let rows = match places.len() {
            0..4 => return self.attend_rows(layer, qkv, caches, places, out),
            few @ 4..64 => few.div_ceil(rayon::current_num_threads()),
            _ => 8,
        };
        out.par_chunks_mut(rows * q_dim)
            .zip(places.par_chunks(rows))
            .for_each(|(out, places)| self.attend_rows(layer, qkv, caches, places, out));
    }

    /// [`Self::attend`] in one thread.
    fn attend_rows(
        &self,
        layer: usize,
        qkv: &[f32],
        caches: &[&HostCache],
        places: &[(usize, Place)],
        out: &mut [f32],
    ) {
        let Config { head_dim, kv_heads, .. } = self.config;
        let (q_dim, kv_dim, group) = (self.config.q_dim(), self.config.kv_dim(), self.config.group());
        let mut scores = Vec::new();
        let mut mixed = vec![0.0; TILE * head_dim];
        let mut first = 0;
        for run in places.chunk_by(|(_, a), (_, b)| a.segment == b.segment) {
            let cache = caches[run[0].1.segment];
            for kv_head in 0..kv_heads {
                // The rows of one sequence and the query heads of one key head read the same keys.
                let queries: Vec<(usize, Query<'_>)> = run
                    .iter()
                    .enumerate()
                    .flat_map(|(at, (row, place))| {
                        (kv_head * group..(kv_head + 1) * group).map(move |head| {
                            let q = &qkv[row * (q_dim + 2 * kv_dim) + head * head_dim..][..head_dim];
                            let to = (first + at) * q_dim + head * head_dim;
                            (to, Query { q, visible: place.position + 1 })
                        })
                    })
                    .collect();
                for tile in queries.chunks(TILE) {
                    let visible = tile.iter().map(|(_, query)| query.visible).max().unwrap_or(0);
                    let shared = cache.prefix.as_ref().map(|prefix| &prefix.layers[layer][kv_head]);
                    let before = shared.map_or(0, Head::length);
                    let own = Span::new(&cache.layers[layer][kv_head], visible - before);
                    let spans: Vec<Span<'_>> =
                        shared.map(|head| Span::new(head, visible)).into_iter().chain([own]).collect();
                    let (to, tile): (Vec<usize>, Vec<Query<'_>>) = tile.iter().copied().unzip();
                    let mixed = &mut mixed[..tile.len() * head_dim];
                    self.isa.attend(&tile, &spans, &mut scores, mixed);
                    for (to, mixed) in to.into_iter().zip(mixed.chunks_exact(head_dim)) {
                        out[to..to + head_dim].copy_from_slice(mixed);
                    }
                }
            }
            first += run.len();
        }
    }
}

/// The sum of `e^(x[i] - top)`, by the best instructions that this processor has.
pub(crate) fn sum_of_exp(x: &[f32], top: f32) -> f32 {
    Isa::detect().sum_of_exp(x, top)
}

/// The sum of the squares, in sixteen parts: one after the other they would wait for each other.
fn square_sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>()
}

impl Decoder for Host {
    type Cache = HostCache;

    fn config(&self) -> &Config {
        &self.config
    }

    fn weight_bytes(&self) -> usize {
        let block = |b: &Block| [&b.qkv, &b.output, &b.gate_up, &b.down].map(BlockMatrix::bytes);
        let linear: usize = self.blocks.iter().flat_map(block).sum();
        linear + self.head.bytes() + self.embedding.bytes()
    }

    fn embed(&self, ids: &[u32]) -> Result<Tensor, LlmError> {
        self.embedding.rows(ids)
    }

    fn cache(&self, prefix: Option<&Arc<HostCache>>) -> HostCache {
        let layers = vec![vec![Head::default(); self.config.kv_heads]; self.config.layers];
        HostCache { prefix: prefix.cloned(), layers, length: 0 }
    }

    fn forget(&self, cache: &mut HostCache, rows: usize) {
        let rows = rows.min(cache.length);
        cache.layers.iter_mut().flatten().for_each(|head| head.forget(rows));
        cache.length -= rows;
    }

    fn forward(
        &self,
        rows: &Tensor,
        segments: &mut [Segment<'_, HostCache>],
        output: Output<'_>,
    ) -> Result<Option<Tensor>, LlmError> {
        let Config { hidden, intermediate, vocab, head_dim, .. } = self.config;
        let (q_dim, kv_dim) = (self.config.q_dim(), self.config.kv_dim());
        let qkv_dim = q_dim + 2 * kv_dim;
        let wanted = output.rows(segments.iter().map(|s| s.rows));
        let mut places: Vec<(usize, Place)> = segments
            .iter()
            .enumerate()
            .flat_map(|(segment, s)| {
                let past = s.cache.past();
                (0..s.rows).map(move |row| Place { segment, position: past + row })
            })
            .enumerate()
            .collect();

        let mut x: Vec<f32> = rows.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        let mut activations = Activations::default();
        let mut qkv = vec![0.0; places.len() * qkv_dim];
        let mut mixed = vec![0.0; places.len() * q_dim];
        let mut gate_up = vec![0.0; places.len() * 2 * intermediate];
        for (layer, block) in self.blocks.iter().enumerate() {
            self.normalised(&x, &block.attention_norm, &mut activations);
            product(self.isa, &block.qkv, &activations, &mut qkv, Store::Set);
            let turn = |((_, place), row): (&(usize, Place), &mut [f32])| self.rotate(row, place.position);
            if places.len() < 16 {
                places.iter().zip(qkv.chunks_exact_mut(qkv_dim)).for_each(turn);
            } else {
                places.par_iter().zip(qkv.par_chunks_exact_mut(qkv_dim)).with_min_len(8).for_each(turn);
            }
            for ((_, place), row) in places.iter().zip(qkv.chunks_exact(qkv_dim)) {
                let heads = &mut segments[place.segment].cache.layers[layer];
                let (keys, values) = row[q_dim..].split_at(kv_dim);
                let rows = keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim));
                for (head, (key, value)) in heads.iter_mut().zip(rows) {
                    head.push(key, value);
                }
            }
            if layer + 1 == self.blocks.len() {
                // Nobody reads the last block's result but the rows whose logits are wanted.
                places = wanted.iter().map(|&row| places[row as usize]).collect();
                x = places.iter().flat_map(|(row, _)| &x[row * hidden..][..hidden]).copied().collect();
            }
            let count = places.len();
            let caches: Vec<&HostCache> = segments.iter().map(|s| &*s.cache).collect();
            let mixed = &mut mixed[..count * q_dim];
            self.attend(layer, &qkv, &caches, &places, mixed);
            self.isa.quantise(mixed, q_dim, q_dim, &mut activations, |to, from| to.copy_from_slice(from));
            product(self.isa, &block.output, &activations, &mut x, Store::Add);

            self.normalised(&x, &block.feed_forward_norm, &mut activations);
            let gate_up = &mut gate_up[..count * 2 * intermediate];
            product(self.isa, &block.gate_up, &activations, gate_up, Store::Set);
            self.isa.quantise(gate_up, 2 * intermediate, intermediate, &mut activations, |to, from| {
                let (gate, up) = from.split_at(intermediate);
                to.copy_from_slice(gate);
                self.isa.silu_times(to, up);
            });
            product(self.isa, &block.down, &activations, &mut x, Store::Add);
        }
        for segment in segments.iter_mut() {
            segment.cache.length += segment.rows;
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        self.normalised(&x, &self.norm, &mut activations);
        let mut logits = vec![0.0; wanted.len() * vocab];
        product(self.isa, &self.head, &activations, &mut logits, Store::Set);
        Ok(Some(Tensor::from_vec(logits, (wanted.len(), vocab), &Device::Cpu)?))
    }
}

/// Numbers from -1 to 1 for the tests of the loops.
#[cfg(test)]
fn pseudo_random(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
