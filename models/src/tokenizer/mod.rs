//! Text to token ids and back, for the three ways in which LLMs ship their vocabulary.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value};

mod gguf;
mod sentencepiece;

use sentencepiece::SentencePiece;

/// Why a tokenizer could not be built or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file is not there or cannot be read.
    #[error("cannot read the tokenizer {path}: {source}; check the path", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds no tokenizer that this program knows.
    #[error("{path} holds no usable tokenizer: {reason}; use a model with tokenizer.json, tokenizer.model or a GGUF vocabulary", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found wrong.
        reason: String,
    },
    /// The text could not be encoded.
    #[error("cannot tokenise the text: {0}")]
    Encode(String),
}

/// Whether names of special tokens inside a text, such as `<|im_end|>`, become those tokens.
///
/// Text that comes from users must be encoded with `Specials::AsText`: otherwise a question could end its own turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// `<|im_end|>` becomes one id.
    Parse,
    /// `<|im_end|>` is spelled out like any other text.
    AsText,
}

/// Text to token ids and back.
pub struct Tokenizer {
    kind: Kind,
    /// The bytes that each id stands for; special tokens stand for none.
    bytes: Vec<Vec<u8>>,
}

enum Kind {
    /// Byte-level BPE: one tokenizer that knows the special tokens, one that does not.
    ByteLevel { parse: Box<tokenizers::Tokenizer>, as_text: Box<tokenizers::Tokenizer> },
    /// SentencePiece BPE; texts start with a space that nobody wrote.
    SentencePiece(Box<SentencePiece>),
}

impl Tokenizer {
    /// The vocabulary of a GGUF file.
    pub fn from_gguf(content: &Content, path: &Path) -> Result<Self, TokenizerError> {
        gguf::build(content, path)
    }

    /// A `tokenizer.json`.
    pub fn from_json(path: &Path) -> Result<Self, TokenizerError> {
        let text =
            std::fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })?;
        let malformed = |reason: String| TokenizerError::Malformed { path: path.to_owned(), reason };
        let mut json: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        let read = |json: &serde_json::Value| {
            tokenizers::Tokenizer::from_bytes(json.to_string()).map_err(|e| malformed(e.to_string()))
        };
        let parse = read(&json)?;
        // The special tokens stay in the model's own vocabulary; without this list they are not looked for in text.
        json["added_tokens"] = serde_json::Value::Array(Vec::new());
        let as_text = read(&json)?;
        Ok(Self::byte_level(parse, as_text))
    }

    /// A SentencePiece `tokenizer.model`, in the mode that `tokenizer_config.json` beside it names.
    pub fn from_sentencepiece(path: &Path) -> Result<Self, TokenizerError> {
        SentencePiece::read(path).map(Self::sentencepiece)
    }

    /// The tokenizer in a model's folder: `tokenizer.model`, with which a model was trained, before `tokenizer.json`.
    pub fn from_dir(dir: &Path) -> Result<Self, TokenizerError> {
        let model = dir.join("tokenizer.model");
        if model.exists() {
            Self::from_sentencepiece(&model)
        } else {
            Self::from_json(&dir.join("tokenizer.json"))
        }
    }

    /// The vocabulary as a GGUF file holds it; `None` for one that is not SentencePiece.
    pub(crate) fn gguf_metadata(&self) -> Option<Vec<(String, Value)>> {
        match &self.kind {
            Kind::ByteLevel { .. } => None,
            Kind::SentencePiece(model) => Some(model.gguf_metadata()),
        }
    }

    fn sentencepiece(model: SentencePiece) -> Self {
        let bytes = model.token_bytes();
        Self { kind: Kind::SentencePiece(Box::new(model)), bytes }
    }

    fn byte_level(parse: tokenizers::Tokenizer, as_text: tokenizers::Tokenizer) -> Self {
        let special = parse.get_added_tokens_decoder();
        let size = parse.get_vocab_size(true) as u32;
        let bytes = (0..size)
            .map(|id| match parse.id_to_token(id) {
                Some(_) if special.get(&id).is_some_and(|token| token.special) => Vec::new(),
                Some(token) => gguf::spelled_bytes(&token),
                None => Vec::new(),
            })
            .collect();
        Self { kind: Kind::ByteLevel { parse: Box::new(parse), as_text: Box::new(as_text) }, bytes }
    }

    /// The ids of `text`, without a begin-of-sequence token.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, TokenizerError> {
        match &self.kind {
            Kind::ByteLevel { parse, as_text } => {
                let tokenizer = if specials == Specials::Parse { parse } else { as_text };
                let encoding = tokenizer.encode_fast(text, false);
                let encoding = encoding.map_err(|e| TokenizerError::Encode(e.to_string()))?;
                Ok(encoding.get_ids().to_vec())
            }
            Kind::SentencePiece(model) => Ok(model.encode(text, specials, true)),
        }
    }

    /// The ids of text that follows a special token. SentencePiece in its newer mode puts no space before such text.
    pub fn encode_continued(&self, text: &str, specials: Specials) -> Result<Vec<u32>, TokenizerError> {
        match &self.kind {
            Kind::ByteLevel { .. } => self.encode(text, specials),
            Kind::SentencePiece(model) => Ok(model.encode(text, specials, false)),
        }
    }

    /// The text of `ids`, special tokens left out; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        let bytes =
            if self.starts_with_space() { bytes.strip_prefix(b" ").unwrap_or(&bytes) } else { &bytes };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The bytes that `id` adds to a text; none for a special or unknown token. They may be part of a character.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// The id of the token named `name`, such as `<|im_end|>`.
    pub fn token_id(&self, name: &str) -> Option<u32> {
        match &self.kind {
            Kind::ByteLevel { parse, .. } => parse.token_to_id(name),
            Kind::SentencePiece(model) => model.token_id(name),
        }
    }

    /// The begin-of-sequence token that prompts start with; byte-level vocabularies have none.
    pub fn begin(&self) -> Option<u32> {
        match &self.kind {
            Kind::ByteLevel { .. } => None,
            Kind::SentencePiece(model) => model.begin(),
        }
    }

    /// Whether the first word of a text carries a space that does not belong to the text.
    pub fn starts_with_space(&self) -> bool {
        matches!(self.kind, Kind::SentencePiece(_))
    }

    /// The number of ids.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }
}
