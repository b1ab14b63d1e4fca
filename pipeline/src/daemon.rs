//! Assembles everything from the configuration, supervises it and shuts it down.

mod plan;

pub use plan::{Plan, plan};
