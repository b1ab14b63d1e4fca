//! Sentences of an answer, and the grammar of one.

use std::ops::Range;

use avicuna_models::slots::Slot;

use super::cursor::Cursor;
use super::{Asked, label_key};
use crate::stream::Modality;

/// A stretch of an answer that is read as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Without the white space around it.
    pub range: Range<usize>,
    /// Without the closing signs either.
    pub body: Range<usize>,
    /// Something closes it: a sign, or the start of the next sentence.
    pub closed: bool,
}

/// One sentence that follows the grammar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sentence {
    /// At least one.
    pub segments: Vec<Segment>,
    /// Where the label stands in the answer, if it is named.
    pub label: Option<Range<usize>>,
}

/// One interval.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    /// As said; may be after `end`.
    pub start: Slot,
    /// As said.
    pub end: Slot,
    /// As said.
    pub modality: Option<Modality>,
    /// Where the two times stand in the answer.
    pub digits: [Range<usize>; 2],
    /// Where the segment stands in the answer.
    pub range: Range<usize>,
}

/// Short forms whose dot closes no sentence.
const SHORT: [&str; 5] = ["mr", "mrs", "ms", "dr", "vs"];

/// Cuts an answer into sentences. Together they hold everything but white space.
///
/// A sentence ends with `.`, `!` or `?` before white space, before a new `from 12` or at the end, and with a line break
/// before a new `from 12`.
pub(super) fn split(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        let after = at + sign.len_utf8();
        let closed = match sign {
            '.' | '!' | '?' => {
                let next = signs.peek().map(|(_, next)| *next);
                let ends =
                    next.is_none_or(char::is_whitespace) && !(sign == '.' && is_short(&text[start..at]));
                ends || opens(text[after..].trim_start())
            }
            '\n' => opens(text[after..].trim_start()) && !goes_on(&text[start..at]),
            _ => false,
        };
        if closed {
            pieces.extend(piece(text, start..after, true));
            start = after;
        }
    }
    pieces.extend(piece(text, start..text.len(), false));
    pieces
}

fn piece(text: &str, range: Range<usize>, closed: bool) -> Option<Piece> {
    let words = &text[range.clone()];
    let start = range.start + (words.len() - words.trim_start().len());
    let words = words.trim();
    let body = words.trim_end_matches(|sign: char| matches!(sign, '.' | '!' | '?') || sign.is_whitespace());
    (!words.is_empty()).then(|| Piece {
        range: start..start + words.len(),
        body: start..start + body.len(),
        closed,
    })
}

/// Whether a sentence of ours begins here.
fn opens(text: &str) -> bool {
    let mut cursor = Cursor::new(text, &(0..text.len()));
    cursor.word("from") && cursor.space() && cursor.rest().starts_with(|next: char| next.is_ascii_digit())
}

/// Whether a sentence cannot end here.
fn goes_on(text: &str) -> bool {
    let last = text.split_whitespace().next_back().unwrap_or_default();
    last.ends_with(',') || last.eq_ignore_ascii_case("and")
}

fn is_short(text: &str) -> bool {
    let word = text.rsplit(|sign: char| !sign.is_alphanumeric()).next().unwrap_or_default();
    SHORT.iter().any(|short| short.eq_ignore_ascii_case(word))
}

/// Reads one sentence of the answer `text`; `None` when it does not follow the grammar to its last word.
pub(super) fn parse(asked: &Asked, text: &str, piece: &Piece) -> Option<Sentence> {
    let mut cursor = Cursor::new(text, &piece.body);
    if cursor.word("and") {
        cursor.sign(',');
        cursor.space();
    }
    let grounds = matches!(asked, Asked::Ground { .. });
    let mut segments = vec![segment(&mut cursor, grounds, false)?];
    while let Some(next) = another(&mut cursor, grounds) {
        segments.push(next);
    }
    cursor.space();
    match asked {
        Asked::Ground { .. } if cursor.rest().is_empty() => Some(Sentence { segments, label: None }),
        Asked::Ground { label } => {
            named(&mut cursor, segments).filter(|(key, _)| *key == label_key(label)).map(|(_, said)| said)
        }
        Asked::Detect => named(&mut cursor, segments).map(|(_, said)| said),
    }
}

/// `from 12 to 34`; in an answer that names no label also `from 12 to 34, seen and heard`, and without `from` after
/// the first.
fn segment(cursor: &mut Cursor<'_>, grounds: bool, bare: bool) -> Option<Segment> {
    let from = cursor.at();
    let span = match cursor.span() {
        None if grounds && bare => cursor.bare_span()?,
        span => span?,
    };
    let modality = if grounds { suffix(cursor) } else { None };
    let (start, end, digits) = (span.start, span.end, span.digits);
    Some(Segment { start, end, modality, digits, range: from..cursor.at() })
}

/// The next segment, after `,` or `and` or both.
fn another(cursor: &mut Cursor<'_>, grounds: bool) -> Option<Segment> {
    let mut ahead = cursor.clone();
    let spaced = ahead.space();
    let comma = ahead.sign(',');
    ahead.space();
    let and = (comma || spaced) && ahead.word("and");
    if and {
        ahead.space();
    }
    if !comma && !and {
        return None;
    }
    let next = segment(&mut ahead, grounds, true)?;
    *cursor = ahead;
    Some(next)
}

/// `, a dog barks` or `, a dog barks, seen and heard`, to the end of the sentence: the label's key, and the sentence it
/// makes with `segments`. What it says of the evidence holds for every segment that says nothing itself.
fn named(cursor: &mut Cursor<'_>, mut segments: Vec<Segment>) -> Option<(String, Sentence)> {
    if !cursor.any_sign(&[',', ':']) {
        return None;
    }
    cursor.space();
    let from = cursor.at();
    let (label, modality) = split_suffix(cursor.rest());
    let key = label_key(label);
    if !key.contains(char::is_alphanumeric) || modality_of(label).is_some() || holds_times(label) {
        return None;
    }
    for segment in &mut segments {
        segment.modality = segment.modality.or(modality);
    }
    Some((key, Sentence { segments, label: Some(from..from + label.len()) }))
}

/// `, heard` and its like at the cursor.
fn suffix(cursor: &mut Cursor<'_>) -> Option<Modality> {
    let mut ahead = cursor.clone();
    ahead.space();
    if !ahead.sign(',') {
        return None;
    }
    ahead.space();
    let modality = evidence(&mut ahead)?;
    *cursor = ahead;
    Some(modality)
}

/// `label, heard` into the label and what follows it.
fn split_suffix(text: &str) -> (&str, Option<Modality>) {
    let Some((label, last)) = text.rsplit_once(',') else { return (text.trim_end(), None) };
    match modality_of(last) {
        Some(modality) => (label.trim_end(), Some(modality)),
        None => (text.trim_end(), None),
    }
}

/// What `text` says of the evidence, if it says nothing else.
fn modality_of(text: &str) -> Option<Modality> {
    let text = text.trim();
    let mut cursor = Cursor::new(text, &(0..text.len()));
    evidence(&mut cursor).filter(|_| cursor.rest().is_empty())
}

fn evidence(cursor: &mut Cursor<'_>) -> Option<Modality> {
    let words: [(&[&str], Modality); 4] = [
        (&["seen", "and", "heard"], Modality::Both),
        (&["heard", "and", "seen"], Modality::Both),
        (&["seen"], Modality::Visual),
        (&["heard"], Modality::Audio),
    ];
    words.into_iter().find(|(words, _)| cursor.words(words)).map(|(_, modality)| modality)
}

/// Whether times stand in what should be a label: `a dog, from 12 to 34` or the malformed `from 100 to 200`.
fn holds_times(label: &str) -> bool {
    let words = label.char_indices().filter(|(at, _)| !label[..*at].ends_with(char::is_alphanumeric));
    words.map(|(at, _)| Cursor::new(label, &(at..label.len()))).any(|mut cursor| {
        let digits =
            |text: &str| text.len() - text.trim_start_matches(|sign: char| sign.is_ascii_digit()).len();
        let from = cursor.word("from") && cursor.space();
        let count = digits(cursor.rest());
        from && (1..=3).contains(&count) && !cursor.rest()[count..].starts_with(char::is_alphabetic)
    })
}
