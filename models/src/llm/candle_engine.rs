//! The LLaMA decoder in candle's operations: the only one for a GPU, and what the fast CPU decoder is checked against.

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope_thd;

use super::config::Config;
use super::decoder::{Decoder, Output, Segment};
use super::error::LlmError;
use super::weights::Weights;

/// The LLaMA decoder in candle's operations.
pub(crate) struct CandleEngine {
    config: Config,
    device: Device,
    /// `[vocab, hidden]`, f32
    embedding: Tensor,
    blocks: Vec<Block>,
    /// `[hidden]`
    norm: Tensor,
    /// `[hidden, vocab]`
    head: Tensor,
    /// `[context, head_dim / 2]`
    cos: Tensor,
    sin: Tensor,
}

/// One transformer block; linear weights are stored transposed, `[in, out]`.
struct Block {
    /// `[hidden]`
    attention_norm: Tensor,
    /// `[hidden, q_dim + 2 kv_dim]`: queries, keys, values side by side
    qkv: Tensor,
    /// `[q_dim, hidden]`
    output: Tensor,
    /// `[hidden]`
    feed_forward_norm: Tensor,
    /// `[hidden, 2 intermediate]`: gate and up side by side
    gate_up: Tensor,
    /// `[intermediate, hidden]`
    down: Tensor,
}

/// Keys and values of one sequence.
pub(crate) struct TensorCache {
    /// What the sequence shares with others; never appended to.
    prefix: Option<Arc<TensorCache>>,
    /// Per block: keys and values `[kv_heads, own length, head_dim]`.
    own: Vec<Option<(Tensor, Tensor)>>,
    /// Rows in `own`.
    length: usize,
}

impl TensorCache {
    fn past(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.past()) + self.length
    }

    /// Keys and values of block `index` over the whole sequence: `[kv_heads, past, head_dim]`.
    fn all(&self, index: usize) -> candle_core::Result<Option<(Tensor, Tensor)>> {
        let before = match &self.prefix {
            Some(prefix) => prefix.all(index)?,
            None => None,
        };
        Ok(match (before, &self.own[index]) {
            (Some((k, v)), Some((own_k, own_v))) => {
                Some((Tensor::cat(&[&k, own_k], 1)?, Tensor::cat(&[&v, own_v], 1)?))
            }
            (before, own) => before.or_else(|| own.clone()),
        })
    }
}

impl CandleEngine {
    /// Reads all `weights` to `device`, as f32 on the CPU and bf16 elsewhere.
    pub(crate) fn load(weights: &Weights, config: Config, device: &Device) -> Result<Self, LlmError> {
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let place = |t: Tensor| -> Result<Tensor, LlmError> { Ok(t.to_dtype(dtype)?.to_device(device)?) };
        let (hidden, wide) = (config.hidden, config.intermediate);
        // Fused weights: `[out_1 + out_2 + ..., in]` on disk, transposed once here.
        let fused = |parts: &[(String, usize)], input: usize| -> Result<Tensor, LlmError> {
            let parts: Vec<Tensor> = parts
                .iter()
                .map(|(name, out)| weights.get(name, &[*out, input]))
                .collect::<Result<_, _>>()?;
            place(Tensor::cat(&parts, 0)?.t()?.contiguous()?)
        };
        let blocks = (0..config.layers)
            .map(|layer| {
                let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
                Ok(Block {
                    attention_norm: place(weights.get(&name("input_layernorm"), &[hidden])?)?,
                    qkv: fused(
                        &[
                            (name("self_attn.q_proj"), config.q_dim()),
                            (name("self_attn.k_proj"), config.kv_dim()),
                            (name("self_attn.v_proj"), config.kv_dim()),
                        ],
                        hidden,
                    )?,
                    output: fused(&[(name("self_attn.o_proj"), hidden)], config.q_dim())?,
                    feed_forward_norm: place(weights.get(&name("post_attention_layernorm"), &[hidden])?)?,
                    gate_up: fused(&[(name("mlp.gate_proj"), wide), (name("mlp.up_proj"), wide)], hidden)?,
                    down: fused(&[(name("mlp.down_proj"), hidden)], wide)?,
                })
            })
            .collect::<Result<_, LlmError>>()?;
        let embedding = weights.get("model.embed_tokens.weight", &[config.vocab, hidden])?;
        let head = if config.tied {
            embedding.clone()
        } else {
            weights.get("lm_head.weight", &[config.vocab, hidden])?
        };
        let (cos, sin) = rotations(&config);
        let table = |values: Vec<f32>| -> Result<Tensor, LlmError> {
            place(Tensor::from_vec(values, (config.context, config.head_dim / 2), &Device::Cpu)?)
        };
        Ok(Self {
            embedding: embedding.to_device(device)?,
            blocks,
            norm: place(weights.get("model.norm.weight", &[hidden])?)?,
            head: place(head.t()?.contiguous()?)?,
            cos: table(cos)?,
            sin: table(sin)?,
            device: device.clone(),
            config,
        })
    }

    /// Queries `[n, heads, head_dim]` of one segment against everything its sequence has read: `[n, q_dim]`.
    fn attend(&self, q: &Tensor, (k, v): &(Tensor, Tensor)) -> candle_core::Result<Tensor> {
        let Config { kv_heads, head_dim, .. } = self.config;
        let (group, rows, total) = (self.config.group(), q.dim(0)?, k.dim(1)?);
        // Query heads that share a key head become more rows of that key head.
        let q = q
            .reshape((rows, kv_heads, group, head_dim))?
            .permute((1, 2, 0, 3))?
            .contiguous()?
            .reshape((kv_heads, group * rows, head_dim))?;
        let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? * (1.0 / (head_dim as f64).sqrt()))?;
        let scores = scores.reshape((kv_heads, group, rows, total))?;
        let past = total - rows;
        let mask: Vec<f32> = (0..rows)
            .flat_map(|row| (0..total).map(move |at| if at > past + row { f32::NEG_INFINITY } else { 0.0 }))
            .collect();
        let mask = Tensor::from_vec(mask, (1, 1, rows, total), &self.device)?.to_dtype(scores.dtype())?;
        let weights = softmax_last_dim(&scores.broadcast_add(&mask)?)?;
        let mixed = weights.reshape((kv_heads, group * rows, total))?.matmul(v)?;
        mixed
            .reshape((self.config.heads, rows, head_dim))?
            .transpose(0, 1)?
            .reshape((rows, self.config.q_dim()))
    }

    /// The hidden states after every block and after the final norm, for tests: `layers + 1` tensors `[n, hidden]`.
    pub(crate) fn pass(
        &self,
        rows: &Tensor,
        segments: &mut [Segment<'_, TensorCache>],
    ) -> candle_core::Result<Vec<Tensor>> {
        let Config { heads, kv_heads, head_dim, .. } = self.config;
        let eps = self.config.norm_eps;
        let mut x = rows.to_device(&self.device)?.to_dtype(self.norm.dtype())?;
        let total = x.dim(0)?;
        let positions: Vec<u32> =
            segments.iter().flat_map(|s| (0..s.rows).map(|row| (s.cache.past() + row) as u32)).collect();
        let positions = Tensor::new(positions, &self.device)?;
        let (cos, sin) = (self.cos.index_select(&positions, 0)?, self.sin.index_select(&positions, 0)?);
        let rotate = |t: Tensor, heads: usize| {
            rope_thd(&t.reshape((1, total, heads, head_dim))?.contiguous()?, &cos, &sin)?.squeeze(0)
        };
        let mut states = Vec::with_capacity(self.blocks.len() + 1);
        for (index, block) in self.blocks.iter().enumerate() {
            let qkv = rms_norm(&x, &block.attention_norm, eps)?.matmul(&block.qkv)?;
            let (q_dim, kv_dim) = (self.config.q_dim(), self.config.kv_dim());
            let q = rotate(qkv.narrow(1, 0, q_dim)?, heads)?;
            let k = rotate(qkv.narrow(1, q_dim, kv_dim)?, kv_heads)?;
            let v = qkv.narrow(1, q_dim + kv_dim, kv_dim)?.reshape((total, kv_heads, head_dim))?;
            let mut mixed = Vec::with_capacity(segments.len());
            let mut start = 0;
            for segment in segments.iter_mut() {
                let mine = |t: &Tensor| t.narrow(0, start, segment.rows)?.transpose(0, 1)?.contiguous();
                let (new_k, new_v) = (mine(&k)?, mine(&v)?);
                let own = &mut segment.cache.own[index];
                *own = Some(match own.take() {
                    Some((k, v)) => (Tensor::cat(&[&k, &new_k], 1)?, Tensor::cat(&[&v, &new_v], 1)?),
                    None => (new_k, new_v),
                });
                if let Some(kv) = segment.cache.all(index)? {
                    mixed.push(self.attend(&q.narrow(0, start, segment.rows)?, &kv)?);
                }
                start += segment.rows;
            }
            x = (x + Tensor::cat(&mixed, 0)?.matmul(&block.output)?)?;
            let gate_up = rms_norm(&x, &block.feed_forward_norm, eps)?.matmul(&block.gate_up)?;
            let halves = gate_up.chunk(2, D::Minus1)?;
            x = (x + (silu(&halves[0])? * &halves[1])?.matmul(&block.down)?)?;
            states.push(x.clone());
        }
        for segment in segments.iter_mut() {
            segment.cache.length += segment.rows;
        }
        states.push(rms_norm(&x, &self.norm, eps)?);
        Ok(states)
    }
}

impl Decoder for CandleEngine {
    type Cache = TensorCache;

    fn config(&self) -> &Config {
        &self.config
    }

    fn weight_bytes(&self) -> usize {
        let block = |b: &Block| [&b.qkv, &b.output, &b.gate_up, &b.down].map(bytes).iter().sum::<usize>();
        bytes(&self.embedding) + bytes(&self.head) + self.blocks.iter().map(block).sum::<usize>()
    }

    fn embed(&self, ids: &[u32]) -> Result<Tensor, LlmError> {
        Ok(self.embedding.index_select(&Tensor::new(ids, &self.device)?, 0)?)
    }

    fn cache(&self, prefix: Option<&Arc<TensorCache>>) -> TensorCache {
        TensorCache { prefix: prefix.cloned(), own: vec![None; self.config.layers], length: 0 }
    }

    fn forward(
        &self,
        rows: &Tensor,
        segments: &mut [Segment<'_, TensorCache>],
        output: Output,
    ) -> Result<Option<Tensor>, LlmError> {
        let wanted = output.rows(segments.iter().map(|s| s.rows));
        let states = self.pass(rows, segments)?;
        let Some(last) = states.last().filter(|_| !wanted.is_empty()) else { return Ok(None) };
        let last = last.index_select(&Tensor::new(wanted, &self.device)?, 0)?;
        Ok(Some(last.matmul(&self.head)?.to_dtype(DType::F32)?))
    }
}

fn bytes(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

/// Cosines and sines of the rotary embedding: `[context, head_dim / 2]` each, row by row.
pub fn rotations(config: &Config) -> (Vec<f32>, Vec<f32>) {
    let half = config.head_dim / 2;
    let frequency = |i: usize| 1.0 / config.rope_theta.powf((2 * i) as f32 / config.head_dim as f32);
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    (0..config.context)
        .flat_map(|at| frequencies.iter().map(move |f| (at as f32 * f).sin_cos()))
        .map(|(sin, cos)| (cos, sin))
        .unzip()
}
