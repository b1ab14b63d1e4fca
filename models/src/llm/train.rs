//! The LLaMA decoder for training: every operation has a gradient, the base is frozen, LoRA matrices are variables.
//!
//! Same steps as [`super::reference`]. Rows of several sequences are packed without padding, and logits are computed only
//! where there is a label: with a vocabulary of 32,000 they would be most of the memory.

use std::path::Path;

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::ops::{log_softmax, softmax};
use candle_nn::rotary_emb::rope_slow;

use super::config::Config;
use super::error::LlmError;
use super::lora::LoraWeights;
use super::reference::rotations;
use super::weights::Weights;

/// The decoder with its gradient.
pub struct Trainable {
    config: Config,
    device: Device,
    /// `[vocab, hidden]`
    embedding: Tensor,
    blocks: Vec<Block>,
    /// `[hidden]`
    norm: Tensor,
    /// `[vocab, hidden]`
    head: Tensor,
    /// `[context, head_dim / 2]`
    cos: Tensor,
    sin: Tensor,
    /// By PEFT's name of each matrix.
    vars: Vec<(String, Var)>,
}

/// A sequence to learn from.
pub struct Sequence {
    /// Embeddings `[n, hidden]`; they may depend on variables, such as the adapters'.
    pub rows: Tensor,
    /// For each row the id that stands there, where the LLM shall learn to write it.
    pub labels: Vec<Option<u32>>,
}

struct Block {
    attention_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    output: Linear,
    feed_forward_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// `x W^T`, and `scale (x A^T) B^T` where there is a LoRA.
struct Linear {
    /// `[out, in]`, frozen
    weight: Tensor,
    lora: Option<Pair>,
}

struct Pair {
    /// `[r, in]`
    a: Tensor,
    /// `[out, r]`
    b: Tensor,
    scale: f64,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        match &self.lora {
            None => Ok(y),
            Some(Pair { a, b, scale }) => y + (x.matmul(&a.t()?)?.matmul(&b.t()?)? * *scale)?,
        }
    }
}

impl Trainable {
    /// Reads all weights as f32 to `device`; the matrices of `lora` become variables, not merged.
    pub fn load(
        weights: &Weights,
        config: Config,
        lora: Option<&LoraWeights>,
        device: &Device,
    ) -> Result<Self, LlmError> {
        let mut vars = Vec::new();
        let vector = |name: &str| -> Result<Tensor, LlmError> {
            Ok(weights.get(name, &[config.hidden])?.to_device(device)?)
        };
        let mut linear = |name: String, shape: [usize; 2]| -> Result<Linear, LlmError> {
            let weight = weights.get(&name, &shape)?.to_device(device)?;
            let pair = lora.and_then(|lora| Some((lora.scale(), lora.pair(&name)?)));
            let Some((scale, (a, b))) = pair else { return Ok(Linear { weight, lora: None }) };
            let target = name.strip_suffix(".weight").unwrap_or(&name);
            let mut var = |part: &str, tensor: &Tensor| -> Result<Tensor, LlmError> {
                let var = Var::from_tensor(&tensor.to_device(device)?)?;
                let tensor = var.as_tensor().clone();
                vars.push((format!("base_model.model.{target}.{part}.weight"), var));
                Ok(tensor)
            };
            let (a, b) = (var("lora_A", a)?, var("lora_B", b)?);
            Ok(Linear { weight, lora: Some(Pair { a, b, scale }) })
        };
        let (hidden, wide, q, kv) = (config.hidden, config.intermediate, config.q_dim(), config.kv_dim());
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            blocks.push(Block {
                attention_norm: vector(&name("input_layernorm"))?,
                q: linear(name("self_attn.q_proj"), [q, hidden])?,
                k: linear(name("self_attn.k_proj"), [kv, hidden])?,
                v: linear(name("self_attn.v_proj"), [kv, hidden])?,
                output: linear(name("self_attn.o_proj"), [hidden, q])?,
                feed_forward_norm: vector(&name("post_attention_layernorm"))?,
                gate: linear(name("mlp.gate_proj"), [wide, hidden])?,
                up: linear(name("mlp.up_proj"), [wide, hidden])?,
                down: linear(name("mlp.down_proj"), [hidden, wide])?,
            });
        }
        if let Some(lora) = lora {
            lora.finish()?;
        }
        weights.finish()?;
        let embedding =
            weights.get("model.embed_tokens.weight", &[config.vocab, hidden])?.to_device(device)?;
        let head = match config.tied {
            true => embedding.clone(),
            false => weights.get("lm_head.weight", &[config.vocab, hidden])?.to_device(device)?,
        };
        let (cos, sin) = rotations(&config);
        let table =
            |values: Vec<f32>| Tensor::from_vec(values, (config.context, config.head_dim / 2), device);
        Ok(Self {
            norm: vector("model.norm.weight")?,
            cos: table(cos)?,
            sin: table(sin)?,
            device: device.clone(),
            embedding,
            blocks,
            head,
            vars,
            config,
        })
    }

    /// The LoRA's matrices by PEFT's names, in the order of the layers.
    pub fn vars(&self) -> &[(String, Var)] {
        &self.vars
    }

    /// Writes the LoRA's matrices as PEFT does.
    pub fn save_lora(&self, path: &Path) -> Result<(), LlmError> {
        let tensors = self.vars.iter().map(|(name, var)| (name.as_str(), var.as_tensor().clone()));
        let tensors: std::collections::HashMap<&str, Tensor> = tensors.collect();
        candle_core::safetensors::save(&tensors, path).map_err(|e| LlmError::malformed(path, e))
    }

    /// The embeddings of `ids`: `[ids, hidden]`.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor, LlmError> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab) {
            return Err(LlmError::Input(format!("{id} is no token id")));
        }
        Ok(self.embedding.index_select(&Tensor::new(ids, &self.device)?, 0)?)
    }

    /// The mean cross entropy over all labels of all sequences: each label is predicted by the row before it.
    pub fn loss(&self, sequences: &[Sequence]) -> Result<Tensor, LlmError> {
        let (mut places, mut targets, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for (index, sequence) in sequences.iter().enumerate() {
            let rows = sequence.rows.dims2()?.0;
            if rows != sequence.labels.len() || rows > self.config.context {
                return Err(LlmError::Input(format!(
                    "sequence {index} has {rows} rows, {} labels; the context holds {}",
                    sequence.labels.len(),
                    self.config.context
                )));
            }
            for (row, label) in sequence.labels.iter().enumerate().skip(1) {
                if let Some(label) = label {
                    places.push((start + row - 1) as u32);
                    targets.push(*label);
                }
            }
            start += rows;
            lengths.push(rows);
        }
        if targets.is_empty() {
            return Err(LlmError::Input("no sequence has a label, so there is nothing to learn".into()));
        }
        if let Some(id) = targets.iter().find(|&&id| id as usize >= self.config.vocab) {
            return Err(LlmError::Input(format!("{id} is no token id")));
        }
        let rows: Vec<&Tensor> = sequences.iter().map(|sequence| &sequence.rows).collect();
        let states = self.states(&Tensor::cat(&rows, 0)?, &lengths)?;
        let states = states.index_select(&Tensor::new(places, &self.device)?, 0)?;
        let logits = states.matmul(&self.head.t()?)?;
        let targets = Tensor::new(targets, &self.device)?.unsqueeze(1)?;
        Ok(log_softmax(&logits, D::Minus1)?.gather(&targets, 1)?.mean_all()?.neg()?)
    }

    /// The states after the final norm, `[n, hidden]`, of packed sequences of `lengths` rows.
    fn states(&self, rows: &Tensor, lengths: &[usize]) -> candle_core::Result<Tensor> {
        let mut x = rows.to_dtype(DType::F32)?;
        for block in &self.blocks {
            let normed = self.norm(&x, &block.attention_norm)?;
            let (q, k, v) = (block.q.forward(&normed)?, block.k.forward(&normed)?, block.v.forward(&normed)?);
            let mut mixed = Vec::with_capacity(lengths.len());
            let mut start = 0;
            for &length in lengths {
                let part = |t: &Tensor| t.narrow(0, start, length);
                mixed.push(self.attend(&part(&q)?, &part(&k)?, &part(&v)?, length)?);
                start += length;
            }
            x = (x + block.output.forward(&Tensor::cat(&mixed, 0)?)?)?;
            let normed = self.norm(&x, &block.feed_forward_norm)?;
            let gated = (block.gate.forward(&normed)?.silu()? * block.up.forward(&normed)?)?;
            x = (x + block.down.forward(&gated)?)?;
        }
        self.norm(&x, &self.norm)
    }

    fn norm(&self, x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
        let square = x.sqr()?.mean_keepdim(D::Minus1)?;
        let scale = (square + f64::from(self.config.norm_eps))?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(weight)
    }

    /// Causal attention of one sequence from its start: `q [n, q_dim]`, `k` and `v [n, kv_dim]` to `[n, q_dim]`.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, length: usize) -> candle_core::Result<Tensor> {
        let Config { heads, kv_heads, head_dim, .. } = self.config;
        let group = self.config.group();
        // [1, heads, n, head_dim]
        let split =
            |t: &Tensor, heads: usize| t.reshape((1, length, heads, head_dim))?.transpose(1, 2)?.contiguous();
        let (cos, sin) = (self.cos.narrow(0, 0, length)?, self.sin.narrow(0, 0, length)?);
        let q = rope_slow(&split(q, heads)?, &cos, &sin)?;
        let k = rope_slow(&split(k, kv_heads)?, &cos, &sin)?;
        // Query heads that share a key head become more rows of that key head.
        let q = q.reshape((kv_heads, group * length, head_dim))?;
        let k = k.reshape((kv_heads, length, head_dim))?;
        let v = split(v, kv_heads)?.reshape((kv_heads, length, head_dim))?;
        let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? * (1.0 / (head_dim as f64).sqrt()))?;
        let mask: Vec<f32> = (0..length)
            .flat_map(|row| (0..length).map(move |at| if at > row { f32::NEG_INFINITY } else { 0.0 }))
            .collect();
        let mask = Tensor::from_vec(mask, (1, 1, length, length), &self.device)?;
        let scores = scores.reshape((kv_heads, group, length, length))?.broadcast_add(&mask)?;
        let weights = softmax(&scores, D::Minus1)?.reshape((kv_heads, group * length, length))?;
        let mixed = weights.matmul(&v)?.reshape((heads, length, head_dim))?;
        mixed.transpose(0, 1)?.contiguous()?.reshape((length, heads * head_dim))
    }
}
