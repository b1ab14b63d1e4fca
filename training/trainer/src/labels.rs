//! Conversations for training: their ids, and which of them the loss is taken on.

use avicuna_models::prompt::{Template, VICUNA_SYSTEM, pieces};
use avicuna_models::tokenizer::{Specials, Tokenizer, TokenizerError};

/// The mark in a user's turn that the audio-visual sequence replaces.
pub const VIDEO: &str = "<video>";

/// One place of a training sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A token of the vocabulary.
    Text(u32),
    /// The whole audio-visual sequence.
    Video,
}

/// A conversation as ids, with the token to be predicted at each place, or `None` where nothing is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervised {
    /// What is read.
    pub tokens: Vec<Token>,
    /// As long as `tokens`; `labels[i]` is the id of `tokens[i]` where the LLM shall learn to write it.
    pub labels: Vec<Option<u32>>,
}

/// How faithful the labels are to the reference's training code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fidelity {
    /// What the reference does: names of special tokens in a text are those tokens; a conversation with an empty answer,
    /// an `</s>` in a text or an unknown character teaches nothing at all; a second `<video>` stands for nothing.
    Reference,
    /// Texts are texts; every answer that is there is learned; a second `<video>` is an error.
    Mended,
}

/// Why a conversation cannot be learned from.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The tokenizer failed, or it has no such special token.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The vocabulary lacks a token of the template.
    #[error("the tokenizer has no token `{0}`, which the template needs; use the template of the LLM")]
    NoToken(String),
    /// The turns do not fit the template.
    #[error("the conversation cannot be learned from: {0}")]
    Turns(&'static str),
}

/// The ids and labels of a conversation: user and assistant take turns, the user first.
pub fn supervise(
    template: Template,
    tokenizer: &Tokenizer,
    turns: &[&str],
    fidelity: Fidelity,
) -> Result<Supervised, LabelError> {
    if turns.is_empty() || !turns.len().is_multiple_of(2) {
        return Err(LabelError::Turns("turns come in pairs, a question and an answer"));
    }
    // `plain` has its own words for the question.
    let (own, read) = if template == Template::Plain { (1, &turns[1..]) } else { (0, turns) };
    let marks = own + read.iter().map(|turn| turn.matches(VIDEO).count()).sum::<usize>();
    if template == Template::Plain && (turns.len() != 2 || !turns[0].contains(VIDEO)) {
        return Err(LabelError::Turns("`plain` takes one question with <video> and one answer"));
    }
    if fidelity == Fidelity::Mended && marks > 1 {
        return Err(LabelError::Turns(
            "it has more than one <video>, but there is one audio-visual sequence",
        ));
    }
    let mut builder = Builder::new(tokenizer, fidelity);
    match template {
        Template::VicunaV1 => {
            builder.begin();
            builder.text(&format!("{VICUNA_SYSTEM} "));
            for pair in turns.chunks_exact(2) {
                builder.text("USER: ");
                builder.turn(pair[0])?;
                builder.text(" ASSISTANT:");
                if !pair[1].is_empty() {
                    builder.answer(&format!(" {}", pair[1]))?;
                    builder.special("</s>", true)?;
                }
            }
        }
        Template::Plain => {
            builder.begin();
            builder.video()?;
            builder.text("\n");
            builder.answer(&format!("{}\n", turns[1]))?;
        }
        Template::ChatMl => {
            for pair in turns.chunks_exact(2) {
                builder.special("<|im_start|>", false)?;
                builder.text("user\n");
                builder.turn(pair[0])?;
                builder.special("<|im_end|>", false)?;
                builder.text("\n");
                builder.special("<|im_start|>", false)?;
                builder.text("assistant\n");
                // When it is asked, the LLM reads the prompt alone: no token reaches from it into the answer.
                builder.flush()?;
                builder.answer(pair[1])?;
                builder.special("<|im_end|>", true)?;
                builder.text("\n");
            }
        }
    }
    builder.flush()?;
    let mended = Supervised { tokens: builder.tokens, labels: builder.labels };
    match fidelity {
        Fidelity::Mended => Ok(mended),
        Fidelity::Reference => reference(template, tokenizer, turns, mended),
    }
}

/// What the reference makes of the same conversation.
fn reference(
    template: Template,
    tokenizer: &Tokenizer,
    turns: &[&str],
    mended: Supervised,
) -> Result<Supervised, LabelError> {
    let conversation = match template {
        Template::VicunaV1 => template.render(turns),
        Template::Plain => format!("{VIDEO}\n{}\n", turns[1]),
        Template::ChatMl => return Ok(mended),
    };
    let mut tokens = Vec::new();
    for (index, piece) in pieces(tokenizer, &conversation)?.into_iter().enumerate() {
        if index > 0 {
            tokens.push(Token::Video);
        }
        tokens.extend(piece.into_iter().map(Token::Text));
    }
    if template == Template::Plain {
        // The question counts as it would alone, whatever the answer's first characters make of its end.
        let question: usize = pieces(tokenizer, &format!("{VIDEO}\n"))?.iter().map(Vec::len).sum();
        let label = |(index, token): (usize, &Token)| match token {
            Token::Text(id) if index > question => Some(*id),
            _ => None,
        };
        let labels = tokens.iter().enumerate().map(label).collect();
        return Ok(Supervised { tokens, labels });
    }
    // It counts tokens in two ways, and learns nothing where they disagree. The padding is the unknown token.
    let unknown = tokenizer.token_id("<unk>").map(Token::Text);
    let disagrees = turns.iter().any(|turn| turn.contains("</s>"))
        || turns.iter().skip(1).step_by(2).any(|answer| answer.is_empty())
        || unknown.is_some_and(|unknown| tokens.contains(&unknown));
    let labels = if disagrees || tokens != mended.tokens { vec![None; tokens.len()] } else { mended.labels };
    Ok(Supervised { tokens, labels })
}

/// Puts a sequence together. Text between two special tokens is encoded in one piece, as it is when it is not cut into turns.
struct Builder<'t> {
    tokenizer: &'t Tokenizer,
    /// Whether names of special tokens in texts are those tokens.
    specials: Specials,
    tokens: Vec<Token>,
    labels: Vec<Option<u32>>,
    /// Not encoded yet.
    open: String,
    /// From this byte of `open` on it is learned.
    learned: Option<usize>,
    /// Whether `open` follows a special token and so gets no space before it.
    continued: bool,
}

impl<'t> Builder<'t> {
    fn new(tokenizer: &'t Tokenizer, fidelity: Fidelity) -> Self {
        let specials = match fidelity {
            Fidelity::Reference => Specials::Parse,
            Fidelity::Mended => Specials::AsText,
        };
        let (tokens, labels, open) = (Vec::new(), Vec::new(), String::new());
        Self { tokenizer, specials, tokens, labels, open, learned: None, continued: false }
    }

    fn begin(&mut self) {
        self.tokens.extend(self.tokenizer.begin().map(Token::Text));
        self.labels.resize(self.tokens.len(), None);
    }

    fn text(&mut self, text: &str) {
        self.open += text;
    }

    /// A user's turn, `<video>` in it standing for the audio-visual sequence.
    fn turn(&mut self, turn: &str) -> Result<(), LabelError> {
        for (index, part) in turn.split(VIDEO).enumerate() {
            if index > 0 {
                self.video()?;
            }
            self.text(part);
        }
        Ok(())
    }

    fn answer(&mut self, answer: &str) -> Result<(), LabelError> {
        self.learned = Some(self.open.len());
        self.turn(answer)?;
        Ok(())
    }

    fn video(&mut self) -> Result<(), LabelError> {
        self.flush()?;
        self.tokens.push(Token::Video);
        self.labels.push(None);
        self.continued = false;
        Ok(())
    }

    fn special(&mut self, name: &str, learned: bool) -> Result<(), LabelError> {
        self.flush()?;
        let id = self.tokenizer.token_id(name).ok_or_else(|| LabelError::NoToken(name.to_owned()))?;
        self.tokens.push(Token::Text(id));
        self.labels.push(learned.then_some(id));
        self.continued = true;
        Ok(())
    }

    /// Encodes what is open.
    fn flush(&mut self) -> Result<(), LabelError> {
        let encode = |text: &str| match self.continued {
            true => self.tokenizer.encode_continued(text, self.specials),
            false => self.tokenizer.encode(text, self.specials),
        };
        let ids = encode(&self.open)?;
        let start = match self.learned {
            Some(at) => encode(&self.open[..at])?.len(),
            None => ids.len(),
        };
        for (index, id) in ids.into_iter().enumerate() {
            self.tokens.push(Token::Text(id));
            self.labels.push((index >= start).then_some(id));
        }
        self.learned = None;
        self.open.clear();
        Ok(())
    }
}
