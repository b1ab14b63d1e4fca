//! Checkpoints as they are released: tensor files of every kind, LoRA stages, projectors, and their import into one folder.

mod address;
mod convert;
mod fetch;
mod hub;
mod import;
pub mod manifest;
mod tensors;
mod wheel;

pub use fetch::{FetchError, Fetcher, Progress, Pulled};
pub use import::{Imported, Projector, Released, import};
pub use tensors::read_tensors;
