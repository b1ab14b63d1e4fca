//! Checkpoints as they are released: LoRA stages, projectors, their import into one folder and its export.

mod export;
mod import;
mod layout;
mod peft;

pub use export::Format;
pub use import::{Imported, Projector, Released, import, read_projector};
pub use layout::{Layout, base_files};
pub use peft::{LORA_MATRICES, LORA_SETTINGS, read_lora};
