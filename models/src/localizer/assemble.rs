//! One window's prefix: prompt head, then the audio-visual sequence in the interleaver's order.

use std::collections::HashMap;

use candle_core::Tensor;

use super::{LocalizerError, WindowInput};
use crate::adapter::Adapter;
use crate::encoder::Rows;
use crate::interleave::{Interleaver, Item};
use crate::llm::Llm;
use crate::sample::Embedding;
use crate::tokenizer::Specials;

/// Makes prefixes.
pub(super) struct PromptAssembler {
    interleaver: Interleaver,
    visual: Option<Adapter>,
    audio: Option<Adapter>,
    /// `[head + stamps, hidden]`: the prompt's head, then all texts of a full sequence.
    words: Tensor,
    /// Rows of `words` that are the head.
    head: u32,
    /// Which rows of `words` each text is.
    texts: HashMap<String, std::ops::Range<u32>>,
}

impl PromptAssembler {
    pub(super) fn new(
        interleaver: Interleaver,
        visual: Option<Adapter>,
        audio: Option<Adapter>,
        head: &[u32],
        llm: &Llm,
    ) -> Result<Self, LocalizerError> {
        let mut ids = head.to_vec();
        let mut texts = HashMap::new();
        for item in interleaver.full() {
            let Item::Text(text) = item else { continue };
            if !texts.contains_key(text) {
                let start = ids.len() as u32;
                ids.extend(llm.tokenizer().encode(text, Specials::AsText)?);
                texts.insert(text.clone(), start..ids.len() as u32);
            }
        }
        let words = llm.embed(&ids)?;
        Ok(Self { interleaver, visual, audio, words, head: head.len() as u32, texts })
    }

    /// Rows of the prefix of a window in which nothing is missing.
    pub(super) fn longest(&self) -> usize {
        let rows = self.interleaver.full().iter().map(|item| match item {
            Item::Text(text) => self.texts.get(text).map_or(0, |rows| rows.len()),
            Item::Visual(_) | Item::Audio(_) => 1,
        });
        self.head as usize + rows.sum::<usize>()
    }

    /// Whether `window` has the model's slots and something in them.
    pub(super) fn check(&self, window: &WindowInput) -> Result<(), LocalizerError> {
        let visual: Vec<bool> = window.visual.iter().map(Option::is_some).collect();
        let audio: Vec<bool> = window.audio.iter().map(Option::is_some).collect();
        self.interleaver.sequence(&visual, &audio)?;
        if visual.iter().chain(&audio).any(|present| *present) {
            return Ok(());
        }
        Err(LocalizerError::Window("it holds neither a picture nor a sound".into()))
    }

    /// `[length, hidden]` of a window that passed [`Self::check`], from its embeddings.
    pub(super) fn prefix(&self, rows: &Rows) -> Result<Tensor, LocalizerError> {
        let (visual, audio) = (Tokens::of(&rows.visual), Tokens::of(&rows.audio));
        let items = self.interleaver.sequence(&visual.present, &audio.present)?;
        // All rows that occur, one below the other, are put in their order by one lookup.
        let mut table = vec![self.words.clone()];
        let mut offset = self.words.dim(0)? as u32;
        let mut place = |adapter: &Option<Adapter>, tokens: &Tokens<'_>| -> Result<u32, LocalizerError> {
            let start = offset;
            if let (Some(adapter), false) = (adapter, tokens.embeddings.is_empty()) {
                table.push(adapter.project(&tokens.embeddings)?);
                offset += tokens.embeddings.len() as u32;
            }
            Ok(start)
        };
        let visual_start = place(&self.visual, &visual)?;
        let audio_start = place(&self.audio, &audio)?;
        let mut order: Vec<u32> = (0..self.head).collect();
        for item in items {
            match item {
                Item::Visual(slot) => order.push(visual_start + visual.rank[slot]),
                Item::Audio(slot) => order.push(audio_start + audio.rank[slot]),
                Item::Text(text) => match self.texts.get(&text) {
                    Some(rows) => order.extend(rows.clone()),
                    None => return Err(LocalizerError::Window(format!("its stamp {text:?} is unknown"))),
                },
            }
        }
        let table = Tensor::cat(&table, 0)?;
        Ok(table.index_select(&Tensor::new(order, table.device())?, 0)?)
    }
}

/// The embeddings of one modality of a window.
struct Tokens<'a> {
    present: Vec<bool>,
    embeddings: Vec<&'a Embedding>,
    /// For each slot: how many slots before it are filled.
    rank: Vec<u32>,
}

impl<'a> Tokens<'a> {
    fn of(slots: &'a [Option<Embedding>]) -> Self {
        let mut tokens = Self { present: Vec::new(), embeddings: Vec::new(), rank: Vec::new() };
        for row in slots {
            tokens.rank.push(tokens.embeddings.len() as u32);
            tokens.present.push(row.is_some());
            tokens.embeddings.extend(row);
        }
        tokens
    }
}
