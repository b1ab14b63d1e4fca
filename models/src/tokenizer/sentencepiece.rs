//! SentencePiece BPE as LLaMA and Vicuna use it: `tokenizer.model`, or the same vocabulary inside a GGUF file.
//!
//! Reproduces the slow `LlamaTokenizer` of transformers, with which AVicuna was trained, in both of its modes.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value as Gguf;

use super::{Specials, TokenizerError};

/// Our own key in GGUF files, which otherwise do not say in which mode the vocabulary was used.
pub(super) const LEGACY: &str = "avicuna.tokenizer.legacy";

/// SentencePiece's visible space.
const SPACE: char = '\u{2581}';
const SPACE_TEXT: &str = "\u{2581}";

/// What a piece is, by SentencePiece's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    fn new(number: u64) -> Option<Self> {
        [Self::Normal, Self::Unknown, Self::Control, Self::UserDefined, Self::Unused, Self::Byte]
            .get(usize::try_from(number).ok()?.checked_sub(1)?)
            .copied()
    }
}

/// One entry of the vocabulary.
struct Piece {
    text: String,
    score: f32,
    kind: Kind,
}

/// A SentencePiece BPE vocabulary.
pub(super) struct SentencePiece {
    pieces: Vec<Piece>,
    ids: HashMap<String, u32>,
    /// The id of each byte's piece, for characters that the vocabulary does not have.
    bytes: [Option<u32>; 256],
    unknown: u32,
    begin: Option<u32>,
    /// Whether text after a special token gets a leading space, as transformers did before it was mended.
    legacy: bool,
}

impl SentencePiece {
    /// Reads `tokenizer.model`, and `tokenizer_config.json` beside it for the mode.
    pub(super) fn read(path: &Path) -> Result<Self, TokenizerError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })
        };
        let malformed = |reason: String| TokenizerError::Malformed { path: path.to_owned(), reason };
        let config = path.with_file_name("tokenizer_config.json");
        let legacy = if config.exists() {
            let json: serde_json::Value = serde_json::from_slice(&read(&config)?)
                .map_err(|e| TokenizerError::Malformed { path: config.clone(), reason: e.to_string() })?;
            json.get("legacy").and_then(serde_json::Value::as_bool).unwrap_or(true)
        } else {
            true
        };
        Self::parse(&read(path)?, legacy).map_err(malformed)
    }

    /// Parses the protocol buffer of a `tokenizer.model`.
    fn parse(model: &[u8], legacy: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut fields = Fields(model);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => pieces.push(piece(bytes)?),
                (2, Value::Bytes(trainer)) => {
                    let kind = last_number(trainer, 3)?;
                    if kind != Some(2) {
                        return Err(format!("its model type is {kind:?}, only BPE (2) is known"));
                    }
                }
                (3, Value::Bytes(normaliser)) => {
                    if last_number(normaliser, 4)?.unwrap_or(1) != 0 {
                        return Err("it removes extra spaces, which is not supported".into());
                    }
                    if last_number(normaliser, 3)?.unwrap_or(1) != 1 {
                        return Err("it adds no leading space, which is not supported".into());
                    }
                }
                _ => {}
            }
        }
        Self::new(pieces, legacy)
    }

    /// The vocabulary of a GGUF file: texts, scores and kinds side by side.
    pub(super) fn from_lists(
        texts: Vec<String>,
        scores: &[f32],
        kinds: &[u64],
        legacy: bool,
    ) -> Result<Self, String> {
        if texts.len() != scores.len() || texts.len() != kinds.len() {
            return Err("tokens, scores and types differ in number".into());
        }
        let piece = |((text, score), kind): ((String, &f32), &u64)| {
            let kind = Kind::new(*kind).ok_or_else(|| format!("`{text}` is of the unknown kind {kind}"))?;
            Ok(Piece { text, score: *score, kind })
        };
        let pieces = texts.into_iter().zip(scores).zip(kinds).map(piece).collect::<Result<_, String>>()?;
        Self::new(pieces, legacy)
    }

    fn new(pieces: Vec<Piece>, legacy: bool) -> Result<Self, String> {
        let mut bytes = [None; 256];
        let mut ids = HashMap::with_capacity(pieces.len());
        for (id, piece) in (0u32..).zip(&pieces) {
            if let Some(byte) = byte_of(piece) {
                bytes[usize::from(byte)] = Some(id);
            }
            ids.insert(piece.text.clone(), id);
        }
        let unknown = pieces.iter().position(|p| p.kind == Kind::Unknown).ok_or("it has no unknown piece")?;
        let begin = ids.get("<s>").copied();
        Ok(Self { unknown: unknown as u32, begin, pieces, ids, bytes, legacy })
    }

    pub(super) fn begin(&self) -> Option<u32> {
        self.begin
    }

    pub(super) fn token_id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// The vocabulary as a GGUF file holds it.
    pub(super) fn gguf_metadata(&self) -> Vec<(String, Gguf)> {
        let list = |values: Vec<Gguf>| Gguf::Array(values);
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let mut metadata = vec![
            (key("model"), Gguf::String("llama".into())),
            (key("tokens"), list(self.pieces.iter().map(|p| Gguf::String(p.text.clone())).collect())),
            (key("scores"), list(self.pieces.iter().map(|p| Gguf::F32(p.score)).collect())),
            (key("token_type"), list(self.pieces.iter().map(|p| Gguf::I32(p.kind as i32 + 1)).collect())),
            (key("unknown_token_id"), Gguf::U32(self.unknown)),
            (key("add_space_prefix"), Gguf::Bool(true)),
            (LEGACY.to_owned(), Gguf::Bool(self.legacy)),
        ];
        if let Some(begin) = self.begin {
            metadata.push((key("bos_token_id"), Gguf::U32(begin)));
            metadata.push((key("add_bos_token"), Gguf::Bool(true)));
        }
        metadata
    }

    /// The bytes that each id stands for.
    pub(super) fn token_bytes(&self) -> Vec<Vec<u8>> {
        let bytes = |piece: &Piece| match piece.kind {
            Kind::Control | Kind::Unknown | Kind::Unused => Vec::new(),
            Kind::Byte => byte_of(piece).map_or_else(Vec::new, |byte| vec![byte]),
            Kind::Normal | Kind::UserDefined => piece.text.replace(SPACE, " ").into_bytes(),
        };
        self.pieces.iter().map(bytes).collect()
    }

    /// The ids of `text`; `first` says that no special token stands before it.
    pub(super) fn encode(&self, text: &str, specials: Specials, first: bool) -> Vec<u32> {
        let visible = if self.legacy { text.to_owned() } else { text.replace(SPACE, " ") };
        let mut ids = Vec::new();
        let mut rest = visible.as_str();
        let mut first = first;
        loop {
            let next = if specials == Specials::Parse { self.next_special(rest) } else { None };
            let (plain, special) = match next {
                Some((at, id, length)) => (&rest[..at], Some((id, at + length))),
                None => (rest, None),
            };
            if !plain.is_empty() {
                self.encode_plain(plain, self.legacy || first, &mut ids);
            }
            first = false;
            match special {
                Some((id, end)) => {
                    ids.push(id);
                    rest = &rest[end..];
                }
                None => return ids,
            }
        }
    }

    /// The first special token in `text`: its place, id and length.
    fn next_special(&self, text: &str) -> Option<(usize, u32, usize)> {
        let special = |piece: &&Piece| {
            !piece.text.is_empty() && matches!(piece.kind, Kind::Control | Kind::Unknown | Kind::UserDefined)
        };
        let found = self.pieces.iter().filter(special).filter_map(|piece| {
            Some((text.find(&piece.text)?, *self.ids.get(&piece.text)?, piece.text.len()))
        });
        found.min_by_key(|(at, _, length)| (*at, usize::MAX - length))
    }

    /// Encodes text without special tokens. SentencePiece puts a space before it; when that is not wanted, it is taken
    /// off the first piece again, without cutting the text anew: what then is no piece becomes the unknown one.
    fn encode_plain(&self, text: &str, keep_space: bool, ids: &mut Vec<u32>) {
        let prefixed: String =
            std::iter::once(SPACE).chain(text.chars().map(|c| if c == ' ' { SPACE } else { c })).collect();
        let pieces = self.merge(&prefixed);
        let mut pieces = pieces.as_slice();
        if !keep_space
            && !text.starts_with(' ')
            && let Some((first, others)) = pieces.split_first()
            && let Some(bare) = first.strip_prefix(SPACE_TEXT)
        {
            pieces = others;
            if !bare.is_empty() {
                ids.push(self.ids.get(bare).copied().unwrap_or(self.unknown));
            }
        }
        for piece in pieces {
            match self.ids.get(*piece).filter(|id| self.is_text(**id)) {
                Some(id) => ids.push(*id),
                None => ids
                    .extend(piece.bytes().map(|byte| self.bytes[usize::from(byte)].unwrap_or(self.unknown))),
            }
        }
    }

    fn is_text(&self, id: u32) -> bool {
        matches!(self.pieces[id as usize].kind, Kind::Normal | Kind::UserDefined)
    }

    /// Joins neighbours into the piece with the best score, the leftmost among equals, until nothing can be joined.
    fn merge<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        starts.push(text.len());
        loop {
            let mut best: Option<(f32, usize)> = None;
            for index in 0..starts.len().saturating_sub(2) {
                let joined = &text[starts[index]..starts[index + 2]];
                let Some(&id) = self.ids.get(joined).filter(|id| self.is_text(**id)) else { continue };
                let score = self.pieces[id as usize].score;
                if best.is_none_or(|(top, _)| score > top) {
                    best = Some((score, index));
                }
            }
            match best {
                Some((_, index)) => drop(starts.remove(index + 1)),
                None => return starts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect(),
            }
        }
    }
}

fn byte_of(piece: &Piece) -> Option<u8> {
    let hex = piece.text.strip_prefix("<0x")?.strip_suffix('>')?;
    if piece.kind == Kind::Byte { u8::from_str_radix(hex, 16).ok() } else { None }
}

fn piece(bytes: &[u8]) -> Result<Piece, String> {
    let (mut text, mut score, mut kind) = (String::new(), 0.0, Kind::Normal);
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => {
                text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?.to_owned();
            }
            (2, Value::Fixed32(bits)) => score = f32::from_bits(bits),
            (3, Value::Number(number)) => {
                kind = Kind::new(number).ok_or_else(|| format!("a piece is of the unknown kind {number}"))?;
            }
            _ => {}
        }
    }
    Ok(Piece { text, score, kind })
}

/// The last value of the number field `wanted` in a message.
fn last_number(message: &[u8], wanted: u64) -> Result<Option<u64>, String> {
    let mut found = None;
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        if let (true, Value::Number(value)) = (number == wanted, value) {
            found = Some(value);
        }
    }
    Ok(found)
}

/// The fields of a protocol buffer message, front to back.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|e| e.to_string())?)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Fixed32(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            wire => return Err(format!("it is no protocol buffer (wire type {wire})")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is too long".into())
    }
}
