//! Byte-level BPE from the vocabulary and the merges in a GGUF file.

use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, Tokenizer as Hf};

use super::sentencepiece::{LEGACY, SentencePiece};
use super::{Tokenizer, TokenizerError};

/// `tokenizer.ggml.token_type` of control tokens such as `<|im_start|>`.
const CONTROL: i64 = 3;
/// `tokenizer.ggml.token_type` of tokens that a user added.
const USER_DEFINED: i64 = 4;

pub(super) fn build(content: &Content, path: &Path) -> Result<Tokenizer, TokenizerError> {
    let malformed = |reason: String| TokenizerError::Malformed { path: path.to_owned(), reason };
    let text = |key: &str| content.metadata.get(key).and_then(|v| v.to_string().ok()).map(String::as_str);
    let model = text("tokenizer.ggml.model");
    if model == Some("llama") {
        return sentencepiece(content, path);
    }
    if model != Some("gpt2") {
        return Err(malformed(format!(
            "vocabulary kind {model:?} is neither byte-level BPE (gpt2) nor SentencePiece (llama)"
        )));
    }
    let pre = text("tokenizer.ggml.pre").unwrap_or("default");
    let byte_level = ByteLevel::new(false, true, true);
    let pre_tokenizer = match pre {
        // SmolLM splits every digit from its neighbours, so that "34" is two tokens.
        "smollm" => PreTokenizerWrapper::Sequence(Sequence::new(vec![
            PreTokenizerWrapper::Digits(Digits::new(true)),
            PreTokenizerWrapper::ByteLevel(byte_level),
        ])),
        "default" | "gpt-2" => PreTokenizerWrapper::ByteLevel(byte_level),
        other => return Err(malformed(format!("its text splitting rule is `{other}`"))),
    };
    let strings = |key: &str| -> Result<Vec<String>, TokenizerError> {
        let list = content.metadata.get(key).and_then(|v| v.to_vec().ok());
        let list = list.ok_or_else(|| malformed(format!("`{key}` is missing")))?;
        let text = |v: &Value| v.to_string().cloned();
        list.iter().map(text).collect::<Result<_, _>>().map_err(|e| malformed(format!("`{key}`: {e}")))
    };
    let tokens = strings("tokenizer.ggml.tokens")?;
    let merges: Vec<(String, String)> = strings("tokenizer.ggml.merges")?
        .iter()
        .map(|merge| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())))
        .collect::<Option<_>>()
        .ok_or_else(|| malformed("a merge is not a pair".into()))?;
    let types = content.metadata.get("tokenizer.ggml.token_type").and_then(|v| v.to_vec().ok());
    let kind = |id: usize| {
        types.and_then(|t| t.get(id)).and_then(|v| v.to_i64().or_else(|_| v.to_i32().map(i64::from)).ok())
    };
    let specials: Vec<AddedToken> = tokens
        .iter()
        .enumerate()
        .filter(|(id, _)| matches!(kind(*id), Some(CONTROL | USER_DEFINED)))
        .map(|(id, token)| AddedToken::from(token.clone(), kind(id) == Some(CONTROL)))
        .collect();
    let vocab: Vocab = tokens.into_iter().zip(0u32..).collect();
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).build();
    let bpe = bpe.map_err(|e| malformed(e.to_string()))?;
    let mut as_text = Hf::new(bpe);
    as_text.with_pre_tokenizer(Some(pre_tokenizer));
    let mut parse = as_text.clone();
    let added = parse.add_tokens(specials.iter().filter(|t| !t.special).cloned());
    added.map_err(|e| malformed(e.to_string()))?;
    let added = parse.add_special_tokens(specials.iter().filter(|t| t.special).cloned());
    added.map_err(|e| malformed(e.to_string()))?;
    Ok(Tokenizer::byte_level(parse, as_text))
}

/// LLaMA's and Vicuna's vocabulary. Few GGUF files say in which mode it was used; the older one is the rule.
fn sentencepiece(content: &Content, path: &Path) -> Result<Tokenizer, TokenizerError> {
    let malformed = |reason: String| TokenizerError::Malformed { path: path.to_owned(), reason };
    let list = |key: &str| {
        let list = content.metadata.get(key).and_then(|v| v.to_vec().ok());
        list.ok_or_else(|| malformed(format!("`{key}` is missing")))
    };
    let wrong = |e: candle_core::Error| malformed(e.to_string());
    let texts = list("tokenizer.ggml.tokens")?.iter().map(|v| v.to_string().cloned());
    let texts = texts.collect::<Result<Vec<String>, _>>().map_err(wrong)?;
    let scores = list("tokenizer.ggml.scores")?.iter().map(Value::to_f32);
    let scores = scores.collect::<Result<Vec<f32>, _>>().map_err(wrong)?;
    let kinds = list("tokenizer.ggml.token_type")?.iter().map(|v| v.to_i32().map(|kind| kind as u64));
    let kinds = kinds.collect::<Result<Vec<u64>, _>>().map_err(wrong)?;
    let legacy = content.metadata.get(LEGACY).and_then(|v| v.to_bool().ok()).unwrap_or(true);
    let model = SentencePiece::from_lists(texts, &scores, &kinds, legacy).map_err(malformed)?;
    Ok(Tokenizer::sentencepiece(model))
}

/// The bytes of a token that spells each byte as one printable character, GPT-2's way.
pub(super) fn spelled_bytes(token: &str) -> Vec<u8> {
    let byte = |c: char| match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        // The 68 other bytes, in their order, are spelled from U+0100 on.
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    };
    match token.chars().map(byte).collect() {
        Some(bytes) => bytes,
        // Not byte-level spelling: the token stands for itself.
        None => token.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_spelling() {
        assert_eq!(spelled_bytes("Ġtwo"), b" two");
        assert_eq!(spelled_bytes("Ċ"), b"\n");
        let alphabet = ByteLevel::alphabet();
        let mut bytes: Vec<u8> = alphabet.iter().flat_map(|c| spelled_bytes(&c.to_string())).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }
}
