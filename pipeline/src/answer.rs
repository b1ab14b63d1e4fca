//! From the LLM's words to localizations: what was said to happen, and in which slots of the window. `docs/events.md`
//! states the grammar. Pure, and strict: what does not follow the grammar is kept as it was said, never guessed.

mod both;
mod cursor;
mod evidence;
mod reader;
mod score;
mod sentence;
#[cfg(test)]
mod tests;

use avicuna_models::answer::{Answer, Finish};
use avicuna_models::localizer::Question;
use avicuna_models::manifest::PromptSpec;
use avicuna_models::slots::Slot;

pub use self::reader::{Reader, Voices};
use crate::stream::Modality;

/// What the LLM was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// What happens, and when? The answer names the events.
    Detect,
    /// When does this happen? The answer names times only.
    Ground {
        /// The event of the question.
        label: String,
    },
}

/// One question about every window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// What it is about.
    pub asked: Asked,
    /// As the model reads it.
    pub text: String,
}

impl Asking {
    /// The questions of a stream in the words of a model; `None` when it cannot be asked what happens, and should be.
    pub fn all(prompt: &PromptSpec, detect: bool, queries: &[String]) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        if detect {
            all.push(Self { asked: Asked::Detect, text: prompt.detect.clone()? });
        }
        all.extend(queries.iter().map(|event| Self {
            asked: Asked::Ground { label: event.clone() },
            text: prompt.ground_question(event),
        }));
        Some(all)
    }

    /// A question in free words. A model that only localizes is asked what happens, where the question is that, and else
    /// when it happens; any other reads the question as it is.
    pub fn free(prompt: &PromptSpec, question: &str, only_localizes: bool) -> Self {
        let question = question.trim();
        if let Some(detect) = prompt.detect.as_ref().filter(|_| asks_what_happens(question)) {
            return Self { asked: Asked::Detect, text: detect.clone() };
        }
        let text = if only_localizes { prompt.ground_question(question) } else { question.to_owned() };
        Self { asked: Asked::Ground { label: question.to_owned() }, text }
    }
}

/// A question as it is put, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// What is asked.
    pub asked: Asked,
    /// As the LLM reads it: in the vocabulary's words where the query means one of its phrases.
    pub text: String,
    /// The phrases of the vocabulary that a query means, the nearest first.
    pub meant: Vec<usize>,
    /// Who or what a query is about, where `meant` is not surely what it asks for.
    pub subject: Option<usize>,
}

impl Inquiry {
    /// What the LLM is given, with the longest answer in tokens.
    pub fn question(&self, max_new_tokens: usize) -> Question {
        Question { text: self.text.clone(), max_new_tokens }
    }
}

/// Does a question name nothing, and want to know everything?
fn asks_what_happens(question: &str) -> bool {
    const NAMES_NOTHING: [&str; 40] = [
        "a",
        "all",
        "and",
        "at",
        "can",
        "clip",
        "describe",
        "did",
        "do",
        "does",
        "everything",
        "film",
        "going",
        "happen",
        "happened",
        "happening",
        "happens",
        "hear",
        "heard",
        "i",
        "in",
        "is",
        "it",
        "list",
        "me",
        "on",
        "or",
        "please",
        "see",
        "seen",
        "show",
        "stream",
        "tell",
        "the",
        "there",
        "this",
        "video",
        "what",
        "when",
        "you",
    ];
    let words = || question.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words().count() == 0
        || (words().all(|word| NAMES_NOTHING.contains(&word.to_lowercase().as_str()))
            && words().any(|word| {
                ["what", "describe", "list", "everything", "all"].contains(&word.to_lowercase().as_str())
            }))
}

/// The words a model has for "nothing", from its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrases {
    /// The answer to [`Asked::Detect`] when there is no event.
    pub nothing: String,
    /// The answer to [`Asked::Ground`] when the event is not there.
    pub absent: String,
}

impl Phrases {
    /// The words of a model.
    pub fn of(prompt: &PromptSpec) -> Self {
        Self { nothing: prompt.nothing.clone(), absent: prompt.absent.clone() }
    }
}

/// One event in one window, as the LLM said it.
#[derive(Debug, Clone, PartialEq)]
pub struct Localization {
    /// What happens: the question's words for [`Asked::Ground`], else the answer's, with single spaces.
    pub label: String,
    /// The sentence of the answer it was read from.
    pub text: String,
    /// The slot it starts in.
    pub start: Slot,
    /// The slot it ends in; not before `start`.
    pub end: Slot,
    /// 0..=1, how probable the LLM found it. For [`Asked::Detect`] the geometric mean over the tokens that spell label and
    /// times; for [`Asked::Ground`] the token with which the answer decides that it happens, or happens once more.
    pub score: f64,
    /// Whether it answers [`Asked::Ground`]: such scores have a least one of their own.
    pub queried: bool,
    /// What the answer says of the evidence; `None` when it says nothing.
    pub modality: Option<Modality>,
}

/// Everything one answer says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// In the order of the answer.
    pub localizations: Vec<Localization>,
    /// The answer says that there is nothing. Never together with localizations.
    pub absent: bool,
    /// The parts that follow no rule, word by word; an empty answer is one empty part. Together at most
    /// [`MAX_UNPARSED`] bytes; where one was cut for that, it ends in `…`.
    pub unparsed: Vec<String>,
}

/// How many bytes of [`Reading::unparsed`] are kept.
pub const MAX_UNPARSED: usize = 4096;

/// Reads `answer`, which the LLM gave to `asked`.
///
/// An answer that [`Finish::Length`] cut ends at its last whole sentence; the rest is unparsed.
pub fn read(asked: &Asked, answer: &Answer, phrases: &Phrases) -> Reading {
    let phrase = match asked {
        Asked::Detect => &phrases.nothing,
        Asked::Ground { .. } => &phrases.absent,
    };
    let text = answer.text.as_str();
    if says(text, phrase) {
        return Reading { absent: true, ..Reading::default() };
    }
    let mut parts = Parts::default();
    for piece in sentence::split(text) {
        let words = &text[piece.range.clone()];
        if answer.finish == Finish::Length && !piece.closed {
            parts.leave(words);
        } else if says(words, phrase) {
            parts.absent.push(words);
        } else {
            parts.read(&piece, asked, answer);
        }
    }
    parts.into_reading(text)
}

/// Two labels with the same key mean the same event: case, spaces, a leading article and a closing dot do not matter.
pub fn label_key(label: &str) -> String {
    let lower = label.to_lowercase();
    let words: Vec<&str> = lower.trim_end_matches(['.', '!', '?']).split_whitespace().collect();
    let bare = match words.split_first() {
        Some((&("a" | "an" | "the"), rest)) if !rest.is_empty() => rest,
        _ => &words[..],
    };
    bare.join(" ")
}

/// Whether `text` is `phrase`, whatever the case, the spaces and the closing dot.
fn says(text: &str, phrase: &str) -> bool {
    let normal = |text: &str| {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        words.join(" ").trim_end_matches(['.', '!', '?', ' ']).to_owned()
    };
    let phrase = normal(phrase);
    !phrase.is_empty() && normal(text) == phrase
}

/// A reading in the making.
#[derive(Default)]
struct Parts<'a> {
    localizations: Vec<Localization>,
    absent: Vec<&'a str>,
    unparsed: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn leave(&mut self, words: &'a str) {
        self.unparsed.push(words);
    }

    fn read(&mut self, piece: &sentence::Piece, asked: &Asked, answer: &'a Answer) {
        let words = &answer.text[piece.range.clone()];
        let Some(sentence) = sentence::parse(asked, &answer.text, piece) else { return self.leave(words) };
        let label = match (asked, &sentence.label) {
            (Asked::Ground { label }, _) => label.clone(),
            (Asked::Detect, Some(range)) => single_spaced(&answer.text[range.clone()]),
            (Asked::Detect, None) => return self.leave(words),
        };
        // Where the answer could still have said that there is nothing, or nothing more.
        let mut decision = piece.range.start;
        for segment in sentence.segments {
            let decided = std::mem::replace(&mut decision, segment.range.end);
            if segment.end < segment.start {
                self.leave(&answer.text[segment.range]);
                continue;
            }
            let score = match asked {
                Asked::Ground { .. } => score::of(&answer.tokens, std::iter::once(&(decided..decided + 1))),
                Asked::Detect => score::of(&answer.tokens, segment.digits.iter().chain(&sentence.label)),
            };
            self.localizations.push(Localization {
                label: label.clone(),
                text: words.to_owned(),
                start: segment.start,
                end: segment.end,
                score,
                queried: matches!(asked, Asked::Ground { .. }),
                modality: segment.modality,
            });
        }
    }

    /// An answer that says "nothing" and then something contradicts itself: what it localized stands, the rest is kept.
    fn into_reading(mut self, text: &'a str) -> Reading {
        let absent = !self.absent.is_empty() && self.localizations.is_empty();
        if !absent {
            self.unparsed.append(&mut self.absent);
        }
        if text.trim().is_empty() {
            self.unparsed.push(text);
        }
        Reading { localizations: self.localizations, absent, unparsed: bounded(&self.unparsed) }
    }
}

fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn bounded(parts: &[&str]) -> Vec<String> {
    let mut room = MAX_UNPARSED;
    let mut kept = Vec::new();
    for part in parts {
        if part.len() <= room {
            room -= part.len();
            kept.push((*part).to_owned());
            continue;
        }
        let mark = '…';
        let cut = part.floor_char_boundary(room.saturating_sub(mark.len_utf8()));
        kept.push(format!("{}{mark}", &part[..cut]));
        break;
    }
    kept
}
