//! The paper's four training stages, and the decoder with gradients that they step on.
//!
//! [`stages`] is the way in: it reads what `avicuna-corpus` wrote and leaves models that `avicuna-models` loads. Below it
//! [`decoder`] computes losses and gradients, [`labels`] says which tokens of a conversation are learned, [`resample`]
//! which feature rows stand for a window's tokens, [`lora`] where low-rank matrices start and how several become one,
//! [`peft`] how a trained stage lies on disk.

pub mod decoder;
pub mod labels;
pub mod lora;
pub mod peft;
pub mod resample;
pub mod stages;
