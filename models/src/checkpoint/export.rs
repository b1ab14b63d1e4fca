//! A merged checkpoint on disk: safetensors in shards, or one quantised GGUF file. One weight at a time is in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Tensor};

use crate::llm::{Config, LlmError, Weights};
use crate::tokenizer::Tokenizer;

/// How the LLM's weights are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Safetensors in this type: f32, f16 or bf16.
    Safetensors(DType),
    /// A GGUF file whose linear layers are in these blocks.
    Gguf(GgmlDType),
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "f32" => Self::Safetensors(DType::F32),
            "f16" => Self::Safetensors(DType::F16),
            "bf16" => Self::Safetensors(DType::BF16),
            "q8_0" => Self::Gguf(GgmlDType::Q8_0),
            "q6_k" => Self::Gguf(GgmlDType::Q6K),
            "q5_k" => Self::Gguf(GgmlDType::Q5K),
            "q4_k" => Self::Gguf(GgmlDType::Q4K),
            "q4_1" => Self::Gguf(GgmlDType::Q4_1),
            "q4_0" => Self::Gguf(GgmlDType::Q4_0),
            other => {
                return Err(format!(
                    "`{other}` is no format; there are f32, f16, bf16, q8_0, q6_k, q5_k, q4_k, q4_1 and q4_0"
                ));
            }
        })
    }
}

/// Bytes of one safetensors file, unless a single weight has more.
pub(super) const SHARD: usize = 4 << 30;

/// Writes `weights` as `model.safetensors`, or as `model-00001-of-00003.safetensors` ... with their index, to `out`.
pub(super) fn write_safetensors(
    weights: &Weights,
    config: &Config,
    dtype: DType,
    out: &Path,
    shard: usize,
) -> Result<(), LlmError> {
    let bytes = |shape: &[usize]| shape.iter().product::<usize>() * dtype.size_in_bytes();
    let mut shards: Vec<Vec<(String, Vec<usize>)>> = vec![Vec::new()];
    let mut size = 0;
    for (name, shape) in config.weights() {
        if size > 0 && size + bytes(&shape) > shard {
            shards.push(Vec::new());
            size = 0;
        }
        size += bytes(&shape);
        shards.last_mut().into_iter().for_each(|last| last.push((name.clone(), shape.clone())));
    }
    let count = shards.len();
    let mut index = BTreeMap::new();
    let mut total = 0;
    for (number, shard) in (1..).zip(&shards) {
        let file = match count {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{number:05}-of-{count:05}.safetensors"),
        };
        total += shard.iter().map(|(_, shape)| bytes(shape)).sum::<usize>();
        write_shard(weights, shard, dtype, &out.join(&file))?;
        index.extend(shard.iter().map(|(name, _)| (name.clone(), file.clone())));
    }
    if count > 1 {
        let path = out.join("model.safetensors.index.json");
        let json = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": index });
        std::fs::write(&path, json.to_string()).map_err(|e| LlmError::write(&path, e))?;
    }
    Ok(())
}

/// One file: the length of the header, the header, the weights one after the other.
fn write_shard(
    weights: &Weights,
    shard: &[(String, Vec<usize>)],
    dtype: DType,
    path: &Path,
) -> Result<(), LlmError> {
    let name = match dtype {
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => "F32",
    };
    let mut header = BTreeMap::from([("__metadata__".to_owned(), serde_json::json!({ "format": "pt" }))]);
    let mut end = 0;
    for (weight, shape) in shard {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.size_in_bytes();
        let entry = serde_json::json!({ "dtype": name, "shape": shape, "data_offsets": [start, end] });
        header.insert(weight.clone(), entry);
    }
    let mut header = serde_json::json!(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let failed = |e: std::io::Error| LlmError::write(path, e);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    file.write_all(&header).map_err(failed)?;
    for (weight, shape) in shard {
        let tensor = weights.get(weight, shape)?.to_dtype(dtype)?;
        tensor.write_bytes(&mut file).map_err(|e| LlmError::malformed(path, e))?;
    }
    file.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)
}

/// Writes `weights` and the vocabulary as a GGUF file that llama.cpp reads as well.
///
/// Linear layers are stored in blocks of `dtype`, the embedding table and the output layer in at least 8 bits, and what
/// does not divide into blocks as f16, or f32 for a vector.
pub(super) fn write_gguf(
    weights: &Weights,
    config: &Config,
    tokenizer: &Tokenizer,
    name: &str,
    dtype: GgmlDType,
    path: &Path,
) -> Result<(), LlmError> {
    let mut metadata = metadata(config, name);
    let vocabulary = tokenizer.gguf_metadata().ok_or_else(|| LlmError::Unsupported {
        path: path.to_owned(),
        what: "a GGUF file without a SentencePiece tokenizer.model".into(),
    })?;
    metadata.extend(vocabulary);
    let mut tensors: Vec<(String, QTensor)> = Vec::new();
    for (name, shape) in config.weights() {
        let Some(stored) = crate::llm::gguf_name(&name) else { continue };
        let tensor = weights.get(&name, &shape)?;
        let tensor = if name.ends_with("q_proj.weight") {
            crate::llm::pairs(&tensor, config.heads)?
        } else if name.ends_with("k_proj.weight") {
            crate::llm::pairs(&tensor, config.kv_heads)?
        } else {
            tensor
        };
        tensors.push((stored, quantised(&tensor, dtype, shape.as_slice() == [config.vocab, config.hidden])?));
    }
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let failed = |e: std::io::Error| LlmError::write(path, e);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    gguf_file::write(&mut file, &metadata, &tensors).map_err(|e| LlmError::malformed(path, e))?;
    file.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)
}

/// A weight in blocks, where its rows divide into them.
fn quantised(tensor: &Tensor, dtype: GgmlDType, vocabulary: bool) -> Result<QTensor, LlmError> {
    let fits = |dtype: GgmlDType| tensor.dims().last().is_some_and(|n| n.is_multiple_of(dtype.block_size()));
    let wanted = if vocabulary && dtype != GgmlDType::Q6K { GgmlDType::Q8_0 } else { dtype };
    let dtype = match tensor.rank() {
        1 => GgmlDType::F32,
        _ if fits(wanted) => wanted,
        _ if fits(GgmlDType::Q8_0) => GgmlDType::Q8_0,
        _ => GgmlDType::F16,
    };
    Ok(QTensor::quantize(tensor, dtype)?)
}

fn metadata(config: &Config, name: &str) -> Vec<(String, Value)> {
    let number = |key: &str, value: usize| (format!("llama.{key}"), Value::U32(value as u32));
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::String("llama".into())),
        ("general.name".to_owned(), Value::String(name.to_owned())),
        number("context_length", config.context),
        number("embedding_length", config.hidden),
        number("block_count", config.layers),
        number("feed_forward_length", config.intermediate),
        number("attention.head_count", config.heads),
        number("attention.head_count_kv", config.kv_heads),
        number("rope.dimension_count", config.head_dim),
        number("vocab_size", config.vocab),
        ("llama.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(config.norm_eps)),
        ("llama.rope.freq_base".to_owned(), Value::F32(config.rope_theta)),
    ];
    if config.head_dim * config.heads != config.hidden {
        metadata.push(number("attention.key_length", config.head_dim));
        metadata.push(number("attention.value_length", config.head_dim));
    }
    if let Some(eos) = config.eos.first() {
        metadata.push(("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(*eos)));
    }
    metadata
}
