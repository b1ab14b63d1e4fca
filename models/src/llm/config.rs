//! The dimensions of a LLaMA decoder, from GGUF metadata or from `config.json`.

use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use serde::Deserialize;

use super::error::LlmError;

/// The dimensions of a LLaMA decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Width of an embedding.
    pub hidden: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Size of the vocabulary.
    pub vocab: usize,
    /// Most positions of one sequence.
    pub context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Added to the mean square before its root.
    pub norm_eps: f32,
    /// Whether the output layer is the transposed embedding table.
    pub tied: bool,
    /// Ids that end an answer.
    pub eos: Vec<u32>,
}

/// `config.json` as Hugging Face writes it.
#[derive(Deserialize)]
struct HfConfig {
    model_type: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
    rope_theta: Option<f32>,
    rope_scaling: Option<serde_json::Value>,
    rms_norm_eps: f32,
    tie_word_embeddings: Option<bool>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    eos_token_id: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl Config {
    /// Reads a `config.json`.
    pub fn from_json(path: &Path) -> Result<Self, LlmError> {
        let text = std::fs::read_to_string(path).map_err(|e| LlmError::read(path, e))?;
        let json: HfConfig = serde_json::from_str(&text).map_err(|e| LlmError::malformed(path, e))?;
        let unsupported = |what: String| LlmError::Unsupported { path: path.to_owned(), what };
        // "llava" and its kin are LLaMA decoders with more inputs; their weights are the same.
        if let Some(kind) = json.model_type.as_deref()
            && !["llama", "llava", "vtimellm"].contains(&kind)
        {
            return Err(unsupported(format!("model type `{kind}`")));
        }
        if json.rope_scaling.is_some_and(|scaling| !scaling.is_null()) {
            return Err(unsupported("rope_scaling".into()));
        }
        if json.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err(unsupported("another activation than silu".into()));
        }
        if json.attention_bias == Some(true) {
            return Err(unsupported("biases in attention".into()));
        }
        let heads = json.num_attention_heads;
        let config = Self {
            hidden: json.hidden_size,
            intermediate: json.intermediate_size,
            layers: json.num_hidden_layers,
            heads,
            kv_heads: json.num_key_value_heads.unwrap_or(heads),
            head_dim: json.head_dim.unwrap_or(json.hidden_size / heads.max(1)),
            vocab: json.vocab_size,
            context: json.max_position_embeddings.unwrap_or(2048),
            rope_theta: json.rope_theta.unwrap_or(10_000.0),
            norm_eps: json.rms_norm_eps,
            tied: json.tie_word_embeddings.unwrap_or(false),
            eos: match json.eos_token_id {
                Some(OneOrMany::One(id)) => vec![id],
                Some(OneOrMany::Many(ids)) => ids,
                None => Vec::new(),
            },
        };
        config.check(path)
    }

    /// Reads the metadata of a GGUF file.
    pub fn from_gguf(content: &Content, path: &Path) -> Result<Self, LlmError> {
        let get = |key: &str| content.metadata.get(key);
        let architecture = get("general.architecture").and_then(|v| v.to_string().ok());
        if architecture.map(String::as_str) != Some("llama") {
            return Err(LlmError::Unsupported {
                path: path.to_owned(),
                what: format!("architecture {architecture:?}"),
            });
        }
        let missing = |key: &str| LlmError::malformed(path, format!("metadata `{key}` is missing"));
        let size = |key: &str| get(key).and_then(unsigned).ok_or_else(|| missing(key));
        let float = |key: &str| get(key).and_then(|v| v.to_f32().ok());
        if get("llama.rope.scaling.type").and_then(|v| v.to_string().ok()).is_some_and(|t| t != "none")
            || content.tensor_infos.contains_key("rope_freqs.weight")
        {
            return Err(LlmError::Unsupported { path: path.to_owned(), what: "scaled rope".into() });
        }
        let heads = size("llama.attention.head_count")?;
        let hidden = size("llama.embedding_length")?;
        let embedding = content
            .tensor_infos
            .get("token_embd.weight")
            .ok_or_else(|| LlmError::malformed(path, "it has no token_embd.weight"))?;
        let vocab = embedding.shape.dims().first().copied().unwrap_or(0);
        let eos = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
        let config = Self {
            hidden,
            intermediate: size("llama.feed_forward_length")?,
            layers: size("llama.block_count")?,
            heads,
            kv_heads: get("llama.attention.head_count_kv").and_then(unsigned).unwrap_or(heads),
            head_dim: get("llama.attention.key_length").and_then(unsigned).unwrap_or(hidden / heads.max(1)),
            vocab,
            context: size("llama.context_length")?,
            rope_theta: float("llama.rope.freq_base").unwrap_or(10_000.0),
            norm_eps: float("llama.attention.layer_norm_rms_epsilon")
                .ok_or_else(|| missing("llama.attention.layer_norm_rms_epsilon"))?,
            tied: !content.tensor_infos.contains_key("output.weight"),
            eos: eos.iter().filter_map(|key| get(key)?.to_u32().ok()).collect(),
        };
        config.check(path)
    }

    /// Refuses dimensions that cannot be of a model, before anything is allocated by them.
    fn check(self, path: &Path) -> Result<Self, LlmError> {
        // Tables are made by these; no LLaMA comes near the limits.
        let (rows, rare) = (1 << 20, 1 << 12);
        let sizes = [
            ("hidden size", self.hidden, rows),
            ("intermediate size", self.intermediate, rows),
            ("number of layers", self.layers, rare),
            ("number of heads", self.heads, rare),
            ("number of key-value heads", self.kv_heads, rare),
            ("head width", self.head_dim, 512),
            ("vocabulary size", self.vocab, rows),
        ];
        for (name, value, limit) in sizes {
            if value == 0 || value > limit {
                return Err(LlmError::malformed(path, format!("its {name} is {value}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) || !self.head_dim.is_multiple_of(2) {
            let reason = format!(
                "{} heads, {} key-value heads and head width {} do not go together",
                self.heads, self.kv_heads, self.head_dim
            );
            return Err(LlmError::malformed(path, reason));
        }
        // The rotary tables are sized by the context; what declares more is treated as the longest one we serve.
        Ok(Self { context: self.context.min(131_072), ..self })
    }

    /// Every weight's Hugging Face name and shape.
    pub fn weights(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, wide, q, kv) = (self.hidden, self.intermediate, self.q_dim(), self.kv_dim());
        let mut weights = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab, hidden])];
        for layer in 0..self.layers {
            let parts = [
                ("input_layernorm", vec![hidden]),
                ("self_attn.q_proj", vec![q, hidden]),
                ("self_attn.k_proj", vec![kv, hidden]),
                ("self_attn.v_proj", vec![kv, hidden]),
                ("self_attn.o_proj", vec![hidden, q]),
                ("post_attention_layernorm", vec![hidden]),
                ("mlp.gate_proj", vec![wide, hidden]),
                ("mlp.up_proj", vec![wide, hidden]),
                ("mlp.down_proj", vec![hidden, wide]),
            ];
            weights.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
        }
        weights.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !self.tied {
            weights.push(("lm_head.weight".to_owned(), vec![self.vocab, hidden]));
        }
        weights
    }

    /// Query heads that share one key-value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Width of the queries of all heads.
    pub fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of the keys (or values) of all heads.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

fn unsigned(value: &Value) -> Option<usize> {
    value.to_u64().ok().or_else(|| value.to_u32().ok().map(u64::from)).and_then(|v| usize::try_from(v).ok())
}
