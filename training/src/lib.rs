//! From source clips to a trained and measured model: pseudo-untrimmed datasets (PU-VALOR), the paper's four stages, its evaluation.
//!
//! Read in this order: [`corpus`] names trimmed clips, [`cluster`] groups those whose captions are alike, [`pu_valor`] scales and
//! permutes them to untrimmed time lines with questions and answers, [`render`] makes media of a time line, [`features`] encodes
//! it as the daemon would, [`stages`] trains on it, [`evaluation`] measures.

pub mod cluster;
pub mod corpus;
pub mod evaluation;
pub mod features;
pub mod media;
pub mod pu_valor;
pub mod render;
pub mod resample;
pub mod seeded;
pub mod stages;
mod whole;
