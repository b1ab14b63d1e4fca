//! The LLaMA decoder for training on a CPU: the base is frozen, LoRA matrices and the input's rows get gradients.
//!
//! Same steps as the decoder that `avicuna-models` answers with, with every gradient written out, because that is what makes it fast: no weight of
//! the base has a gradient computed, layers with the same input are one product, nothing is copied to be transposed.
//! Rows of several sequences are packed without padding, and logits are computed only where there is a label, a few at
//! a time: with a vocabulary of 49,152 they would be most of the memory. With checkpointing a block keeps nothing but
//! its input and is computed again on the way back.

use std::sync::Arc;

use avicuna_models::llm::{Config, LlmError, LoraWeights, Weights, rotations};

mod attention;
mod bf16;
mod block;
mod linear;
mod matrix;
mod ops;
mod projection;
mod weight;

pub use attention::Layout;
pub use linear::Parameter;
pub use projection::Projection;
pub use weight::Products;

use attention::Heads;
use block::{Block, Pass, Saved};
use linear::{GROUPS, Linear, Pairs, shape};
use ops::{Dropout, Rotations, norm, norm_gradient};
use weight::Frozen;

/// Rows whose logits are in memory at once.
const JUDGED: usize = 128;

/// The decoder with its gradient.
pub struct Trainable {
    config: Config,
    /// `[vocab, hidden]`
    embedding: Arc<Vec<f32>>,
    blocks: Vec<Block>,
    /// `[hidden]`
    norm: Vec<f32>,
    head: Frozen,
    /// `[context, head_dim / 2]`
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// Sequences to learn from, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Embeddings, `[n, hidden]`.
    pub rows: Vec<f32>,
    /// How the rows belong together; as many rows as there are.
    pub sequences: Vec<Layout>,
    /// What is to be predicted, and where.
    pub targets: Vec<Target>,
}

/// The LLM shall predict `id` at `row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Of all rows of the batch.
    pub row: usize,
    /// A token of the vocabulary.
    pub id: u32,
}

/// How a batch is gone through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passing {
    /// Blocks are computed twice instead of kept: less memory, a third more time.
    pub checkpointing: bool,
    /// Share of its inputs that a LoRA does not see.
    pub dropout: f32,
    /// Which ones: the same number, the same choice.
    pub key: u64,
}

/// What a batch taught.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The sum of the cross entropies of all targets, nats.
    pub loss: f64,
    /// The gradient of that sum for the batch's rows, `[n, hidden]`.
    pub rows: Vec<f32>,
}

impl Trainable {
    /// Reads all weights; the matrices of `lora` become parameters, not merged. It must have all of the decoder's layers.
    pub fn load(
        weights: &Weights,
        config: Config,
        lora: Option<&LoraWeights>,
        products: Products,
    ) -> Result<Self, LlmError> {
        let vector = |name: &str| -> Result<Vec<f32>, LlmError> {
            Ok(weights.get(name, &[config.hidden])?.to_vec1::<f32>()?)
        };
        let linear = |layer: usize, names: &[&str]| -> Result<Linear, LlmError> {
            let inputs = shape(&config, names[0])[1];
            let full = |name: &str| format!("model.layers.{layer}.{name}.weight");
            let parts = names.iter().map(|name| weights.get(&full(name), &shape(&config, name)));
            let weight = Frozen::new(&parts.collect::<Result<Vec<_>, _>>()?, inputs, products)?;
            let pairs = lora.map(|lora| {
                let pairs = names.iter().map(|name| pair(lora, &full(name), shape(&config, name)));
                let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
                Ok::<_, LlmError>(Pairs { pairs, rank: lora.rank(), scale: lora.scale() as f32 })
            });
            Ok(Linear { weight, lora: pairs.transpose()? })
        };
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            blocks.push(Block {
                attention_norm: vector(&name("input_layernorm"))?,
                qkv: linear(layer, GROUPS[0])?,
                output: linear(layer, GROUPS[1])?,
                feed_forward_norm: vector(&name("post_attention_layernorm"))?,
                gate_up: linear(layer, GROUPS[2])?,
                down: linear(layer, GROUPS[3])?,
            });
        }
        if let Some(lora) = lora {
            lora.finish()?;
        }
        weights.finish()?;
        let table = [config.vocab, config.hidden];
        let embedding = weights.get("model.embed_tokens.weight", &table)?;
        let head = match config.tied {
            true => embedding.clone(),
            false => weights.get("lm_head.weight", &table)?,
        };
        let (cos, sin) = rotations(&config);
        let embedding = Arc::new(embedding.flatten_all()?.to_vec1::<f32>()?);
        let head = if config.tied {
            Frozen::shared(&embedding, config.hidden, products)
        } else {
            Frozen::new(&[head], config.hidden, products)?
        };
        Ok(Self { norm: vector("model.norm.weight")?, embedding, blocks, head, cos, sin, config })
    }

    /// Its dimensions.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The LoRA's matrices by PEFT's names, in the order of the layers.
    pub fn parameters(&self) -> Vec<&Parameter> {
        let loras = self.blocks.iter().flat_map(Block::linears).filter_map(|linear| linear.lora.as_ref());
        loras.flat_map(|lora| &lora.pairs).flat_map(|(a, b)| [a, b]).collect()
    }

    /// [`Self::parameters`], to be changed.
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let linears = self.blocks.iter_mut().flat_map(Block::linears_mut);
        let loras = linears.filter_map(|linear| linear.lora.as_mut());
        loras.flat_map(|lora| &mut lora.pairs).flat_map(|(a, b)| [a, b]).collect()
    }

    /// The embedding of a token, `[hidden]`.
    pub fn embedding(&self, id: u32) -> Result<&[f32], LlmError> {
        let hidden = self.config.hidden;
        let row = self.embedding.chunks_exact(hidden).nth(id as usize);
        row.ok_or_else(|| LlmError::Input(format!("{id} is no token id")))
    }

    /// The sum of the cross entropies of a batch's targets; nothing is learned.
    pub fn loss(&self, batch: &Batch) -> Result<f64, LlmError> {
        self.check(batch)?;
        let positions = positions(batch);
        let pass = self.pass(batch, &positions, Passing::default());
        let mut x = batch.rows.clone();
        for block in &self.blocks {
            (x, _) = block.forward(x, &pass, None);
        }
        Ok(self.judge(&x, &batch.targets).0)
    }

    /// Goes through a batch forwards and backwards: adds to the gradient of every parameter.
    pub fn learn(&mut self, batch: &Batch, passing: Passing) -> Result<Learned, LlmError> {
        self.check(batch)?;
        let positions = positions(batch);
        // The blocks change while the rest is read.
        let mut blocks = std::mem::take(&mut self.blocks);
        let pass = self.pass(batch, &positions, passing);
        let learned = self.through(&mut blocks, batch, &pass, passing.checkpointing);
        self.blocks = blocks;
        Ok(learned)
    }

    fn through(&self, blocks: &mut [Block], batch: &Batch, pass: &Pass<'_>, checkpointing: bool) -> Learned {
        enum Kept {
            All(Box<Saved>),
            Input(Vec<f32>),
        }
        let dropout = |layer: usize| pass.dropout.map(|dropout| dropout.of(layer));
        let mut kept = Vec::with_capacity(blocks.len());
        let mut x = batch.rows.clone();
        for (layer, block) in blocks.iter().enumerate() {
            let (y, saved) = block.forward(x, pass, dropout(layer));
            kept.push(if checkpointing { Kept::Input(saved.input()) } else { Kept::All(Box::new(saved)) });
            x = y;
        }
        let (loss, mut gradient) = self.judge(&x, &batch.targets);
        for (layer, block) in blocks.iter_mut().enumerate().rev() {
            let saved = match kept.pop().expect("one for each block") {
                Kept::All(saved) => *saved,
                Kept::Input(x) => block.forward(x, pass, dropout(layer)).1,
            };
            gradient = block.backward(saved, gradient, pass, dropout(layer));
        }
        Learned { loss, rows: gradient }
    }

    /// The loss of the states `x [n, hidden]` after the last block, and its gradient for them.
    fn judge(&self, x: &[f32], targets: &[Target]) -> (f64, Vec<f32>) {
        let (hidden, eps) = (self.config.hidden, self.config.norm_eps);
        let (mut loss, mut gradient) = (0.0, vec![0.0; x.len()]);
        for targets in targets.chunks(JUDGED) {
            let place = |target: &Target| target.row * hidden..(target.row + 1) * hidden;
            let states: Vec<f32> = targets.iter().flat_map(|target| &x[place(target)]).copied().collect();
            let mut logits = self.head.forward(&norm(&states, &self.norm, eps));
            loss += surprise(&mut logits, targets, self.config.vocab);
            let mut back = vec![0.0; states.len()];
            norm_gradient(&mut back, &states, &self.head.backward(&logits), &self.norm, eps);
            for (target, back) in targets.iter().zip(back.chunks_exact(hidden)) {
                gradient[place(target)].iter_mut().zip(back).for_each(|(into, back)| *into += back);
            }
        }
        (loss, gradient)
    }

    fn pass<'a>(&'a self, batch: &'a Batch, positions: &'a [usize], passing: Passing) -> Pass<'a> {
        let Config { heads, kv_heads, head_dim, norm_eps, .. } = self.config;
        Pass {
            sequences: &batch.sequences,
            rotations: Rotations { cos: &self.cos, sin: &self.sin, positions, head_dim },
            heads: Heads { heads, kv_heads, dim: head_dim },
            eps: norm_eps,
            dropout: (passing.dropout > 0.0).then_some(Dropout { rate: passing.dropout, key: passing.key }),
        }
    }

    fn check(&self, batch: &Batch) -> Result<(), LlmError> {
        let rows = batch.sequences.iter().map(Layout::rows).sum::<usize>();
        if rows * self.config.hidden != batch.rows.len() {
            let found = batch.rows.len() / self.config.hidden;
            return Err(LlmError::Input(format!("the sequences have {rows} rows, the batch has {found}")));
        }
        let longest = |layout: &Layout| layout.prefix + layout.branches.iter().copied().max().unwrap_or(0);
        if let Some(long) = batch.sequences.iter().map(longest).find(|rows| *rows > self.config.context) {
            let context = self.config.context;
            return Err(LlmError::Input(format!("a sequence has {long} rows; the context holds {context}")));
        }
        if batch.targets.is_empty() {
            return Err(LlmError::Input("no sequence has a label, so there is nothing to learn".into()));
        }
        let wrong = |target: &&Target| target.id as usize >= self.config.vocab || target.row >= rows;
        match batch.targets.iter().find(wrong) {
            None => Ok(()),
            Some(Target { row, id }) => {
                Err(LlmError::Input(format!("token {id} at row {row} is not in the vocabulary or the batch")))
            }
        }
    }
}

fn pair(
    lora: &LoraWeights,
    name: &str,
    [out, inputs]: [usize; 2],
) -> Result<(Parameter, Parameter), LlmError> {
    let wrong = |reason: &str| lora.unfit(format!("`{name}` {reason}"));
    let (a, b) = lora.pair(name).ok_or_else(|| wrong("has no matrices in it, and training needs all"))?;
    if a.dims() != [lora.rank(), inputs] || b.dims() != [out, lora.rank()] {
        return Err(wrong("has another shape in the model"));
    }
    let target = name.strip_suffix(".weight").unwrap_or(name);
    let parameter = |part: &str, tensor: &candle_core::Tensor| -> Result<Parameter, LlmError> {
        let (rows, columns) = tensor.dims2()?;
        let name = format!("base_model.model.{target}.{part}.weight");
        Ok(Parameter::new(name, [rows, columns], tensor.flatten_all()?.to_vec1::<f32>()?))
    };
    Ok((parameter("lora_A", a)?, parameter("lora_B", b)?))
}

fn positions(batch: &Batch) -> Vec<usize> {
    batch.sequences.iter().flat_map(Layout::positions).collect()
}

/// The sum of the cross entropies of `logits [n, vocab]`; their gradient takes their place.
fn surprise(logits: &mut [f32], targets: &[Target], vocab: usize) -> f64 {
    use rayon::prelude::*;
    let one = |(logits, target): (&mut [f32], &Target)| {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let wanted = f64::from(logits[target.id as usize] - top);
        logits.iter_mut().for_each(|logit| *logit = ops::exp(*logit - top));
        let total: f64 = logits.iter().map(|e| f64::from(*e)).sum();
        let share = (1.0 / total) as f32;
        logits.iter_mut().for_each(|e| *e *= share);
        logits[target.id as usize] -= 1.0;
        total.ln() - wanted
    };
    // Summed in order, so that the same batch has the same loss.
    let each: Vec<f64> = logits.par_chunks_exact_mut(vocab).zip(targets).map(one).collect();
    each.iter().sum()
}
