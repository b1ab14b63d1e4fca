//! Checkpoints as they are released: tensor files of every kind, LoRA stages, projectors, and their import into one folder.

mod address;
mod archive;
mod client;
mod convert;
mod crates;
mod export;
mod fetch;
mod guard;
mod hub;
mod import;
pub mod manifest;
mod npm;
mod peft;
mod pickle_size;
mod tensors;
mod wheel;

pub use export::Format;
pub use fetch::{FetchError, Fetcher, Progress, Pulled};
pub(crate) use guard::guarded;
pub use import::{Imported, Projector, Released, import, read_projector};
pub use peft::{LORA_MATRICES, LORA_SETTINGS, read_lora};
pub(crate) use tensors::TorchFile;
pub use tensors::{Named, Stored, read_tensors, write_tensors};
