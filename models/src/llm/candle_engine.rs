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
    /// `[vocab, hidden]`
    embedding: Tensor,
    blocks: Vec<Block>,
    /// `[hidden]`
    norm: Tensor,
    /// `[hidden, vocab]`; where it is tied, the embedding seen the other way.
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

/// Keys and values of one sequence, written where they stay.
pub(crate) struct TensorCache {
    /// What the sequence shares with others; never appended to.
    prefix: Option<Arc<TensorCache>>,
    /// Per block: keys and values `[kv_heads, own length, head_dim]`, with room for more behind.
    own: Vec<[Rows; 2]>,
    /// Rows in `own`.
    length: usize,
}

/// Rows that a sequence has room for at first, and more each time that it is full: a question and its answer.
const ROOM: usize = 128;

/// Rows `[heads, length, head_dim]` at the beginning of a larger tensor.
#[derive(Clone, Default)]
struct Rows {
    /// `[heads, a multiple of ROOM, head_dim]`
    all: Option<Tensor>,
    length: usize,
}

impl Rows {
    /// Writes `rows` behind the others.
    fn append(&mut self, rows: &Tensor) -> candle_core::Result<()> {
        let (heads, more, width) = rows.dims3()?;
        let needed = self.length + more;
        let room = self.all.as_ref().map_or(Ok(0), |all| all.dim(1))?;
        let all = match self.all.take() {
            Some(all) if needed <= room => all,
            before => {
                let more = (needed - room).next_multiple_of(ROOM);
                let empty = Tensor::zeros((heads, more, width), rows.dtype(), rows.device())?;
                before.map_or_else(|| Ok(empty.clone()), |before| Tensor::cat(&[&before, &empty], 1))?
            }
        };
        all.slice_set(rows, 1, self.length)?;
        self.all = Some(all);
        self.length = needed;
        Ok(())
    }

    /// They, where they lie; `None` when there are none.
    fn get(&self) -> candle_core::Result<Option<Tensor>> {
        let all = self.all.as_ref().filter(|_| self.length > 0);
        all.map(|all| all.narrow(1, 0, self.length)).transpose()
    }
}

impl TensorCache {
    fn past(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.past()) + self.length
    }

    /// Adds keys and values of block `index` over the whole sequence to `parts`, in order.
    fn parts(&self, index: usize, parts: &mut Vec<(Tensor, Tensor)>) -> candle_core::Result<()> {
        if let Some(prefix) = &self.prefix {
            prefix.parts(index, parts)?;
        }
        parts.extend(self.own_part(index)?);
        Ok(())
    }

    /// Keys and values of block `index` that only this sequence has.
    fn own_part(&self, index: usize) -> candle_core::Result<Option<(Tensor, Tensor)>> {
        let [keys, values] = &self.own[index];
        Ok(keys.get()?.zip(values.get()?))
    }

    /// Whether both go on after the same prefix.
    fn shares(&self, other: &Self) -> bool {
        match (&self.prefix, &other.prefix) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
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
        let embedding = place(weights.get("model.embed_tokens.weight", &[config.vocab, hidden])?)?;
        let head = if config.tied {
            embedding.t()?
        } else {
            place(weights.get("lm_head.weight", &[config.vocab, hidden])?.t()?.contiguous()?)?
        };
        let (cos, sin) = rotations(&config);
        let table = |values: Vec<f32>| -> Result<Tensor, LlmError> {
            place(Tensor::from_vec(values, (config.context, config.head_dim / 2), &Device::Cpu)?)
        };
        Ok(Self {
            embedding,
            blocks,
            norm: place(weights.get("model.norm.weight", &[hidden])?)?,
            head,
            cos: table(cos)?,
            sin: table(sin)?,
            device: device.clone(),
            config,
        })
    }

    /// Queries `[n, heads, head_dim]` of neighbouring segments that share a prefix, if there are several, against what their
    /// sequences have read, of block `index`: `[n, q_dim]`. What they share is multiplied once for all, where it lies.
    fn attend(
        &self,
        q: &Tensor,
        segments: &[Segment<'_, TensorCache>],
        masks: &[Option<Tensor>],
        index: usize,
    ) -> candle_core::Result<Tensor> {
        let Config { kv_heads, head_dim, .. } = self.config;
        let (group, total) = (self.config.group(), q.dim(0)?);
        // Query heads that share a key head become more rows of that key head: `[kv_heads, n * group, head_dim]`.
        let q = (q * (1.0 / (head_dim as f64).sqrt()))?
            .reshape((total, kv_heads, group, head_dim))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((kv_heads, total * group, head_dim))?;
        let mut shared = Vec::new();
        if let Some(prefix) = segments.first().and_then(|segment| segment.cache.prefix.as_ref()) {
            prefix.parts(index, &mut shared)?;
        }
        let scored = |k: &Tensor, q: &Tensor| q.matmul(&k.transpose(1, 2)?);
        let before: Vec<Tensor> = shared.iter().map(|(k, _)| scored(k, &q)).collect::<Result<_, _>>()?;
        // Of each segment: the weights of all that it sees, and the values of its own, mixed.
        let (mut weights, mut mixed) =
            (Vec::with_capacity(segments.len()), Vec::with_capacity(segments.len()));
        let mut start = 0;
        for (segment, mask) in segments.iter().zip(masks) {
            let (from, rows) = (start * group, segment.rows * group);
            start += segment.rows;
            let Some((k, v)) = segment.cache.own_part(index)? else { continue };
            let length = k.dim(1)?;
            let mut scores = scored(&k, &q.narrow(1, from, rows)?)?;
            if let Some(mask) = mask {
                let each = scores.reshape((kv_heads, segment.rows, group, length))?;
                scores = each.broadcast_add(mask)?.reshape((kv_heads, rows, length))?;
            }
            let parts = before.iter().map(|scores| scores.narrow(1, from, rows));
            let all: Vec<Tensor> = parts.chain([Ok(scores)]).collect::<Result<_, _>>()?;
            let dtype = q.dtype();
            let all = softmax_last_dim(&Tensor::cat(&all, 2)?.contiguous()?.to_dtype(DType::F32)?)?
                .to_dtype(dtype)?;
            let past = all.dim(2)? - length;
            mixed.push(all.narrow(2, past, length)?.contiguous()?.matmul(&v)?);
            weights.push(all);
        }
        let mut mixed = Tensor::cat(&mixed, 1)?;
        let mut from = 0;
        for (_, v) in &shared {
            let length = v.dim(1)?;
            let parts = weights.iter().map(|all| all.narrow(2, from, length));
            let parts: Vec<Tensor> = parts.collect::<Result<_, _>>()?;
            mixed = (mixed + Tensor::cat(&parts, 1)?.contiguous()?.matmul(v)?)?;
            from += length;
        }
        mixed
            .reshape((kv_heads, total, group, head_dim))?
            .transpose(0, 1)?
            .reshape((total, self.config.q_dim()))
    }

    /// What keeps a row from seeing those after it, of `rows` new ones after `past` of its own: `[1, rows, 1, past + rows]`.
    /// One row sees all.
    fn mask(&self, rows: usize, past: usize) -> candle_core::Result<Option<Tensor>> {
        if rows == 1 {
            return Ok(None);
        }
        let range = |from: usize, to: usize| Tensor::arange(from as u32, to as u32, &self.device);
        let row = range(past, past + rows)?.reshape((1, rows, 1, 1))?;
        let at = range(0, past + rows)?.reshape((1, 1, 1, past + rows))?;
        let later = at.broadcast_gt(&row)?;
        let of = |value: f32| Tensor::full(value, later.shape(), &self.device)?.to_dtype(self.norm.dtype());
        Ok(Some(later.where_cond(&of(f32::NEG_INFINITY)?, &of(0.0)?)?))
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
        let masks = segments.iter().map(|segment| self.mask(segment.rows, segment.cache.length));
        let masks: Vec<Option<Tensor>> = masks.collect::<Result<_, _>>()?;
        let mut states = Vec::with_capacity(self.blocks.len() + 1);
        for (index, block) in self.blocks.iter().enumerate() {
            let qkv = rms_norm(&x, &block.attention_norm, eps)?.matmul(&block.qkv)?;
            let (q_dim, kv_dim) = (self.config.q_dim(), self.config.kv_dim());
            let q = rotate(qkv.narrow(1, 0, q_dim)?, heads)?;
            let k = rotate(qkv.narrow(1, q_dim, kv_dim)?, kv_heads)?;
            let v = qkv.narrow(1, q_dim + kv_dim, kv_dim)?.reshape((total, kv_heads, head_dim))?;
            let mut start = 0;
            for segment in segments.iter_mut() {
                let mine = |t: &Tensor| t.narrow(0, start, segment.rows)?.transpose(0, 1)?.contiguous();
                let [keys, values] = &mut segment.cache.own[index];
                keys.append(&mine(&k)?)?;
                values.append(&mine(&v)?)?;
                start += segment.rows;
            }
            let mut mixed = Vec::with_capacity(segments.len());
            let (mut first, mut start) = (0, 0);
            for together in segments.chunk_by(|one, next| one.cache.shares(next.cache)) {
                let rows = together.iter().map(|segment| segment.rows).sum();
                let masks = &masks[first..first + together.len()];
                mixed.push(self.attend(&q.narrow(0, start, rows)?, together, masks, index)?);
                (first, start) = (first + together.len(), start + rows);
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
        let head = if self.config.tied { 0 } else { bytes(&self.head) };
        bytes(&self.embedding) + head + self.blocks.iter().map(block).sum::<usize>()
    }

    fn embed(&self, ids: &[u32]) -> Result<Tensor, LlmError> {
        Ok(self.embedding.index_select(&Tensor::new(ids, &self.device)?, 0)?.to_dtype(DType::F32)?)
    }

    fn cache(&self, prefix: Option<&Arc<TensorCache>>) -> TensorCache {
        TensorCache { prefix: prefix.cloned(), own: vec![Default::default(); self.config.layers], length: 0 }
    }

    fn forget(&self, cache: &mut TensorCache, rows: usize) {
        let rows = rows.min(cache.length);
        cache.own.iter_mut().flatten().for_each(|own| own.length -= rows);
        cache.length -= rows;
    }

    fn forward(
        &self,
        rows: &Tensor,
        segments: &mut [Segment<'_, TensorCache>],
        output: Output<'_>,
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
