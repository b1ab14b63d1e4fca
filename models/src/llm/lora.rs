//! Low-rank adapters (LoRA) in PEFT's naming, merged into the weights: `W + (alpha / r) B A`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Tensor};

use super::error::LlmError;
use crate::tensors::read_tensors;

/// Where a LoRA lies and how strongly it acts.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// A safetensors file with PEFT's names, `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` ...
    pub path: PathBuf,
    /// The rank.
    pub r: usize,
    /// The scale is `alpha / r`.
    pub alpha: f64,
}

/// The matrices of a LoRA, by the name of the weight that they change.
pub struct LoraWeights {
    path: PathBuf,
    scale: f64,
    /// `A [r, in]` and `B [out, r]`, f32.
    pairs: BTreeMap<String, (Tensor, Tensor)>,
    /// What no weight has asked for yet.
    unused: Mutex<BTreeSet<String>>,
}

impl LoraWeights {
    /// Reads the safetensors file of `lora`.
    pub fn load(lora: &Lora) -> Result<Self, LlmError> {
        Self::new(&lora.path, lora.r, lora.alpha, read_tensors(&lora.path)?)
    }

    /// Pairs the `A` and `B` matrices of `tensors`; `path` is where they came from, for messages.
    pub fn new(
        path: &Path,
        r: usize,
        alpha: f64,
        tensors: HashMap<String, Tensor>,
    ) -> Result<Self, LlmError> {
        let wrong = |reason: String| LlmError::Lora { path: path.to_owned(), reason };
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in tensors {
            let tensor = tensor.to_dtype(DType::F32)?;
            // `.default` is the adapter's own name, which PEFT writes in memory but not in files.
            let plain = name.replace(".default.", ".");
            let base = plain.strip_prefix("base_model.model.").unwrap_or(&plain);
            if let Some(target) = base.strip_suffix(".lora_A.weight") {
                a.insert(format!("{target}.weight"), tensor);
            } else if let Some(target) = base.strip_suffix(".lora_B.weight") {
                b.insert(format!("{target}.weight"), tensor);
            } else {
                return Err(wrong(format!("`{name}` is neither a lora_A nor a lora_B weight")));
            }
        }
        let mut pairs = BTreeMap::new();
        for (name, a) in a {
            let b = b.remove(&name).ok_or_else(|| wrong(format!("`{name}` has lora_A but no lora_B")))?;
            let ([rank, _], [_, other]) = (a.dims(), b.dims()) else {
                return Err(wrong(format!("`{name}` has a lora_A or lora_B that is no matrix")));
            };
            let (rank, other) = (*rank, *other);
            if rank != r || other != r {
                return Err(wrong(format!("`{name}` has rank {rank} and {other}, the manifest says {r}")));
            }
            pairs.insert(name, (a, b));
        }
        if let Some(name) = b.keys().next() {
            return Err(wrong(format!("`{name}` has lora_B but no lora_A")));
        }
        if pairs.is_empty() || r == 0 {
            return Err(wrong("it holds no lora_A and lora_B matrices".into()));
        }
        let unused = Mutex::new(pairs.keys().cloned().collect());
        Ok(Self { path: path.to_owned(), scale: alpha / r as f64, pairs, unused })
    }

    /// Its matrices by PEFT's names.
    pub fn matrices(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.pairs.iter().flat_map(|(name, (a, b))| {
            let target = name.strip_suffix(".weight").unwrap_or(name);
            let full = |part: &str| format!("base_model.model.{target}.{part}.weight");
            [(full("lora_A"), a), (full("lora_B"), b)]
        })
    }

    /// The rank.
    pub fn rank(&self) -> usize {
        self.pairs.values().next().map_or(0, |(a, _)| a.dims()[0])
    }

    /// Where it came from, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error that says what of it does not fit a model, or another LoRA.
    pub fn unfit(&self, reason: String) -> LlmError {
        LlmError::Lora { path: self.path.clone(), reason }
    }

    /// `alpha / r`.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// `A [r, in]` and `B [out, r]` for the weight `name`, if there are any, which counts as using them.
    pub fn pair(&self, name: &str) -> Option<(&Tensor, &Tensor)> {
        let (a, b) = self.pairs.get(name)?;
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Some((a, b))
    }

    /// Has it a part for the weight `name`?
    pub(crate) fn changes(&self, name: &str) -> bool {
        self.pairs.contains_key(name)
    }

    /// `weight [out, in]` plus this LoRA's part for `name`, if it has one.
    pub fn merge(&self, name: &str, weight: Tensor) -> Result<Tensor, LlmError> {
        let Some((a, b)) = self.pairs.get(name) else { return Ok(weight) };
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if weight.dims() != [b.dims()[0], a.dims()[1]] {
            return Err(LlmError::Lora {
                path: self.path.clone(),
                reason: format!(
                    "`{name}` is {:?} in the model and {}x{} in the LoRA",
                    weight.dims(),
                    b.dims()[0],
                    a.dims()[1]
                ),
            });
        }
        Ok((weight + (b.matmul(a)? * self.scale)?)?)
    }

    /// Errors when a matrix changed no weight.
    pub fn finish(&self) -> Result<(), LlmError> {
        let unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        match unused.first() {
            None => Ok(()),
            Some(name) => {
                let reason = format!("the model has no weight `{name}` ({} such)", unused.len());
                Err(LlmError::Lora { path: self.path.clone(), reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn lora(names: [&str; 2]) -> Result<LoraWeights, LlmError> {
        let a = Tensor::new(&[[1f32, 2., 3.]], &Device::Cpu)?;
        let b = Tensor::new(&[[10f32], [20.]], &Device::Cpu)?;
        let tensors = HashMap::from([(names[0].to_owned(), a), (names[1].to_owned(), b)]);
        LoraWeights::new(Path::new("lora.safetensors"), 1, 2.0, tensors)
    }

    #[test]
    fn merging_adds_the_scaled_product() -> Result<(), LlmError> {
        let prefix = "base_model.model.model.layers.0.mlp.up_proj";
        let lora = lora([&format!("{prefix}.lora_A.weight"), &format!("{prefix}.lora_B.default.weight")])?;
        let weight = Tensor::ones((2, 3), DType::F32, &Device::Cpu)?;
        let other = lora.merge("model.layers.1.mlp.up_proj.weight", weight.clone())?;
        assert_eq!(other.to_vec2::<f32>()?, [[1., 1., 1.], [1., 1., 1.]]);
        assert!(lora.finish().is_err_and(|e| e.to_string().contains("model.layers.0.mlp.up_proj.weight")));
        let merged = lora.merge("model.layers.0.mlp.up_proj.weight", weight)?;
        assert_eq!(merged.to_vec2::<f32>()?, [[21., 41., 61.], [41., 81., 121.]]);
        lora.finish()
    }

    #[test]
    fn a_half_pair_and_a_foreign_weight_are_refused() {
        let a = "model.layers.0.mlp.up_proj.lora_A.weight";
        assert!(lora([a, "model.layers.1.mlp.up_proj.lora_B.weight"]).is_err());
        assert!(lora([a, "model.layers.0.mlp.up_proj.weight"]).is_err());
    }
}
