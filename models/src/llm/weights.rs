//! The weights of a model on disk, by their Hugging Face names, as f32 on the CPU, whatever the file's layout is.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::Content;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};

use super::config::Config;
use super::error::LlmError;
use super::lora::LoraWeights;
use super::table::Table;
use crate::tensors::{TorchFile, guarded};

/// The weights of a model on disk, with a LoRA merged into what is read.
pub struct Weights {
    path: PathBuf,
    source: Source,
    /// In the order in which they are merged.
    loras: Vec<LoraWeights>,
    heads: usize,
    kv_heads: usize,
}

enum Source {
    Gguf {
        content: Box<Content>,
        file: Mutex<BufReader<File>>,
    },
    Safetensors(MmapedSafetensors),
    /// The shards, and in which of them each weight is.
    Torch {
        shards: Vec<TorchFile>,
        places: HashMap<String, usize>,
    },
    Tensors(HashMap<String, Tensor>),
    Made(Box<Maker>),
}

/// Makes a weight of a name and shape.
type Maker = dyn Fn(&str, &[usize]) -> candle_core::Result<Tensor> + Send + Sync;

impl Weights {
    /// The weights of a GGUF file whose header is already read.
    pub fn from_gguf(path: &Path, content: Content, file: File, config: &Config) -> Self {
        Self::new(
            path,
            Source::Gguf { content: Box::new(content), file: Mutex::new(BufReader::new(file)) },
            config,
        )
    }

    /// The weights of a folder with `model*.safetensors` or, where there are none, `pytorch_model*.bin`.
    pub fn from_dir(dir: &Path, config: &Config) -> Result<Self, LlmError> {
        let entries = std::fs::read_dir(dir).map_err(|e| LlmError::read(dir, e))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        // Adapters may lie beside the model; they are asked for by name.
        let named = |start: &str, end: &str| -> Vec<PathBuf> {
            let name = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
            let matches =
                |path: &&PathBuf| name(path).is_some_and(|n| n.starts_with(start) && n.ends_with(end));
            files.iter().filter(matches).cloned().collect()
        };
        let shards = named("model", ".safetensors");
        if let Some(first) = shards.first() {
            // SAFETY: the files are only read; a model that somebody rewrites while it is mapped is as broken as one
            // rewritten while it is loaded.
            let mapped = unsafe { MmapedSafetensors::multi(&shards) };
            let mapped = mapped.map_err(|e| LlmError::malformed(first, e))?;
            return Ok(Self::new(dir, Source::Safetensors(mapped), config));
        }
        let shards = named("pytorch_model", ".bin");
        if shards.is_empty() {
            return Err(LlmError::malformed(dir, "it has no model*.safetensors and no pytorch_model*.bin"));
        }
        let shards = shards.iter().map(|path| TorchFile::open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut places = HashMap::new();
        for (index, shard) in shards.iter().enumerate() {
            places.extend(shard.names().map(|name| (name.to_owned(), index)));
        }
        Ok(Self::new(dir, Source::Torch { shards, places }, config))
    }

    /// Weights that are in memory already; `path` is where they came from, for messages.
    pub fn from_tensors(path: &Path, tensors: HashMap<String, Tensor>, config: &Config) -> Self {
        Self::new(path, Source::Tensors(tensors), config)
    }

    /// Weights that are made when they are asked for and count as stored with little precision: for measuring models that
    /// nobody has on disk.
    pub fn from_fn(
        make: impl Fn(&str, &[usize]) -> candle_core::Result<Tensor> + Send + Sync + 'static,
        config: &Config,
    ) -> Self {
        Self::new(Path::new("made"), Source::Made(Box::new(make)), config)
    }

    fn new(path: &Path, source: Source, config: &Config) -> Self {
        let (heads, kv_heads) = (config.heads, config.kv_heads);
        Self { path: path.to_owned(), source, loras: Vec::new(), heads, kv_heads }
    }

    /// Merges `lora`, after those that were given before, into every weight that is read from here on.
    pub fn with_lora(mut self, lora: LoraWeights) -> Self {
        self.loras.push(lora);
        self
    }

    /// The weight `name`, LoRA merged, f32 on the CPU. Errors when it is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, LlmError> {
        // Before anything is read: a damaged file may declare any shape.
        let found = match &self.source {
            Source::Made(_) => shape.to_vec(),
            _ => self.shape(name).ok_or_else(|| self.missing(name))?,
        };
        if found != shape {
            let (path, name, expected) = (self.path.clone(), name.to_owned(), shape.to_vec());
            return Err(LlmError::Shape { path, name, found, expected });
        }
        let tensor = match &self.source {
            Source::Made(make) => make(name, shape)?,
            _ => self.read(name)?,
        };
        self.loras.iter().try_fold(tensor, |tensor, lora| lora.merge(name, tensor))
    }

    /// The embedding table `name`, as the file stores it unless a LoRA changes it. Errors as [`Self::get`] does.
    pub(crate) fn table(&self, name: &str, shape: &[usize]) -> Result<Table, LlmError> {
        let is_changed = self.loras.iter().any(|lora| lora.changes(name));
        let is_stored = self.shape(name).is_some_and(|found| found == shape);
        if is_changed || !is_stored {
            return self.get(name, shape).map(Table::Floats);
        }
        match &self.source {
            Source::Gguf { content, file } => self.blocks(content, file, name).map(Table::Blocks),
            _ => self.stored(name).map(Table::Floats),
        }
    }

    /// Errors when a LoRA holds a weight that no `get` asked for: it was trained for another model.
    pub fn finish(&self) -> Result<(), LlmError> {
        self.loras.iter().try_for_each(LoraWeights::finish)
    }

    /// Whether the weights are stored with less precision than f32.
    pub fn is_compact(&self) -> bool {
        let name = "model.layers.0.mlp.down_proj.weight";
        match &self.source {
            Source::Gguf { content, .. } => gguf_name(name)
                .and_then(|name| content.tensor_infos.get(&name))
                .is_some_and(|info| info.ggml_dtype != candle_core::quantized::GgmlDType::F32),
            Source::Safetensors(mapped) => {
                mapped.get(name).is_ok_and(|view| view.dtype() != safetensors::Dtype::F32)
            }
            Source::Torch { shards, places } => places
                .get(name)
                .and_then(|&place| shards[place].dtype(name))
                .is_some_and(|dtype| dtype != DType::F32),
            Source::Tensors(tensors) => tensors.get(name).is_some_and(|t| t.dtype() != DType::F32),
            Source::Made(_) => true,
        }
    }

    /// The shape that the file declares for a weight.
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match &self.source {
            Source::Gguf { content, .. } => {
                content.tensor_infos.get(&gguf_name(name)?).map(|info| info.shape.dims().to_vec())
            }
            Source::Safetensors(mapped) => mapped.get(name).ok().map(|view| view.shape().to_vec()),
            Source::Torch { shards, places } => {
                places.get(name).and_then(|&place| shards[place].shape(name)).map(<[usize]>::to_vec)
            }
            Source::Tensors(tensors) => tensors.get(name).map(|tensor| tensor.dims().to_vec()),
            Source::Made(_) => None,
        }
    }

    /// A weight in f32.
    fn read(&self, name: &str) -> Result<Tensor, LlmError> {
        let bad = |e: candle_core::Error| self.bad(name, e);
        let Source::Gguf { content, file } = &self.source else {
            return self.stored(name)?.to_dtype(DType::F32).map_err(bad);
        };
        let blocks = self.blocks(content, file, name)?;
        let tensor = guarded(&self.path, || blocks.dequantize(&Device::Cpu).map_err(bad))?;
        if name.ends_with("q_proj.weight") {
            halves(&tensor, self.heads).map_err(bad)
        } else if name.ends_with("k_proj.weight") {
            halves(&tensor, self.kv_heads).map_err(bad)
        } else {
            Ok(tensor)
        }
    }

    /// A weight in the floats in which it is stored, of anything but GGUF.
    fn stored(&self, name: &str) -> Result<Tensor, LlmError> {
        match &self.source {
            Source::Tensors(tensors) => tensors.get(name).cloned().ok_or_else(|| self.missing(name)),
            Source::Safetensors(mapped) => mapped.load(name, &Device::Cpu).map_err(|e| self.bad(name, e)),
            Source::Torch { shards, places } => {
                let place = places.get(name).ok_or_else(|| self.missing(name))?;
                Ok(shards[*place].get(name)?)
            }
            Source::Made(_) | Source::Gguf { .. } => Err(self.missing(name)),
        }
    }

    /// A weight of a GGUF file as it is stored.
    fn blocks(
        &self,
        content: &Content,
        file: &Mutex<BufReader<File>>,
        name: &str,
    ) -> Result<QTensor, LlmError> {
        let key = gguf_name(name).ok_or_else(|| self.missing(name))?;
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        guarded(&self.path, || content.tensor(&mut *file, &key, &Device::Cpu).map_err(|e| self.bad(name, e)))
    }

    fn missing(&self, name: &str) -> LlmError {
        LlmError::MissingWeight { path: self.path.clone(), name: name.to_owned() }
    }

    fn bad(&self, name: &str, error: candle_core::Error) -> LlmError {
        LlmError::malformed(&self.path, format!("weight `{name}`: {error}"))
    }
}

/// GGUF files of the `llama` architecture hold the rows of each query and key head as the interleaved pairs
/// `0, d/2, 1, d/2+1, ...` of the rotation; Hugging Face, and with it every LoRA, holds the two halves one after
/// the other. `[heads * d, n]` in, the same shape with the halves restored out.
fn halves(weight: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (rows, columns) = weight.dims2()?;
    let pairs = rows / heads / 2;
    weight.reshape((heads, pairs, 2, columns))?.transpose(1, 2)?.contiguous()?.reshape((rows, columns))
}

/// The inverse of [`halves`]: from Hugging Face's rows to GGUF's.
pub(crate) fn pairs(weight: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (rows, columns) = weight.dims2()?;
    let pairs = rows / heads / 2;
    weight.reshape((heads, 2, pairs, columns))?.transpose(1, 2)?.contiguous()?.reshape((rows, columns))
}

/// The name of a Hugging Face weight in a GGUF file.
pub(crate) fn gguf_name(name: &str) -> Option<String> {
    let fixed = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Some(fixed.to_owned());
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let part = match part {
        "input_layernorm.weight" => "attn_norm.weight",
        "self_attn.q_proj.weight" => "attn_q.weight",
        "self_attn.k_proj.weight" => "attn_k.weight",
        "self_attn.v_proj.weight" => "attn_v.weight",
        "self_attn.o_proj.weight" => "attn_output.weight",
        "post_attention_layernorm.weight" => "ffn_norm.weight",
        "mlp.gate_proj.weight" => "ffn_gate.weight",
        "mlp.up_proj.weight" => "ffn_up.weight",
        "mlp.down_proj.weight" => "ffn_down.weight",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_pairs_become_halves() -> candle_core::Result<()> {
        // Two heads of width 4: the file's rows 0..4 are dimensions 0, 2, 1, 3 of the first head.
        let stored = Tensor::new(&[[0f32], [2.], [1.], [3.], [10.], [12.], [11.], [13.]], &Device::Cpu)?;
        let restored = halves(&stored, 2)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(restored, [0., 1., 2., 3., 10., 11., 12., 13.]);
        let again = pairs(&halves(&stored, 2)?, 2)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(again, stored.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn names_of_both_layouts_match() {
        assert_eq!(gguf_name("model.layers.12.mlp.up_proj.weight").as_deref(), Some("blk.12.ffn_up.weight"));
        assert_eq!(gguf_name("model.mm_projector.weight"), None);
    }
}
