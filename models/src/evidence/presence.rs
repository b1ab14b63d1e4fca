//! Where in the course of evidence for something it is really there. An encoder that hears seconds at a time is a little sure of a bark
//! before it and after it, and least sure where it begins; how sure it is all around says more than how sure it is here. A small convolution
//! over the course, which knows nothing of what it is about, has learned that from scenes with marked beginnings and ends
//! (`training/small/presence.py`).

use std::path::{Path, PathBuf};

use candle_core::DType;

use crate::tensors::{FileError, read_tensors};

/// How far from certain evidence is taken to be, so that its logit is a number.
const DOUBT: f32 = 1e-3;

/// Why the weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{path}: {reason}; the layers of evidence.presence are `0.weight` [channels, 1, odd], `0.bias` [channels], ..., of the last one `[1, channels, odd]`", path = path.display())]
    Layers {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Convolutions along the slots, each but the last cut off below zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Presence {
    layers: Vec<Layer>,
}

#[derive(Debug, Clone, PartialEq)]
struct Layer {
    inputs: usize,
    /// Slots that it looks at, an odd number.
    width: usize,
    /// `[outputs, inputs, width]`
    weight: Vec<f32>,
    /// `[outputs]`
    bias: Vec<f32>,
}

impl Presence {
    /// Reads the weights.
    ///
    /// # Errors
    /// When they cannot be read, or are no such layers.
    pub fn load(path: &Path) -> Result<Self, PresenceError> {
        let wrong = |reason: String| PresenceError::Layers { path: path.to_owned(), reason };
        let mut tensors = read_tensors(path)?;
        let mut layers: Vec<Layer> = Vec::new();
        while let Some(weight) = tensors.remove(&format!("{}.weight", layers.len())) {
            let number = layers.len();
            let expected = layers.last().map_or(1, |layer| layer.bias.len());
            let shape =
                weight.dims3().ok().filter(|(_, inputs, width)| *inputs == expected && width % 2 == 1);
            let (outputs, inputs, width) =
                shape.ok_or_else(|| wrong(format!("`{number}.weight` has shape {:?}", weight.dims())))?;
            let bias = tensors.remove(&format!("{number}.bias")).filter(|bias| bias.dims() == [outputs]);
            let bias = bias.ok_or_else(|| wrong(format!("there is no `{number}.bias` [{outputs}]")))?;
            let values = |tensor: candle_core::Tensor| {
                let flat = tensor.flatten_all().and_then(|flat| flat.to_dtype(DType::F32)?.to_vec1());
                flat.map_err(|error| wrong(error.to_string()))
            };
            layers.push(Layer { inputs, width, weight: values(weight)?, bias: values(bias)? });
        }
        if let Some(name) = tensors.keys().next() {
            return Err(wrong(format!("`{name}` is none of its layers")));
        }
        match layers.last().map(|layer| layer.bias.len()) {
            Some(1) => Ok(Self { layers }),
            None => Err(wrong("it has no `0.weight`".to_owned())),
            Some(outputs) => Err(wrong(format!("its last layer has {outputs} outputs, not one"))),
        }
    }

    /// How likely it is there in each slot, 0..=1, by the evidence for it in all of them.
    pub fn of(&self, evidence: &[f32]) -> Vec<f32> {
        let logit = |value: &f32| ((value + DOUBT) / (1.0 - value + DOUBT)).ln();
        let mut rows = vec![evidence.iter().map(logit).collect::<Vec<f32>>()];
        for (number, layer) in self.layers.iter().enumerate() {
            rows = layer.along(&rows);
            if number + 1 < self.layers.len() {
                rows.iter_mut().flatten().for_each(|value| *value = value.max(0.0));
            }
        }
        rows.into_iter().next().unwrap_or_default().into_iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
    }
}

impl Layer {
    /// Its outputs along the slots; the first and the last slot go on beyond the ends.
    fn along(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let count = rows.first().map_or(0, Vec::len);
        let half = self.width / 2;
        let output = |(filter, bias): (&[f32], &f32)| {
            let at = |slot: usize| {
                let taps = rows.iter().zip(filter.chunks_exact(self.width)).map(|(row, taps)| {
                    let near = |(tap, weight): (usize, &f32)| {
                        weight * row[(slot + tap).saturating_sub(half).min(count - 1)]
                    };
                    taps.iter().enumerate().map(near).sum::<f32>()
                });
                bias + taps.sum::<f32>()
            };
            (0..count).map(at).collect()
        };
        self.weight.chunks_exact(self.inputs * self.width).zip(&self.bias).map(output).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{Device, Tensor};

    use super::*;

    fn saved(tensors: &[(&str, &[f32], &[usize])]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("presence.safetensors");
        let tensor = |(name, values, shape): &(&str, &[f32], &[usize])| {
            let tensor = Tensor::from_slice(values, *shape, &Device::Cpu).expect("a tensor");
            ((*name).to_owned(), tensor)
        };
        let tensors: HashMap<String, Tensor> = tensors.iter().map(tensor).collect();
        candle_core::safetensors::save(&tensors, &path).expect("saved");
        (folder, path)
    }

    #[test]
    fn each_slot_is_weighed_with_its_neighbours_and_the_ends_go_on() {
        // What rises from the slot before, cut off below zero, and half of it.
        let (_folder, path) = saved(&[
            ("0.weight", &[-1.0, 1.0, 0.0], &[1, 1, 3]),
            ("0.bias", &[0.0], &[1]),
            ("1.weight", &[0.5], &[1, 1, 1]),
            ("1.bias", &[-1.0], &[1]),
        ]);
        let presence = Presence::load(&path).expect("loads");
        let logit = |p: f32| ((p + DOUBT) / (1.0 - p + DOUBT)).ln();
        let there = |rise: f32| 1.0 / (1.0 + (1.0 - 0.5 * rise.max(0.0)).exp());
        let expected = [0.0, logit(0.9) - logit(0.1), logit(0.5) - logit(0.9), 0.0].map(there);
        for (found, expected) in presence.of(&[0.1, 0.9, 0.5, 0.5]).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
        assert_eq!(presence.of(&[]), [0f32; 0]);
    }

    #[test]
    fn the_default_models_weights_say_what_they_said_where_they_were_trained() {
        #[derive(serde::Deserialize)]
        struct Golden {
            evidence: Vec<f32>,
            there: Vec<f32>,
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let presence = Presence::load(&root.join("assets/models/avicuna-natural/presence.safetensors"));
        let presence = presence.expect("loads");
        let text = std::fs::read_to_string(root.join("tests/fixtures/natural/presence.json")).expect("read");
        for (number, Golden { evidence, there }) in
            serde_json::from_str::<Vec<Golden>>(&text).expect("JSON").into_iter().enumerate()
        {
            let found = presence.of(&evidence);
            let off = found.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found.len() == there.len() && off < 1e-4, "course {number}: {off}");
        }
    }

    #[test]
    fn what_are_no_layers_is_refused_by_name() {
        let refused = |tensors: &[(&str, &[f32], &[usize])]| {
            let (_folder, path) = saved(tensors);
            Presence::load(&path).expect_err("refused").to_string()
        };
        for (tensors, expected) in [
            (vec![("bias", &[0.0f32][..], &[1usize][..])], "`bias` is none of its layers"),
            (vec![("0.weight", &[0.0, 0.0], &[1, 1, 2])], "`0.weight` has shape [1, 1, 2]"),
            (vec![("0.weight", &[0.0], &[1, 1, 1])], "there is no `0.bias` [1]"),
            (
                vec![("0.weight", &[0.0, 0.0], &[2, 1, 1]), ("0.bias", &[0.0, 0.0], &[2])],
                "its last layer has 2 outputs",
            ),
            (
                vec![
                    ("0.weight", &[0.0, 0.0], &[2, 1, 1]),
                    ("0.bias", &[0.0, 0.0], &[2]),
                    ("1.weight", &[0.0], &[1, 1, 1]),
                ],
                "`1.weight` has shape [1, 1, 1]",
            ),
        ] {
            let error = refused(&tensors);
            assert!(error.contains(expected), "{error}");
        }
    }
}
