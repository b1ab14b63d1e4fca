//! Conversation templates: the ids before and after a window's audio-visual sequence.

use crate::answer::{Answer, AnswerToken};
use crate::llm::Generated;
use crate::tokenizer::{Specials, Tokenizer, TokenizerError};

/// The words around the audio-visual sequence and the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Template {
    /// `{system} USER: <video>\n {question} ASSISTANT:`, what AVicuna-7B was trained with.
    #[serde(rename = "vicuna-v1")]
    VicunaV1,
    /// `<video>\n`, what the adapters were trained with; a question is a line of its own.
    #[serde(rename = "plain")]
    Plain,
    /// `<|im_start|>user\n<video>\n{question}<|im_end|>\n<|im_start|>assistant\n`, no system turn.
    #[serde(rename = "chatml")]
    ChatMl,
}

/// The system sentence of Vicuna v1.
pub const VICUNA_SYSTEM: &str = "A chat between a curious user and an artificial intelligence assistant. The assistant gives \
helpful, detailed, and polite answers to the user's questions.";

impl Template {
    /// The ids before the audio-visual sequence.
    pub fn head(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, TokenizerError> {
        match self {
            Self::VicunaV1 => {
                let text = format!("{VICUNA_SYSTEM} USER: ");
                Ok(with_begin(tokenizer, tokenizer.encode(&text, Specials::AsText)?))
            }
            Self::Plain => Ok(with_begin(tokenizer, Vec::new())),
            Self::ChatMl => tokenizer.encode("<|im_start|>user\n", Specials::Parse),
        }
    }

    /// The ids after the audio-visual sequence, up to where the answer starts.
    ///
    /// The question is plain text: names of special tokens in it stay text.
    pub fn tail(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<u32>, TokenizerError> {
        match self {
            Self::VicunaV1 => tokenizer.encode(&format!("\n {question} ASSISTANT:"), Specials::AsText),
            Self::Plain if question.is_empty() => tokenizer.encode("\n", Specials::AsText),
            Self::Plain => tokenizer.encode(&format!("\n {question}\n"), Specials::AsText),
            Self::ChatMl => {
                let mut ids = tokenizer.encode(&format!("\n{question}"), Specials::AsText)?;
                ids.extend(tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n", Specials::Parse)?);
                Ok(ids)
            }
        }
    }

    /// A conversation as text, `<video>` standing for the audio-visual sequence: user and assistant take turns, and an
    /// empty last turn is the one to be generated.
    pub fn render(&self, turns: &[&str]) -> String {
        let mut text = match self {
            Self::VicunaV1 => format!("{VICUNA_SYSTEM} "),
            Self::Plain | Self::ChatMl => String::new(),
        };
        for (index, turn) in turns.iter().enumerate() {
            let user = index.is_multiple_of(2);
            match self {
                Self::VicunaV1 => {
                    text += if user { "USER:" } else { "ASSISTANT:" };
                    if !turn.is_empty() {
                        text += &format!(" {turn}{}", if user { " " } else { "</s>" });
                    }
                }
                // The reference fails on an answer here; its training writes this line end after one.
                Self::Plain if turn.is_empty() => {}
                Self::Plain => text += &format!("{turn}\n"),
                Self::ChatMl => {
                    text += &format!("<|im_start|>{}\n", if user { "user" } else { "assistant" });
                    if !turn.is_empty() {
                        text += &format!("{turn}<|im_end|>\n");
                    }
                }
            }
        }
        text
    }

    /// The token that ends an answer, by its name.
    pub fn stop(&self) -> &'static str {
        match self {
            Self::VicunaV1 | Self::Plain => "</s>",
            Self::ChatMl => "<|im_end|>",
        }
    }
}

/// The ids of a rendered conversation, cut at every `<video>`: one piece more than there are such marks.
///
/// Special tokens are read as such, so this is for conversations of one's own, not for what users typed.
pub fn pieces(tokenizer: &Tokenizer, conversation: &str) -> Result<Vec<Vec<u32>>, TokenizerError> {
    let encoded = conversation.split("<video>").map(|text| tokenizer.encode(text, Specials::Parse));
    let mut pieces = encoded.collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = pieces.first_mut() {
        *first = with_begin(tokenizer, std::mem::take(first));
    }
    Ok(pieces)
}

/// Puts the tokenizer's begin-of-sequence token, if it has one, before `ids`.
fn with_begin(tokenizer: &Tokenizer, ids: Vec<u32>) -> Vec<u32> {
    tokenizer.begin().into_iter().chain(ids).collect()
}

/// The text of what was generated, and which of its bytes each token stands for.
pub fn answer(tokenizer: &Tokenizer, generated: &Generated) -> Answer {
    let mut bytes: Vec<u8> = Vec::new();
    let mut text = String::new();
    let mut tokens = Vec::with_capacity(generated.ids.len());
    for (&id, &logprob) in generated.ids.iter().zip(&generated.logprobs) {
        let start = text.len();
        let mut spelled = tokenizer.token_bytes(id);
        if tokens.is_empty() && tokenizer.starts_with_space() {
            spelled = spelled.strip_prefix(b" ").unwrap_or(spelled);
        }
        bytes.extend_from_slice(spelled);
        take_complete(&mut bytes, &mut text);
        tokens.push(AnswerToken { id, logprob, bytes: start..text.len() });
    }
    if !bytes.is_empty() {
        // The answer was cut inside a character.
        let start = text.len();
        text.push(char::REPLACEMENT_CHARACTER);
        if let Some(last) = tokens.last_mut() {
            last.bytes = last.bytes.start.min(start)..text.len();
        }
    }
    Answer { text, tokens, finish: generated.finish }
}

/// Moves all complete characters of `bytes` to `text`; what can never become one turns into U+FFFD.
fn take_complete(bytes: &mut Vec<u8>, text: &mut String) {
    loop {
        match std::str::from_utf8(bytes) {
            Ok(valid) => {
                text.push_str(valid);
                bytes.clear();
                return;
            }
            Err(error) => {
                let valid = error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&bytes[..valid]));
                let bad = error.error_len().unwrap_or(0);
                bytes.drain(..valid + bad);
                if bad == 0 {
                    return;
                }
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::take_complete;

    #[test]
    fn characters_wait_until_they_are_complete() {
        let (mut bytes, mut text) = ("aé".as_bytes()[..2].to_vec(), String::new());
        take_complete(&mut bytes, &mut text);
        assert_eq!((text.as_str(), bytes.len()), ("a", 1));
        bytes.extend([0xa9, 0xff, b'b']);
        take_complete(&mut bytes, &mut text);
        assert_eq!((text.as_str(), bytes.len()), ("aé\u{fffd}b", 0));
    }
}
