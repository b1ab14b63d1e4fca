//! Low-rank adapters in training: where they start, and how those of several stages become one.

use std::collections::HashMap;
use std::path::Path;

use avicuna_models::llm::{Config, LlmError, LoraWeights};
use avicuna_models::splitmix::mixed;
use candle_core::{DType, Device, Tensor};

/// A LoRA that changes nothing yet, for every linear layer of a decoder: `A` uniform within `1 / sqrt(in)` of 0,
/// as PEFT starts it, and `B` zero. The same seed gives the same values.
pub fn fresh(config: &Config, r: usize, alpha: f64, seed: u64) -> Result<LoraWeights, LlmError> {
    let mut tensors = HashMap::new();
    let layers = config.weights().into_iter().filter(|(name, _)| name.contains("_proj"));
    for (index, (name, shape)) in layers.enumerate() {
        let [out, inputs] = shape[..] else { continue };
        let bound = 1.0 / (inputs as f64).sqrt();
        let value = |place: usize| {
            let key = mixed(mixed(seed ^ mixed(index as u64)) ^ place as u64);
            (((key >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0) * bound) as f32
        };
        let a: Vec<f32> = (0..r * inputs).map(value).collect();
        let target = name.strip_suffix(".weight").unwrap_or(&name).to_owned();
        let a = Tensor::from_vec(a, (r, inputs), &Device::Cpu)?;
        tensors.insert(format!("{target}.lora_A.weight"), a);
        let b = Tensor::zeros((out, r), DType::F32, &Device::Cpu)?;
        tensors.insert(format!("{target}.lora_B.weight"), b);
    }
    LoraWeights::new(Path::new("fresh LoRA"), r, alpha, tensors)
}

/// One LoRA, of scale 1, that does what `loras` do when they are merged one after the other: their matrices side by
/// side. Each must have the same layers.
pub fn joined(loras: &[LoraWeights]) -> Result<LoraWeights, LlmError> {
    let rank = loras.iter().map(LoraWeights::rank).sum();
    let first = loras.first().ok_or_else(|| LlmError::Input("there is no LoRA to join".into()))?;
    let all: Vec<HashMap<String, &Tensor>> = loras.iter().map(|lora| lora.matrices().collect()).collect();
    let mut tensors = HashMap::new();
    for (name, _) in first.matrices() {
        let parts = loras.iter().zip(&all).map(|(lora, own)| {
            let unfit = || lora.unfit(format!("it lacks `{name}`, which {} has", first.path().display()));
            let part = *own.get(&name).ok_or_else(unfit)?;
            Ok::<_, LlmError>(if is_b(&name) { (part * lora.scale())? } else { part.clone() })
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let whole = Tensor::cat(&parts, usize::from(is_b(&name)))?;
        tensors.insert(name, whole);
    }
    LoraWeights::new(first.path(), rank, rank as f64, tensors)
}

/// Whether PEFT's name is that of a `B [out, r]`; else it is that of an `A [r, in]`.
fn is_b(name: &str) -> bool {
    name.ends_with(".lora_B.weight")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHT: &str = "model.layers.0.mlp.up_proj.weight";

    /// `A` is one row, `B` one column.
    fn lora(target: &str, a: [f32; 2], b: [f32; 2], alpha: f64) -> Result<LoraWeights, LlmError> {
        let a = Tensor::from_slice(&a, (1, 2), &Device::Cpu)?;
        let b = Tensor::from_slice(&b, (2, 1), &Device::Cpu)?;
        let tensors = [(format!("{target}.lora_A.weight"), a), (format!("{target}.lora_B.weight"), b)];
        LoraWeights::new(Path::new("lora.safetensors"), 1, alpha, HashMap::from(tensors))
    }

    #[test]
    fn joined_loras_do_what_each_does_after_the_other() -> Result<(), LlmError> {
        let target = "model.layers.0.mlp.up_proj";
        let loras = [lora(target, [1., 2.], [3., 4.], 2.0)?, lora(target, [-1., 5.], [0.5, 7.], 3.0)?];
        let zero = Tensor::zeros((2, 2), DType::F32, &Device::Cpu)?;
        let one = loras[1].merge(WEIGHT, loras[0].merge(WEIGHT, zero.clone())?)?;
        let joined = joined(&loras)?;
        assert_eq!((joined.rank(), joined.scale()), (2, 1.0));
        assert_eq!(joined.merge(WEIGHT, zero)?.to_vec2::<f32>()?, one.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn loras_of_other_layers_are_not_joined() -> Result<(), LlmError> {
        let loras = ["up", "down"].map(|part| {
            lora(&format!("model.layers.0.mlp.{part}_proj"), [1., 2.], [3., 4.], 2.0).expect("it is whole")
        });
        assert!(joined(&loras).is_err_and(|e| e.to_string().contains("lacks")));
        assert!(joined(&[]).is_err());
        Ok(())
    }
}
