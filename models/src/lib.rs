//! From pixels and samples to text: preprocessing, ONNX encoders, the audio-visual interleaver, the LLaMA decoder
//! and their assembly, the [`localizer::Localizer`]. Knows no stream, no Kafka, no clock.

pub mod adapter;
pub mod answer;
pub mod checkpoint;
pub mod encoder;
pub mod evidence;
pub mod fetch;
pub mod interleave;
pub mod llm;
pub mod localizer;
pub mod manifest;
pub mod preprocess;
pub mod prompt;
pub mod sample;
pub mod sentence;
pub mod slots;
pub mod splitmix;
pub mod tensors;
pub mod tokenizer;
pub mod vocabulary;
pub mod whole;
pub mod wording;
