//! The four stages of training: which parts learn from what, how, and what they leave behind.
//!
//! A run is a folder with one folder for each stage. [`run::train`] reads a [`config::Config`], builds the model that the
//! stages before left ([`model`]), draws samples in a seeded order ([`source`] and what implements it), makes sequences of
//! them ([`assemble`]), steps ([`optimizer`]), and writes a checkpoint now and then ([`checkpoint`]). What a finished
//! stage leaves ([`output`]) is PEFT's and the reference's layout, and a model directory for the daemon.

mod adapters;
mod assemble;
mod checkpoint;
pub mod config;
mod error;
mod export;
mod features;
mod journal;
mod model;
mod optimizer;
mod order;
mod output;
mod prepare;
mod records;
mod run;
mod source;
mod windows;
mod words;

pub use error::TrainError;
pub use export::{Exported, export};
pub use journal::Entry;
pub use run::{Options, Progress, Signal, Trained, train};
