//! The house: which crate may import which, and which module within a crate.

mod crates;
mod imports;
mod modules;

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
