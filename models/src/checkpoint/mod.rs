//! Checkpoints as they are released: tensor files of every kind, LoRA stages, projectors, and their import into one folder.

mod import;
pub mod manifest;
mod tensors;

pub use import::{Imported, Projector, Released, import};
pub use tensors::read_tensors;
